"""What the end-to-end tests share. `make test` builds the binary and the virtual environment that they run in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import BINARY, Simulator


@pytest.fixture(scope="session", autouse=True)
def binary() -> Path:
    assert BINARY.exists(), f"{BINARY} is missing: run `make build`, or set AIRLOCK_BIN"
    return BINARY


@pytest.fixture(scope="session")
def shared_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    simulator = Simulator(tmp_path_factory.mktemp("simulator"))
    yield simulator
    simulator.stop()


@pytest.fixture
def simulator(shared_simulator: Simulator) -> Simulator:
    """One simulator for all tests, with an empty memory for each."""
    shared_simulator.forget()
    return shared_simulator
