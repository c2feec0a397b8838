"""OpenAI Responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openai.types.responses import response_create_params as params

from script import FILTER, LENGTH, Answer, Call, Fail, Gate, Refuse, Say, Think, Wait
from upstreams.http import Received
from upstreams.wire import data, known, need

PARAMETERS = set(params.ResponseCreateParamsBase.__annotations__) | {"stream"}
ROLES = {"user", "assistant", "system", "developer"}
PREFIX = {Call: "fc", Think: "rs", Say: "msg", Refuse: "msg"}
INCOMPLETE = {LENGTH: "max_output_tokens", FILTER: "content_filter"}


class Responses:
    name = "openai-responses"
    dialect = "openai-responses"
    base = "/v1"
    content_type = "text/event-stream"

    def serves(self, request: Received) -> bool:
        return (request.method, request.path) == ("POST", "/v1/responses")

    def streamed(self, request: Received) -> bool:
        return request.json.get("stream") is True

    def __init__(self) -> None:
        # Items that it said, by their ids, and what each is called by when a tool is.
        self.stored: dict[str, str | None] = {}

    def check(self, request: Received) -> None:
        body = request.json
        known(body, PARAMETERS, "responses")
        need(isinstance(body.get("model"), str), "missing required parameter: 'model'")
        need(body.get("input"), "missing required parameter: 'input'")
        need("stream_options" not in body or body.get("stream"), "'stream_options' is only allowed when 'stream' is enabled")
        for tool in body.get("tools", []):
            known(tool, ("type", "name", "description", "parameters", "strict"), "tool")
            need(tool["type"] == "function" and tool["name"] and "parameters" in tool, "a function tool needs a name and parameters")
        calls: set[str] = set()
        answered: set[str] = set()
        for item in [] if isinstance(body["input"], str) else body["input"]:
            match item.get("type", "message"):
                case "message":
                    need(item["role"] in ROLES, f"invalid role '{item['role']}'")
                    need(item["content"], "a message needs content")
                    said = {"output_text", "refusal"} if item["role"] == "assistant" else {"input_text", "input_image", "input_file"}
                    for part in [] if isinstance(item["content"], str) else item["content"]:
                        need(part["type"] in said, f"invalid value '{part['type']}' for the role {item['role']}")
                case "function_call":
                    need(item["name"] and isinstance(item["arguments"], str), "a function_call has a name and arguments")
                    calls.add(item["call_id"])
                case "function_call_output":
                    need(item["call_id"] in calls, f"no tool call found for function call output with call_id {item['call_id']}")
                    answered.add(item["call_id"])
                case "reasoning":
                    need("summary" in item, "a reasoning item has a summary")
                case "item_reference":
                    need(item["id"] in self.stored, f"item with id '{item['id']}' not found")
                    calls |= {self.stored[item["id"]]} - {None}
                case other:
                    need(False, f"invalid value '{other}' for input[].type")
        need(calls == answered, f"no tool output found for function call {sorted(calls - answered)}")

    def stream(self, answer: Answer, request: Received) -> Iterator[bytes | Gate]:
        number = -1

        def event(kind: str, **fields: Any) -> bytes:
            nonlocal number
            number += 1
            return data({"type": kind, "sequence_number": number, **fields}, kind)

        yield event("response.created", response=self._response(request, "in_progress", []))
        yield event("response.in_progress", response=self._response(request, "in_progress", []))
        items: list[dict[str, Any]] = []
        for index, (kind, parts) in enumerate(groups(answer)):
            item = self._item(request, index, kind, parts, begun=True)
            here = {"item_id": item["id"], "output_index": index}
            at = here | {"content_index": 0}
            yield event("response.output_item.added", output_index=index, item=item)
            if kind in (Say, Refuse):
                yield event("response.content_part.added", **at, part=content(kind, ""))
            elif kind is Think:
                yield event("response.reasoning_summary_part.added", **here, summary_index=0, part={"type": "summary_text", "text": ""})
            for part in parts:
                match part:
                    case Say(text):
                        yield event("response.output_text.delta", **at, delta=text, logprobs=[])
                    case Refuse(text):
                        yield event("response.refusal.delta", **at, delta=text)
                    case Think(text):
                        yield event("response.reasoning_summary_text.delta", **here, summary_index=0, delta=text)
                    case Call():
                        for fragment in part.fragments:
                            yield event("response.function_call_arguments.delta", **here, delta=fragment)
                    case Wait(gate):
                        yield gate
                    case Fail(message):
                        failed = {"code": "server_error", "message": message}
                        yield event("error", **failed, param=None)
                        yield event("response.failed", response=self._response(request, "failed", items) | {"error": failed})
                        return
            item = self._item(request, index, kind, parts)
            if kind in (Say, Refuse):
                text = item["content"][0]
                done = "output_text" if kind is Say else "refusal"
                words = {"text": text["text"], "logprobs": []} if kind is Say else {"refusal": text["refusal"]}
                yield event(f"response.{done}.done", **at, **words)
                yield event("response.content_part.done", **at, part=text)
            elif kind is Think:
                yield event("response.reasoning_summary_text.done", **here, summary_index=0, text=item["summary"][0]["text"])
                yield event("response.reasoning_summary_part.done", **here, summary_index=0, part=item["summary"][0])
            elif kind is Call:
                yield event("response.function_call_arguments.done", **here, name=item["name"], arguments=item["arguments"])
            yield event("response.output_item.done", output_index=index, item=item)
            items.append(item)
        status = "incomplete" if answer.finish in INCOMPLETE else "completed"
        yield event(f"response.{status}", response=self._finished(answer, request, items))

    def body(self, answer: Answer, request: Received) -> dict[str, Any]:
        items = [self._item(request, index, kind, parts) for index, (kind, parts) in enumerate(groups(answer))]
        return self._finished(answer, request, items)

    def error(self, status: int, message: str) -> dict[str, Any]:
        kind = "invalid_request_error" if status < 500 else "server_error"
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}

    def _item(self, request: Received, index: int, kind: type, parts: list[Any], begun: bool = False) -> dict[str, Any]:
        """An item when it is done, or as it is announced: without what comes later."""
        text = "".join(part.text for part in parts if hasattr(part, "text"))
        done = "in_progress" if begun else "completed"
        id = f"{PREFIX[kind]}_{request.at}_{index}"
        if request.json.get("store", True):
            self.stored[id] = parts[0].id if kind is Call else None
        if kind is Call:
            call = parts[0]
            arguments = "" if begun else call.arguments
            return {"id": id, "type": "function_call", "status": done, "call_id": call.id, "name": call.name, "arguments": arguments}
        if kind is Think:
            return {"id": id, "type": "reasoning", "summary": [] if begun else [{"type": "summary_text", "text": text}]}
        said = [] if begun else [content(kind, text)]
        return {"id": id, "type": "message", "status": done, "role": "assistant", "content": said}

    def _finished(self, answer: Answer, request: Received, items: list[dict[str, Any]]) -> dict[str, Any]:
        reason = INCOMPLETE.get(answer.finish)
        told, said = answer.usage
        return self._response(request, "incomplete" if reason else "completed", items) | {
            "incomplete_details": {"reason": reason} if reason else None,
            "usage": {
                "input_tokens": told,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": said,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": told + said,
            },
        }

    def _response(self, request: Received, status: str, items: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"resp_{request.at}",
            "object": "response",
            "created_at": 1700000000,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": request.json.get("instructions"),
            "model": request.json["model"],
            "output": items,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": request.json.get("tools", []),
            "usage": None,
            "metadata": {},
        }


def content(kind: type, text: str) -> dict[str, Any]:
    if kind is Refuse:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def groups(answer: Answer) -> list[tuple[type, list[Any]]]:
    """The parts of each item of the output: neighbours of one kind are one item, each call is one."""
    found: list[tuple[type, list[Any]]] = []
    for part in answer.parts:
        kind = type(part)
        if isinstance(part, (Wait, Fail)):
            if not found:
                found.append((Say, []))
            found[-1][1].append(part)
        elif found and found[-1][0] is kind and kind is not Call:
            found[-1][1].append(part)
        else:
            found.append((kind, [part]))
    return found
