"""tool-guard, tool-breaker, loop, stall and context-pressure on real traffic."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from agent import Agent, call
from airlock import Airlock, interventions, new_session, of, policy
from conftest import Makers
from harness import Simulator, body, frames


def heard(raw: bytes) -> tuple[str, dict[str, Any]]:
    """The text of a stream, and its last frame with a choice."""
    chunks = [json.loads(f) for f in frames(raw) if f != b"[DONE]"]
    chunks = [c for c in chunks if c.get("choices")]
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks), chunks[-1]


# tool-guard

RULES = [
    {"tools": ["search"], "do": "allow"},
    {"tools": ["transfer"], "when": [{"pointer": "/amount", "max": 100}], "do": "allow"},
    {"tools": ["transfer"], "do": "ask", "reason": "more than 100"},
]


def tool_guard(**settings: Any) -> str:
    return policy("tool-guard", {"default": "deny", "rules": RULES} | settings)


def test_a_denied_call_never_reaches_the_client_and_the_model_learns_why(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, tool_guard())
    session = new_session()
    agent = Agent(airlock.sdk(session), [call("search"), call("delete_user", id=7), {"text": "I may not delete."}])
    assert agent.run() == "I may not delete."
    assert agent.tools_called == ["search"]
    told = [m for m in simulator.chats()[-1]["json"]["messages"] if m["role"] == "tool"][-1]["content"]
    assert "`delete_user` was not called" in told and "`search`" in told, told
    assert ("tool-guard", "deny-tool-call", "applied") in interventions(airlock.ended(session, 2))


def test_arguments_decide_also_far_behind_the_first_4096_bytes(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, tool_guard(rules=RULES[:2]))
    note = "x" * 10_000
    turns = [call("transfer", note=note, amount=50), call("transfer", note=note, amount=500), {"text": "done"}]
    agent = Agent(airlock.sdk(new_session()), turns)
    agent.run()
    assert [arguments["amount"] for _, arguments in agent.called] == [50]


def held(airlock: Airlock) -> str:
    """Id of the one call that waits for a person."""
    found = airlock.held()
    assert "transfer" in found["title"], found
    return found["id"]


def test_a_held_call_goes_out_when_a_person_approves_it(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, tool_guard())
    session = new_session()
    agent = Agent(airlock.sdk(session), [call("transfer", amount=500), {"text": "sent"}])
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(agent.run)
        approval = held(airlock)
        assert agent.called == []
        airlock.cli("approvals", "approve", approval)
        assert answer.result(30) == "sent"
    assert agent.called == [("transfer", {"amount": 500})]


def test_a_held_call_that_a_person_denies_is_not_made(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, tool_guard())
    agent = Agent(airlock.sdk(new_session()), [call("transfer", amount=500), {"text": "not sent"}])
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(agent.run)
        airlock.cli("approvals", "deny", held(airlock))
        assert answer.result(30) == "not sent"
    assert agent.called == []


def test_a_held_call_that_nobody_decides_is_not_made(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, tool_guard(wait_seconds=1))
    agent = Agent(airlock.sdk(new_session()), [call("transfer", amount=500), {"text": "not sent"}])
    assert (agent.run(), agent.called) == ("not sent", [])


# tool-breaker


def test_a_failing_tool_is_taken_out_of_service(make: Makers, simulator: Simulator) -> None:
    settings = {"min_calls": 2, "cooldown_seconds": 60, "alert": False}
    airlock = make.airlock(simulator, policy("tool-breaker", settings))
    session = new_session()
    turns = [call("search", q=1), call("search", q=2), call("search", q=3), {"text": "without it"}]
    agent = Agent(airlock.sdk(session), turns, {"search": "Error: connection refused"})
    assert agent.run() == "without it"
    assert agent.called == [("search", {"q": 1}), ("search", {"q": 2})]
    told = [m for m in simulator.chats()[-1]["json"]["messages"] if m["role"] == "tool"][-1]["content"]
    assert "`search` is out of service for 60 s: 2 of its last 2 calls" in told, told
    assert ("tool-breaker", "open-circuit", "applied") in interventions(airlock.ended(session, 3))


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


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(params=["before its head", "after its head"])
def silent(request: pytest.FixtureRequest) -> Iterator[str]:
    """A model server that takes a request and then says nothing. Its address."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            if request.param == "after its head":
                self.request.sendall(HEAD)
            while self.request.recv(65536):
                pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def test_a_silent_model_is_left_for_the_fallback(make: Makers, simulator: Simulator, silent: str) -> None:
    routes = (
        f'[upstream.silent]\nbase_url = "{silent}"\n[upstream.spare]\nbase_url = "{simulator.base_url}"\n'
        '[[route]]\nmodel = "*"\nupstream = "silent"\n'
    )
    stall = policy("stall", {"first_token_ms": 300, "fallback_upstream": "spare", "fallback_model": "sim-fast"})
    airlock = make.airlock(simulator, stall, routes=routes)
    session = new_session()
    raw = airlock.post({"model": "big", "stream": True, "messages": [{"role": "user", "content": "hello"}]}, session).content
    text, _ = heard(raw)
    assert "fast model" in text and raw.endswith(b"data: [DONE]\n\n"), raw
    assert [c["json"]["model"] for c in simulator.chats()] == ["sim-fast"]
    assert ("stall", "retry", "applied") in interventions(airlock.ended(session))


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
