"""Chat completions and legacy completions by the `openai` SDK."""

from __future__ import annotations

import json
from typing import Any

from openai import OpenAI

from drivers.driver import CLIENT_KEY, OPENAI_WORDS, TIMEOUT, Driver, called, openai_tool, said
from script import Ask, Outcome


def client(host: str, headers: dict[str, str]) -> OpenAI:
    return OpenAI(base_url=f"{host}/v1", api_key=CLIENT_KEY, max_retries=0, timeout=TIMEOUT, default_headers=headers)


class Chat(Driver):
    name = "openai-chat"
    words = OPENAI_WORDS

    def run(self, host: str, headers: dict[str, str], ask: Ask, outcome: Outcome) -> None:
        messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ask.prompt}]
        if done := ask.done:
            call = {"id": done.id, "type": "function", "function": {"name": done.name, "arguments": json.dumps(done.arguments)}}
            messages += [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "tool_call_id": done.id, "content": done.result}]
        order: dict[str, Any] = {"model": ask.model, "messages": messages}
        if ask.tools:
            order["tools"] = [openai_tool(name) for name in ask.tools]
        if ask.choices > 1:
            order["n"] = ask.choices
        completions = client(host, headers).chat.completions
        if ask.streamed:
            self._stream(completions.create(**order, stream=True, stream_options={"include_usage": True}), outcome)
        else:
            self._whole(completions.create(**order), outcome)

    def _stream(self, chunks: Any, outcome: Outcome) -> None:
        # Name, arguments and id of each.
        calls: dict[tuple[int, int], list[str]] = {}
        for chunk in chunks:
            if chunk.usage:
                outcome.usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
            for choice in chunk.choices:
                delta = choice.delta
                self._texts(delta, choice.index, outcome)
                for part in delta.tool_calls or []:
                    call = calls.setdefault((choice.index, part.index), ["", "", ""])
                    call[0] += part.function.name or ""
                    call[1] += part.function.arguments or ""
                    call[2] = call[2] or part.id or ""
                    said(outcome, "tool-arguments", choice.index, part.function.arguments)
                if choice.finish_reason:
                    outcome.finish[choice.index] = self.word(choice.finish_reason)
                    for (index, _), (name, arguments, id) in calls.items():
                        if index == choice.index:
                            called(outcome, index, name, json.loads(arguments), id)

    def _whole(self, answer: Any, outcome: Outcome) -> None:
        for choice in answer.choices:
            self._texts(choice.message, choice.index, outcome)
            for call in choice.message.tool_calls or []:
                said(outcome, "tool-arguments", choice.index, call.function.arguments)
                called(outcome, choice.index, call.function.name, json.loads(call.function.arguments), call.id)
            outcome.finish[choice.index] = self.word(choice.finish_reason)
        if answer.usage:
            outcome.usage = (answer.usage.prompt_tokens, answer.usage.completion_tokens)

    def _texts(self, message: Any, choice: int, outcome: Outcome) -> None:
        extra = message.model_extra or {}
        said(outcome, "reasoning", choice, extra.get("reasoning") or extra.get("reasoning_content"))
        said(outcome, "output", choice, message.content)
        said(outcome, "refusal", choice, message.refusal)


class Completions(Driver):
    name = "openai-completions"
    words = OPENAI_WORDS

    def run(self, host: str, headers: dict[str, str], ask: Ask, outcome: Outcome) -> None:
        order: dict[str, Any] = {"model": ask.model, "prompt": ask.prompt}
        if ask.choices > 1:
            order["n"] = ask.choices
        completions = client(host, headers).completions
        if ask.streamed:
            answers = completions.create(**order, stream=True, stream_options={"include_usage": True})
        else:
            answers = [completions.create(**order)]
        for answer in answers:
            for choice in answer.choices:
                said(outcome, "output", choice.index, choice.text)
                if choice.finish_reason:
                    outcome.finish[choice.index] = self.word(choice.finish_reason)
            if answer.usage:
                outcome.usage = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
