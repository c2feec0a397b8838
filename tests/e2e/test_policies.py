"""The first-party policies on real traffic: what the agent sees, what the upstream was asked, what the timeline says."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from airlock import interventions, new_session, of
from conftest import Makers
from harness import Simulator, body, frames, script
from policies import blocklist, latency_budget, token_budget, tool_errors

TOOLS = [{"type": "function", "function": {"name": n, "parameters": {"type": "object"}}} for n in ("search", "cache")]


def heard(raw: bytes) -> tuple[str, dict[str, Any]]:
    """The text of a stream, and its last frame with a choice."""
    chunks = [json.loads(f) for f in frames(raw) if f != b"[DONE]"]
    chunks = [c for c in chunks if c.get("choices")]
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks), chunks[-1]


# latency-budget


def test_a_slow_session_moves_to_the_fast_model(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, latency_budget(3000))
    airlock.post(body(text="what is slow only once shall not count"), new_session())
    simulator.forget()
    session = new_session()
    # One call of 0.85 of the budget, then the next one.
    airlock.post(body("sim-slow", chunks=["a", "b"], first_delay_ms=1280, delay_ms=1280), session)
    airlock.post(body("sim-slow", chunks=["c"], first_delay_ms=0, delay_ms=0), session)
    assert [c["json"]["model"] for c in simulator.chats()] == ["sim-slow", "sim-fast"]
    assert ("latency-budget", "route", "applied") in interventions(airlock.ended(session, 2))


def test_at_the_end_of_the_budget_the_answer_stops_marked_partial(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, latency_budget(600))
    session, started = new_session(), time.monotonic()
    raw = airlock.post(body("sim-runaway", delay_ms=20), session).content
    assert time.monotonic() - started < 10
    text, last = heard(raw)
    assert text and last["choices"][0]["finish_reason"] in ("length", "stop")
    assert last["airlock"]["partial"] is True and last["airlock"]["reason"], last
    assert raw.endswith(b"data: [DONE]\n\n")
    events = airlock.ended(session)
    assert of(events, "response-end")[0]["status"] == "partial"
    assert ("latency-budget", "stop", "applied") in interventions(events)


# token-budget


def test_a_runaway_generation_stops_at_the_token_where_the_budget_ends(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, token_budget(300))
    session, before = new_session(), simulator.live()
    text, last = heard(airlock.post(body("sim-runaway", delay_ms=1), session).content)
    # Frames are words, about one token each; what matters is that the end is near the limit and said as such.
    assert 100 < len(text.split()) <= 300
    assert last["choices"][0]["finish_reason"] == "length"
    events = airlock.ended(session)
    spent = of(events, "response-end")[0]["usage"]
    assert spent["input"] + spent["output"] <= 300
    assert simulator.live()["completed"] + simulator.live()["cancelled"] > before["completed"] + before["cancelled"]
    # And nothing more is to be had in this session.
    assert airlock.post(body(text="one more"), session).status_code >= 400


def test_two_concurrent_calls_cannot_pass_the_budget_together(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, token_budget(600))
    session = new_session()

    def call(_: int) -> bytes:
        try:
            return airlock.post(body("sim-runaway", delay_ms=1), session).content
        except httpx.TransportError:
            return b""

    with ThreadPoolExecutor(8) as pool:
        raws = list(pool.map(call, range(8)))
    said = sum(len(heard(raw)[0].split()) for raw in raws if b"chat.completion.chunk" in raw)
    assert 0 < said <= 600
    usages = [e["usage"] for e in of(airlock.ended(session, len(simulator.chats())), "response-end")]
    assert sum(u["input"] + u["output"] for u in usages) <= 600


def test_the_upstreams_own_limit_is_capped_to_what_remains(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, token_budget(400))
    airlock.post(body(text="short") | {"max_tokens": 100_000}, new_session())
    sent = simulator.chats()[-1]["json"]
    assert min(sent.get("max_tokens", 1 << 60), sent.get("max_completion_tokens", 1 << 60)) <= 400


# tool-errors


def agent(sdk: openai.OpenAI, steps: int = 10) -> list[str]:
    """An agent whose tool `search` always fails. Returns the tools that its model called."""
    messages: list[Any] = [{"role": "user", "content": "find the report"}]
    called = []
    for _ in range(steps):
        message = sdk.chat.completions.create(model="sim-tools", messages=messages, tools=TOOLS).choices[0].message
        messages.append(message)
        if not message.tool_calls:
            return called
        for call in message.tool_calls:
            called.append(call.function.name)
            result = "Error: connection refused" if call.function.name == "search" else "the report"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return called


def test_without_the_policy_the_agent_never_recovers(plain, simulator: Simulator) -> None:
    assert agent(plain.sdk(new_session())) == ["search"] * 10


def test_a_failing_tool_brings_a_recovery_message(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, tool_errors(3))
    session = new_session()
    called = agent(airlock.sdk(session))
    assert called == ["search"] * 4 + ["cache"]
    events = airlock.ended(session, 6)
    assert ("tool-errors", "inject", "applied") in interventions(events)
    # The fourth failure arrives with the fifth request: the model is told there, and there only.
    told = [any(m["role"] == "system" for m in c["json"]["messages"]) for c in simulator.chats()]
    assert told == [False] * 4 + [True, False]


# several at once


def test_a_block_wins_over_a_stop(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, latency_budget(60_000), blocklist(), token_budget(100_000), tool_errors())
    with pytest.raises(openai.APIError):
        list(
            airlock.sdk().chat.completions.create(
                model="sim-echo", messages=script(chunks=["FORBID", "DEN-7731"]), stream=True
            )
        )
