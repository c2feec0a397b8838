"""Real processes for the end-to-end tests: the simulated upstream and Airlock, on free ports, with folders of their own.

Everything waits on conditions with a deadline, never for a time. Processes are ended by their own handle.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
from openai import OpenAI

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("AIRLOCK_BIN", ROOT / "target" / "release" / "airlock"))

# What a client sends. It must be found nowhere that Airlock writes.
CLIENT_KEY = "sk-client-0123456789abcdef"

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """The first true value of `condition`; an AssertionError that says what never came."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A child with its output in a file."""

    def __init__(self, arguments: list[str], log: Path, env: dict[str, str] | None = None, cwd: Path | None = None):
        self.log = log
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "AIRLOCK_"))}
        with log.open("ab") as output:
            self.child = subprocess.Popen(
                [str(BINARY), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=clean | {"NO_COLOR": "1"} | (env or {}),
                cwd=cwd,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_line(self, text: str, seconds: float = 60.0) -> str:
        """The first line of the output with this text."""

        def line() -> str | None:
            found = next((line for line in self.output.splitlines() if text in line), None)
            assert found or self.child.poll() is None, f"ended with {self.child.returncode}:\n{self.output[-4000:]}"
            return found

        return wait_for(line, f"{text!r} in the output:\n{self.output[-4000:]}", seconds)

    def stop(self) -> None:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGINT)
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.child.wait()

    def kill(self) -> None:
        """As a power cut would: no handler runs."""
        self.child.kill()
        self.child.wait()


class Simulator:
    """The simulated upstream."""

    def __init__(self, folder: Path, name: str = "simulator"):
        self.process = Process(["simulate", "--listen", "127.0.0.1:0"], folder / f"{name}.log")
        self.base_url = self.process.wait_line("listening on ").split("listening on ")[1].strip()
        self.http = httpx.Client(base_url=self.base_url.removesuffix("/v1"), timeout=20)

    def requests(self) -> list[dict[str, Any]]:
        """What it received, oldest first."""
        return self.http.get("/sim/requests").json()

    def chats(self) -> list[dict[str, Any]]:
        """The chat completions among it, with the body parsed under `json`."""
        chats = [r for r in self.requests() if r["path"].startswith("/v1/chat/completions")]
        return [r | {"json": json.loads(r["body"])} for r in chats]

    def live(self) -> dict[str, int]:
        return self.http.get("/sim/live").json()

    def forget(self) -> None:
        self.http.delete("/sim/requests").raise_for_status()

    def stop(self) -> None:
        self.http.close()
        self.process.stop()


def client(base_url: str, **options: Any) -> OpenAI:
    """The official SDK, without retries unless a test is about them."""
    return OpenAI(**{"base_url": base_url, "api_key": CLIENT_KEY, "max_retries": 0, "timeout": 30} | options)


def script(**controls: Any) -> list[dict[str, str]]:
    """Messages that order the simulator to do this."""
    return [{"role": "user", "content": json.dumps(controls)}]


def body(model: str = "sim-echo", stream: bool = True, **controls: Any) -> dict[str, Any]:
    """A raw request with a script."""
    return {"model": model, "stream": stream, "messages": script(**controls)}


def new_prompt() -> str:
    """Words that no other conversation begins with."""
    return f"What is the balance of account {uuid.uuid4().hex[:16]}?"


def frames(raw: bytes) -> list[bytes]:
    """The `data:` payloads of an event stream."""
    return [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: ")]


def cuts(text: str) -> list[list[str]]:
    """The text cut in two, in three, and into single characters, at every border."""
    two = [[text[:i], text[i:]] for i in range(1, len(text))]
    three = [[text[:i], text[i:j], text[j:]] for i in range(1, len(text)) for j in range(i + 1, len(text))]
    return [[text], *two, *three, list(text)]
