"""Not one byte of a forbidden string reaches the client, wherever chunks are cut: in text, reasoning, refusals and tool
arguments, streamed and not, in log probabilities, and with writes cut inside characters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airlock import Airlock
from conftest import Makers
from harness import Simulator, body, cuts, frames
from policies import FALLBACK, blocklist

# One of ASCII, one whose characters have two and four bytes.
FORBIDDEN = ["TOP-SECRET", "Grüße😀ß"]
SAFE = "all of this is fine: "


@pytest.fixture(scope="module")
def guarded(module_make: Makers, shared_simulator: Simulator) -> Airlock:
    return module_make.airlock(shared_simulator, blocklist("soft", FORBIDDEN))


def controls(channel: str, pieces: list[str]) -> dict[str, Any]:
    if channel == "tool-arguments":
        chunks = [json.dumps(SAFE)[:-1], *pieces, '"']
        return {"tool_calls": [{"name": "send", "chunks": ['{"text": ', *chunks, "}"]}]}
    # What follows must not leak either: the block ends the answer.
    field = {"output": "chunks", "reasoning": "reasoning", "refusal": "refusal"}[channel]
    return {field: [SAFE, *pieces, " and more"]} | ({"text": "the end"} if channel != "output" else {})


def heard(raw: bytes, streamed: bool) -> dict[str, str]:
    """What the client has of each channel."""
    texts = {"output": "", "reasoning": "", "refusal": "", "tool-arguments": ""}
    messages = [json.loads(f) for f in frames(raw) if f != b"[DONE]"] if streamed else [json.loads(raw)]
    for message in messages:
        for choice in message.get("choices", []):
            delta = choice.get("delta") or choice.get("message") or {}
            texts["output"] += delta.get("content") or ""
            texts["reasoning"] += delta.get("reasoning_content") or ""
            texts["refusal"] += delta.get("refusal") or ""
            texts["tool-arguments"] += "".join(c["function"].get("arguments", "") for c in delta.get("tool_calls") or [])
    return texts


@pytest.mark.parametrize("forbidden", FORBIDDEN)
@pytest.mark.parametrize("channel", ["output", "reasoning", "refusal", "tool-arguments"])
@pytest.mark.parametrize("streamed", [True, False])
def test_no_byte_leaks_at_any_cut(guarded: Airlock, streamed: bool, channel: str, forbidden: str) -> None:
    prefix = '{"text": "' + SAFE if channel == "tool-arguments" else SAFE
    for pieces in cuts(forbidden):
        raw = guarded.post(body(stream=streamed, **controls(channel, pieces))).content
        texts = heard(raw, streamed)
        if channel in ("output", "refusal"):
            texts[channel] = texts[channel].removesuffix(FALLBACK)
        assert prefix.startswith(texts[channel]), f"{texts} for {pieces}"
        # Nor anywhere else in the bytes, escaped or not; pieces of one character are in every answer.
        for piece in [p for p in pieces if len(p) > 2]:
            assert piece.encode() not in raw and json.dumps(piece)[1:-1].encode() not in raw, f"{raw!r} for {pieces}"


@pytest.mark.parametrize("write_bytes", [1, 5])
def test_writes_cut_inside_characters_change_nothing(guarded: Airlock, write_bytes: int) -> None:
    for pieces in cuts(FORBIDDEN[1])[:8]:
        raw = guarded.post(body(chunks=[SAFE, *pieces], write_bytes=write_bytes)).content
        assert SAFE.startswith(heard(raw, True)["output"].removesuffix(FALLBACK))


@pytest.mark.parametrize("streamed", [True, False])
def test_log_probabilities_repeat_nothing(guarded: Airlock, streamed: bool) -> None:
    for pieces in cuts(FORBIDDEN[0])[:12]:
        order = body(stream=streamed, chunks=[SAFE, *pieces]) | {"logprobs": True}
        raw = guarded.post(order).content
        assert all(p.encode() not in raw for p in pieces if len(p) > 2), raw
        spelled = [json.dumps(list(p.encode()), separators=(",", ":")).encode() for p in pieces if len(p) > 2]
        assert not any(s in raw for s in spelled), raw


@pytest.mark.parametrize("streamed", [True, False])
def test_no_choice_leaks(guarded: Airlock, streamed: bool) -> None:
    for pieces in cuts(FORBIDDEN[0])[:12]:
        order = body(stream=streamed, choices=[[SAFE, "x", "y"], [SAFE, *pieces]]) | {"n": 2}
        assert all(p.encode() not in guarded.post(order).content for p in pieces if len(p) > 2)


def test_safe_text_is_not_delayed(guarded: Airlock) -> None:
    """The text before a forbidden string goes out while the upstream is silent, up to what could begin the string."""
    order = body(chunks=[SAFE, "TOP-S"], hang_after_chunks=2)
    with guarded.http.stream("POST", "/v1/chat/completions", json=order) as response:
        received = b""
        for piece in response.iter_raw():
            received += piece
            if SAFE.encode() in received:
                break
    assert b"TOP-S" not in received


def test_a_near_miss_comes_whole_and_in_order(guarded: Airlock) -> None:
    said = "TOP-SECRE TOP-TOP-SECRE".replace("SECRE ", "SECRE, ")
    for pieces in cuts(said)[:60]:
        raw = guarded.post(body(chunks=[SAFE, *pieces, " end"])).content
        assert heard(raw, True)["output"] == f"{SAFE}{said} end"
