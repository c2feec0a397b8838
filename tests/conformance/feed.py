"""The live feed: what Airlock put on a session's timeline, in order, while the session goes on."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx

from airlock import Airlock
from harness import wait_for


class Feed:
    """Reads the feed in a thread of its own, and keeps the events of the one session that a test is about."""

    def __init__(self, airlock: Airlock):
        self.airlock = airlock
        self.lock = threading.Lock()
        self.awaited, self.session = False, ""
        self.events: list[dict[str, Any]] = []
        self.missed = False
        token = (airlock.data / "admin-token").read_text().strip()
        self.client = httpx.Client(timeout=None, headers={"authorization": f"Bearer {token}"})
        self.connected = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        assert self.connected.wait(30), "the live feed does not answer"

    def begin(self) -> None:
        """The next session that is opened is the one to follow."""
        with self.lock:
            self.awaited, self.session, self.events, self.missed = True, "", [], False

    def all(self) -> list[dict[str, Any]]:
        with self.lock:
            return list(self.events)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.all() if event["kind"] == kind]

    def heard(self) -> list[dict[str, Any]]:
        """What the canary was told, each with the microsecond at which it had been."""
        found = [event for event in self.of("finding") if event["policy"] == "canary"]
        return [{"at": event["at"]} | part for event in found for part in json.loads(event["data"])]

    def ended(self, exchanges: int = 1) -> list[dict[str, Any]]:
        """The events, once so many exchanges have ended."""
        wait_for(lambda: len(self.of("response-end")) >= exchanges, f"{exchanges} exchanges to end")
        return self.all()

    def _read(self) -> None:
        try:
            with self.client.stream("GET", f"http://127.0.0.1:{self.airlock.admin_port}/v1/events") as response:
                self.connected.set()
                name = ""
                for line in response.iter_lines():
                    if line.startswith("event: "):
                        name = line[7:]
                    elif line.startswith("data: "):
                        self._take(name, json.loads(line[6:]))
        except (httpx.HTTPError, OSError):
            # The test is over and has closed the connection.
            return

    def _take(self, name: str, frame: dict[str, Any]) -> None:
        with self.lock:
            self.missed |= name == "missed"
            if name != "timeline":
                return
            event = frame["event"]
            if self.awaited and event["kind"] == "session-opened":
                self.awaited, self.session = False, frame["session"]
            if frame["session"] == self.session:
                self.events.append(event)

    def stop(self) -> None:
        self.client.close()
        self.thread.join(30)
