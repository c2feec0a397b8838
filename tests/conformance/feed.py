"""The live feed: what Airlock put on a session's timeline, in order, while the session goes on."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx

from airlock import Airlock
from harness import wait_for


class Feed:
    """Reads the feed in a thread of its own, and keeps every event under the name that the client gave its session."""

    def __init__(self, airlock: Airlock):
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.missed = 0
        self.airlock = airlock
        token = (airlock.data / "admin-token").read_text().strip()
        self.client = httpx.Client(timeout=None, headers={"authorization": f"Bearer {token}"})
        self.connected = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        assert self.connected.wait(30), "the live feed does not answer"

    def _read(self) -> None:
        try:
            with self.client.stream("GET", f"http://127.0.0.1:{self.airlock.admin_port}/v1/events") as response:
                self.connected.set()
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        self._take(json.loads(line[6:]))
        except (httpx.HTTPError, OSError):
            # The test is over and has closed the connection.
            return

    def _take(self, frame: dict[str, Any]) -> None:
        print(json.dumps(frame)[:600])

    def stop(self) -> None:
        self.client.close()
