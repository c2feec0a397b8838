"""Tool calls and requests that wait for a person: the official SDK in front, a person at the CLI or the admin API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from agent import WAYS, Agent, Comments, call
from airlock import Airlock, new_session, of, policy
from conftest import Makers
from harness import Simulator, wait_for

# Small sums go out, large ones never; those between a person decides.
RULES = [
    {"tools": ["transfer"], "when": [{"pointer": "/amount", "max": 100}], "do": "allow"},
    {"tools": ["transfer"], "when": [{"pointer": "/amount", "max": 1000}], "do": "ask", "reason": "money leaves"},
    {"tools": ["transfer"], "do": "deny", "reason": "too much"},
]
GUARD = policy("tool-guard", {"default": "deny", "rules": RULES})
KEEP_ALIVE = "keep_alive_ms = 200"
TURNS = [call("transfer", amount=500), {"text": "that is all"}]
CALLED = [("transfer", {"amount": 500})]


def by_cli(airlock: Airlock, approval: str, verdict: str, edit: Any = None) -> None:
    what = ["--edit", json.dumps(edit)] if edit else []
    airlock.cli("approvals", verdict, approval, "--by", "ada", "--note", "as agreed", *what)


def by_api(airlock: Airlock, approval: str, verdict: str, edit: Any = None) -> None:
    word = {"by": "ada", "note": "as agreed"} | ({"edit": edit} if edit else {})
    airlock.admin(f"/v1/approvals/{approval}/{verdict}", "POST", json=word).raise_for_status()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Clients that wait while the test is the person."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def guarded(module_make: Makers, shared_simulator: Simulator) -> Airlock:
    return module_make.airlock(shared_simulator, GUARD, gateway=KEEP_ALIVE)


# A person's word


@pytest.mark.parametrize("decide", [by_cli, by_api])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("verdict", "edit", "called"),
    [("approve", None, CALLED), ("deny", None, []), ("approve", {"amount": 5}, [("transfer", {"amount": 5})])],
    ids=["approved", "denied", "edited"],
)
def test_what_a_person_says_of_a_held_call_is_done(
    guarded: Airlock, simulator: Simulator, pool: ThreadPoolExecutor, verdict: str, edit: Any, called: list[Any], way: str, decide: Any
) -> None:
    session = new_session()
    agent = Agent(guarded.sdk(session), TURNS, way=way)
    answer = pool.submit(agent.run)
    held = guarded.held()
    assert held["subject"] == {"kind": "tool-call", "name": "transfer", "arguments": '{"amount":500}'}
    assert agent.called == [], "nothing of it has reached the client"
    decide(guarded, held["id"], verdict, edit)
    assert answer.result(30) == "that is all"
    assert agent.called == called
    # A denied call was completed without the client: the model was told why.
    told = [m["content"] for m in simulator.chats()[-1]["json"]["messages"] if m["role"] == "tool"]
    assert len(simulator.chats()) == 2 and len(told) == 1
    assert told == ["ok"] if called else "denied by ada: as agreed" in told[0], told
    decision = guarded.approvals("decided")[0]["decision"]
    assert (decision["by"], decision["note"]) == ("ada", "as agreed")
    assert len(of(guarded.ended(session, 2 if called else 1), "decided")) == 1


@pytest.mark.parametrize("way", ["chunks", "helper"])
def test_comments_keep_a_waiting_sdk_connected_and_do_not_disturb_it(
    guarded: Airlock, simulator: Simulator, pool: ThreadPoolExecutor, way: str
) -> None:
    connection = Comments()
    with httpx.Client(transport=connection) as http:
        # The SDK gives up on a silence of a second: without the comments it would.
        agent = Agent(guarded.sdk(new_session(), http_client=http, timeout=1), TURNS, way=way)
        answer = pool.submit(agent.run)
        held = guarded.held()
        wait_for(lambda: answer.done() or connection.read > 10, "ten comments")
        by_api(guarded, held["id"], "approve")
        assert answer.result(30) == "that is all"
    assert agent.called == CALLED and connection.read > 10


def test_what_a_person_wrote_is_judged_by_the_policies(make: Makers, simulator: Simulator, pool: ThreadPoolExecutor) -> None:
    airlock = make.airlock(simulator, GUARD)
    agent = Agent(airlock.sdk(new_session()), TURNS, way="helper")
    answer = pool.submit(agent.run)
    by_cli(airlock, airlock.held()["id"], "approve", {"amount": 5000})
    assert answer.result(30) == "that is all"
    assert agent.called == []
    told = [m["content"] for m in simulator.chats()[-1]["json"]["messages"] if m["role"] == "tool"]
    assert "too much" in told[0], told
