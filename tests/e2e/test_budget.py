"""A session's budget across kill -9: what a client got is never forgotten, at whatever moment the process died."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator

import httpx

from airlock import SESSION_HEADER, Airlock, new_session
from conftest import Makers
from harness import Simulator, body, wait_for

BUDGET = 6_000
# Frames after which the process dies: before the first one, around the borders of leases (256 tokens, renewed at half), and at the end.
MOMENTS = [0, 1, 2, 100, 127, 128, 129, 255, 256, 257, 300]


def words(response: httpx.Response) -> Iterator[int]:
    """One for each frame of text; each is one token."""
    for line in response.iter_lines():
        if line.startswith("data: {"):
            choices = json.loads(line[6:])["choices"]
            if choices and choices[0]["delta"].get("content"):
                yield 1


def ledger(airlock: Airlock, session: str | None = None) -> tuple[int, int]:
    """What counts as spent, and what was settled, as the disk has it after a start: of all sessions, or of one. What a session
    is called may be written later than what it has spent."""
    query = """
        select coalesce(sum(reserved_tokens), 0), coalesce(sum(settled_tokens), 0)
        from ledgers join sessions on ledgers.session = sessions.n where ? is null or value = ?"""
    with sqlite3.connect(next(airlock.data.glob("*.db"))) as db:
        return db.execute(query, [session, session]).fetchone()


def order(count: int | None) -> dict[str, object]:
    controls = {"endless": True} if count is None else {}
    return body(chunks=[" word"] * (count or 1), delay_ms=1, **controls)


def test_kill_at_every_moment_of_a_lease_never_undercounts(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, f"[session]\nmax_tokens = {BUDGET}\n")
    session, got = new_session(), 0
    for moment in MOMENTS:
        with airlock.http.stream("POST", "/v1/chat/completions", json=order(None), headers={SESSION_HEADER: session}) as response:
            assert response.status_code == 200, response.read()
            arrived = words(response)
            got += sum(next(arrived) for _ in range(moment))
            airlock.process.kill()
        airlock.start()
        reserved, _ = ledger(airlock)
        assert reserved >= got, f"killed after {moment}: the client has {got} tokens, and the disk knows of {reserved}"
    # What counts as spent stays so: the rest of the budget is all that can still be had.
    before, _ = ledger(airlock)
    rest = 0
    while True:
        with airlock.http.stream("POST", "/v1/chat/completions", json=order(None), headers={SESSION_HEADER: session}) as response:
            if response.status_code == 402:
                break
            rest += sum(words(response))
    assert 0 < rest <= BUDGET - before, "something is left, and no more than what is left"
    assert got + rest <= BUDGET


def test_kill_right_after_a_settlement_neither_forgets_nor_repeats_it(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, f"[session]\nmax_tokens = {BUDGET}\n")
    session, got = new_session(), 0
    for count in (1, 200, 256, 300):
        with airlock.http.stream("POST", "/v1/chat/completions", json=order(count), headers={SESSION_HEADER: session}) as response:
            got += sum(words(response))
        airlock.process.kill()
        airlock.start()
        assert ledger(airlock)[0] >= got
    assert got == 757
    # A call that ends in peace settles everything: nothing stays reserved that no one uses.
    answer = airlock.post(body(stream=False, text="peace"), session)
    assert answer.status_code == 200

    def settled() -> bool:
        reserved, settled = ledger(airlock)
        return reserved == settled >= got

    wait_for(settled, "the account to be settled")


def test_kill_under_many_streams_at_once_forgets_none_of_them(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, "[session]\nmax_tokens = 50000\n")
    session, got = new_session(), [0] * 20

    async def stream(http: httpx.AsyncClient, n: int) -> None:
        try:
            async with http.stream("POST", "/v1/chat/completions", json=order(None), headers={SESSION_HEADER: session}) as response:
                async for line in response.aiter_lines():
                    if line.startswith("data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                        got[n] += 1
        except httpx.TransportError:
            pass

    async def run() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{airlock.port}", timeout=60) as http:
            streams = [asyncio.create_task(stream(http, n)) for n in range(len(got))]
            while sum(got) < 4_000:
                await asyncio.sleep(0.01)
            airlock.process.kill()
            await asyncio.gather(*streams)

    asyncio.run(asyncio.wait_for(run(), 60))
    reserved, _ = ledger(airlock)
    assert min(got) > 0 and reserved >= sum(got), f"the clients have {sum(got)} tokens, and the disk knows of {reserved}"
    airlock.start()
    assert airlock.post(body(stream=False, text="on"), session).status_code == 200
    assert ledger(airlock)[0] >= reserved


def test_kill_in_the_first_call_of_many_sessions_forgets_none_of_them(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, f"[session]\nmax_tokens = {BUDGET}\n")

    async def stream(http: httpx.AsyncClient, session: str, got: dict[str, int]) -> None:
        try:
            async with http.stream("POST", "/v1/chat/completions", json=order(None), headers={SESSION_HEADER: session}) as response:
                async for line in response.aiter_lines():
                    if line.startswith("data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                        got[session] += 1
        except httpx.TransportError:
            pass

    async def run(sessions: dict[str, int], moment: int) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{airlock.port}", timeout=60) as http:
            streams = [asyncio.create_task(stream(http, session, sessions)) for session in sessions]
            while sum(sessions.values()) < moment:
                await asyncio.sleep(0)
            airlock.process.kill()
            await asyncio.gather(*streams)

    # Nothing of these sessions is on the disk when their first tokens leave: notes stand in for it.
    for moment in (1, 10, 40, 200):
        sessions = {new_session(): 0 for _ in range(20)}
        asyncio.run(asyncio.wait_for(run(sessions, moment), 60))
        airlock.start()
        for session in sessions:
            assert airlock.post(body(stream=False, text="on"), session).status_code == 200
        airlock.stop()
        for session, got in sessions.items():
            reserved, settled = ledger(airlock, session)
            assert reserved == settled >= got, f"the client has {got} tokens, and the next process knows of {reserved}"
            # An estimate of the prompt, a lease, and the call that looked.
            assert reserved <= got + 1_000, f"{reserved} counted for {got} tokens"
        before = [ledger(airlock, session) for session in sessions]
        airlock.start()
        assert [ledger(airlock, session) for session in sessions] == before, "an orderly end leaves no note behind"
