"""Hot reload under load, and the loss of power in mid-stream."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from typing import Any

import httpx
import openai
import pytest

from airlock import Airlock, SESSION_HEADER, exchange_texts, interventions, new_session, of
from conftest import Makers
from harness import ROOT, Simulator, body, frames, script, wait_for
from policies import FORBIDDEN, blocklist, tool_errors

BUILT = ROOT / "target" / "policies"
STREAMS = 200
# A file, even one that replaces a built-in policy, orders nothing that is not granted to it.
GRANTS = {"sees": ["*"], "actions": ["block", "replace-range", "alert"]}


def other_bytes(component: bytes, note: str) -> bytes:
    """The same component with a custom section more: another digest, so another generation."""
    name = b"note"
    payload = bytes([len(name)]) + name + note.encode()
    assert len(payload) < 128
    return component + bytes([0, len(payload)]) + payload


def generation(airlock: Airlock, name: str) -> int:
    policies = airlock.admin("/v1/policies").json()
    return next((p["generation"] or 0 for p in policies if p["name"] == name), 0)


@pytest.mark.parametrize("on_reload", ["migrate", "pin"])
def test_reload_under_200_streams_loses_and_reorders_nothing(make: Makers, simulator: Simulator, on_reload: str) -> None:
    component = (BUILT / "blocklist.wasm").read_bytes()
    own = blocklist(on_reload=on_reload, file="blocklist.wasm", grants=GRANTS)
    airlock = make.airlock(simulator)
    target = airlock.folder / "blocklist.wasm"
    target.write_bytes(component)
    airlock.write(own)
    first = wait_for(lambda: generation(airlock, "blocklist"), "the policy to load")
    chunks = [f"{i} " for i in range(120)]

    async def stream(http: httpx.AsyncClient, begun: asyncio.Semaphore, number: int) -> tuple[int, bytes]:
        order = body(chunks=chunks, delay_ms=60, reasoning=[f"stream {number}"]) | {"stream_options": {"include_usage": True}}
        headers = {SESSION_HEADER: f"reload-{on_reload}-{number}"}
        async with http.stream("POST", "/v1/chat/completions", json=order, headers=headers) as response:
            begun.release()
            raw = await response.aread()
            return int(response.headers["x-airlock-simulated-request"]), raw

    async def run() -> list[tuple[int, bytes]]:
        begun = asyncio.Semaphore(0)
        limits = httpx.Limits(max_connections=STREAMS)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{airlock.port}", limits=limits, timeout=60) as http:
            streams = [asyncio.create_task(stream(http, begun, n)) for n in range(STREAMS)]
            for _ in streams:
                await begun.acquire()
            before = first
            for turn in range(3):
                draft = target.with_suffix(".draft")
                draft.write_bytes(other_bytes(component, f"turn {turn}"))
                draft.rename(target)
                now = await asyncio.to_thread(
                    wait_for, lambda before=before: (g := generation(airlock, "blocklist")) > before and g, "the next generation"
                )
                before = now
                # The later ones may come after the streams' end on a slow machine; one in their middle there must be.
                assert turn or not any(s.done() for s in streams), "a stream outlived no reload: the test proves nothing"
            return await asyncio.gather(*streams)

    received = asyncio.run(run())
    sent = {r["number"]: r["response"].encode() for r in simulator.chats()}
    assert len(received) == STREAMS
    for number, raw in received:
        assert raw == sent[number]


@pytest.mark.parametrize("damage", ["truncated", "garbage", "deleted"])
def test_a_bad_file_leaves_the_old_generation_serving(make: Makers, simulator: Simulator, damage: str) -> None:
    airlock = make.airlock(simulator)
    target = airlock.folder / "blocklist.wasm"
    shutil.copy(BUILT / "blocklist.wasm", target)
    airlock.write(blocklist(file="blocklist.wasm", required=True, grants=GRANTS))
    first = wait_for(lambda: generation(airlock, "blocklist"), "the policy to load")
    if damage == "truncated":
        target.write_bytes(target.read_bytes()[:1000])
    elif damage == "garbage":
        target.write_bytes(b"not a component")
    else:
        target.unlink()
    wait_for(lambda: "blocklist" in airlock.cli("policies") and last_error(airlock), "the failure to be told")
    assert generation(airlock, "blocklist") == first
    assert airlock.post(body(stream=False, chunks=[FORBIDDEN])).status_code == 400


def last_error(airlock: Airlock) -> str:
    policies = airlock.admin("/v1/policies").json()
    return next((p.get("last_error") or "" for p in policies if p["name"] == "blocklist"), "")


def test_a_changed_rule_takes_over_in_mid_stream(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, blocklist(patterns=["never said"]))
    first = generation(airlock, "blocklist")
    with airlock.sdk(timeout=60) as sdk:
        stream = sdk.chat.completions.create(
            model="sim-runaway", messages=script(text="mango and more ", endless=True, delay_ms=20), stream=True
        )
        said = ""
        with pytest.raises(openai.APIError, match="forbidden text"):
            for chunk in stream:
                said += chunk.choices[0].delta.content or ""
                if said.count("mango") == 3:
                    airlock.write(blocklist(patterns=["mango"]))
    assert said.count("mango") >= 3 and generation(airlock, "blocklist") > first


def test_a_bad_configuration_is_rejected_whole(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, blocklist())
    airlock.write(blocklist(patterns=["other"]), "[gateway2]\n")
    airlock.process.wait_line("gateway2")
    assert airlock.post(body(stream=False, chunks=[FORBIDDEN])).status_code == 400
    assert airlock.post(body(stream=False, chunks=["other"])).status_code == 200


def test_after_a_power_cut_the_timeline_is_whole(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, blocklist())
    finished, cut = new_session(), new_session()
    airlock.post(body(chunks=["all", " of it"]), finished).raise_for_status()
    airlock.ended(finished)
    order = body("sim-runaway", text="word after word ", delay_ms=2)
    headers = {SESSION_HEADER: cut}
    received = b""
    with airlock.http.stream("POST", "/v1/chat/completions", json=order, headers=headers) as response:
        for piece in response.iter_raw():
            received += piece
            if len(frames(received)) > 300:
                break
        airlock.process.kill()
    database = next(airlock.data.glob("*.db"))
    with sqlite3.connect(database) as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    airlock.start()
    events = airlock.timeline(cut)
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1)), "no hole, no repetition"
    text = exchange_texts(events)["output"]
    assert text and ("word after word " * 1000).startswith(text)
    assert exchange_texts(airlock.timeline(finished))["output"] == "all of it"
    # The session goes on.
    assert airlock.post(body(text="again"), cut).status_code == 200
    later = airlock.ended(cut)
    assert len(later) > len(events) and len(of(later, "session-opened")) == 1


def test_after_a_kill_a_session_and_its_policies_go_on(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, tool_errors(1))
    session = new_session()

    def failed(calls: int) -> dict[str, Any]:
        """A conversation in which so many tool calls failed."""
        messages: list[dict[str, Any]] = [{"role": "user", "content": "go on"}]
        for n in range(calls):
            made = {"id": f"c{n}", "type": "function", "function": {"name": "search", "arguments": "{}"}}
            messages.append({"role": "assistant", "content": None, "tool_calls": [made]})
            messages.append({"role": "tool", "tool_call_id": f"c{n}", "content": f"Error: refused {n}"})
        return {"model": "sim-echo", "messages": messages}

    assert airlock.post(failed(1), session).status_code == 200
    assert interventions(airlock.ended(session)) == [], "one failure is accepted"
    airlock.kill()
    airlock.start()
    assert airlock.post(failed(2), session).status_code == 200
    events = airlock.ended(session, 2)
    assert ("tool-errors", "inject", "applied") in interventions(events), "the first failure was not forgotten"
    assert len(of(events, "tool-result")) == 2, "known messages are not told again"
