"""Ollama's own API: lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from script import LENGTH, Answer, Call, Fail, Gate, Refuse, Say, Think, Wait
from upstreams.http import Received
from upstreams.wire import known, need

CHAT = ("model", "messages", "tools", "stream", "format", "options", "keep_alive", "think", "logprobs", "top_logprobs")
ROLES = {"system", "user", "assistant", "tool"}


def line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


class Ollama:
    name = "ollama"
    dialect = "ollama"
    base = ""
    content_type = "application/x-ndjson"

    def serves(self, request: Received) -> bool:
        return (request.method, request.path) == ("POST", "/api/chat")

    def streamed(self, request: Received) -> bool:
        return request.json.get("stream", True) is True

    def check(self, request: Received) -> None:
        body = request.json
        # The server ignores what it does not know; here it is a fault of the one who sent it.
        known(body, CHAT, "chat")
        need(body.get("model"), "model is required")
        need(body.get("messages"), "messages is required")
        called: list[str] = []
        for message in body["messages"]:
            known(message, ("role", "content", "thinking", "images", "tool_calls", "tool_name", "tool_call_id"), "messages")
            need(message["role"] in ROLES, f"invalid role: {message['role']}")
            for call in message.get("tool_calls") or []:
                need(isinstance(call["function"]["arguments"], dict), "json: cannot unmarshal string into arguments")
                called.append(call["function"]["name"])
            if message["role"] == "tool":
                need(called, "a tool's result follows a call")
                name = message.get("tool_name")
                need(name is None or name in called, f"nobody called {name}")

    def stream(self, answer: Answer, request: Received) -> Iterator[bytes | Gate]:
        for part in answer.parts:
            match part:
                case Wait(gate):
                    yield gate
                case Fail(message):
                    yield line(self.error(500, message))
                    return
                case _:
                    yield line(self._head(request) | {"message": message_of([part]), "done": False})
        yield line(self._head(request) | {"message": {"role": "assistant", "content": ""}} | self._end(answer))

    def body(self, answer: Answer, request: Received) -> dict[str, Any]:
        return self._head(request) | {"message": message_of(answer.of(0, Say, Think, Refuse, Call))} | self._end(answer)

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"error": message}

    def _head(self, request: Received) -> dict[str, Any]:
        return {"model": request.json["model"], "created_at": "2026-01-01T00:00:00.000000Z"}

    def _end(self, answer: Answer) -> dict[str, Any]:
        told, said = answer.usage
        return {
            "done": True,
            "done_reason": "length" if answer.finish == LENGTH else "stop",
            "total_duration": 4000000,
            "load_duration": 1000000,
            "prompt_eval_count": told,
            "prompt_eval_duration": 1000000,
            "eval_count": said,
            "eval_duration": 2000000,
        }


def message_of(parts: list[Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(p.text for p in parts if isinstance(p, (Say, Refuse)))}
    if thought := "".join(p.text for p in parts if isinstance(p, Think)):
        message["thinking"] = thought
    if calls := [p for p in parts if isinstance(p, Call)]:
        message["tool_calls"] = [{"function": {"name": call.name, "arguments": json.loads(call.arguments)}} for call in calls]
    return message
