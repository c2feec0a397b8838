"""Ollama's completion of a prompt, `/api/generate`: lines of JSON without messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from script import Answer, Fail, Gate, Refuse, Say, Think, Wait
from upstreams.http import Received
from upstreams.ollama import Ollama, line
from upstreams.wire import known, need

PARAMETERS = (
    "model prompt suffix images format options system template stream raw keep_alive context think width height steps logprobs top_logprobs"
).split()


class Generate(Ollama):
    name = "ollama-generate"

    def serves(self, request: Received) -> bool:
        return (request.method, request.path) == ("POST", "/api/generate")

    def check(self, request: Received) -> None:
        known(request.json, PARAMETERS, "generate")
        need(request.json.get("model"), "model is required")
        need(isinstance(request.json.get("prompt"), str), "prompt is a string")

    def stream(self, answer: Answer, request: Received) -> Iterator[bytes | Gate]:
        for part in answer.parts:
            match part:
                case Wait(gate):
                    yield gate
                case Fail(message):
                    yield line(self.error(500, message))
                    return
                case _:
                    yield line(self._head(request) | said([part]) | {"done": False})
        yield line(self._head(request) | {"response": "", "context": [1, 2, 3]} | self._end(answer))

    def body(self, answer: Answer, request: Received) -> dict[str, Any]:
        return self._head(request) | said(answer.of(0, Say, Think, Refuse)) | {"context": [1, 2, 3]} | self._end(answer)


def said(parts: list[Any]) -> dict[str, Any]:
    text = {"response": "".join(p.text for p in parts if isinstance(p, (Say, Refuse)))}
    thought = "".join(p.text for p in parts if isinstance(p, Think))
    return text | ({"thinking": thought} if thought else {})
