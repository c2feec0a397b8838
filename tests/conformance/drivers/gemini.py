"""Gemini by the `google-genai` SDK."""

from __future__ import annotations

import json
from typing import Any

from google import genai
from google.genai import types

from drivers.driver import CLIENT_KEY, TIMEOUT, Driver, called, said
from script import FILTER, LENGTH, SCHEMA, STOP, TOOL, Ask, Outcome


class Gemini(Driver):
    name = "gemini"
    words = {"STOP": STOP, "MAX_TOKENS": LENGTH, "SAFETY": FILTER}

    def run(self, host: str, headers: dict[str, str], ask: Ask, outcome: Outcome) -> None:
        contents = [types.Content(role="user", parts=[types.Part(text=ask.prompt)])]
        if done := ask.done:
            call = types.FunctionCall(id=done.id or None, name=done.name, args=done.arguments)
            result = types.FunctionResponse(id=done.id or None, name=done.name, response={"result": done.result})
            contents.append(types.Content(role="model", parts=[types.Part(function_call=call)]))
            contents.append(types.Content(role="user", parts=[types.Part(function_response=result)]))
        tools = [types.FunctionDeclaration(name=name, description="Looks up.", parameters_json_schema=SCHEMA) for name in ask.tools]
        config = types.GenerateContentConfig(
            system_instruction="Be brief.",
            candidate_count=ask.choices if ask.choices > 1 else None,
            thinking_config=types.ThinkingConfig(include_thoughts=True) if ask.reasoning else None,
            tools=[types.Tool(function_declarations=tools)] if tools else None,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        options = types.HttpOptions(base_url=host, headers=headers, timeout=TIMEOUT * 1000)
        with genai.Client(api_key=CLIENT_KEY, http_options=options) as sdk:
            order: dict[str, Any] = {"model": ask.model, "contents": contents, "config": config}
            if ask.streamed:
                for part in sdk.models.generate_content_stream(**order):
                    self._part(part, outcome)
            else:
                self._part(sdk.models.generate_content(**order), outcome)
        if any(finish == STOP for finish in outcome.finish.values()) and outcome.calls:
            outcome.finish = {choice: TOOL if any(call[1] == choice for call in outcome.calls) else word for choice, word in outcome.finish.items()}

    def _part(self, part: Any, outcome: Outcome) -> None:
        for candidate in part.candidates or []:
            choice = candidate.index or 0
            for piece in (candidate.content and candidate.content.parts) or []:
                said(outcome, "reasoning" if piece.thought else "output", choice, piece.text)
                if piece.function_call:
                    said(outcome, "tool-arguments", choice, json.dumps(piece.function_call.args, separators=(",", ":")))
                    called(outcome, choice, piece.function_call.name, piece.function_call.args, piece.function_call.id)
            if candidate.finish_reason:
                outcome.finish[choice] = self.word(candidate.finish_reason)
        usage = part.usage_metadata
        if usage and usage.candidates_token_count is not None:
            outcome.usage = (usage.prompt_token_count, usage.candidates_token_count)
