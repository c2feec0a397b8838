"""The matrix as a table for people, in a terminal and as a document."""

from __future__ import annotations

from plan import ACTS, Cell

GREEN = "green"
MARKS = {GREEN: "✔", "red": "✘", "none": "·"}

HEAD = """# Conformance

What the official SDK of each wire API reports of an answer that passes through Airlock, for each act of a policy. `make conformance`
writes this file. {counts}

A cell is green if a canary policy had every byte of the text before the client could read it, and the SDK reported what the README's
table *What a client sees* states. *Streamed*: client and upstream stream. *Whole*: neither does. *Assembled*: a client that wants a whole
answer, and an upstream that Airlock asks for a stream. The upstreams are written from the vendors' documentation and check each request as the vendor
would. *Held* is, for a text that is streamed, the beginning of a forbidden word that waits for its end; for tool calls, tool results and
clients of whole answers, a person's word.

"""


class Matrix:
    """Cells with their colours."""

    def __init__(self) -> None:
        self.cells: dict[Cell, tuple[str, str]] = {}

    def put(self, cell: Cell, colour: str, why: str) -> None:
        self.cells[cell] = (colour, why)

    def is_green(self) -> bool:
        return all(colour != "red" for colour, _ in self.cells.values())

    def counts(self) -> str:
        colours = [colour for colour, _ in self.cells.values()]
        return ", ".join(f"{colours.count(colour)} {says}" for colour, says in ((GREEN, "cells are green"), ("red", "red"), ("none", "cannot exist")))

    def table(self) -> str:
        """One line a feature and mode, one column an act."""
        lines = []
        rows = list(dict.fromkeys((cell.dialect, cell.feature, cell.mode) for cell in self.cells))
        for dialect in dict.fromkeys(row[0] for row in rows):
            lines += ["", f"## {dialect}", "", "| | | " + " | ".join(ACTS) + " |", "|---|---|" + ":-:|" * len(ACTS)]
            for _, feature, mode in (row for row in rows if row[0] == dialect):
                marks = [MARKS[self.cells.get(Cell(dialect, mode, feature, act), ("none", ""))[0]] for act in ACTS]
                lines.append(f"| {feature} | {mode} | " + " | ".join(marks) + " |")
        return "\n".join(lines[1:]) + f"\n\n{self.counts()}\n"

    def faults(self) -> str:
        return "\n".join(f"- {self._name(cell)}: {why}" for cell, (colour, why) in self.cells.items() if colour == "red")

    def document(self) -> str:
        """The table, why cells cannot exist, and what is red."""
        reasons: dict[str, list[str]] = {}
        for cell, (colour, why) in self.cells.items():
            if colour == "none":
                names = reasons.setdefault(why, [])
                name = f"{cell.dialect}: {cell.feature}"
                if name not in names:
                    names.append(name)
        cannot = "\n".join(f"- {why}: {', '.join(names)}" for why, names in reasons.items())
        red = self.faults()
        parts = [HEAD.format(counts=self.counts()[0].upper() + self.counts()[1:] + "."), self.table(), "\n## What cannot exist\n\n", cannot, "\n"]
        parts += ["\n## Red\n\n", red, "\n"] if red else []
        return "".join(parts)

    def _name(self, cell: Cell) -> str:
        return f"{cell.dialect}, {cell.feature}, {cell.mode}, {cell.act}"
