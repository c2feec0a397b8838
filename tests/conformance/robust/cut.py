"""Where a wire cuts an answer, and with what it ends lines."""

from __future__ import annotations

from dataclasses import replace

from robust.bench import Bench, Check, differs, edited
from script import Answer, Say
from upstreams.http import Reply

TEXT = "wörds, «quotes» and a \"line\"\n of 🦜"
ANSWER = Answer((Say(TEXT[:5]), Say(TEXT[5:20]), Say(TEXT[20:])))


def _bytewise(reply: Reply) -> Reply:
    """Each byte alone."""
    joined = b"".join(part for part in reply.body if isinstance(part, bytes))
    return replace(reply, body=[joined[at : at + 1] for at in range(len(joined))], length=None)


def bytewise(bench: Bench) -> list[str]:
    return differs(bench.ask(ANSWER, _bytewise), ANSWER, TEXT)


def bytewise_whole(bench: Bench) -> list[str]:
    return differs(bench.ask(ANSWER, _bytewise, streamed=False), ANSWER, TEXT)


def in_one(bench: Bench) -> list[str]:
    """All frames in one part, as a proxy joins them."""

    def shape(reply: Reply) -> Reply:
        return replace(reply, body=[b"".join(part for part in reply.body if isinstance(part, bytes))])

    return differs(bench.ask(ANSWER, shape), ANSWER, TEXT)


def crlf(bench: Bench) -> list[str]:
    return differs(bench.ask(ANSWER, edited(lambda part: part.replace(b"\n", b"\r\n"))), ANSWER, TEXT)


def giant(bench: Bench) -> list[str]:
    """Four million bytes in one frame: whole, or an error, and never a part that looks like all."""
    text = "giant " * 700_000
    outcome = bench.ask(Answer((Say(text),)))
    return [] if outcome.error else differs(outcome, ANSWER, text)


def beyond(bench: Bench) -> list[str]:
    """More than a frame may have is an error."""
    outcome = bench.ask(Answer((Say("x" * (65 * 2**20)),)))
    return [] if outcome.error else [f"expected an error, came {len(outcome.text())} bytes and the end {outcome.finish}"]


def unasked(bench: Bench) -> list[str]:
    """A stream that comes to a request for a whole answer."""
    answer = replace(ANSWER, streamed=True)
    return differs(bench.ask(answer, streamed=False), answer, TEXT)


CUT: dict[str, Check] = {
    "cut at every byte, streamed": bytewise,
    "cut at every byte, whole": bytewise_whole,
    "all frames at once": in_one,
    "lines end with CR LF": crlf,
    "a frame of 4 MB": giant,
    "a frame of 65 MiB": beyond,
    "a stream for a whole client": unasked,
}
