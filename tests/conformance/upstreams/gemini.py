"""Gemini's generateContent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from script import FILTER, LENGTH, STOP, TOOL, Answer, Call, Fail, Gate, Refuse, Say, Think, Wait
from upstreams.http import Received
from upstreams.wire import data, known, need

PATH = re.compile(r"/v1(beta)?/models/([^/:]+):(generateContent|streamGenerateContent)")
FINISH = {STOP: "STOP", TOOL: "STOP", LENGTH: "MAX_TOKENS", FILTER: "SAFETY"}
PARAMETERS = ("contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig", "cachedContent", "labels", "model", "serviceTier", "store")
CONFIG = (
    "stopSequences responseMimeType responseSchema responseJsonSchema responseModalities candidateCount maxOutputTokens temperature topP topK seed "
    "presencePenalty frequencyPenalty responseLogprobs logprobs enableEnhancedCivicAnswers speechConfig thinkingConfig imageConfig mediaResolution"
).split()
PART = ("text", "thought", "thoughtSignature", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult", "videoMetadata")
STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}


class Gemini:
    name = "gemini"
    dialect = "gemini"
    base = ""
    content_type = "text/event-stream"

    def serves(self, request: Received) -> bool:
        return request.method == "POST" and PATH.fullmatch(request.path) is not None

    def streamed(self, request: Received) -> bool:
        return request.path.endswith(":streamGenerateContent")

    def check(self, request: Received) -> None:
        body = request.json
        known(camel(body), PARAMETERS, "Unknown name: GenerateContentRequest")
        need(not self.streamed(request) or request.query.get("alt") == "sse", "without alt=sse a stream is an array of JSON, which this server does not speak")
        need(body.get("contents"), "GenerateContentRequest.contents: contents is not specified")
        known(camel(body.get("generationConfig", {})), CONFIG, "Unknown name: GenerationConfig")
        for tool in body.get("tools", []):
            for declared in camel(tool).get("functionDeclarations", []):
                known(camel(declared), ("name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema", "behavior"), "FunctionDeclaration")
        waiting: list[str] = []
        for content in body["contents"]:
            known(content, ("role", "parts"), "Unknown name: Content")
            need(content.get("role", "user") in ("user", "model"), "Please use a valid role: user, model.")
            need(content.get("parts"), "GenerateContentRequest.contents.parts must not be empty")
            for part in content["parts"]:
                known(camel(part), PART, "Unknown name: Part")
            answered = [part["functionResponse"]["name"] for part in content["parts"] if "functionResponse" in part]
            need(not answered or answered == waiting, "the number of function response parts is to be equal to the number of function call parts of the function call turn")
            need(answered or not waiting, "a function call turn comes immediately before a function response turn")
            waiting = [part["functionCall"]["name"] for part in content["parts"] if "functionCall" in part]
            need(not waiting or content["role"] == "model", "only a model calls functions")
            for part in content["parts"]:
                need("functionResponse" not in part or isinstance(part["functionResponse"]["response"], dict), "function_response.response is a struct")
        need(not waiting, "a function call turn comes immediately before a function response turn")

    def stream(self, answer: Answer, request: Received) -> Iterator[bytes | Gate]:
        for part in answer.parts:
            match part:
                case Wait(gate):
                    yield gate
                case Fail(message):
                    yield data(self.error(503, message))
                    return
                case _:
                    frame = self._response(request, [self._candidate(part.choice, [written(part)])])
                    yield data(frame | {"usageMetadata": {"promptTokenCount": answer.usage[0], "totalTokenCount": answer.usage[0]}})
        # The last frame of a candidate has an empty text and the reason.
        ends = [self._candidate(choice, [{"text": ""}], FINISH[answer.finish]) for choice in range(answer.choices)]
        yield data(self._response(request, ends) | {"usageMetadata": usage(answer)})

    def body(self, answer: Answer, request: Received) -> dict[str, Any]:
        candidates = []
        for choice in range(answer.choices):
            parts: list[dict[str, Any]] = []
            for part in answer.of(choice, Say, Think, Refuse, Call):
                new = written(part)
                if parts and "text" in new and "text" in parts[-1] and new.get("thought") == parts[-1].get("thought"):
                    parts[-1]["text"] += new["text"]
                else:
                    parts.append(new)
            candidates.append(self._candidate(choice, parts, FINISH[answer.finish]))
        return self._response(request, candidates) | {"usageMetadata": usage(answer)}

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"error": {"code": status, "message": message, "status": STATUS.get(status, "INTERNAL")}}

    def _candidate(self, choice: int, parts: list[dict[str, Any]], reason: str | None = None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": choice}
        return candidate | ({"finishReason": reason} if reason else {})

    def _response(self, request: Received, candidates: list[dict[str, Any]]) -> dict[str, Any]:
        found = PATH.fullmatch(request.path)
        return {"candidates": candidates, "modelVersion": found[2] if found else "", "responseId": f"response-{request.at}"}


def written(part: Any) -> dict[str, Any]:
    match part:
        case Think(text):
            return {"text": text, "thought": True}
        case Call():
            return {"functionCall": {"id": part.id, "name": part.name, "args": json.loads(part.arguments)}}
    return {"text": part.text}


def camel(value: dict[str, Any]) -> dict[str, Any]:
    """The vendor reads names in both spellings."""
    return {re.sub(r"_([a-z])", lambda found: found[1].upper(), name): inner for name, inner in value.items()}


def usage(answer: Answer) -> dict[str, int]:
    told, said = answer.usage
    return {"promptTokenCount": told, "candidatesTokenCount": said, "totalTokenCount": told + said}
