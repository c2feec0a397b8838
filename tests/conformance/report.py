"""The matrix and the checks of the wire as tables for people, in a terminal and as a document."""

from __future__ import annotations

from dataclasses import dataclass, field

from plan import ACTS, Cell

GREEN, RED, NONE = "green", "red", "none"
MARKS = {GREEN: "✔", RED: "✘", NONE: "·", "": ""}
# Longest account of what is red, in the tables' lists.
LONGEST = 600

HEAD = """# Conformance

What the official SDK of each wire API reports of an answer that passes through Airlock, for each act of a policy, and what a wire may do
to an answer on its way. `make conformance` runs it and writes this file. ✔ green, ✘ red, · cannot exist.

{counts}

A cell is green if a canary policy had every byte of the text before the client could read it, and the SDK reported what the README's
table *What a client sees* states. *Streamed*: client and upstream stream. *Whole*: neither does. *Assembled*: a client that wants a whole
answer, and an upstream that Airlock asks for a stream. The upstreams are written from the vendors' documentation and check each request
as the vendor would. *Held* is, for a text that is streamed, the beginning of a forbidden word that waits for its end; for tool calls, tool
results and clients of whole answers, a person's word. *Cross-dialect* is each of the other APIs as the upstream, with a text, a
thought, a tool call, a tool's result and an error.

"""


@dataclass
class Report:
    """Cells and checks with their colours, and what is to be said of each."""

    cells: dict[Cell, tuple[str, str]] = field(default_factory=dict)
    # By check and wire API.
    wire: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def is_green(self) -> bool:
        return not self._colours().count(RED)

    def counts(self) -> str:
        colours = self._colours()
        return f"{colours.count(GREEN)} are green, {colours.count(RED)} are red, {colours.count(NONE)} cannot exist."

    def tables(self) -> str:
        """For each wire API a line a feature and mode, and a column an act; then a line a check, and a column a wire API."""
        lines: list[str] = []
        rows = list(dict.fromkeys((cell.dialect, cell.feature, cell.mode) for cell in self.cells))
        for dialect in dict.fromkeys(row[0] for row in rows):
            lines += [f"## {dialect}", "", *_header(["", "", *ACTS])]
            for _, feature, mode in (row for row in rows if row[0] == dialect):
                colours = [self.cells.get(Cell(dialect, mode, feature, act), ("", ""))[0] for act in ACTS]
                lines.append(_row([feature, mode, *(MARKS[colour] for colour in colours)]))
            lines.append("")
        if self.wire:
            dialects = list(dict.fromkeys(dialect for _, dialect in self.wire))
            lines += ["## The wire", "", *_header(["", *dialects])]
            for check in dict.fromkeys(check for check, _ in self.wire):
                lines.append(_row([check, *(MARKS[self.wire.get((check, dialect), ("", ""))[0]] for dialect in dialects)]))
            lines.append("")
        return "\n".join(lines)

    def faults(self) -> str:
        """What is red: what was expected, and what came. What is the same in many cells is said once."""
        return "\n".join(f"- {_names(names)}: {why[:LONGEST]}" for why, names in self._of(RED).items())

    def reasons(self) -> str:
        """Why cells cannot exist."""
        return "\n".join(f"- {why}: {_names(names)}" for why, names in self._of(NONE).items())

    def document(self) -> str:
        parts = [HEAD.format(counts=self.counts()), self.tables(), "\n## What cannot exist\n\n", self.reasons(), "\n"]
        if red := self.faults():
            parts += ["\n## What is red\n\n", red, "\n"]
        return "".join(parts)

    def _of(self, colour: str) -> dict[str, list[str]]:
        """The names of all cells and checks of a colour, by what is to be said of them."""
        named = [(f"{cell.dialect}, {cell.feature}, {cell.mode}, {cell.act}", said) for cell, said in self.cells.items()]
        named += [(f"{dialect}, {check}", said) for (check, dialect), said in self.wire.items()]
        found: dict[str, list[str]] = {}
        for name, (its, why) in named:
            if its == colour:
                found.setdefault(why, []).append(name)
        return found

    def _colours(self) -> list[str]:
        return [colour for colour, _ in [*self.cells.values(), *self.wire.values()]]


def _row(words: list[str]) -> str:
    return "| " + " | ".join(words) + " |"


def _header(words: list[str]) -> list[str]:
    return [_row(words), "|" + "".join("---|" if not word else ":-:|" for word in words)]


def _names(names: list[str]) -> str:
    """The first of many names, and how many there are."""
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"
