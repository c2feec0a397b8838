"""Messages by the `anthropic` SDK."""

from __future__ import annotations

import json
from typing import Any

from anthropic import Anthropic

from drivers.driver import CLIENT_KEY, TIMEOUT, Driver, called, said
from script import FILTER, LENGTH, SCHEMA, STOP, TOOL, Ask, Outcome


class Messages(Driver):
    name = "anthropic-messages"
    words = {"end_turn": STOP, "max_tokens": LENGTH, "tool_use": TOOL, "refusal": FILTER}

    def run(self, host: str, headers: dict[str, str], ask: Ask, outcome: Outcome) -> None:
        messages: list[dict[str, Any]] = [{"role": "user", "content": ask.prompt}]
        if done := ask.done:
            use = {"type": "tool_use", "id": done.id, "name": done.name, "input": done.arguments}
            result = {"type": "tool_result", "tool_use_id": done.id, "content": done.result}
            messages += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
        order: dict[str, Any] = {"model": ask.model, "max_tokens": 4096, "system": "Be brief.", "messages": messages}
        if ask.tools:
            order["tools"] = [{"name": name, "description": "Looks up.", "input_schema": SCHEMA} for name in ask.tools]
        if ask.reasoning:
            order["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        sdk = Anthropic(base_url=host, api_key=CLIENT_KEY, max_retries=0, timeout=TIMEOUT, default_headers=headers)
        if ask.streamed:
            for event in sdk.messages.create(**order, stream=True):
                self._event(event, outcome)
        else:
            self._whole(sdk.messages.create(**order), outcome)

    def _event(self, event: Any, outcome: Outcome) -> None:
        match event.type:
            case "message_start":
                outcome.usage = (event.message.usage.input_tokens, event.message.usage.output_tokens)
                self.blocks: dict[int, list[str]] = {}
            case "content_block_start" if event.content_block.type == "tool_use":
                self.blocks[event.index] = [event.content_block.name, "", event.content_block.id]
            case "content_block_start":
                block = event.content_block
                said(outcome, "output", 0, getattr(block, "text", None))
                said(outcome, "reasoning", 0, getattr(block, "thinking", None))
            case "content_block_delta":
                delta = event.delta
                if delta.type == "input_json_delta":
                    self.blocks[event.index][1] += delta.partial_json
                    said(outcome, "tool-arguments", 0, delta.partial_json)
                said(outcome, "output", 0, getattr(delta, "text", None))
                said(outcome, "reasoning", 0, getattr(delta, "thinking", None))
            case "content_block_stop" if event.index in self.blocks:
                name, arguments, id = self.blocks.pop(event.index)
                called(outcome, 0, name, json.loads(arguments or "{}"), id)
            case "message_delta":
                if event.delta.stop_reason:
                    outcome.finish[0] = self.word(event.delta.stop_reason)
                told = outcome.usage[0] if outcome.usage else 0
                outcome.usage = (event.usage.input_tokens or told, event.usage.output_tokens)

    def _whole(self, message: Any, outcome: Outcome) -> None:
        for block in message.content:
            said(outcome, "output", 0, getattr(block, "text", None))
            said(outcome, "reasoning", 0, getattr(block, "thinking", None))
            if block.type == "tool_use":
                said(outcome, "tool-arguments", 0, json.dumps(block.input, separators=(",", ":")))
                called(outcome, 0, block.name, block.input, block.id)
        outcome.finish[0] = self.word(message.stop_reason)
        outcome.usage = (message.usage.input_tokens, message.usage.output_tokens)
