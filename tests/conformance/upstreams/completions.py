"""OpenAI's legacy completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openai.types import completion_create_params as params

from script import FILTER, LENGTH, STOP, Answer, Fail, Gate, Refuse, Say, Wait
from upstreams.chat import usage, wants_usage
from upstreams.http import Received
from upstreams.wire import data, known, need

PARAMETERS = set(params.CompletionCreateParamsBase.__annotations__) | {"stream"}
FINISH = {STOP: "stop", LENGTH: "length", FILTER: "content_filter"}


class Completions:
    name = "openai-completions"
    dialect = "openai-completions"
    base = "/v1"
    content_type = "text/event-stream"

    def serves(self, request: Received) -> bool:
        return (request.method, request.path) == ("POST", "/v1/completions")

    def streamed(self, request: Received) -> bool:
        return request.json.get("stream") is True

    def check(self, request: Received) -> None:
        body = request.json
        known(body, PARAMETERS, "completions")
        need(isinstance(body.get("model"), str), "you must provide a model parameter")
        need(isinstance(body.get("prompt"), (str, list)), "you must provide a prompt")
        need("stream_options" not in body or body.get("stream"), "'stream_options' is only allowed when 'stream' is enabled")

    def stream(self, answer: Answer, request: Received) -> Iterator[bytes | Gate]:
        def chunk(choice: int, text: str, finish: str | None = None) -> bytes:
            return data(self._head(request) | {"choices": [{"text": text, "index": choice, "logprobs": None, "finish_reason": finish}]})

        for part in answer.parts:
            match part:
                case Say(text, choice) | Refuse(text, choice):
                    yield chunk(choice, text)
                case Wait(gate):
                    yield gate
                case Fail(message):
                    yield data(self.error(500, message))
                    return
        for choice in range(answer.choices):
            yield chunk(choice, "", FINISH[answer.finish])
        if wants_usage(request):
            yield data(self._head(request) | {"choices": [], "usage": usage(answer)})
        yield b"data: [DONE]\n\n"

    def body(self, answer: Answer, request: Received) -> dict[str, Any]:
        choices = []
        for choice in range(answer.choices):
            text = "".join(part.text for part in answer.of(choice, Say, Refuse))
            choices.append({"text": text, "index": choice, "logprobs": None, "finish_reason": FINISH[answer.finish]})
        return self._head(request) | {"choices": choices, "usage": usage(answer)}

    def error(self, status: int, message: str) -> dict[str, Any]:
        kind = "invalid_request_error" if status < 500 else "server_error"
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}

    def _head(self, request: Received) -> dict[str, Any]:
        return {"id": "cmpl-fake", "object": "text_completion", "created": 1700000000, "model": request.json["model"]}
