"""What the end-to-end tests share. `make test` builds the binary and the virtual environment that they run in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airlock import Airlock
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


class Makers:
    """Starts what a test needs and stops it afterwards."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.running: list[Simulator | Airlock] = []

    def simulator(self, name: str) -> Simulator:
        self.running.append(Simulator(self.folder, name))
        return self.running[-1]

    def airlock(self, simulator: Simulator, *sections: str, **options: Any) -> Airlock:
        folder = self.folder / f"airlock-{len(self.running)}"
        self.running.append(Airlock(folder, simulator, *sections, **options))
        return self.running[-1]

    def stop(self) -> None:
        for running in reversed(self.running):
            running.stop()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Makers]:
    makers = Makers(tmp_path)
    yield makers
    makers.stop()


@pytest.fixture(scope="module")
def module_make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Makers]:
    """As `make`, for what a whole file of tests shares."""
    makers = Makers(tmp_path_factory.mktemp("shared"))
    yield makers
    makers.stop()


@pytest.fixture(scope="module")
def plain(module_make: Makers, shared_simulator: Simulator) -> Airlock:
    """Airlock without a policy: a recorder."""
    return module_make.airlock(shared_simulator)
