"""What an orchestrator does to a running Airlock: keys replaced by a swap of links, signals, volumes opened to a group."""

from __future__ import annotations

import os
import signal
import stat

import httpx
import pytest

from conftest import Makers
from harness import Simulator, script, wait_for


def test_a_key_that_is_swapped_behind_two_links_is_used_without_a_restart(make: Makers, simulator: Simulator) -> None:
    mount = make.folder / "secret"
    for version, key in (("..1", "sk-old"), ("..2", "sk-new")):
        (mount / version).mkdir(parents=True)
        (mount / version / "key").write_text(f"{key}\n")
    (mount / "..data").symlink_to("..1")
    (mount / "key").symlink_to("..data/key")
    upstream = f'[upstream.sim]\nbase_url = "{simulator.base_url}"\nretries = 0\ncredential = "own"\nkey = "file:{mount / "key"}"\n'
    airlock = make.airlock(simulator, routes=upstream)

    def sent() -> str:
        assert airlock.post({"model": "sim-echo", "messages": script(text="x")}).status_code == 200
        return dict(simulator.chats()[-1]["headers"])["authorization"]

    assert sent() == "Bearer sk-old"
    (mount / "..next").symlink_to("..2")
    (mount / "..next").rename(mount / "..data")
    wait_for(lambda: sent() == "Bearer sk-new", "the new key to be used", 30)


def test_hangup_reloads_and_a_replaced_admin_token_counts_alone(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator)
    token = airlock.data / "admin-token"
    old = token.read_text().strip()
    token.write_text("n" * 64)
    airlock.process.child.send_signal(signal.SIGHUP)
    wait_for(lambda: airlock.admin("/v1/policies").status_code == 200, "the new token to count")
    stale = httpx.get(f"http://127.0.0.1:{airlock.admin_port}/v1/policies", headers={"authorization": f"Bearer {old}"})
    assert stale.status_code == 401
    assert airlock.process.child.poll() is None
    wait_for(lambda: "took the changed configuration" in airlock.process.output, "SIGHUP to reload")


def test_probes_of_the_admin_listener_need_no_token_and_no_name(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator)
    for path in ("/healthz", "/readyz"):
        for method in ("GET", "HEAD"):
            answer = httpx.request(method, f"http://127.0.0.1:{airlock.admin_port}{path}", headers={"host": "10.1.2.3"})
            assert answer.status_code == 200


@pytest.mark.parametrize("opened", [0o660, 0o664])
def test_a_volume_that_was_opened_to_a_group_does_not_keep_it_from_starting(make: Makers, simulator: Simulator, opened: int) -> None:
    airlock = make.airlock(simulator)
    airlock.stop()
    for folder, _, files in os.walk(airlock.data):
        os.chmod(folder, 0o2770)
        for name in files:
            os.chmod(os.path.join(folder, name), opened)
    airlock.start()
    mode = lambda name: stat.S_IMODE((airlock.data / name).stat().st_mode)  # noqa: E731
    assert mode("admin-token") == 0o600
    assert mode("compiled") & 0o022 == 0
    assert "closed to them now" in airlock.process.output


def test_a_signal_to_stop_is_told_first_and_a_second_one_ends_at_once(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, gateway="drain_delay_ms = 600000")
    child = airlock.process.child
    ready = lambda: airlock.http.get("/readyz").status_code == 200  # noqa: E731
    assert ready()
    child.send_signal(signal.SIGTERM)
    wait_for(lambda: not ready(), "it to say that it is not ready")
    assert airlock.post({"model": "sim-echo", "messages": script(text="x")}).status_code == 200
    child.send_signal(signal.SIGTERM)
    assert child.wait(30) == 1
