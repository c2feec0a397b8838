"""OpenAI Chat Completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openai.types.chat import completion_create_params as params

from script import FILTER, LENGTH, STOP, TOOL, Answer, Call, Fail, Gate, Refuse, Say, Think, Wait
from upstreams.http import Received
from upstreams.wire import data, known, need

FINISH = {STOP: "stop", LENGTH: "length", TOOL: "tool_calls", FILTER: "content_filter"}
PARAMETERS = set(params.CompletionCreateParamsBase.__annotations__) | {"stream"}
ROLES = {"system", "developer", "user", "assistant", "tool"}


class Chat:
    name = "openai-chat"
    dialect = "openai-chat"
    base = "/v1"
    content_type = "text/event-stream"

    def serves(self, request: Received) -> bool:
        return (request.method, request.path) == ("POST", "/v1/chat/completions")

    def streamed(self, request: Received) -> bool:
        return request.json.get("stream") is True

    def check(self, request: Received) -> None:
        body = request.json
        known(body, PARAMETERS, "chat completions")
        need(isinstance(body.get("model"), str), "you must provide a model parameter")
        need(body.get("messages"), "[] is too short - 'messages'")
        need("stream_options" not in body or body.get("stream"), "'stream_options' is only allowed when 'stream' is enabled")
        for tool in body.get("tools", []):
            known(tool, ("type", "function"), "tool")
            known(tool["function"], ("name", "description", "parameters", "strict"), "tool.function")
        open_calls: set[str] = set()
        for message in body["messages"]:
            role = message["role"]
            need(role in ROLES, f"'{role}' is not one of {sorted(ROLES)}")
            if role == "tool":
                need(message["tool_call_id"] in open_calls, "messages with role 'tool' must be a response to a preceding message with 'tool_calls'")
                open_calls.discard(message["tool_call_id"])
                continue
            need(not open_calls, f"tool_call_ids did not have response messages: {sorted(open_calls)}")
            calls = message.get("tool_calls")
            need(calls is None or calls, "[] is too short - 'tool_calls'")
            need(role == "assistant" or not calls, "only an assistant calls tools")
            need(message.get("content") is not None or role == "assistant", f"'{role}' needs content")
            need(calls or role != "assistant" or message.get("content") or message.get("refusal"), "an assistant's message needs content or calls")
            open_calls = {call["id"] for call in calls or []}
        need(not open_calls, f"tool_call_ids did not have response messages: {sorted(open_calls)}")

    def stream(self, answer: Answer, request: Received) -> Iterator[bytes | Gate]:
        def chunk(choice: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
            return data(self._head(request, "chat.completion.chunk") | {"choices": [{"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish}]})

        for choice in range(answer.choices):
            yield chunk(choice, {"role": "assistant", "content": None if answer.of(choice, Call) else "", "refusal": None})
        numbers: dict[int, int] = {}
        for part in answer.parts:
            match part:
                case Say(text, choice):
                    yield chunk(choice, {"content": text})
                case Think(text, choice):
                    yield chunk(choice, {"reasoning": text})
                case Refuse(text, choice):
                    yield chunk(choice, {"refusal": text})
                case Call(name, fragments, id, choice):
                    number = numbers[choice] = numbers.get(choice, -1) + 1
                    yield chunk(choice, {"tool_calls": [{"index": number, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]})
                    for fragment in fragments:
                        yield chunk(choice, {"tool_calls": [{"index": number, "function": {"arguments": fragment}}]})
                case Wait(gate):
                    yield gate
                case Fail(message):
                    yield data(self.error(500, message))
                    return
        for choice in range(answer.choices):
            yield chunk(choice, {}, self._finish(answer, choice))
        if wants_usage(request):
            yield data(self._head(request, "chat.completion.chunk") | {"choices": [], "usage": usage(answer)})
        yield b"data: [DONE]\n\n"

    def body(self, answer: Answer, request: Received) -> dict[str, Any]:
        choices = []
        for choice in range(answer.choices):
            message: dict[str, Any] = {"role": "assistant", "content": answer.text(Say, choice) or None, "refusal": answer.text(Refuse, choice) or None}
            if thought := answer.text(Think, choice):
                message["reasoning"] = thought
            if calls := answer.of(choice, Call):
                message["tool_calls"] = [{"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in calls]
            choices.append({"index": choice, "message": message, "logprobs": None, "finish_reason": self._finish(answer, choice)})
        return self._head(request, "chat.completion") | {"choices": choices, "usage": usage(answer)}

    def error(self, status: int, message: str) -> dict[str, Any]:
        kind = "invalid_request_error" if status < 500 else "server_error"
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}

    def _head(self, request: Received, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{request.at}", "object": kind, "created": 1700000000, "model": request.json["model"]}

    def _finish(self, answer: Answer, choice: int) -> str:
        calls = answer.of(choice, Call)
        return FINISH[TOOL if calls else STOP if answer.finish == TOOL else answer.finish]


def wants_usage(request: Received) -> bool:
    """Whether a stream ends with its usage. One that comes to a request for a whole answer has what that would have."""
    return (request.json.get("stream_options") or {}).get("include_usage") or request.json.get("stream") is not True


def usage(answer: Answer) -> dict[str, int]:
    told, said = answer.usage
    return {"prompt_tokens": told, "completion_tokens": said, "total_tokens": told + said}
