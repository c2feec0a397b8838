"""A fake model server of one wire API, and Airlock in front of it with a rule and a block."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from airlock import Airlock
from harness import ROOT, wait_for
from policies import blocklist

sys.path.append(str(ROOT / "tests" / "conformance"))

from script import Answer, Call, Say  # noqa: E402
from upstreams import WIRES, Upstream  # noqa: E402

DENIED = "nobody is deleted"
RULE = f'[[rule]]\nname = "no-deletion"\nwhen = "tool.name.endsWith(\'delete_user\')"\ndo = "deny-tool-call"\nmessage = "{DENIED}"\n'


class Stage:
    """One upstream, one Airlock, and the sessions that it made since the last script."""

    def __init__(self, folder: Path, wire: str, *sections: str):
        self.upstream = Upstream(WIRES[wire])
        route = f'[upstream.fake]\nbase_url = "{self.upstream.base_url}"\ndialect = "{self.upstream.wire.dialect}"\n'
        self.airlock = Airlock(folder, None, *sections, routes=route)
        self.host = f"http://127.0.0.1:{self.airlock.port}"
        self.since = 0

    def play(self, *answers: Answer) -> None:
        """The next answers of the upstream, one a request."""
        self.upstream.play(*answers)
        self.since = time.time_ns() // 1000

    @property
    def asked(self) -> list[str]:
        """Bodies of the requests that the upstream received; it refused none."""
        assert self.upstream.refusals == [], "the vendor would have refused this"
        return [request.body.decode() for request in self.upstream.requests]

    def sessions(self, exchanges: int) -> list[dict[str, Any]]:
        """The sessions that were opened since the script began, once so many exchanges are recorded."""

        def new() -> list[dict[str, Any]] | None:
            rows = [row for row in self.airlock.sessions() if row["opened"] >= self.since]
            return rows if sum(row["exchanges"] for row in rows) >= exchanges else None

        return wait_for(new, f"{exchanges} exchanges to be recorded")

    def restart(self) -> None:
        self.airlock.stop()
        self.airlock.start()

    def stop(self) -> None:
        self.airlock.stop()
        self.upstream.stop()


class Stages:
    """Stages for a run of tests, each made when the first test asks for it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.made: dict[tuple[str, ...], Stage] = {}

    def of(self, wire: str, mode: str = "hard", *more: str) -> Stage:
        """With a block of this mode, the rule, and more."""
        key = (wire, mode, *more)
        if key not in self.made:
            self.made[key] = Stage(self.folder / f"{len(self.made)}-{wire}", wire, blocklist(mode), RULE, *more)
        return self.made[key]

    def stop(self) -> None:
        for stage in self.made.values():
            stage.stop()


def says(*texts: str) -> Answer:
    """An answer of these pieces of text."""
    return Answer(tuple(map(Say, texts)))


def calls(name: str, arguments: str, id: str = "call_one") -> Answer:
    """An answer that calls a tool, its arguments in two fragments."""
    middle = len(arguments) // 2
    return Answer((Call(name, (arguments[:middle], arguments[middle:]), id),))


__all__ = ["DENIED", "RULE", "Answer", "Stage", "Stages", "calls", "says"]
