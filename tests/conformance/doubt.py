"""Whether the matrix can be red: the same calls through an Airlock that has no policy at all."""

from __future__ import annotations

from pathlib import Path

from house import House, Street
from plan import ACTS, MODES, TEXT, Cell, plans
from run import Runner
from upstreams import WIRES


def doubts(folder: Path, street: Street) -> list[str]:
    """Cells that are green though nobody heard, blocked, replaced, stopped or held anything: they prove nothing."""
    house = House(folder, street, "\n")
    runner = Runner(house)
    known = [name for name, wire in WIRES.items() if wire.dialect not in street.missing]
    cells = [Cell(dialect, mode, TEXT, act) for dialect in known for mode in MODES for act in ACTS]
    try:
        return [f"{cell} is green without a policy" for cell in cells if not any(runner.run(plan) for plan in plans(cell))]
    finally:
        house.stop()
