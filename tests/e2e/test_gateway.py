"""The gateway's edges: paths, hosts, credentials, retries, failover, disconnects, configuration."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import stat
import subprocess

import httpx
import openai
import pytest

from airlock import Airlock, everything_written, new_session, of, placed
from conftest import Makers
from harness import BINARY, CLIENT_KEY, Simulator, body, client, free_port, script, wait_for
from policies import blocklist


# Paths


def test_an_undecoded_path_is_refused_by_name(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, blocklist())
    with pytest.raises(openai.APIStatusError, match="/v1/moderations") as raised:
        airlock.sdk(max_retries=2).moderations.create(input="x")
    assert 400 <= raised.value.status_code < 500
    assert not [r for r in simulator.requests() if "moderations" in r["path"]]


def test_a_listed_path_passes_and_is_recorded_as_unjudged(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, blocklist())
    airlock.stop()
    airlock.head = airlock.head.replace("[gateway]\n", '[gateway]\npass_paths = ["/v1/moderations"]\n')
    airlock.write(blocklist())
    airlock.start()
    session = new_session()
    assert airlock.sdk(session).moderations.create(input="x").results[0].flagged is False

    def unjudged() -> bool:
        database = next(airlock.data.glob("*.db"))
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
            return "unjudged" in "".join(db.iterdump())

    wait_for(unjudged, "the passage to be recorded")


# Hosts and origins


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
def test_web_pages_are_kept_out(plain: Airlock, simulator: Simulator, headers: dict[str, str]) -> None:
    response = plain.http.post("/v1/chat/completions", json=body(text="a"), headers=headers)
    assert response.status_code in (403, 421) and not simulator.chats()
    admin = httpx.get(f"http://127.0.0.1:{plain.admin_port}/v1/policies", headers=headers)
    assert admin.status_code in (401, 403, 421)


def test_the_admin_api_needs_its_token(plain: Airlock) -> None:
    assert httpx.get(f"http://127.0.0.1:{plain.admin_port}/v1/policies").status_code == 401
    token = next(plain.data.glob("*token*"))
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


# Credentials


def test_credentials_are_written_nowhere(make: Makers, simulator: Simulator) -> None:
    routes = f'[upstream.sim]\nbase_url = "{simulator.base_url}"\nkey = "env:OWN_KEY"\ncredential = "own"\n'
    own = "sk-own-fedcba9876543210"
    airlock = make.airlock(simulator, routes=routes, env={"OWN_KEY": own})
    session = new_session()
    airlock.sdk(session).chat.completions.create(model="sim-echo", messages=script(text="a"))
    with pytest.raises(openai.NotFoundError):
        airlock.sdk(session).chat.completions.create(model="no-such-model", messages=script(text="a"))
    sent = dict(simulator.chats()[-1]["headers"])
    assert sent["authorization"] == f"Bearer {own}"
    airlock.stop()
    for name, content in everything_written(airlock.folder).items():
        for secret in (CLIENT_KEY, own, CLIENT_KEY.removeprefix("sk-")):
            assert secret.encode() not in content, f"{secret} is in {name}"


def test_the_clients_credential_is_forwarded_by_default(plain: Airlock, simulator: Simulator) -> None:
    plain.sdk().chat.completions.create(model="sim-echo", messages=script(text="a"))
    assert dict(simulator.chats()[-1]["headers"])["authorization"] == f"Bearer {CLIENT_KEY}"


def test_the_database_is_its_owners_only(plain: Airlock) -> None:
    plain.sdk().chat.completions.create(model="sim-echo", messages=script(text="a"))
    for path in plain.data.rglob("*"):
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), f"{path} is open to others"


# Retries and failover


def test_an_sdk_retry_attaches_to_its_exchange(make: Makers, simulator: Simulator) -> None:
    routes = f'[upstream.sim]\nbase_url = "{simulator.base_url}"\nretries = 0\n'
    airlock = make.airlock(simulator, routes=routes)
    session = new_session()
    sdk = airlock.sdk(session, max_retries=2)
    answer = sdk.chat.completions.create(model="sim-flaky", messages=script(text="ok"))
    assert answer.choices[0].message.content == "ok" and len(simulator.chats()) == 3
    events = airlock.ended(session, 3)
    assert {e["exchange"] for e in events if e["exchange"]} == {1}
    assert len(of(events, "message")) == 1, "messages that are known are not told again"
    assert [r["retry"] for r in of(events, "request")][-1] == 2


def test_airlock_repeats_before_the_first_byte(make: Makers, simulator: Simulator) -> None:
    routes = f'[upstream.sim]\nbase_url = "{simulator.base_url}"\nretries = 2\nretry_backoff_ms = 1\n'
    airlock = make.airlock(simulator, routes=routes)
    assert airlock.sdk().chat.completions.create(model="sim-flaky", messages=script(text="ok")).choices[0].message.content == "ok"
    assert len(simulator.chats()) == 3


def test_failover_to_the_next_upstream(make: Makers, simulator: Simulator) -> None:
    dead = free_port()
    routes = (
        f'[upstream.dead]\nbase_url = "http://127.0.0.1:{dead}/v1"\nretries = 0\n'
        f'[upstream.sim]\nbase_url = "{simulator.base_url}"\n'
        '[[route]]\nmodel = "*"\nupstream = "dead"\nfallback = ["sim"]\n'
    )
    airlock = make.airlock(simulator, routes=routes)
    session = new_session()
    assert airlock.post(body(text="a"), session).status_code == 200
    events = airlock.ended(session)
    assert of(events, "failure")[0]["failure"] == "connection" and of(events, "response-end")[0]["status"] == "complete"


def test_the_timeline_says_which_upstream_answered(make: Makers, simulator: Simulator) -> None:
    routes = (
        f'[upstream.dead]\nbase_url = "http://127.0.0.1:{free_port()}/v1"\nretries = 0\n'
        f'[upstream.sim]\nbase_url = "{simulator.base_url}"\n'
        '[[route]]\nmodel = "*"\nupstream = "dead"\nfallback = ["sim"]\n'
    )
    airlock = make.airlock(simulator, routes=routes)
    session = new_session()
    assert airlock.post(body(text="a"), session).status_code == 200
    assert of(airlock.ended(session), "request")[-1]["upstream"] == "sim"


def test_failover_from_an_upstream_in_trouble(make: Makers, simulator: Simulator) -> None:
    other = make.simulator("other")
    routes = (
        f'[upstream.first]\nbase_url = "{simulator.base_url}"\nretries = 0\n'
        f'[upstream.second]\nbase_url = "{other.base_url}"\nretries = 3\nretry_backoff_ms = 1\n'
        '[[route]]\nmodel = "*"\nupstream = "first"\nfallback = ["second"]\n'
    )
    airlock = make.airlock(simulator, routes=routes)
    assert airlock.post(body("sim-flaky", text="ok")).status_code == 200
    assert len(simulator.chats()) == 1 and len(other.chats()) == 3


def test_a_route_names_upstream_and_model(make: Makers, simulator: Simulator) -> None:
    routes = (
        f'[upstream.sim]\nbase_url = "{simulator.base_url}"\n'
        '[[route]]\nmodel = "gpt-*"\nupstream = "sim"\nto_model = "sim-echo"\n'
    )
    airlock = make.airlock(simulator, routes=routes)
    assert airlock.sdk().chat.completions.create(model="gpt-9", messages=script(text="a")).choices[0].message.content == "a"
    assert simulator.chats()[-1]["json"]["model"] == "sim-echo"


def test_a_dead_upstream_is_told_as_an_error(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, routes=f'[upstream.dead]\nbase_url = "http://127.0.0.1:{free_port()}/v1"\nretries = 0\n')
    with pytest.raises(openai.InternalServerError, match="dead"):
        airlock.sdk().chat.completions.create(model="sim-echo", messages=script(text="a"))


@pytest.mark.parametrize("stream", [True, False])
def test_a_cut_upstream_is_not_success(plain: Airlock, stream: bool) -> None:
    session = new_session()
    with pytest.raises((openai.APIError, httpx.TransportError)):
        answer = plain.sdk(session).chat.completions.create(
            model="sim-echo", messages=script(chunks=["a", "b"], die_after_chunks=1), stream=stream
        )
        list(answer)
    events = plain.ended(session)
    assert of(events, "response-end")[0]["status"] == "failed" and of(events, "failure")


def test_a_silent_upstream_times_out(make: Makers, simulator: Simulator) -> None:
    routes = f'[upstream.sim]\nbase_url = "{simulator.base_url}"\nidle_timeout_ms = 200\nretries = 0\n'
    airlock = make.airlock(simulator, routes=routes)
    order = script(chunks=["a", "b"], hang_after_chunks=1)
    with pytest.raises((openai.APIError, httpx.TransportError)):
        list(airlock.sdk().chat.completions.create(model="sim-echo", messages=order, stream=True))
    wait_for(lambda: simulator.live()["open"] == 0, "the silent call to be cancelled")


# Disconnects


@pytest.mark.parametrize("stream", [True, False])
def test_a_disconnect_cancels_the_upstream_at_once(plain: Airlock, simulator: Simulator, stream: bool) -> None:
    session, before = new_session(), simulator.live()["cancelled"]
    raw = json.dumps(body("sim-runaway", stream=stream, delay_ms=5)).encode()
    with socket.create_connection(("127.0.0.1", plain.port)) as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nx-airlock-session-id: {session}\r\n"
        connection.sendall(f"{head}content-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n".encode() + raw)
        wait_for(lambda: simulator.live()["open"], "the generation to begin")
        if stream:
            while b"one" not in connection.recv(65536):
                pass
    wait_for(lambda: simulator.live()["cancelled"] > before, "the upstream call to be cancelled", 5)
    end = of(plain.ended(session), "response-end")[0]
    assert end["status"] == "disconnected"
    if stream:
        assert end["usage"]["output"] > 0 and not end["usage"]["exact"], "what was spent is recorded"


# Configuration


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[gateway]\nlisten = "nowhere"\n', "listen"),
        ("[gateway]\nlissten = 1\n", "lissten"),
        ('[upstream.a]\nbase_url = "ftp://x"\n', "http"),
        ('[upstream.a]\nbase_url = "http://x/v1"\nkey = "sk-123"\n', "env:"),
        ('[upstream.a]\nbase_url = "http://x/v1"\n[[route]]\nmodel = "*"\nupstream = "b"\n', "b"),
        ('[upstream.a]\nbase_url = "http://x/v1"\n[policy.blocklist]\nmode = "enforced"\n', "enforce"),
        ("[gateway\n", "TOML"),
    ],
)
def test_a_bad_configuration_says_where_and_what(tmp_path, text: str, says: str) -> None:
    config = tmp_path / "airlock.toml"
    config.write_text(text)
    for command in (["config", "check"], ["serve"]):
        done = subprocess.run(
            [str(BINARY), *command, "--config", str(config)], capture_output=True, text=True, timeout=60, env=os.environ | {"NO_COLOR": "1"}
        )
        message = done.stdout + done.stderr
        assert done.returncode != 0 and placed(message) and says in message, message
        assert "sk-123" not in message and "panicked" not in message


def test_what_an_upstream_needs_and_is_not_there_is_told_by_a_check(tmp_path) -> None:
    config = tmp_path / "airlock.toml"
    config.write_text(
        '[upstream.a]\nbase_url = "https://a.example/v1"\nkey = "env:AIRLOCK_TEST_UNSET"\n'
        '[upstream.b]\nbase_url = "https://b.example/v1"\nca_file = "absent.pem"\n'
    )
    done = subprocess.run([str(BINARY), "config", "check", str(config)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 64, done.stdout
    for key, what in [("upstream.a.key", "AIRLOCK_TEST_UNSET"), ("upstream.b.ca_file", str(tmp_path / "absent.pem"))]:
        assert any(key in line and what in line for line in done.stderr.splitlines()), done.stdout + done.stderr


UPSTREAM = '[upstream.a]\nbase_url = "http://127.0.0.1:9/v1"\n'


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[policy.token-budget.settings]\ntokens = 5\n", 8, ["did you mean", "There are"]),
        ('[policy.blocklist]\nmode = "enforce"\n[policy.blocklist.settings]\nwords = 5\n', 10, ["policy.blocklist.settings.words"]),
        ('[policy.blocklist]\ndigest = "sha256:00"\n', 8, ["policy.blocklist.digest"]),
        ('[policy.nowhere]\nmode = "observe"\n', 7, ["policy.nowhere"]),
        ('[policy.mine]\nfile = "absent.wasm"\n', 7, ["policy.mine", "absent.wasm"]),
        ('[policy.tool-guard.settings]\nwait_seconds = 100000\n', 8, ["policy.tool-guard.settings", "86400"]),
        ('[upstream.b]\nbase_url = "http://127.0.0.1:9/v1"\nkey = "env:AIRLOCK_TEST_UNSET"\n', 9, ["upstream.b.key"]),
        ('[upstream.b]\nbase_url = "http://127.0.0.1:9/v1"\nkey = "file:/absent/key"\n', 9, ["upstream.b.key"]),
        ('[[route]]\nmodel = "*"\nupstream = "b"\n', 9, ["route[0].upstream"]),
        ('[[rule]]\nwhen = "vitals.nothing > 1"\ndo = "block"\n', 8, ["rule[0].when"]),
        ('[[rule]]\nwhen = "true"\ndo = "alert"\nwebhook = "none"\n', 0, ["webhook"]),
    ],
)
def test_a_check_refuses_what_serving_refuses_in_the_same_words(tmp_path, text: str, line: int, says: list[str]) -> None:
    config = tmp_path / "airlock.toml"
    common = '[gateway]\nlisten = "127.0.0.1:0"\n[admin]\nlisten = "127.0.0.1:0"\n'
    data = f'data = {{ dir = "{tmp_path / "data"}" }}\npolicies = {{ dir = "{tmp_path / "policies"}" }}\n'
    # The two lines of top-level keys come first: a table ends them.
    config.write_text(data + common + UPSTREAM + text)
    told = []
    for command in (["config", "check"], ["serve"]):
        done = subprocess.run(
            [str(BINARY), *command, "--config", str(config)], capture_output=True, text=True, timeout=120, env=os.environ | {"NO_COLOR": "1"}
        )
        assert done.returncode == 64, done.stdout + done.stderr
        told.append([row.removeprefix("airlock: ") for row in done.stderr.splitlines() if str(config) in row])
        assert command == ["serve"] or not (tmp_path / "policies").exists(), "a check makes no directory"
    assert told[0] == told[1] and told[0], told
    message = "\n".join(told[0])
    assert all(word in message for word in says), message
    if line:
        assert f"{config}:{line + 2}:" in message, message


def test_init_writes_a_configuration_that_is_sound(tmp_path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BINARY), *arguments], capture_output=True, text=True, timeout=60, cwd=tmp_path, env=os.environ | {"OPENAI_API_KEY": "x"}
        )

    assert run("init").returncode == 0
    check = run("config", "check")
    assert check.returncode == 0, check.stdout + check.stderr
    assert run("init").returncode != 0, "a configuration that exists is not overwritten"


def test_without_configuration_the_environment_decides(tmp_path, simulator: Simulator) -> None:
    from harness import Process

    env = {"OPENAI_BASE_URL": simulator.base_url, "OPENAI_API_KEY": CLIENT_KEY, "XDG_DATA_HOME": str(tmp_path), "HOME": str(tmp_path)}
    process = Process(["serve"], tmp_path / "log", env, tmp_path)
    try:
        process.wait_line("OPENAI_BASE_URL")
        wait_for(lambda: _answers("http://127.0.0.1:4100/v1"), "the gateway at its default address", 60)
        assert client("http://127.0.0.1:4100/v1").chat.completions.create(model="sim-echo", messages=script(text="a"))
        assert CLIENT_KEY not in process.output
    finally:
        process.stop()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/models", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    "entry",
    ['[policy.ghost]\n', '[policy.blocklist.settings]\npatterns = 7\n', '[policy.blocklist]\nfile = "gone.wasm"\n'],
)
def test_airlock_does_not_start_without_a_policy_that_is_named(tmp_path, simulator: Simulator, entry: str) -> None:
    from harness import Process

    (tmp_path / "airlock.toml").write_text(
        f'[gateway]\nlisten = "127.0.0.1:{free_port()}"\n[admin]\nlisten = "127.0.0.1:{free_port()}"\n'
        f'[data]\ndir = "{tmp_path / "data"}"\n[policies]\ndir = "{tmp_path / "policies"}"\n'
        f'[upstream.sim]\nbase_url = "{simulator.base_url}"\n{entry}'
    )
    process = Process(["serve"], tmp_path / "log", {"HOME": str(tmp_path)}, tmp_path)
    try:
        assert process.child.wait(60) == 64, process.output
        assert "does not serve" in process.output and entry.split("]")[0].split(".")[1] in process.output
    finally:
        process.stop()
