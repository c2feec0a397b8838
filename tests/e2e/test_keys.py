"""Airlock's own keys and limits of calls, with the official SDK."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time

import openai
import pytest

from airlock import Airlock
from conftest import Makers
from harness import CLIENT_KEY, Simulator, script, wait_for

OWN_UPSTREAM = '[upstream.sim]\nbase_url = "{base}"\nretries = 0\ncredential = "none"\n'
KEYS = {name: f"alk-{name[0] * 43}" for name in ("ci", "bot")}


def entry(name: str, **limits: int | str) -> str:
    digest = hashlib.sha256(KEYS[name].encode()).hexdigest()
    more = "".join(f"{k} = {json.dumps(v)}\n" for k, v in limits.items())
    return f'[[key]]\nname = "{name}"\nhash = "sha256:{digest}"\n{more}'


def keyed(make: Makers, simulator: Simulator, *sections: str) -> Airlock:
    return make.airlock(simulator, *sections, routes=OWN_UPSTREAM.format(base=simulator.base_url))


def say(sdk: openai.OpenAI, **controls: object) -> str:
    answer = sdk.chat.completions.create(model="sim-echo", messages=script(**controls))
    return answer.choices[0].message.content or ""


def test_the_sdk_raises_without_a_key_and_works_with_one(make: Makers, simulator: Simulator) -> None:
    airlock = keyed(make, simulator, entry("ci"))
    for wrong in (CLIENT_KEY, "alk-" + "x" * 43):
        # With the SDK's own retries on: nothing that is refused for good is sent again.
        with airlock.sdk(api_key=wrong, max_retries=2) as sdk, pytest.raises(openai.AuthenticationError) as raised:
            say(sdk, text="x")
        assert raised.value.code == "airlock_unauthorized"
        assert wrong not in str(raised.value)
    assert simulator.chats() == []
    with airlock.sdk(api_key=KEYS["ci"]) as sdk:
        assert say(sdk, text="let in") == "let in"
        assert sdk.models.list().data
    assert all(KEYS["ci"] not in json.dumps(request) for request in simulator.requests())


def test_the_command_makes_a_key_that_works_at_once(make: Makers, simulator: Simulator) -> None:
    airlock = keyed(make, simulator, entry("ci"))
    printed = airlock.cli("key", "new", "fresh", "--tenant", "acme", "--write")
    key = re.search(r"^alk-[A-Za-z0-9_-]{43}$", printed, re.M)
    assert key, printed
    with airlock.sdk(api_key=key.group()) as sdk:
        assert say(sdk, text="hello") == "hello"
    assert key.group() not in airlock.config.read_text()
    listed = airlock.cli("key", "list")
    assert "fresh" in listed and "acme" in listed and key.group() not in listed
    # Not written: an entry to paste.
    made = json.loads(airlock.cli("key", "new", "other", "--output", "json"))
    assert made["hash"] == "sha256:" + hashlib.sha256(made["key"].encode()).hexdigest()
    assert "other" not in airlock.config.read_text()
    # A key that is taken out does not work any more.
    airlock.write(entry("ci"))
    with airlock.sdk(api_key=key.group()) as sdk:

        def refused() -> bool:
            try:
                say(sdk, text="x")
            except openai.AuthenticationError:
                return True
            return False

        wait_for(refused, "the removed key to stop working")


def test_the_sdk_comes_back_when_it_is_told_to(make: Makers, simulator: Simulator) -> None:
    airlock = keyed(make, simulator, entry("ci", requests_per_minute=60), entry("bot"))
    with airlock.sdk(api_key=KEYS["ci"]) as sdk:
        limited = None
        # On a slow machine more are let in meanwhile: one a second.
        for _ in range(300):
            try:
                say(sdk, text="x")
            except openai.RateLimitError as error:
                limited = error
                break
        assert limited is not None, "60 a minute, and 300 passed"
        headers = limited.response.headers
        wait = int(headers["retry-after-ms"])
        assert 0 < wait <= 1000 and headers["retry-after"] == "1"
        assert "the key ci" in str(limited) and "requests_per_minute" in str(limited)
    with airlock.sdk(api_key=KEYS["ci"], max_retries=5) as sdk:
        # One call a second is let in: the SDK waits as long as it is told, and is let in.
        assert say(sdk, text="patience") == "patience"
    with airlock.sdk(api_key=KEYS["bot"]) as sdk:
        assert say(sdk, text="not my limit") == "not my limit"


def test_no_more_run_at_once_than_may(make: Makers, simulator: Simulator) -> None:
    airlock = keyed(make, simulator, entry("ci", max_concurrent=2, max_queued=50, queue_ms=20_000))
    answers: list[str] = []
    most = 0

    def call() -> None:
        with airlock.sdk(api_key=KEYS["ci"]) as sdk:
            answers.append(say(sdk, text="done", first_delay_ms=50))

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = max(most, simulator.live()["open"])
        time.sleep(0.005)
    assert answers == ["done"] * 12
    assert 1 <= most <= 2
    # The line full, the SDK is told so.
    airlock.write(entry("ci", max_concurrent=1))
    with airlock.sdk(api_key=KEYS["ci"]) as sdk:
        wait_for(lambda: "took the changed configuration" in airlock.process.output, "the reload")
        stream = sdk.chat.completions.create(model="sim-echo", messages=script(text="a b c", hang_after_chunks=1), stream=True)
        next(iter(stream))
        with pytest.raises(openai.RateLimitError, match="max_concurrent"):
            say(sdk, text="x")
        stream.close()


def test_a_listener_that_others_reach_needs_a_key(make: Makers, simulator: Simulator) -> None:
    airlock = keyed(make, simulator, entry("ci"))
    open_to_all = airlock.folder / "open.toml"
    head = airlock.head.replace(f"127.0.0.1:{airlock.port}", f"0.0.0.0:{airlock.port}")
    open_to_all.write_text(head)
    with pytest.raises(AssertionError, match=r"open\.toml:2:\d+: gateway\.listen: .*airlock key new"):
        airlock.cli("config", "check", str(open_to_all))
    open_to_all.write_text(head + entry("ci"))
    assert "good" in airlock.cli("config", "check", str(open_to_all))
