"""What nobody touches leaves as it came, and what a client says of earlier turns is judged like what was seen."""

from __future__ import annotations

import uuid
from dataclasses import replace

from drivers import DRIVERS
from house import HARD, word
from plan import RESULT, WITHOUT
from robust.bench import Bench, Check, edited
from script import Answer, Done, Outcome, Say


def untouched(bench: Bench) -> list[str]:
    """Frames that no policy touched are the upstream's own bytes."""
    request = bench.request()
    sent: list[bytes] = []

    def keep(part: bytes) -> bytes:
        sent.append(part)
        return part

    got = bench.raw(request, Answer((Say("as it "), Say("came «ö»"))), edited(keep))
    came = b"".join(sent)
    if got == came:
        return []
    at = next((at for at, (one, other) in enumerate(zip(got, came)) if one != other), min(len(got), len(came)))
    return [f"expected {came[max(0, at - 40) : at + 80]!r}, came {got[max(0, at - 40) : at + 80]!r}"]


def unseen_call(bench: Bench) -> list[str]:
    """A conversation that begins with a tool's result: the call stands in the request, so that its name is known."""
    done = Done("result_hard", {"q": "it"}, f"found {word(HARD)}")
    bench.upstream.play(Answer((Say("read"),)))
    ask = replace(bench.asks(), tools=("result_hard",), done=done)
    outcome = DRIVERS[bench.dialect].ask(bench.house.host, f"wire-{uuid.uuid4().hex}", ask, Outcome())
    if outcome.error and not bench.upstream.requests:
        return []
    return [f"expected that the rule for {done.name} blocks its result, came {outcome.text()!r} of an upstream that was asked"]


FAITHFUL: dict[str, Check] = {"untouched bytes": untouched, "the result of a call that was not seen": unseen_call}
WITHOUT_TOOLS = {("the result of a call that was not seen", dialect): why for dialect, why in WITHOUT[RESULT].items()}
