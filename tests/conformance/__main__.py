"""The conformance matrix: `python tests/conformance`. Prints it and writes docs/conformance.md; ends with 1 if a cell is red."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from house import ROOT, House, Street
from plan import ACTS, ASSEMBLED, FEATURES, MODES, STREAMED, WHOLE, Cell, cannot, plans
from report import GREEN, Matrix
from run import Runner
from upstreams import WIRES


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, values in (("dialect", tuple(WIRES)), ("mode", MODES), ("feature", FEATURES), ("act", ACTS)):
        parser.add_argument(f"--{name}", action="append", choices=values, help="only these cells; nothing is written then")
    return parser.parse_args()


def chosen(only: argparse.Namespace) -> list[Cell]:
    return [
        Cell(dialect, mode, feature, act)
        for dialect in only.dialect or WIRES
        for feature in only.feature or FEATURES
        for mode in only.mode or MODES
        for act in only.act or ACTS
    ]


def main() -> int:
    only = arguments()
    matrix = Matrix()
    with tempfile.TemporaryDirectory() as folder:
        street = Street(Path(folder))
        # Upstreams of clients of whole answers are asked for a stream in one of them, and not in the other.
        streaming = House(Path(folder) / "streaming", street, gateway="stream_upstream = true")
        whole = House(Path(folder) / "whole", street, gateway="stream_upstream = false")
        runners = {STREAMED: Runner(streaming), ASSEMBLED: Runner(streaming), WHOLE: Runner(whole)}
        try:
            for cell in chosen(only):
                matrix.put(cell, *verdict(cell, runners[cell.mode], street))
        finally:
            streaming.stop()
            whole.stop()
            street.stop()
    print(matrix.table())
    print(matrix.faults())
    if not (only.dialect or only.mode or only.feature or only.act):
        (ROOT / "docs" / "conformance.md").write_text(matrix.document())
    return 0 if matrix.is_green() else 1


def verdict(cell: Cell, runner: Runner, street: Street) -> tuple[str, str]:
    """The cell's colour, and what is to be said of it."""
    if why := cannot(cell):
        return "none", why
    if WIRES[cell.dialect].dialect in street.missing:
        return "red", f"expected that Airlock speaks {WIRES[cell.dialect].dialect}, came a binary that does not know the name"
    wrong: list[str] = []
    for plan in plans(cell):
        if WIRES[plan.upstream].dialect in street.missing:
            wrong.append(f"expected an upstream that speaks {plan.upstream}, came a binary that does not know the name")
        else:
            wrong += runner.run(plan)
    return ("red", "; ".join(dict.fromkeys(wrong))) if wrong else (GREEN, "")


if __name__ == "__main__":
    sys.exit(main())
