"""The conformance matrix: `python tests/conformance`. Prints it and writes docs/conformance.md; ends with 1 if a cell is red."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from doubt import doubts
from house import ROOT, House, Street
from plan import ACTS, ASSEMBLED, FEATURES, MODES, STREAMED, WHOLE, Cell, cannot, plans
from report import GREEN, NONE, RED, Report
from robust import CANNOT, CHECKS
from robust.bench import Bench
from run import Runner
from upstreams import WIRES


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dialect", action="append", choices=tuple(WIRES), help="only this wire API; nothing is written then")
    parser.add_argument("--mode", action="append", choices=MODES, help="only cells of this mode")
    parser.add_argument("--feature", action="append", choices=FEATURES, help="only cells of this feature")
    parser.add_argument("--act", action="append", choices=ACTS, help="only cells of this act")
    parser.add_argument("--check", action="append", choices=tuple(CHECKS), help="only this check of the wire")
    return parser.parse_args()


def chosen(only: argparse.Namespace) -> tuple[list[Cell], list[tuple[str, str]]]:
    """The cells, and the checks with their wire APIs, that the arguments name: whoever names cells wants no checks, and so on."""
    cells = [
        Cell(dialect, mode, feature, act)
        for dialect in only.dialect or WIRES
        for feature in only.feature or FEATURES
        for mode in only.mode or MODES
        for act in only.act or ACTS
    ]
    checks = [(check, dialect) for check in only.check or CHECKS for dialect in only.dialect or WIRES]
    if only.mode or only.feature or only.act:
        checks = checks if only.check else []
    elif only.check:
        cells = []
    return cells, checks


def main() -> int:
    only = arguments()
    cells, checks = chosen(only)
    report, doubted = Report(), []
    with tempfile.TemporaryDirectory() as folder:
        street = Street(Path(folder))
        # Upstreams of clients of whole answers are asked for a stream in one of them, and not in the other.
        streaming = House(Path(folder) / "streaming", street, gateway="stream_upstream = true")
        whole = House(Path(folder) / "whole", street, gateway="stream_upstream = false")
        runners = {STREAMED: Runner(streaming), ASSEMBLED: Runner(streaming), WHOLE: Runner(whole)}
        try:
            for cell in cells:
                report.cells[cell] = verdict(cell, runners[cell.mode], street)
            for check, dialect in checks:
                report.wire[check, dialect] = judged(check, Bench(whole, dialect), street)
            doubted = doubts(Path(folder) / "bare", street)
        finally:
            streaming.stop()
            whole.stop()
            street.stop()
    print(report.tables())
    print(report.faults())
    print("\n".join([report.counts(), *doubted]))
    if not any(vars(only).values()):
        (ROOT / "docs" / "conformance.md").write_text(report.document())
    return 0 if report.is_green() and not doubted else 1


def unknown(dialect: str) -> str:
    return f"expected that Airlock speaks {dialect}, came a binary that does not know the name"


def verdict(cell: Cell, runner: Runner, street: Street) -> tuple[str, str]:
    """The cell's colour, and what is to be said of it."""
    if why := cannot(cell):
        return NONE, why
    if WIRES[cell.dialect].dialect in street.missing:
        return RED, unknown(WIRES[cell.dialect].dialect)
    wrong: list[str] = []
    for plan in plans(cell):
        missing = WIRES[plan.upstream].dialect in street.missing
        wrong += [unknown(plan.upstream)] if missing else runner.run(plan)
    return (RED, "; ".join(dict.fromkeys(wrong))) if wrong else (GREEN, "")


def judged(check: str, bench: Bench, street: Street) -> tuple[str, str]:
    """The same of a check of the wire."""
    if why := CANNOT.get((check, bench.dialect)):
        return NONE, why
    if WIRES[bench.dialect].dialect in street.missing:
        return RED, unknown(WIRES[bench.dialect].dialect)
    try:
        wrong = CHECKS[check](bench)
    except Exception as error:  # Whatever goes wrong in a check is the check's result.
        wrong = [f"{type(error).__name__}: {error}"]
    return (RED, "; ".join(wrong)) if wrong else (GREEN, "")


if __name__ == "__main__":
    sys.exit(main())
