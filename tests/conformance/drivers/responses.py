"""Responses by the `openai` SDK."""

from __future__ import annotations

import json
from typing import Any

from drivers.chat import client
from drivers.driver import Driver, called, said
from script import FILTER, LENGTH, SCHEMA, STOP, TOOL, Ask, Outcome


class Responses(Driver):
    name = "openai-responses"
    words = {"max_output_tokens": LENGTH, "content_filter": FILTER}

    def run(self, host: str, headers: dict[str, str], ask: Ask, outcome: Outcome) -> None:
        items: list[dict[str, Any]] = [{"role": "user", "content": ask.prompt}]
        if done := ask.done:
            items.append({"type": "function_call", "call_id": done.id, "name": done.name, "arguments": json.dumps(done.arguments)})
            items.append({"type": "function_call_output", "call_id": done.id, "output": done.result})
        order: dict[str, Any] = {"model": ask.model, "instructions": "Be brief.", "input": items}
        if ask.tools:
            order["tools"] = [{"type": "function", "name": name, "description": "Looks up.", "parameters": SCHEMA, "strict": False} for name in ask.tools]
        if ask.reasoning:
            order["reasoning"] = {"summary": "auto"}
        responses = client(host, headers).responses
        if not ask.streamed:
            self._whole(responses.create(**order), outcome, read=True)
            return
        for event in responses.create(**order, stream=True):
            self._event(event, outcome)

    def _event(self, event: Any, outcome: Outcome) -> None:
        match event.type:
            case "response.output_text.delta":
                said(outcome, "output", 0, event.delta)
            case "response.refusal.delta":
                said(outcome, "refusal", 0, event.delta)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                said(outcome, "reasoning", 0, event.delta)
            case "response.function_call_arguments.delta":
                said(outcome, "tool-arguments", 0, event.delta)
            case "error":
                outcome.error, outcome.message = ("error",), event.message
            case "response.failed":
                outcome.error, outcome.message = ("response.failed",), event.response.error.message
            case "response.completed" | "response.incomplete":
                self._whole(event.response, outcome, read=False)

    def _whole(self, response: Any, outcome: Outcome, read: bool) -> None:
        """What the final object says. It repeats what was streamed, which must be the same."""
        final: dict[str, str] = {}
        for item in response.output:
            if item.type == "function_call":
                final["tool-arguments"] = final.get("tool-arguments", "") + item.arguments
                called(outcome, 0, item.name, json.loads(item.arguments), item.call_id)
            for part in getattr(item, "content", None) or []:
                channel = {"output_text": "output", "refusal": "refusal", "reasoning_text": "reasoning"}[part.type]
                final[channel] = final.get(channel, "") + (part.refusal if part.type == "refusal" else part.text)
            for part in getattr(item, "summary", None) or []:
                final["reasoning"] = final.get("reasoning", "") + part.text
        for channel in ("output", "refusal", "reasoning", "tool-arguments"):
            text = final.get(channel, "")
            if read:
                said(outcome, channel, 0, text)
            elif outcome.text(channel) != text:
                raise ValueError(f"the final object has {text!r} for {channel}, the stream had {outcome.text(channel)!r}")
        details = response.incomplete_details
        finish = TOOL if outcome.calls else STOP
        outcome.finish[0] = self.word(details.reason) if response.status == "incomplete" and details else finish
        if response.status == "failed":
            outcome.error, outcome.message = ("response.failed",), response.error.message
        if response.usage:
            outcome.usage = (response.usage.input_tokens, response.usage.output_tokens)
