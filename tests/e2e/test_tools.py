"""Tool calls through the official SDK: parallel ones of which one is denied, the next turn, usage, and circuits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent import WAYS, Agent, call, calls
from airlock import interventions, new_session, policy
from conftest import Makers
from harness import Simulator, frames, wait_for

GUARD = policy("tool-guard", {"default": "allow", "rules": [{"tools": ["delete_user"], "do": "deny", "reason": "nobody is deleted"}]})


def usage(answer: str) -> tuple[int, int]:
    """Prompt and completion tokens of one of the simulator's answers, streamed or not."""
    parts = [json.loads(f) for f in frames(answer.encode()) if f != b"[DONE]"] or [json.loads(answer)]
    [found] = [part["usage"] for part in parts if part.get("usage")]
    return found["prompt_tokens"], found["completion_tokens"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("denied", [0, 1, 2])
def test_of_parallel_calls_the_denied_one_is_missing_and_upstream_learns_of_it(
    make: Makers, simulator: Simulator, denied: int, way: str
) -> None:
    airlock = make.airlock(simulator, GUARD)
    made: list[tuple[str, dict[str, Any]]] = [("search", {"q": "ü"}), ("transfer", {"amount": 5})]
    made.insert(denied, ("delete_user", {"id": 7}))
    session = new_session()
    agent = Agent(airlock.sdk(session), [calls(*made), {"text": "done"}], way=way)
    # `chunks` also asserts that the indexes are consecutive.
    assert agent.run() == "done"
    assert agent.called == [c for c in made if c[0] != "delete_user"]
    first, second = simulator.chats()
    messages = second["json"]["messages"]
    upstream = [c for m in messages for c in m.get("tool_calls") or []]
    assert sorted(c["function"]["name"] for c in upstream) == ["delete_user", "search", "transfer"]
    results = {m["tool_call_id"]: m["content"] for m in messages if m["role"] == "tool"}
    told = {c["function"]["name"]: results.pop(c["id"]) for c in upstream}
    assert results == {}, "each result belongs to one call"
    assert (told["search"], told["transfer"]) == ("ok", "ok") and "nobody is deleted" in told["delete_user"], told
    assert ("tool-guard", "deny-tool-call", "applied") in interventions(airlock.ended(session, 2))


@pytest.mark.parametrize("way", WAYS)
def test_the_usage_of_a_spliced_answer_is_that_of_all_its_rounds(make: Makers, simulator: Simulator, way: str) -> None:
    airlock = make.airlock(simulator, GUARD)
    agent = Agent(airlock.sdk(new_session()), [call("delete_user", id=7), {"text": "I may not."}], way=way)
    assert (agent.run(), agent.called) == ("I may not.", [])
    rounds = [usage(c["response"]) for c in simulator.chats()]
    assert len(rounds) == 2
    assert (agent.usage.prompt_tokens, agent.usage.completion_tokens) == tuple(map(sum, zip(*rounds)))
    assert agent.usage.total_tokens == sum(map(sum, rounds))


@pytest.mark.parametrize("way", WAYS)
def test_a_circuit_opens_answers_for_the_tool_and_closes_after_a_good_probe(make: Makers, simulator: Simulator, way: str) -> None:
    airlock = make.airlock(simulator, policy("tool-breaker", {"min_calls": 2, "cooldown_seconds": 2, "alert": False}))
    sdk = airlock.sdk(new_session())
    failing = Agent(sdk, [call("search", q=n) for n in range(3)] + [{"text": "without it"}], {"search": "Error: refused"}, way)
    assert failing.run() == "without it"
    assert failing.called == [("search", {"q": 0}), ("search", {"q": 1})]
    told = [m["content"] for m in simulator.chats()[-1]["json"]["messages"] if m["role"] == "tool"]
    assert "out of service" in told[-1], told

    def tried() -> list[Any]:
        agent = Agent(sdk, [call("search", q="again"), {"text": "over"}], way=way)
        assert agent.run() == "over"
        return agent.called

    assert wait_for(tried, "a probe of the half-open circuit") == [("search", {"q": "again"})]
    assert tried(), "the probe succeeded: the circuit is closed"
