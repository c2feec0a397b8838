"""Airlock under test: a configuration, a process, and its timelines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from pathlib import Path
from typing import Any

import httpx
from openai import OpenAI

from harness import BINARY, Process, Simulator, client, free_port, wait_for

SESSION_HEADER = "x-airlock-session-id"


def toml(value: Any) -> str:
    """A value in TOML. JSON's strings, numbers and lists are TOML too; only tables differ."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def policy(name: str, settings: dict[str, Any] | None = None, **entry: Any) -> str:
    """An entry `[policy.<name>]`."""
    lines = [f"[policy.{name}]", *(f"{k} = {toml(v)}" for k, v in entry.items())]
    if settings is not None:
        lines.append(f"settings = {toml(settings)}")
    return "\n".join(lines) + "\n"


class Airlock:
    """`airlock serve` with a configuration of its own, in front of a simulator."""

    def __init__(
        self, folder: Path, simulator: Simulator, *sections: str, routes: str = "", gateway: str = "", env: dict[str, str] | None = None
    ):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.policies = folder / "policies"
        self.policies.mkdir(exist_ok=True)
        self.data = folder / "data"
        self.port, self.admin_port = free_port(), free_port()
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self.config = folder / "airlock.toml"
        self.env = env
        upstream = "" if "[upstream." in routes else f'[upstream.sim]\nbase_url = "{simulator.base_url}"\n'
        self.head = (
            f'[gateway]\nlisten = "127.0.0.1:{self.port}"\n{gateway}\n'
            f'[admin]\nlisten = "127.0.0.1:{self.admin_port}"\n'
            f'[data]\ndir = "{self.data}"\n'
            f'[policies]\ndir = "{self.policies}"\n{upstream}{routes}\n'
        )
        self.write(*sections)
        self.start()

    def write(self, *sections: str) -> None:
        """Replaces the configuration, as an editor would: whole, by a rename."""
        draft = self.config.with_suffix(".draft")
        draft.write_text(self.head + "\n".join(sections))
        draft.rename(self.config)

    def start(self) -> None:
        self.process = Process(["serve", "--config", str(self.config)], self.folder / "airlock.log", self.env, self.folder)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)
        wait_for(self.ready, "Airlock to be ready", 60)

    def ready(self) -> bool:
        code = self.process.child.poll()
        assert code is None, f"airlock ended with {code}:\n{self.process.output[-4000:]}"
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.http.close()
        self.process.stop()

    def kill(self) -> None:
        self.http.close()
        self.process.kill()

    def sdk(self, session: str | None = None, **options: Any) -> OpenAI:
        headers = {SESSION_HEADER: session} if session else {}
        return client(self.base_url, default_headers=headers, **options)

    def post(self, body: Any, session: str | None = None, path: str = "/v1/chat/completions", **options: Any) -> httpx.Response:
        headers = {SESSION_HEADER: session} if session else {}
        return self.http.post(path, json=body, headers=headers, **options)

    # What the operator sees

    def cli(self, *arguments: str) -> str:
        """Output of a command on the same configuration."""
        command = [str(BINARY), *arguments, "--config", str(self.config)]
        env = os.environ | {"NO_COLOR": "1"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, cwd=self.folder)
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def admin(self, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        token = (self.data / "admin-token").read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        return httpx.request(method, f"http://127.0.0.1:{self.admin_port}{path}", headers=headers, timeout=30, **options)

    def approvals(self, state: str = "open") -> list[dict[str, Any]]:
        """What waits for people (`open`), what they decided (`decided`), or both (`all`), newest first."""
        return self.admin(f"/v1/approvals?state={state}").json()

    def held(self) -> dict[str, Any]:
        """The one item that waits for a person, once it does."""
        found = wait_for(self.approvals, "something to be put before a person")
        assert len(found) == 1, found
        return found[0]

    def sessions(self) -> list[dict[str, Any]]:
        return lines(self.cli("sessions", "--limit", "1000", "--output", "json"))

    def timeline(self, session: str) -> list[dict[str, Any]]:
        """Events of the session that the client named so, once its last exchange has ended."""
        rows = [row for row in self.sessions() if row["value"] == session]
        assert len(rows) == 1, f"{len(rows)} sessions are named {session}: {self.sessions()}"
        return lines(self.cli("timeline", rows[0]["id"], "--output", "json"))

    def ended(self, session: str, exchanges: int = 1) -> list[dict[str, Any]]:
        """The timeline, after so many exchanges have ended and their events are on the disk."""

        def events() -> list[dict[str, Any]] | None:
            try:
                events = self.timeline(session)
            except AssertionError:
                return None
            return events if len(of(events, "response-end")) >= exchanges else None

        return wait_for(events, f"{exchanges} exchanges of {session} to end")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["kind"] == kind]


def interventions(events: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """(policy, action, outcome) of each."""
    return [(e["policy"], e["action"], e["outcome"]) for e in of(events, "intervention")]


def new_session() -> str:
    return f"test-{uuid.uuid4().hex[:16]}"


def everything_written(folder: Path) -> dict[str, bytes]:
    """Every file below a folder: database, log, token, state."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.is_symlink()}


def exchange_texts(events: list[dict[str, Any]]) -> dict[str, str]:
    """Recorded text of each channel."""
    texts: dict[str, str] = {}
    for event in of(events, "text"):
        texts[event["channel"]] = texts.get(event["channel"], "") + event["text"]
    return texts


def placed(message: str) -> bool:
    """Whether an error says where: file and line."""
    return re.search(r"airlock\.toml(:|.*line )\d+", message) is not None
