"""Tool calls and requests that wait for a person: the official SDK in front, a person at the CLI or the admin API, and
clients and processes that go away in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from agent import WAYS, Agent, Comments, call
from airlock import SESSION_HEADER, Airlock, interventions, new_session, of, policy
from conftest import Makers
from harness import CLIENT_KEY, Simulator, body, wait_for

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


def named(session: str) -> dict[str, str]:
    """Headers of a client that is the SDK's own principal: a session is found only by who it belongs to."""
    return {SESSION_HEADER: session, "authorization": f"Bearer {CLIENT_KEY}"}


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


# Clients that leave


def test_a_client_that_leaves_finds_the_decision_when_it_comes_back(
    guarded: Airlock, simulator: Simulator, pool: ThreadPoolExecutor
) -> None:
    session = new_session()
    with guarded.http.stream("POST", "/v1/chat/completions", json=body(turns=TURNS), headers=named(session)) as left:
        chunks = left.iter_raw()  # kept: the connection closes with a generator that nobody holds
        assert next(chunks)
        held = guarded.held()
    wait_for(lambda: simulator.live()["open"] == 0, "the upstream call to end")
    assert guarded.held()["id"] == held["id"], "it waits without its client"
    # It comes back while nobody has decided, and leaves again.
    agent = Agent(guarded.sdk(session, timeout=2), TURNS)
    with pytest.raises(openai.InternalServerError, match="held") as refused:
        agent.run()
    assert (refused.value.status_code, refused.value.code) == (503, "airlock_held")
    assert guarded.held()["id"] == held["id"], "the same question, not a second one"
    by_cli(guarded, held["id"], "approve")
    agent.sdk = guarded.sdk(session)
    assert (agent.run(), agent.called) == ("that is all", CALLED)
    assert [a["id"] for a in guarded.approvals("all") if a["session"] == held["session"]] == [held["id"]]


def test_the_sdks_own_repetitions_wait_for_the_same_decision(guarded: Airlock, simulator: Simulator, pool: ThreadPoolExecutor) -> None:
    session = new_session()
    agent = Agent(guarded.sdk(session, timeout=2, max_retries=10), TURNS)
    answer = pool.submit(agent.run)
    held = guarded.held()
    wait_for(lambda: len(simulator.chats()) >= 2 or answer.done(), "the SDK to repeat its call")
    by_cli(guarded, held["id"], "approve")
    assert answer.result(60) == "that is all"
    assert agent.called == CALLED
    assert [a["id"] for a in guarded.approvals("all") if a["session"] == held["session"]] == [held["id"]]


def test_another_session_or_another_call_asks_anew(guarded: Airlock, simulator: Simulator, pool: ThreadPoolExecutor) -> None:
    session = new_session()
    answer = pool.submit(Agent(guarded.sdk(session), TURNS).run)
    first = guarded.held()
    by_cli(guarded, first["id"], "approve")
    answer.result(30)
    dearer = [call("transfer", amount=501), TURNS[1]]
    for whose, turns in [(session, dearer), (new_session(), TURNS)]:
        answer = pool.submit(Agent(guarded.sdk(whose), turns).run)
        held = guarded.held()
        assert held["id"] != first["id"]
        by_cli(guarded, held["id"], "deny")
        answer.result(30)


# Loss of power


def killed_while_held(airlock: Airlock, session: str) -> dict[str, Any]:
    """The approval that was open when the power went off; Airlock is on again."""
    with airlock.http.stream("POST", "/v1/chat/completions", json=body(turns=TURNS), headers=named(session)):
        held = airlock.held()
        airlock.process.kill()
    airlock.start()
    return held


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("verdict", "called"), [("approve", CALLED), ("deny", [])])
def test_after_a_kill_a_held_call_is_decided_and_not_asked_about_again(
    make: Makers, simulator: Simulator, verdict: str, called: list[Any], way: str
) -> None:
    airlock = make.airlock(simulator, GUARD, gateway=KEEP_ALIVE)
    session = new_session()
    before = killed_while_held(airlock, session)
    after = airlock.held()
    assert after == before, "with its question, its digest and its deadline"
    assert after["id"][:8] in airlock.cli("approvals")
    by_cli(airlock, after["id"], verdict)
    agent = Agent(airlock.sdk(session), TURNS, way=way)
    assert (agent.run(), agent.called) == ("that is all", called)
    assert [a["id"] for a in airlock.approvals("all")] == [before["id"]]


def test_after_a_kill_a_repeated_call_waits_for_the_same_decision(make: Makers, simulator: Simulator, pool: ThreadPoolExecutor) -> None:
    airlock = make.airlock(simulator, GUARD, gateway=KEEP_ALIVE)
    session = new_session()
    before = killed_while_held(airlock, session)
    agent = Agent(airlock.sdk(session), TURNS, way="helper")
    answer = pool.submit(agent.run)
    wait_for(lambda: len(simulator.chats()) >= 2 or answer.done(), "the call to be repeated")
    by_cli(airlock, airlock.held()["id"], "approve", {"amount": 5})
    assert answer.result(30) == "that is all"
    assert agent.called == [("transfer", {"amount": 5})]
    assert [a["id"] for a in airlock.approvals("all")] == [before["id"]]


@pytest.mark.parametrize(
    ("verdict", "edit", "called"),
    [("approve", None, CALLED), ("deny", None, []), ("approve", {"amount": 5}, [("transfer", {"amount": 5})])],
    ids=["approved", "denied", "edited"],
)
def test_a_decision_counts_from_the_moment_it_is_confirmed(
    make: Makers, simulator: Simulator, verdict: str, edit: Any, called: list[Any]
) -> None:
    airlock = make.airlock(simulator, GUARD, gateway=KEEP_ALIVE)
    session = new_session()
    with airlock.http.stream("POST", "/v1/chat/completions", json=body(turns=TURNS), headers=named(session)):
        held = airlock.held()
        by_api(airlock, held["id"], verdict, edit)
        airlock.process.kill()
    airlock.start()
    assert airlock.approvals() == [], "it is decided"
    agent = Agent(airlock.sdk(session), TURNS, way="helper")
    assert (agent.run(), agent.called) == ("that is all", called)
    decided = airlock.approvals("all")
    assert [(a["id"], a["decision"]["by"]) for a in decided] == [(held["id"], "ada")], decided


def test_killed_before_anybody_was_asked_the_repeated_call_is_held(make: Makers, simulator: Simulator, pool: ThreadPoolExecutor) -> None:
    airlock = make.airlock(simulator, GUARD)
    session = new_session()
    order = body(turns=[TURNS[0] | {"first_delay_ms": 60_000}])
    sent = pool.submit(airlock.http.post, "/v1/chat/completions", json=order, headers=named(session))
    wait_for(simulator.chats, "the call to go upstream")
    airlock.process.kill()
    with pytest.raises(httpx.TransportError):
        sent.result(30)
    airlock.http.close()
    airlock.start()
    assert airlock.approvals("all") == []
    agent = Agent(airlock.sdk(session), TURNS)
    answer = pool.submit(agent.run)
    by_cli(airlock, airlock.held()["id"], "approve")
    assert (answer.result(30), agent.called) == ("that is all", CALLED)


# Nobody decides


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("on_timeout", "called"), [("release", CALLED), ("block", [])])
def test_when_nobody_decides_the_stated_default_counts(
    make: Makers, simulator: Simulator, on_timeout: str, called: list[Any], way: str
) -> None:
    rule = (
        "[[rule]]\nname = \"money\"\nwhen = \"has(tool.arguments) && tool.name == 'transfer'\"\ndo = \"hold-for-person\"\n"
        f'message = "Send it?"\ndeadline_ms = 500\non_timeout = "{on_timeout}"\n'
    )
    airlock = make.airlock(simulator, rule, gateway=KEEP_ALIVE)
    session = new_session()
    agent = Agent(airlock.sdk(session), TURNS, way=way)
    assert (agent.run(), agent.called) == ("that is all", called)
    [approval] = airlock.approvals("all")
    assert (approval["decision"]["verdict"], approval["decision"]["by"]) == ("timed-out", "airlock")
    events = airlock.ended(session, 2 if called else 1)
    assert ("rule:money", "hold-for-person", "applied") in interventions(events)


def test_a_word_after_the_deadline_is_refused(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, GUARD.replace('"default"', '"wait_seconds" = 1, "default"'))
    agent = Agent(airlock.sdk(new_session()), TURNS)
    assert (agent.run(), agent.called) == ("that is all", [])
    [late] = airlock.approvals("all")
    answer = airlock.admin(f"/v1/approvals/{late['id']}/approve", "POST", json={})
    assert answer.status_code in (409, 410), answer.text
