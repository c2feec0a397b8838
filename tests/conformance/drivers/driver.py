"""What every driver has: the vendor's SDK asks, and what its user could read is written down the moment it can be read."""

from __future__ import annotations

import time
from typing import Any

from script import FILTER, LENGTH, SCHEMA, STOP, TOOL, Ask, Outcome

# What a client sends as its credential.
CLIENT_KEY = "sk-client-0123456789abcdef"
SESSION_HEADER = "x-airlock-session-id"
TIMEOUT = 60


class Driver:
    """One way to ask: a wire API by its vendor's SDK."""

    # The wire API, as the configuration names it.
    name: str
    # How an SDK's word for the end is said in the script's words.
    words: dict[str, str] = {}

    def ask(self, host: str, session: str, ask: Ask, outcome: Outcome) -> Outcome:
        """Asks; an exception of the SDK becomes part of the outcome, which can be read by others meanwhile."""
        try:
            self.run(host, {SESSION_HEADER: session}, ask, outcome)
        except Exception as error:  # What an SDK raises is what is measured.
            outcome.error = tuple(kind.__name__ for kind in type(error).__mro__[:-2])
            status = getattr(error, "status_code", None) or getattr(error, "code", None)
            outcome.status = status if isinstance(status, int) else None
            outcome.message = f"{error}"
        return outcome

    def run(self, host: str, headers: dict[str, str], ask: Ask, outcome: Outcome) -> None:
        raise NotImplementedError

    def word(self, finish: Any) -> str:
        """The script's word for an end; the SDK's own where it has none."""
        text = getattr(finish, "value", finish)
        return self.words.get(text, f"{text}")


def said(outcome: Outcome, channel: str, choice: int, text: str | None) -> None:
    if text:
        outcome.read.append((time.time_ns(), channel, choice, text))


def called(outcome: Outcome, choice: int, name: str, arguments: Any, id: str | None = None) -> None:
    outcome.ids.append(id or "")
    outcome.calls.append((time.time_ns(), choice, name, arguments))


OPENAI_WORDS = {"stop": STOP, "length": LENGTH, "tool_calls": TOOL, "content_filter": FILTER}


def openai_tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "Looks up.", "parameters": SCHEMA}}
