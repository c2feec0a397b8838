"""The first-party policies, as the tests configure them."""

from __future__ import annotations

from typing import Any

from airlock import policy

FORBIDDEN = "FORBIDDEN-7731"
FALLBACK = "This answer was withheld."


def blocklist(action: str = "hard", patterns: list[str] | None = None, **entry: Any) -> str:
    texts = [{"text": text} for text in patterns or [FORBIDDEN]]
    settings = {"patterns": texts, "action": action, "fallback": FALLBACK, "alert": False}
    return policy("blocklist", settings, **entry)


def latency_budget(budget_ms: int, fast_model: str = "sim-fast", **entry: Any) -> str:
    return policy("latency-budget", {"budget_ms": budget_ms, "fast_model": fast_model}, **entry)


def token_budget(max_tokens: int, **entry: Any) -> str:
    return policy("token-budget", {"max_tokens": max_tokens, "alert": False}, **entry)


def tool_errors(max_errors: int = 3, **entry: Any) -> str:
    return policy("tool-errors", {"max_errors": max_errors}, **entry)
