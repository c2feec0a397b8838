"""What an SDK must report of each act, as the README's table "What a client sees" states it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from house import FALLBACK, HELD, REPLACED, REPLACEMENT, STOP_REASON, SUBSTITUTE, word
from plan import ARGUMENTS, ASSEMBLED, BEFORE_CALL, CHOICES, ERROR, FAILED, LEAD, REASONING, REFUSAL, REFUSES_APART, RESULT, SEEN, TAIL, WHOLE, Plan
from script import FILTER, LENGTH, STOP, TOOL, Outcome, Refuse, Say, Think

# The exception of each SDK for a request that is refused, and for an error in a stream. Responses tells it as an event.
REFUSED = {"gemini": ("ClientError",), "ollama": ("ResponseError",), "ollama-generate": ("ResponseError",)}
IN_STREAM = REFUSED | {"openai-responses": ("APIError", "error", "response.failed")}
CUT = {"APIConnectionError", "TransportError", "NetworkError", "RemoteProtocolError", "ReadError", "ConnectionError", "ServerDisconnectedError"}
# The API has no word for a filtered answer.
NO_FILTER = ("ollama", "ollama-generate")


@dataclass
class Judge:
    """Compares, and keeps what differs."""

    plan: Plan
    outcome: Outcome
    found: list[str] = field(default_factory=list)

    def same(self, what: str, expected: Any, came: Any) -> None:
        if came != expected:
            self.found.append(f"{what}: expected {expected!r}, came {came!r}")

    def one_of(self, what: str, expected: Any, came: Any) -> None:
        if came not in expected:
            self.found.append(f"{what}: expected one of {list(expected)!r}, came {came!r}")

    def holds(self, condition: object, what: str) -> None:
        if not condition:
            self.found.append(what)

    def no_error(self) -> None:
        self.holds(not self.outcome.error, f"expected an answer, came {self.outcome.error[:1]} {self.outcome.status} {self.outcome.message[:200]}")

    def raised(self, names: tuple[str, ...], says: str, statuses: tuple[int | None, ...] | None = None) -> None:
        came = self.outcome.error
        self.holds(set(names) & set(came), f"expected {' or '.join(names)}, came {came or 'an answer'} {self.outcome.message[:200]}")
        self.holds(says in self.outcome.message, f"expected an error that says {says!r}, came {self.outcome.message[:200]!r}")
        if statuses and came:
            self.one_of("status", statuses, self.outcome.status)


def judge(plan: Plan, outcome: Outcome, asked: list[str], refusals: list[str]) -> list[str]:
    """What differs from what is expected. `asked` are the bodies that the upstream got, `refusals` what it found wrong with them."""
    judge = Judge(plan, outcome)
    judge.holds(not refusals, f"the upstream refused: {refusals}")
    act = plan.cell.act
    if act not in (SEEN, HELD):
        judge.holds(word(act) not in outcome.all(), f"the client could read {word(act)!r}")
    if plan.shows == RESULT:
        _result(judge, act, asked)
    else:
        # A call that failed, and of which the client has nothing, may be repeated.
        may = (1, 2) if plan.shows == ERROR and plan.cell.mode == ASSEMBLED else (len(plan.answers),)
        judge.one_of("calls of the upstream", may, len(asked))
        _answer(judge, act)
    return judge.found


def _answer(judge: Judge, act: str) -> None:
    plan, outcome = judge.plan, judge.outcome
    whole = plan.cell.mode != "streamed"
    channel = channel_of(plan)
    choice = 1 if plan.shows == CHOICES else 0
    before = BEFORE_CALL if plan.shows == ARGUMENTS else LEAD
    failed = plan.shows == ERROR
    if failed and act in (SEEN, REPLACED, HELD):
        _failed(judge, whole, "" if whole else said(plan))
        return
    if act == REPLACED and plan.signed:
        # What is signed is not edited: the answer ends.
        judge.same("reasoning text", "" if whole else before, outcome.text(channel))
        judge.raised((REFUSED if whole else IN_STREAM).get(plan.cell.dialect, ("APIError",)), "replacement")
        return
    match act:
        case "seen" | "held" | "replaced":
            judge.no_error()
            judge.same(f"{channel} text", said(plan), outcome.text(channel, choice))
            _rest(judge)
        case "hard":
            judge.same("text", "" if whole else before, outcome.text(channel, choice))
            names = ("BadRequestError",) if whole else ("APIError",)
            judge.raised((REFUSED if whole else IN_STREAM).get(plan.cell.dialect, names), f"block-{act}", (400,) if whole else None)
        case "soft":
            judge.no_error()
            _fallback(judge, channel, choice, "" if whole else before)
        case "abort":
            judge.one_of("text", ("",) if whole else ("", before), outcome.text(channel, choice))
            judge.holds(CUT & set(outcome.error), f"expected a cut connection, came {outcome.error or 'an answer'} {outcome.message[:200]}")
        case "stopped":
            judge.no_error()
            judge.same("calls", [], outcome.calls)
            text = outcome.text(channel, choice)
            judge.holds(text.startswith(before) or STOP_REASON in outcome.text(), f"expected {before!r} or the reason, came {text!r}")
            judge.holds(TAIL not in text, f"the answer went on after the stop: {text!r}")
            judge.same("finish", LENGTH, outcome.finish.get(choice))


def channel_of(plan: Plan) -> str:
    apart = plan.cell.dialect in REFUSES_APART
    return {REASONING: "reasoning", REFUSAL: "refusal" if apart else "output"}.get(plan.shows, "output")


def said(plan: Plan) -> str:
    """What the client may read of the text in question, of an answer that goes on."""
    kind = {REASONING: Think, REFUSAL: Refuse}.get(plan.shows, Say)
    return plan.answer.text(kind, 1 if plan.shows == CHOICES else 0).replace(word(REPLACED), REPLACEMENT)


def _rest(judge: Judge) -> None:
    """What else an answer has that goes on to its end."""
    plan, outcome = judge.plan, judge.outcome
    if plan.shows == REASONING:
        judge.same("text after the thought", "done", outcome.text())
    if plan.shows == CHOICES:
        judge.same("the other choice", "fine", outcome.text("output", 0))
    finish = FILTER if plan.answer.finish == FILTER else TOOL if plan.shows == ARGUMENTS else STOP
    judge.same("finish", {choice: finish for choice in range(plan.answer.choices)}, outcome.finish)
    judge.same("usage", plan.answer.usage, outcome.usage)
    calls = []
    if plan.shows == ARGUMENTS:
        middle = plan.answer.parts[1].arguments[6:-2].replace(word(REPLACED), REPLACEMENT)
        calls = [(0, f"tool_{plan.cell.act}", {"q": middle})]
    judge.same("calls", calls, [call[1:] for call in outcome.calls])


def _failed(judge: Judge, whole: bool, text: str) -> None:
    """The upstream's own error is told as one, after what was said before."""
    dialect = judge.plan.cell.dialect
    judge.same("text", text, judge.outcome.text())
    status = 400 if judge.plan.cell.mode == WHOLE else None
    names = (REFUSED if whole else IN_STREAM).get(dialect, ("APIError",))
    # Gemini's own code of the error decides which of its two exceptions it is.
    names = ("APIError",) if dialect == "gemini" else names
    judge.raised(names, "the upstream said no" if judge.plan.cell.mode == WHOLE else FAILED, (status,) if status else None)


def _fallback(judge: Judge, channel: str, choice: int, before: str) -> None:
    outcome = judge.outcome
    if channel == "output":
        judge.same("text", before + FALLBACK, outcome.text("output", choice))
    else:
        judge.same("text before", before, outcome.text(channel, choice))
        judge.same("text", FALLBACK, outcome.text("output", choice))
    judge.same("calls", [], outcome.calls)
    words = (FILTER, STOP) if judge.plan.cell.dialect in NO_FILTER else (FILTER,)
    judge.one_of("finish", words, outcome.finish.get(choice))


def _result(judge: Judge, act: str, asked: list[str]) -> None:
    """A tool's result is judged before the model reads it."""
    outcome, dialect = judge.outcome, judge.plan.cell.dialect
    went = act in (SEEN, REPLACED, HELD)
    judge.same("calls of the upstream", 1 if went else 0, len(asked))
    for body in asked:
        judge.holds((word(act) in body) == (act != REPLACED), f"the upstream got {'' if act == REPLACED else 'not '}the result: {body[:300]}")
        judge.holds(act != REPLACED or SUBSTITUTE in body, f"the upstream got no substitute: {body[:300]}")
    match act:
        case "hard":
            judge.raised(REFUSED.get(dialect, ("BadRequestError",)), "result-hard", (400,))
        case "soft":
            judge.no_error()
            _fallback(judge, "output", 0, "")
        case "abort":
            judge.holds(CUT & set(outcome.error), f"expected a cut connection, came {outcome.error or 'an answer'} {outcome.message[:200]}")
        case "stopped":
            judge.no_error()
            judge.holds(STOP_REASON in outcome.text(), f"expected the reason, came {outcome.text()!r}")
            judge.same("finish", LENGTH, outcome.finish.get(0))
        case _:
            judge.no_error()
            judge.same("text", LEAD + TAIL, outcome.text())
            judge.same("finish", STOP, outcome.finish.get(0))


