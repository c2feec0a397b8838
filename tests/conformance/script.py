"""What a fake model server says and what a client asks, in words that belong to no wire API."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class Gate:
    """A point in an answer that the upstream does not pass before a test opens it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.opened = False
        self.waiting: list[Callable[[], None]] = []

    def open(self) -> None:
        with self.lock:
            self.opened, waiting, self.waiting = True, self.waiting, []
        for passes in waiting:
            passes()

    def when_open(self, passes: Callable[[], None]) -> None:
        """Calls this once the gate is open, from whatever thread opens it."""
        with self.lock:
            if not self.opened:
                self.waiting.append(passes)
                return
        passes()


@dataclass(frozen=True)
class Say:
    """Text of the answer."""

    text: str
    choice: int = 0


@dataclass(frozen=True)
class Think:
    """A thought that the client may read."""

    text: str
    choice: int = 0


@dataclass(frozen=True)
class Refuse:
    """Words of a refusal."""

    text: str
    choice: int = 0


@dataclass(frozen=True)
class Call:
    """A call of a tool, its arguments in fragments."""

    name: str
    fragments: tuple[str, ...]
    id: str = "call_one"
    choice: int = 0

    @property
    def arguments(self) -> str:
        return "".join(self.fragments)


@dataclass(frozen=True)
class Wait:
    """Nothing further until the gate is open."""

    gate: Gate


@dataclass(frozen=True)
class Fail:
    """The answer ends here with the vendor's error."""

    message: str = "the model fell over"


Part = Say | Think | Refuse | Call | Wait | Fail

# The words of the script for how an answer ends; each wire API has its own for them.
STOP, LENGTH, TOOL, FILTER = "stop", "length", "tool", "filter"


@dataclass(frozen=True)
class Answer:
    """What a fake upstream answers to one request."""

    parts: tuple[Part, ...]
    finish: str = STOP
    usage: tuple[int, int] = (11, 7)
    # An error with this HTTP status, and no answer.
    status: int = 200
    # Whether it comes as a stream, whatever was asked for.
    streamed: bool | None = None

    def of(self, choice: int, *kinds: type) -> list[Any]:
        return [part for part in self.parts if isinstance(part, kinds) and part.choice == choice]

    def text(self, kind: type, choice: int = 0) -> str:
        return "".join(part.text for part in self.of(choice, kind))

    @property
    def choices(self) -> int:
        return 1 + max((part.choice for part in self.parts if hasattr(part, "choice")), default=0)


@dataclass(frozen=True)
class Done:
    """An earlier step of the conversation: a tool that was called, and what came of it."""

    name: str
    arguments: dict[str, Any]
    result: str
    id: str = "call_before"


@dataclass(frozen=True)
class Ask:
    """What a client asks."""

    model: str
    prompt: str = "Go on."
    streamed: bool = True
    tools: tuple[str, ...] = ()
    done: Done | None = None
    choices: int = 1
    reasoning: bool = False


SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}


@dataclass
class Outcome:
    """What an SDK reported, in the order in which its user could read it."""

    # (nanoseconds, channel, choice, text), appended the moment it can be read.
    read: list[tuple[int, str, int, str]] = field(default_factory=list)
    # (nanoseconds, choice, name, arguments as a value) once a call is whole.
    calls: list[tuple[int, int, str, Any]] = field(default_factory=list)
    # Ids of the calls; empty where the API has none.
    ids: list[str] = field(default_factory=list)
    finish: dict[int, str] = field(default_factory=dict)
    usage: tuple[int, int] | None = None
    # Names of the exception's classes, its status, and its words.
    error: tuple[str, ...] = ()
    status: int | None = None
    message: str = ""

    def text(self, channel: str = "output", choice: int = 0) -> str:
        return "".join(text for _, where, which, text in self.read if (where, which) == (channel, choice))

    def all(self) -> str:
        """Everything that the user could read, for a search of what must not be there."""
        called = "".join(f"{name}{arguments}" for _, _, name, arguments in self.calls)
        return "".join(text for *_, text in self.read) + called + self.message
