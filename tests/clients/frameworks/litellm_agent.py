"""LiteLLM: its functions, in a loop by hand."""

from __future__ import annotations

import json
from typing import Any

import litellm

from frameworks.agent import Agent, Place
from sdks import MODEL, PARAMETERS

TOOLS = [{"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in PARAMETERS.items()]


class LiteLLM(Agent):
    wire, setup = "openai-chat", "litellm"

    def make(self, place: Place) -> None:
        litellm.suppress_debug_info = True
        self.messages: list[Any] = []

    async def turn(self, text: str, streamed: bool) -> str:
        self.messages.append({"role": "user", "content": text})
        for _ in range(8):
            answer = await litellm.acompletion(model=f"openai/{MODEL}", messages=self.messages, tools=TOOLS, stream=streamed)
            if streamed:
                answer = litellm.stream_chunk_builder([chunk async for chunk in answer])
            message = answer.choices[0].message
            self.messages.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                return message.content or ""
            for call in message.tool_calls:
                result = getattr(self.tools, call.function.name)(**json.loads(call.function.arguments))
                self.messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        raise AssertionError(f"no end: {self.called}")
