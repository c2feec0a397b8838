"""Anthropic Messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from anthropic.types import ToolParam
from anthropic.types import message_create_params as params

from script import FILTER, LENGTH, STOP, TOOL, Answer, Call, Fail, Gate, Refuse, Say, Think, Wait
from upstreams.http import Received
from upstreams.wire import data, known, need

PARAMETERS = set(params.MessageCreateParamsBase.__annotations__) | {"stream"}
FINISH = {STOP: "end_turn", LENGTH: "max_tokens", TOOL: "tool_use", FILTER: "refusal"}
SIGNATURE = "c2lnbmVkIGJ5IHRoZSB2ZW5kb3I="


class Messages:
    name = "anthropic-messages"
    dialect = "anthropic-messages"
    base = ""
    content_type = "text/event-stream"

    def serves(self, request: Received) -> bool:
        return (request.method, request.path) == ("POST", "/v1/messages")

    def streamed(self, request: Received) -> bool:
        return request.json.get("stream") is True

    def check(self, request: Received) -> None:
        body = request.json
        known(body, PARAMETERS, "messages")
        need(request.headers.get("anthropic-version"), "anthropic-version: header is required")
        need(isinstance(body.get("model"), str), "model: Field required")
        need(isinstance(body.get("max_tokens"), int) and body["max_tokens"] > 0, "max_tokens: Field required")
        need(body.get("messages"), "messages: at least one message is required")
        need(body["messages"][0]["role"] == "user", "messages: first message must use the \"user\" role")
        for tool in body.get("tools", []):
            known(tool, ToolParam.__annotations__, "tools")
            need(tool["input_schema"].get("type") == "object", "tools: input_schema.type: Field required")
        waiting: set[str] = set()
        for message in body["messages"]:
            known(message, ("role", "content"), "messages")
            need(message["role"] in ("user", "assistant"), f"messages: Unexpected role \"{message['role']}\"")
            need(message["content"], "messages: all messages must have non-empty content")
            blocks = [] if isinstance(message["content"], str) else message["content"]
            for block in blocks:
                if block["type"] == "text":
                    need(block["text"], "messages: text content blocks must be non-empty")
                if block["type"] == "thinking":
                    need(block.get("signature"), "messages: thinking.signature: Field required")
            results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
            need(not waiting - results, "`tool_use` ids were found without `tool_result` blocks immediately after")
            need(not results - waiting, "unexpected `tool_use_id` found in `tool_result` blocks")
            waiting = {block["id"] for block in blocks if block["type"] == "tool_use"}
            need(not waiting or message["role"] == "assistant", "only an assistant uses tools")
            for block in blocks:
                need(block["type"] != "tool_use" or isinstance(block["input"], dict), "tool_use.input: Input should be a valid dictionary")
        need(not waiting, "`tool_use` ids were found without `tool_result` blocks immediately after")

    def stream(self, answer: Answer, request: Received) -> Iterator[bytes | Gate]:
        def event(kind: str, **fields: Any) -> bytes:
            return data({"type": kind, **fields}, kind)

        told, said = answer.usage
        empty = self._message(request, [], None) | {"usage": {"input_tokens": told, "output_tokens": 1}}
        yield event("message_start", message=empty)
        yield event("ping")
        index, open_kind = -1, None
        for part in answer.parts:
            if isinstance(part, Wait):
                yield part.gate
                continue
            if isinstance(part, Fail):
                yield event("error", error={"type": "api_error", "message": part.message})
                return
            kind = Say if isinstance(part, Refuse) else type(part)
            if kind is not open_kind or kind is Call:
                if open_kind:
                    yield from self._close(event, index, open_kind)
                index, open_kind = index + 1, kind
                yield event("content_block_start", index=index, content_block=beginning(part))
            for delta in deltas(part):
                yield event("content_block_delta", index=index, delta=delta)
        if open_kind:
            yield from self._close(event, index, open_kind)
        delta = {"stop_reason": self._finish(answer), "stop_sequence": None}
        yield event("message_delta", delta=delta, usage={"output_tokens": said})
        yield event("message_stop")

    def body(self, answer: Answer, request: Received) -> dict[str, Any]:
        blocks: list[dict[str, Any]] = []
        for part in answer.parts:
            match part:
                case Say(text) | Refuse(text):
                    if blocks and blocks[-1]["type"] == "text":
                        blocks[-1]["text"] += text
                    else:
                        blocks.append({"type": "text", "text": text})
                case Think(text):
                    if blocks and blocks[-1]["type"] == "thinking":
                        blocks[-1]["thinking"] += text
                    else:
                        blocks.append({"type": "thinking", "thinking": text, "signature": SIGNATURE})
                case Call():
                    blocks.append({"type": "tool_use", "id": part.id, "name": part.name, "input": json.loads(part.arguments)})
        told, said = answer.usage
        return self._message(request, blocks, self._finish(answer)) | {"usage": {"input_tokens": told, "output_tokens": said}}

    def error(self, status: int, message: str) -> dict[str, Any]:
        kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 529: "overloaded_error"}
        return {"type": "error", "error": {"type": kinds.get(status, "api_error"), "message": message}, "request_id": "req_fake"}

    def _close(self, event: Any, index: int, kind: type) -> Iterator[bytes]:
        if kind is Think:
            yield event("content_block_delta", index=index, delta={"type": "signature_delta", "signature": SIGNATURE})
        yield event("content_block_stop", index=index)

    def _message(self, request: Received, blocks: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
        return {
            "id": f"msg_{request.at}",
            "type": "message",
            "role": "assistant",
            "model": request.json["model"],
            "content": blocks,
            "stop_reason": reason,
            "stop_sequence": None,
        }

    def _finish(self, answer: Answer) -> str:
        return FINISH[TOOL if answer.of(0, Call) else answer.finish]


def beginning(part: Any) -> dict[str, Any]:
    match part:
        case Think():
            return {"type": "thinking", "thinking": "", "signature": ""}
        case Call():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
    return {"type": "text", "text": ""}


def deltas(part: Any) -> list[dict[str, Any]]:
    match part:
        case Think(text):
            return [{"type": "thinking_delta", "thinking": text}]
        case Call():
            return [{"type": "input_json_delta", "partial_json": fragment} for fragment in part.fragments]
    return [{"type": "text_delta", "text": part.text}]
