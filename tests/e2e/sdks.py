"""The vendors' SDKs, each in the loop of an agent as its documentation writes it by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import anthropic
import ollama
import openai
from google import genai
from google.genai import types
from openai.lib.streaming.chat import ChatCompletionStreamState

from harness import CLIENT_KEY

MODEL = "model-of-a-fake"
BALANCE = "the balance is 42"
PARAMETERS = {
    "look_up": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
    "delete_user": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
}


class Tools:
    """What an agent may call, and what it called."""

    def __init__(self) -> None:
        self.called: list[tuple[str, dict[str, Any]]] = []

    def look_up(self, q: str) -> str:
        """Looks something up."""
        self.called.append(("look_up", {"q": q}))
        return BALANCE

    def delete_user(self, id: int) -> str:
        """Deletes a user."""
        self.called.append(("delete_user", {"id": id}))
        return "deleted"


@dataclass
class Step:
    """What the model said in one answer: text, and calls as (id, name, arguments)."""

    text: str = ""
    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)


class Sdk:
    """Keeps the conversation in the vendor's words. Without a host the environment says where the server is."""

    wire: str
    # What `airlock client-setup` calls it.
    setup: str

    def __init__(self, host: str | None = None):
        self.tools = Tools()
        self.history: list[Any] = []
        self.connect(host)

    @property
    def called(self) -> list[tuple[str, dict[str, Any]]]:
        return self.tools.called

    def run(self, text: str, streamed: bool) -> str:
        """The next turn of the conversation, until the model calls nothing more."""
        self.say(text)
        for _ in range(8):
            step = self.step(streamed)
            if not step.calls:
                return step.text
            self.answer([(id, name, getattr(self.tools, name)(**arguments)) for id, name, arguments in step.calls])
        raise AssertionError(f"no end: {self.called}")

    def connect(self, host: str | None) -> None:
        raise NotImplementedError

    def say(self, text: str) -> None:
        self.history.append({"role": "user", "content": text})

    def step(self, streamed: bool) -> Step:
        """One answer of the model, kept in the history."""
        raise NotImplementedError

    def answer(self, results: list[tuple[str, str, str]]) -> None:
        """Results of tools as (id, name, result)."""
        raise NotImplementedError


class Chat(Sdk):
    wire, setup = "openai-chat", "openai"

    def connect(self, host: str | None) -> None:
        self.sdk = openai.OpenAI(base_url=host and f"{host}/v1", api_key=CLIENT_KEY)

    def step(self, streamed: bool) -> Step:
        tools = [{"type": "function", "function": {"name": n, "parameters": p}} for n, p in PARAMETERS.items()]
        order: dict[str, Any] = {"model": MODEL, "messages": self.history, "tools": tools}
        message = self.streamed(order) if streamed else self.sdk.chat.completions.create(**order).choices[0].message
        self.history.append(message.model_dump(exclude_none=True))
        return Step(message.content or "", [(c.id, c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls or []])

    def streamed(self, order: dict[str, Any]) -> Any:
        state = ChatCompletionStreamState()
        for chunk in self.sdk.chat.completions.create(**order, stream=True):
            state.handle_chunk(chunk)
        return state.current_completion_snapshot.choices[0].message

    def answer(self, results: list[tuple[str, str, str]]) -> None:
        self.history += [{"role": "tool", "tool_call_id": id, "content": result} for id, _, result in results]


class Responses(Sdk):
    wire, setup = "openai-responses", "openai"

    def connect(self, host: str | None) -> None:
        self.sdk = openai.OpenAI(base_url=host and f"{host}/v1", api_key=CLIENT_KEY)

    def step(self, streamed: bool) -> Step:
        tools = [{"type": "function", "name": n, "parameters": p, "strict": False} for n, p in PARAMETERS.items()]
        order: dict[str, Any] = {"model": MODEL, "input": self.history, "tools": tools}
        response = self.streamed(order) if streamed else self.sdk.responses.create(**order)
        self.history += [item.model_dump(exclude_none=True) for item in response.output]
        made = [item for item in response.output if item.type == "function_call"]
        return Step(response.output_text, [(c.call_id, c.name, json.loads(c.arguments)) for c in made])

    def streamed(self, order: dict[str, Any]) -> Any:
        text, response = "", None
        for event in self.sdk.responses.create(**order, stream=True):
            if event.type == "response.output_text.delta":
                text += event.delta
            if event.type in ("response.completed", "response.incomplete"):
                response = event.response
        assert response is not None, "the stream ended without its last event"
        assert response.output_text == text, "the last event repeats what was streamed"
        return response

    def answer(self, results: list[tuple[str, str, str]]) -> None:
        self.history += [{"type": "function_call_output", "call_id": id, "output": result} for id, _, result in results]


class Messages(Sdk):
    wire, setup = "anthropic-messages", "anthropic"

    def connect(self, host: str | None) -> None:
        self.sdk = anthropic.Anthropic(base_url=host, api_key=CLIENT_KEY)

    def step(self, streamed: bool) -> Step:
        tools = [{"name": n, "input_schema": p} for n, p in PARAMETERS.items()]
        order: dict[str, Any] = {"model": MODEL, "max_tokens": 1024, "messages": self.history, "tools": tools}
        if streamed:
            with self.sdk.messages.stream(**order) as stream:
                message = stream.get_final_message()
        else:
            message = self.sdk.messages.create(**order)
        self.history.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]})
        text = "".join(block.text for block in message.content if block.type == "text")
        return Step(text, [(b.id, b.name, b.input) for b in message.content if b.type == "tool_use"])

    def answer(self, results: list[tuple[str, str, str]]) -> None:
        blocks = [{"type": "tool_result", "tool_use_id": id, "content": result} for id, _, result in results]
        self.history.append({"role": "user", "content": blocks})


class Genai(Sdk):
    wire, setup = "gemini", "google-genai"

    def connect(self, host: str | None) -> None:
        self.sdk = genai.Client(api_key=CLIENT_KEY, http_options=types.HttpOptions(base_url=host) if host else None)

    def say(self, text: str) -> None:
        self.history.append(types.Content(role="user", parts=[types.Part(text=text)]))

    def step(self, streamed: bool) -> Step:
        declared = [types.FunctionDeclaration(name=n, parameters_json_schema=p) for n, p in PARAMETERS.items()]
        config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=declared)])
        order: dict[str, Any] = {"model": MODEL, "contents": self.history, "config": config}
        ask = self.sdk.models.generate_content_stream if streamed else self.sdk.models.generate_content
        responses = list(ask(**order)) if streamed else [ask(**order)]
        found = [c.content.parts or [] for r in responses for c in r.candidates or [] if c.content]
        parts = [part for some in found for part in some if part.text or part.function_call]
        self.history.append(types.Content(role="model", parts=parts))
        made = [part.function_call for part in parts if part.function_call]
        return Step("".join(part.text or "" for part in parts), [(c.id or "", c.name, dict(c.args or {})) for c in made])

    def answer(self, results: list[tuple[str, str, str]]) -> None:
        parts = [types.Part.from_function_response(name=name, response={"result": result}) for _, name, result in results]
        self.history.append(types.Content(role="user", parts=parts))


class Ollama(Sdk):
    wire, setup = "ollama", "ollama"

    def connect(self, host: str | None) -> None:
        self.sdk = ollama.Client(host=host)

    def step(self, streamed: bool) -> Step:
        tools = [{"type": "function", "function": {"name": n, "description": n, "parameters": p}} for n, p in PARAMETERS.items()]
        order: dict[str, Any] = {"model": MODEL, "messages": self.history, "tools": tools}
        answers = list(self.sdk.chat(**order, stream=True)) if streamed else [self.sdk.chat(**order)]
        assert answers[-1].done, "the answer ended with its last object"
        text = "".join(answer.message.content or "" for answer in answers)
        made = [call for answer in answers for call in answer.message.tool_calls or []]
        self.history.append(ollama.Message(role="assistant", content=text, tool_calls=made or None))
        return Step(text, [("", call.function.name, dict(call.function.arguments)) for call in made])

    def answer(self, results: list[tuple[str, str, str]]) -> None:
        self.history += [{"role": "tool", "tool_name": name, "content": result} for _, name, result in results]


SDKS: list[type[Sdk]] = [Chat, Responses, Messages, Genai, Ollama]
