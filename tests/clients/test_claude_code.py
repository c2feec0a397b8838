"""Requests as Claude Code makes them, by the SDK that it is built on: headers, caches, thinking, and side calls of one session."""

from __future__ import annotations

import uuid
from typing import Any

import anthropic
import pytest
from upstreams import messages as vendor

from airlock import of
from harness import new_prompt
from place import pointed, printed
from script import Answer, Call, Say, Think
from stage import DENIED, Stage, Stages, says

BETAS = "claude-code-20250219,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14,context-management-2025-06-27"
DELETE = "mcp__users__delete_user"
CACHED = {"cache_control": {"type": "ephemeral"}}
USER_AGENT = "claude-cli/2.0.55 (external, cli)"


def tool(name: str, **properties: Any) -> dict[str, Any]:
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": properties, "additionalProperties": False}
    return {"name": name, "description": f"{name}.", "input_schema": schema | {"required": list(properties)}}


TOOLS = [tool("Bash", command={"type": "string"}), tool("Read", file_path={"type": "string"}), tool(DELETE, id={"type": "integer"}) | CACHED]


class ClaudeCode:
    """One conversation. Every request as it was sent is kept."""

    def __init__(self, named: bool = True):
        self.id = f"{uuid.uuid4()}"
        headers = {"user-agent": USER_AGENT, "x-app": "cli", "anthropic-version": "2023-06-01", "anthropic-beta": BETAS}
        user = f"user_{'0' * 64}_account_{uuid.uuid4()}"
        self.metadata = {"user_id": user + (f"_session_{self.id}" if named else "")}
        if named:
            headers["x-claude-code-session-id"] = self.id
        self.sent: list[bytes] = []
        http = anthropic.DefaultHttpxClient(event_hooks={"request": [lambda request: self.sent.append(request.read())]})
        self.sdk = anthropic.Anthropic(default_headers=headers, http_client=http)
        self.messages: list[dict[str, Any]] = []

    def say(self, text: str) -> None:
        reminder = {"type": "text", "text": "<system-reminder>\nAs you answer, you can use this context.\n</system-reminder>"}
        self.messages.append({"role": "user", "content": [reminder, {"type": "text", "text": text} | CACHED]})

    def result(self, id: str, text: str) -> None:
        block = {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": text}], "is_error": False}
        self.messages.append({"role": "user", "content": [block | CACHED]})

    def ask(self) -> Any:
        """One streamed answer with tools and thinking, kept in the history as it came."""
        billing = f"x-anthropic-billing-header: cc_version=2.0.55; cc_entrypoint=cli; cch={uuid.uuid4().hex[:5]};"
        system = [{"type": "text", "text": billing}] + [
            {"type": "text", "text": text} | CACHED for text in ("You are Claude Code, Anthropic's official CLI for Claude.", "Be concise.")
        ]
        with self.sdk.beta.messages.stream(
            model="claude-sonnet-4-5",
            max_tokens=32000,
            system=system,
            messages=self.messages,
            tools=TOOLS,
            metadata=self.metadata,
            thinking={"type": "enabled", "budget_tokens": 31999},
            context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            extra_query={"beta": "true"},
        ) as stream:
            message = stream.get_final_message()
        self.messages.append({"role": "assistant", "content": [block.model_dump(exclude_unset=True) for block in message.content]})
        return message

    def title(self) -> str:
        """A side call of the same session: a small model, other instructions, no tools."""
        order = {"model": "claude-haiku-4-5", "max_tokens": 512, "system": [{"type": "text", "text": "Summarise this in a title."}]}
        answer = self.sdk.beta.messages.create(**order, messages=[{"role": "user", "content": "A title, please."}], metadata=self.metadata)
        return answer.content[0].text


@pytest.fixture
def stage(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = stages.of("anthropic-messages")
    pointed(printed(stage.airlock, "claude-code"), monkeypatch)
    # The vendor takes it with its beta header.
    monkeypatch.setattr(vendor, "PARAMETERS", vendor.PARAMETERS | {"context_management"})
    return stage


def test_a_turn_with_thinking_and_a_tool_passes_byte_for_byte(stage: Stage) -> None:
    stage.play(Answer((Think("It wants"), Think(" a list."), Say("I look."), Call("Bash", ('{"comm', 'and":"ls"}'), "toolu_1"))), says("Two files."))
    code = ClaudeCode()
    code.say(new_prompt())
    message = code.ask()
    thinking, text, use = message.content
    assert (thinking.thinking, text.text) == ("It wants a list.", "I look.") and message.stop_reason == "tool_use"
    assert (use.name, use.input) == ("Bash", {"command": "ls"})
    code.result(use.id, "a\nb")
    assert code.ask().content[0].text == "Two files."
    assert [request.body for request in stage.upstream.requests] == code.sent
    assert stage.upstream.refusals == []
    for request in stage.upstream.requests:
        assert (request.path, request.query) == ("/v1/messages", {"beta": "true"})
        kept = {name: request.headers[name] for name in ("anthropic-beta", "anthropic-version", "user-agent", "x-app")}
        assert kept == {"anthropic-beta": BETAS, "anthropic-version": "2023-06-01", "user-agent": USER_AGENT, "x-app": "cli"}
    assert thinking.signature and thinking.signature in stage.asked[1]


def test_its_header_names_the_session(stage: Stage) -> None:
    stage.play(says("first"), says("A title"), says("second"))
    code = ClaudeCode()
    code.say(new_prompt())
    code.ask()
    assert code.title() == "A title"
    code.say("Go on.")
    code.ask()
    [session] = stage.sessions(3)
    assert (session["value"], session["source"]) == (code.id, "x-claude-code-session-id")


@pytest.mark.xfail(strict=True, reason="instructions that change are another conversation: what stands in them is told")
def test_without_a_header_a_changing_billing_line_does_not_lose_the_conversation(stage: Stage) -> None:
    stage.play(says("first"), says("second"), says("third"))
    code = ClaudeCode(named=False)
    for text in [new_prompt(), "Go on.", "And on."]:
        code.say(text)
        code.ask()
    assert [row["exchanges"] for row in stage.sessions(3)] == [3]


def test_a_denied_call_is_told_in_the_same_answer_and_stays_told_after_a_side_call(stage: Stage) -> None:
    stage.play(
        Answer((Think("Away with it."), Call(DELETE, ('{"id"', ":7}"), "toolu_1"))),
        Answer((Think("It was denied."), Say("I may not."))),
        says("A title"),
        says("Nor now."),
    )
    code = ClaudeCode()
    code.say(new_prompt())
    message = code.ask()
    assert message.stop_reason == "end_turn" and message.content[-1].text == "I may not."
    assert not [block for block in message.content if block.type == "tool_use"]
    code.title()
    code.say("And now?")
    assert code.ask().content[-1].text == "Nor now."
    first, second, side, last = stage.asked
    assert DENIED in second and DENIED not in first + side
    assert DENIED in last and "toolu_1" in last
    events = stage.airlock.ended(code.id, 3)
    assert [(e["policy"], e["action"]) for e in of(events, "intervention")] == [("rule:no-deletion", "deny-tool-call")]
