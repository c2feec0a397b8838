"""What every agent of a framework has: two tools, one loop of events, and turns of one conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from sdks import Tools

# Frameworks keep connections in variables of their modules: all run in one loop.
LOOP = asyncio.new_event_loop()

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where Airlock is, as `airlock client-setup` says: variables, which are set, and code."""

    client: str
    environment: dict[str, str]
    text: str


class Agent:
    """An agent as the framework's documentation makes it. Only its base URL and its key say that Airlock is there."""

    wire: str
    # What `airlock client-setup` calls the framework.
    setup: str
    # What the framework writes before the names of tools.
    prefix = ""

    def __init__(self, place: Place):
        self.tools = Tools()
        self.make(place)

    @property
    def called(self) -> list[tuple[str, dict[str, Any]]]:
        return self.tools.called

    def make(self, place: Place) -> None:
        raise NotImplementedError

    def run(self, text: str, streamed: bool) -> str:
        """The next turn of the conversation: what the model says after all its calls."""
        return LOOP.run_until_complete(self.turn(text, streamed))

    def turn(self, text: str, streamed: bool) -> Coroutine[Any, Any, str]:
        raise NotImplementedError

    def close(self) -> None:
        """Ends what is not this process."""
