"""Answers that are not what their API says: what cannot be judged must not look like an answer."""

from __future__ import annotations

import json
from dataclasses import replace

from house import HARD, word
from robust.bench import Bench, Check, edited
from script import STOP, Answer, Outcome, Say
from upstreams.http import Reply

FORBIDDEN = word(HARD)


def _unread(outcome: Outcome, what: str) -> list[str]:
    """The client read nothing forbidden, and no success."""
    wrong = []
    if FORBIDDEN in outcome.all():
        wrong.append(f"the client could read {FORBIDDEN!r}")
    if not outcome.error:
        wrong.append(f"{what}: expected an error, came {outcome.text()[:80]!r} and the end {outcome.finish}")
    return wrong


def _alive(bench: Bench) -> list[str]:
    """Airlock serves on."""
    outcome = bench.ask(Answer((Say("still here"),)))
    return [] if outcome.text() == "still here" else [f"Airlock does not serve on: {outcome.message[:200]}"]


def not_utf8(bench: Bench) -> list[str]:
    """A byte that is no text: what is read must be what was judged."""
    outcome = bench.ask(Answer((Say("before"), Say("HARDx-7731"), Say("after"))), edited(lambda part: part.replace(b"HARDx", b"HARD\xff")))
    bench.house.feed.ended()
    told = "".join(part["text"] for part in bench.house.feed.heard() if part.get("channel") == "output")
    if not outcome.error and outcome.text() != told:
        return [f"expected an error or what the canary heard, {told!r}, came {outcome.text()!r}"]
    return _alive(bench)


def doubled(streamed: bool) -> Check:
    """A text that is stated twice in one object: readers differ in which of the two they take."""

    def check(bench: Bench) -> list[str]:
        # The key before the text is repeated after it, with another text.
        def shape(reply: Reply) -> Reply:
            joined = b"".join(part for part in reply.body if isinstance(part, bytes))
            at = joined.find(b'"FIRST"')
            key = joined[joined.rfind(b'"', 0, joined.rfind(b'"', 0, at)) : at]
            return replace(reply, body=[joined[:at] + b'"safe", ' + key + json.dumps(FORBIDDEN).encode() + joined[at + 7 :]])

        outcome = bench.ask(Answer((Say("FIRST"),)), shape, streamed)
        return _unread(outcome, "a key that is stated twice") + _alive(bench)

    return check


def unfinished(bench: Bench) -> list[str]:
    """The stream ends cleanly before its last frame: SDKs take that for success."""

    def shape(reply: Reply) -> Reply:
        parts = [part for part in reply.body if isinstance(part, bytes)]
        last = next(at for at, part in enumerate(parts) if b"sentence" in part)
        return replace(reply, body=parts[: last + 1])

    outcome = bench.ask(Answer((Say("half an"), Say(" sentence"))), shape)
    if outcome.error:
        return []
    partial = {word for word in outcome.finish.values() if word != STOP}
    return [] if partial else [f"expected an error or a word for a part, came {outcome.text()!r} and the end {outcome.finish}"]


def cut_off(bench: Bench) -> list[str]:
    """The connection breaks in the middle."""

    def shape(reply: Reply) -> Reply:
        parts = [part for part in reply.body if isinstance(part, bytes)]
        return replace(reply, body=parts[: len(parts) // 2], cut=True)

    return _unread(bench.ask(Answer((Say("half an"), Say(" sentence"))), shape), "a connection that broke") + _alive(bench)


def after_the_end(bench: Bench) -> list[str]:
    """Text that follows on the last frame is given to no client."""
    request = bench.request()

    def shape(reply: Reply) -> Reply:
        parts = [part for part in reply.body if isinstance(part, bytes)]
        late = [part.replace(b"an answer", FORBIDDEN.encode()) for part in parts if b"an answer" in part]
        return replace(reply, body=parts + late)

    got = bench.raw(request, Answer((Say("an answer"),)), shape)
    wrong = [f"the client got {FORBIDDEN!r} after the end"] if FORBIDDEN.encode() in got else []
    return wrong + ([] if b"an answer" in got else [f"expected the answer, came {got[:200]!r}"])


def no_json(bench: Bench) -> list[str]:
    """A frame that is no JSON."""
    return _unread(bench.ask(Answer((Say("a"), Say("BROKEN"), Say("b"))), edited(lambda p: p if b"BROKEN" not in p else p.replace(b"}", b"")), True), "a frame that is no JSON")


BROKEN: dict[str, Check] = {
    "invalid UTF-8": not_utf8,
    "a key twice, streamed": doubled(True),
    "a key twice, whole": doubled(False),
    "no last frame": unfinished,
    "the connection breaks": cut_off,
    "text after the last frame": after_the_end,
    "a frame that is no JSON": no_json,
}
