"""The cells of the matrix: what each asks and has answered, and which of them cannot exist."""

from __future__ import annotations

from dataclasses import dataclass, replace

from house import ABORT, HARD, HELD, REPLACED, SOFT, STOPPED, word
from script import FILTER, STOP, TOOL, Answer, Ask, Call, Done, Fail, Gate, Refuse, Say, Think, Wait

SEEN = "seen"
ACTS = (SEEN, HARD, SOFT, ABORT, REPLACED, STOPPED, HELD)
STREAMED, WHOLE, ASSEMBLED = "streamed", "whole", "assembled"
MODES = (STREAMED, WHOLE, ASSEMBLED)

TEXT, REASONING, ARGUMENTS, RESULT, REFUSAL, CHOICES = "text", "reasoning", "tool arguments", "tool result", "refusal", "several choices"
ERROR, RETRY, FAILOVER, CROSS = "error in the stream", "retry", "failover", "cross-dialect"
FEATURES = (TEXT, REASONING, ARGUMENTS, RESULT, REFUSAL, CHOICES, ERROR, RETRY, FAILOVER, CROSS)

# What is carried from one API to another.
CARRIED = (TEXT, REASONING, ARGUMENTS, RESULT, ERROR)

LEAD, TAIL, BEFORE_CALL = "safe ", " after", "let me look "
# What an upstream says when it fails.
FAILED = "the model fell over"

# Wire APIs that lack something, by what their vendors' documentation does not have.
WITHOUT = {
    REASONING: {"openai-completions": "the API has no thoughts"},
    ARGUMENTS: {"openai-completions": "the API has no tools", "ollama-generate": "the API has no tools"},
    REFUSAL: {"ollama": "the API has no word for a refusal", "ollama-generate": "the API has no word for a refusal"},
    CHOICES: {name: "the API gives one answer" for name in ("openai-responses", "anthropic-messages", "ollama", "ollama-generate")},
}
WITHOUT[RESULT] = WITHOUT[ARGUMENTS]

# APIs in which a refusal has a place of its own. In the others it is a text with its own word for the end.
REFUSES_APART = ("openai-chat", "openai-responses")


@dataclass(frozen=True)
class Cell:
    """One cell."""

    dialect: str
    mode: str
    feature: str
    act: str


@dataclass(frozen=True)
class Plan:
    """One call of a cell: what is asked, where it goes, what is answered."""

    cell: Cell
    upstream: str
    ask: Ask
    answers: tuple[Answer, ...]
    # The feature that the answer shows; another than the cell's where that is about the way.
    shows: str
    gate: Gate | None = None

    @property
    def answer(self) -> Answer:
        return self.answers[-1]

    @property
    def signed(self) -> bool:
        """Whether the text in question is signed by its vendor, who refuses it when it comes back changed."""
        return self.shows == REASONING and self.cell.dialect == self.upstream == "anthropic-messages"

    @property
    def way(self) -> str:
        return "" if self.upstream == self.cell.dialect else f"to {self.upstream}, {self.shows}: "


def cannot(cell: Cell) -> str:
    """Why a cell cannot exist; empty if it can."""
    if why := WITHOUT.get(cell.feature, {}).get(cell.dialect):
        return why
    if cell.feature == ERROR and cell.mode != STREAMED and cell.act not in (SEEN, HELD):
        return "a client of whole answers is told the error alone, so there is no text to act on"
    return ""


def plans(cell: Cell) -> list[Plan]:
    """Every call of a cell."""
    if cell.feature != CROSS:
        shows = TEXT if cell.feature in (RETRY, FAILOVER) else cell.feature
        return [_plan(cell, cell.dialect, shows)]
    found = []
    for upstream in ("openai-chat", "openai-responses", "anthropic-messages", "gemini", "ollama"):
        if upstream != cell.dialect and not (upstream == "ollama" and cell.dialect == "ollama-generate"):
            found += [_plan(cell, upstream, shows) for shows in CARRIED if not cannot(replace(cell, feature=shows))]
    return found


def _plan(cell: Cell, upstream: str, shows: str) -> Plan:
    gate = Gate() if cell.act == HELD and cell.mode == STREAMED and shows not in (ARGUMENTS, RESULT) else None
    answer = _answer(cell, shows, gate)
    answers = (Answer((), status=503), answer) if cell.feature == RETRY else (answer,)
    if shows == ERROR and cell.mode == ASSEMBLED:
        # The client has nothing yet, so Airlock may repeat the call once.
        answers = (answer, answer)
    way = "after-dead-" if cell.feature == FAILOVER else ""
    # A client of whole answers is held by its request; what else waits is held by itself.
    last = "held" if cell.act == HELD and not gate and shows not in (ARGUMENTS, RESULT) else "x"
    tool = {ARGUMENTS: f"tool_{cell.act}", RESULT: f"result_{cell.act}"}.get(shows)
    ask = Ask(
        model=f"{way}to-{upstream}-{last}".replace("after-dead-to-", "after-dead-"),
        streamed=cell.mode == STREAMED,
        tools=(tool,) if tool else (),
        done=Done(tool, {"q": "it"}, f"found {word(cell.act)}") if shows == RESULT and tool else None,
        choices=2 if shows == CHOICES else 1,
        reasoning=shows == REASONING,
    )
    return Plan(cell, upstream, ask, answers, shows, gate)


def texts(act: str, gate: Gate | None = None) -> list[str | Gate]:
    """A text in which the act's word stands, cut in the middle of it; without the word where nothing is to happen."""
    if act == SEEN:
        return [LEAD, "and", " sound", TAIL]
    if act == HELD:
        # The beginning of a word that would be blocked, and then another.
        return [LEAD, "HARD", *([gate] if gate else []), "-ly", TAIL]
    middle = word(act)
    return [LEAD, middle[:4], middle[4:], TAIL]


def _answer(cell: Cell, shows: str, gate: Gate | None) -> Answer:
    act = cell.act
    if shows == RESULT:
        return Answer((Say(LEAD), Say(TAIL)))
    if shows == ARGUMENTS:
        middle = [text for text in texts(SEEN if act == HELD else act) if isinstance(text, str)]
        return Answer((Say(BEFORE_CALL), Call(f"tool_{act}", ('{"q":"', *middle, '"}'))), finish=TOOL)
    kind = {REASONING: Think, REFUSAL: Refuse}.get(shows, Say)
    choice = 1 if shows == CHOICES else 0
    parts = [Wait(text) if isinstance(text, Gate) else kind(text, choice) for text in texts(act, gate)]
    match shows:
        case "reasoning":
            parts.append(Say("done"))
        case "several choices":
            parts.insert(0, Say("fine"))
        case "error in the stream":
            if cell.mode == WHOLE:
                return Answer((), status=400)
            parts.append(Fail(FAILED))
    finish = FILTER if shows == REFUSAL and cell.dialect not in REFUSES_APART else STOP
    return Answer(tuple(parts), finish=finish)
