"""Requests as Codex makes them: nothing stored, encrypted reasoning sent back, and a WebSocket that is tried first."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import openai
import pytest
import websockets.sync.client
from websockets.exceptions import InvalidStatus

from harness import new_prompt
from place import pointed, printed
from script import Answer, Call, Gate, Say, Think
from stage import DENIED, Stage, Stages, says
from upstreams.http import Reply

DELETE = "mcp__users__delete_user"
ENCRYPTED = "gAAAAABencrypted"
USER_AGENT = "codex_cli_rs/0.63.0 (Debian 13.0.0; x86_64) xterm"


def tool(name: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "function", "name": name, "description": f"{name}.", "strict": False, "parameters": schema}


TOOLS = [tool("shell", command={"type": "array", "items": {"type": "string"}}), tool(DELETE, id={"type": "integer"})]


def encrypted(reply: Reply) -> Reply:
    """Every item of reasoning has its encrypted content, as the vendor includes it on request."""

    def parts() -> Iterable[bytes | Gate]:
        for part in reply.body:
            more = f'"type": "reasoning", "encrypted_content": "{ENCRYPTED}"'.encode()
            yield part if isinstance(part, Gate) else part.replace(b'"type": "reasoning"', more)

    return replace(reply, body=parts())


class Codex:
    """One conversation. Its items are sent back as they came, without ids, since nothing is stored."""

    def __init__(self) -> None:
        self.id = f"{uuid.uuid4()}"
        headers = {"originator": "codex_cli_rs", "user-agent": USER_AGENT, "session_id": self.id, "conversation_id": self.id, "version": "0.63.0"}
        self.sdk = openai.OpenAI(default_headers=headers)
        self.items: list[dict[str, Any]] = []

    def say(self, text: str) -> None:
        self.items.append({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})

    def ask(self) -> list[Any]:
        """The items of one streamed answer, each taken when it is done."""
        stream = self.sdk.responses.create(
            model="gpt-5-codex",
            instructions="You are a coding agent running in the Codex CLI.",
            input=self.items,
            tools=TOOLS,
            tool_choice="auto",
            parallel_tool_calls=False,
            reasoning={"effort": "medium", "summary": "auto"},
            store=False,
            include=["reasoning.encrypted_content"],
            prompt_cache_key=self.id,
            stream=True,
        )
        events = list(stream)
        assert [event.sequence_number for event in events] == list(range(len(events))), "numbers without a gap"
        assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
        done = [event.item for event in events if event.type == "response.output_item.done"]
        assert [item.id for item in events[-1].response.output] == [item.id for item in done]
        self.items += [item.model_dump(exclude_none=True, exclude={"id", "status"}) for item in done]
        return done

    def result(self, id: str, text: str) -> None:
        self.items.append({"type": "function_call_output", "call_id": id, "output": text})


@pytest.fixture
def stage(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = stages.of("openai-responses")
    # The file is read in the tests of pointing; its base URL is that of the SDK.
    pointed(printed(stage.airlock, "openai"), monkeypatch)
    return stage


def test_a_turn_with_a_tool_keeps_what_codex_sends(stage: Stage) -> None:
    shell = '{"command":["ls"]}'
    stage.upstream.play(Answer((Think("It wants a list."), Call("shell", (shell[:8], shell[8:]), "call_1"))), says("Two files."), shape=encrypted)
    codex = Codex()
    codex.say(new_prompt())
    reasoning, call = codex.ask()
    assert (reasoning.encrypted_content, call.name, call.arguments) == (ENCRYPTED, "shell", shell)
    codex.result("call_1", "a\nb")
    [message] = codex.ask()
    assert message.content[0].text == "Two files."
    second = json.loads(stage.asked[1])
    assert second["store"] is False and second["include"] == ["reasoning.encrypted_content"] and second["prompt_cache_key"] == codex.id
    assert [item["type"] for item in second["input"]] == ["message", "reasoning", "function_call", "function_call_output"]
    assert second["input"][1]["encrypted_content"] == ENCRYPTED
    assert stage.upstream.requests[1].headers["user-agent"] == USER_AGENT


def test_its_headers_name_the_session(stage: Stage) -> None:
    stage.play(says("first"), says("second"))
    codex = Codex()
    for text in [new_prompt(), "Go on."]:
        codex.say(text)
        codex.ask()
    [session] = stage.sessions(2)
    assert session["value"] == codex.id and session["source"] in ("session_id", "conversation_id")


def test_a_denied_call_is_told_in_the_same_answer_and_stays_told(stage: Stage) -> None:
    stage.play(Answer((Think("Away."), Call(DELETE, ('{"id"', ":7}"), "call_1"))), Answer((Think("Denied."), Say("I may not."))), says("Nor now."))
    codex = Codex()
    codex.say(new_prompt())
    items = codex.ask()
    assert items[-1].content[0].text == "I may not." and "function_call" not in [item.type for item in items]
    codex.say("And now?")
    assert codex.ask()[-1].content[0].text == "Nor now."
    first, second, last = stage.asked
    assert DENIED not in first and DENIED in second and DENIED in last
    assert [row["exchanges"] for row in stage.sessions(2)] == [2]


def test_a_websocket_is_refused_in_a_way_that_falls_back_to_http(stage: Stage) -> None:
    stage.play(says("over HTTP"))
    codex = Codex()
    address = f"{codex.sdk.base_url}responses".replace("http://", "ws://")
    with pytest.raises(InvalidStatus) as refused:
        websockets.sync.client.connect(address, additional_headers={"openai-beta": "responses_websockets=2026-02-06"}, proxy=None)
    assert refused.value.response.status_code == 426
    assert stage.asked == [], "nothing was asked of the upstream"
    codex.say(new_prompt())
    assert codex.ask()[-1].content[0].text == "over HTTP"
