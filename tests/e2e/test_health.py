"""What operators see of the machine, the models and the upstreams, and the description of the admin API."""

from __future__ import annotations

import json
import os

import httpx

from conftest import Makers
from harness import Simulator, body, wait_for


def test_health_shows_the_machine_the_agent_and_who_was_called(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, f"[machine]\nagent_pid = {os.getpid()}\n")
    assert airlock.post(body(stream=False, chunks=["hello"])).status_code == 200
    assert airlock.post(body(stream=False, status=400)).status_code == 400

    def measured() -> dict[str, float] | None:
        machine = airlock.admin("/v1/health").json()["machine"]
        # Rates need two samples.
        return machine if {"host_cpu", "host_memory", "agent_cpu", "agent_memory"} <= machine.keys() else None

    machine = wait_for(measured, "the machine to be measured")
    assert 0 <= machine["host_cpu"] <= 1 and 0 < machine["host_memory"] < 1
    assert machine["agent_memory"] > 1_000_000
    standings = airlock.admin("/v1/health").json()["standings"]
    assert {s["of"] for s in standings} == {"model", "upstream"}
    assert all((s["calls"], s["failed"]) == (1, 0) and s["p50_us"] > 0 for s in standings), standings
    table = airlock.cli("health")
    assert "machine  processors" in table and "agent" in table and "upstream" in table, table


def test_the_admin_api_describes_itself(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator)
    served = airlock.admin("/v1/openapi.json").json()
    assert served == json.loads(airlock.cli("openapi"))
    assert served["openapi"].startswith("3.1")
    unknown = httpx.get(f"http://127.0.0.1:{airlock.admin_port}/v1/openapi.json", timeout=30)
    assert unknown.status_code == 401, "the token is needed for it too"
    # What is described is what is answered.
    for path in ("/v1/policies", "/v1/sessions", "/v1/approvals", "/v1/health"):
        assert path in served["paths"] and airlock.admin(path).status_code == 200, path
