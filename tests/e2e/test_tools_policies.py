"""loop, stall and context-pressure on real traffic."""

from __future__ import annotations

import json
from typing import Any

import openai

from airlock import interventions, new_session, of, policy
from conftest import Makers
from harness import Simulator, body, frames

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("search", "transfer", "delete_user")
]


def heard(raw: bytes) -> tuple[str, dict[str, Any]]:
    """The text of a stream, and its last frame with a choice."""
    chunks = [json.loads(f) for f in frames(raw) if f != b"[DONE]"]
    chunks = [c for c in chunks if c.get("choices")]
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks), chunks[-1]


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """A turn of the simulated model that calls a tool."""
    return {"tool_calls": [{"name": name, "arguments": arguments}]}


class Agent:
    """An agent on the official SDK: it does what its model says and keeps the whole history."""

    def __init__(self, sdk: openai.OpenAI, turns: list[dict[str, Any]], results: dict[str, str] | None = None):
        self.sdk = sdk
        self.results = results or {}
        self.messages: list[Any] = [{"role": "user", "content": json.dumps({"turns": turns})}]
        self.called: list[tuple[str, dict[str, Any]]] = []

    def step(self) -> Any:
        """One model call. Returns the choice."""
        choice = self.sdk.chat.completions.create(model="sim-echo", messages=self.messages, tools=TOOLS).choices[0]
        self.messages.append(choice.message)
        for made in choice.message.tool_calls or []:
            self.called.append((made.function.name, json.loads(made.function.arguments)))
            result = self.results.get(made.function.name, "ok")
            self.messages.append({"role": "tool", "tool_call_id": made.id, "content": result})
        return choice

    def run(self, steps: int = 12) -> str:
        """Until the model makes no call any more. Returns what it said last."""
        for _ in range(steps):
            choice = self.step()
            if not choice.message.tool_calls:
                return choice.message.content or ""
        raise AssertionError(f"the agent did not end in {steps} steps: {self.called}")

    @property
    def tools_called(self) -> list[str]:
        return [name for name, _ in self.called]


# loop


def test_a_loop_is_nudged_and_then_stopped(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, policy("loop", {"nudge_at": 3, "stop_at": 5}))
    session = new_session()
    agent = Agent(airlock.sdk(session), [call("search", q="x")] * 9, {"search": "nothing found"})
    agent.run()
    assert agent.tools_called == ["search"] * 4
    nudged = [any("`search` was called with the same arguments 3 times" in str(m["content"]) for m in c["json"]["messages"])
              for c in simulator.chats()]
    assert nudged == [False, False, False, True, False]
    events = airlock.ended(session, 5)
    assert [i for i in interventions(events) if i[0] == "loop"] == [("loop", "inject", "applied"), ("loop", "stop", "applied")]
    assert of(events, "response-end")[-1]["status"] == "partial"


def test_an_agent_that_makes_progress_is_left_alone(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, policy("loop", {"nudge_at": 2, "stop_at": 3}))
    session = new_session()
    turns = [call("search", page=n // 2) for n in range(6)] + [{"text": "found"}]
    agent = Agent(airlock.sdk(session), turns)
    for _ in turns[:-1]:
        agent.step()
        agent.messages[-1]["content"] = f"{len(agent.messages)} results"
    assert agent.run() == "found"
    assert not [i for i in interventions(airlock.ended(session, 7)) if i[0] == "loop"]


# stall


def test_a_model_that_falls_silent_is_stopped_with_what_it_said(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, policy("stall", {"gap_ms": 400}))
    session = new_session()
    raw = airlock.post(body(chunks=["so", " far"] + [" more"] * 9, hang_after_chunks=2), session).content
    text, last = heard(raw)
    assert text == "so far"
    assert last["airlock"]["partial"] is True and "silent" in last["airlock"]["reason"], last
    assert ("stall", "stop", "applied") in interventions(airlock.ended(session))


# context-pressure

WINDOW = '[price."sim-fast"]\ninput = 1.0\noutput = 1.0\ncontext_window = 2000\n'
NOTE = "earlier messages were left out"


def chat_of_16_turns(sdk: openai.OpenAI) -> None:
    """Each turn has some 170 tokens, so the window is full after eleven of them."""
    messages: list[Any] = [{"role": "system", "content": "be brief"}]
    for n in range(16):
        messages.append({"role": "user", "content": f"turn {n}: " + "word " * 150})
        said = sdk.chat.completions.create(model="sim-fast", messages=messages).choices[0].message
        messages.append({"role": "assistant", "content": said.content})


def sent(simulator: Simulator) -> list[list[str]]:
    """What went upstream: for each request its messages."""
    return [[m["content"] for m in c["json"]["messages"]] for c in simulator.chats()]


def test_old_turns_leave_in_big_steps_and_stay_away(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, policy("context-pressure", {"above": 0.8, "target": 0.5}), WINDOW)
    session = new_session()
    chat_of_16_turns(airlock.sdk(session))
    requests = sent(simulator)
    for n, request in enumerate(requests):
        assert request[0] == "be brief" and request[1].startswith("turn 0:"), request[:2]
        assert request[-1].startswith(f"turn {n}:")
        assert sum(NOTE in text for text in request) <= 1
        assert sum(text.startswith("turn ") for text in request) < 11, "the window is full"
    # A provider's prompt cache serves the longest common beginning: it is broken by each step, and by nothing else.
    breaks = sum(later[: len(earlier)] != earlier for earlier, later in zip(requests, requests[1:]))
    steps = [i for i in interventions(airlock.ended(session, 16)) if i == ("context-pressure", "replace-messages", "applied")]
    assert 1 <= breaks == len(steps) <= 4


def test_an_agents_old_results_are_cut(make: Makers, simulator: Simulator) -> None:
    window = WINDOW.replace("sim-fast", "sim-echo")
    airlock = make.airlock(simulator, policy("context-pressure", {"above": 0.8, "target": 0.5}), window)
    session = new_session()
    turns = [call("search", page=n) for n in range(10)] + [{"text": "done"}]
    agent = Agent(airlock.sdk(session), turns, {"search": "finding " * 200})
    assert agent.run() == "done"
    last = simulator.chats()[-1]["json"]["messages"]
    results = [m["content"] for m in last if m["role"] == "tool"]
    cut = ["left out to make room" in result for result in results]
    assert len(results) == 10 and cut[0] and not any(cut[-3:]), cut
    calls = [c["id"] for m in last for c in m.get("tool_calls") or []]
    assert calls == [m["tool_call_id"] for m in last if m["role"] == "tool"]
