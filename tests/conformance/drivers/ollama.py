"""Ollama's API by the `ollama` SDK."""

from __future__ import annotations

import json
from typing import Any

from ollama import Client

from drivers.driver import CLIENT_KEY, TIMEOUT, Driver, called, openai_tool, said
from script import LENGTH, STOP, TOOL, Ask, Outcome


def client(host: str, headers: dict[str, str]) -> Client:
    return Client(host=host, headers=headers | {"authorization": f"Bearer {CLIENT_KEY}"}, timeout=TIMEOUT)


class Ollama(Driver):
    name = "ollama"
    words = {"stop": STOP, "length": LENGTH}

    def run(self, host: str, headers: dict[str, str], ask: Ask, outcome: Outcome) -> None:
        messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ask.prompt}]
        if done := ask.done:
            messages.append({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": done.name, "arguments": done.arguments}}]})
            messages.append({"role": "tool", "tool_name": done.name, "content": done.result})
        order: dict[str, Any] = {"model": ask.model, "messages": messages, "stream": ask.streamed}
        if ask.tools:
            order["tools"] = [openai_tool(name) for name in ask.tools]
        if ask.reasoning:
            order["think"] = True
        with client(host, headers) as sdk:
            answer = sdk.chat(**order)
            for part in answer if ask.streamed else [answer]:
                said(outcome, "reasoning", 0, part.message.thinking)
                said(outcome, "output", 0, part.message.content)
                for call in part.message.tool_calls or []:
                    said(outcome, "tool-arguments", 0, json.dumps(dict(call.function.arguments), separators=(",", ":")))
                    called(outcome, 0, call.function.name, dict(call.function.arguments))
                ended(self, part, outcome)
        if outcome.calls and outcome.finish.get(0) == STOP:
            outcome.finish[0] = TOOL


class Generate(Driver):
    name = "ollama-generate"
    words = Ollama.words

    def run(self, host: str, headers: dict[str, str], ask: Ask, outcome: Outcome) -> None:
        with client(host, headers) as sdk:
            order: dict[str, Any] = {"model": ask.model, "prompt": ask.prompt, "stream": ask.streamed}
            answer = sdk.generate(**order, think=True if ask.reasoning else None)
            for part in answer if ask.streamed else [answer]:
                said(outcome, "reasoning", 0, part.thinking)
                said(outcome, "output", 0, part.response)
                ended(self, part, outcome)


def ended(driver: Driver, part: Any, outcome: Outcome) -> None:
    """The last object says why it is the last, and what it took."""
    if part.done:
        outcome.finish[0] = driver.word(part.done_reason)
        if part.eval_count is not None:
            outcome.usage = (part.prompt_eval_count, part.eval_count)
