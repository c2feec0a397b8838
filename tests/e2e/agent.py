"""An agent on the official SDK, in each of the ways in which an application can read an answer."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
from openai.types.chat import ChatCompletionMessage

TOOLS = [
    {"type": "function", "function": {"name": name, "strict": True, "parameters": {"type": "object"}}}
    for name in ("search", "transfer", "delete_user")
]

# Not streamed; the chunks, put together as the vendor's documentation says; the SDK's own accumulation.
WAYS = ["whole", "chunks", "helper"]


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """A turn of the simulated model that calls a tool."""
    return calls((name, arguments))


def calls(*made: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A turn of the simulated model that calls several tools at once."""
    return {"tool_calls": [{"name": name, "arguments": arguments} for name, arguments in made]}


class Agent:
    """It does what its model says and keeps the whole history."""

    def __init__(
        self, sdk: openai.OpenAI, turns: list[dict[str, Any]], results: dict[str, str] | None = None, way: str = "whole"
    ):
        self.sdk = sdk
        self.results = results or {}
        self.way = way
        self.messages: list[Any] = [{"role": "user", "content": json.dumps({"turns": turns})}]
        self.called: list[tuple[str, dict[str, Any]]] = []
        self.usage: Any = None

    def ask(self) -> ChatCompletionMessage:
        """The model's next message. Nothing is remembered of it."""
        order: dict[str, Any] = {"model": "sim-echo", "messages": self.messages, "tools": TOOLS}
        usage = {"stream_options": {"include_usage": True}}
        if self.way == "whole":
            answer = self.sdk.chat.completions.create(**order)
        elif self.way == "helper":
            with self.sdk.chat.completions.stream(**order, **usage) as stream:
                answer = stream.get_final_completion()
        else:
            return self.put_together(self.sdk.chat.completions.create(**order, **usage, stream=True))
        self.usage = answer.usage
        return answer.choices[0].message

    def put_together(self, stream: Any) -> ChatCompletionMessage:
        text, made, finished = "", [], 0
        for chunk in stream:
            self.usage = chunk.usage or self.usage
            for choice in chunk.choices:
                assert not finished, "the choice had finished"
                text += choice.delta.content or ""
                for part in choice.delta.tool_calls or []:
                    if part.index == len(made):
                        made.append({"id": part.id, "type": "function", "function": {"name": part.function.name, "arguments": ""}})
                    assert part.index == len(made) - 1, "indexes are consecutive"
                    made[-1]["function"]["arguments"] += part.function.arguments or ""
                finished += choice.finish_reason is not None
        assert finished == 1
        return ChatCompletionMessage.model_validate({"role": "assistant", "content": text or None, "tool_calls": made or None})

    def step(self) -> ChatCompletionMessage:
        """One model call, and the tools that it asks for."""
        message = self.ask()
        said = message.model_dump(exclude_none=True, exclude={"parsed"})
        self.messages.append({"content": None} | said)
        for made in message.tool_calls or []:
            self.called.append((made.function.name, json.loads(made.function.arguments)))
            result = self.results.get(made.function.name, "ok")
            self.messages.append({"role": "tool", "tool_call_id": made.id, "content": result})
        return message

    def run(self, steps: int = 12) -> str:
        """Until the model makes no call any more. Returns what it said last."""
        for _ in range(steps):
            message = self.step()
            if not message.tool_calls:
                return message.content or ""
        raise AssertionError(f"the agent did not end in {steps} steps: {self.called}")

    @property
    def tools_called(self) -> list[str]:
        return [name for name, _ in self.called]


class Comments(httpx.HTTPTransport):
    """The connection of an SDK, on which Airlock's comments are counted before the SDK skips them."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        response.stream = _Counted(response.stream, self)
        return response


class _Counted(httpx.SyncByteStream):
    def __init__(self, stream: Any, comments: Comments):
        self.stream, self.comments = stream, comments

    def __iter__(self) -> Any:
        for piece in self.stream:
            self.comments.read += piece.count(b": airlock keeps the connection\n\n")
            yield piece

    def close(self) -> None:
        self.stream.close()
