"""OpenAI Agents SDK: Responses, which is its default, and chat completions."""

from __future__ import annotations

from typing import Any

import openai
from agents import Agent as Declared
from agents import OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled

from frameworks.agent import Agent, Place
from sdks import MODEL


class OpenAIAgents(Agent):
    wire, setup = "openai-responses", "openai-agents"

    def make(self, place: Place) -> None:
        set_tracing_disabled(True)
        tools = [function_tool(self.tools.look_up), function_tool(self.tools.delete_user)]
        self.agent = Declared(name="agent", instructions="Be brief.", model=self.model(), tools=tools)
        self.items: list[Any] = []

    def model(self) -> Any:
        return MODEL

    async def turn(self, text: str, streamed: bool) -> str:
        items = [*self.items, {"role": "user", "content": text}]
        if streamed:
            result = Runner.run_streamed(self.agent, items)
            async for _ in result.stream_events():
                pass
        else:
            result = await Runner.run(self.agent, items)
        self.items = result.to_input_list()
        return result.final_output


class OpenAIAgentsChat(OpenAIAgents):
    wire = "openai-chat"

    def model(self) -> Any:
        return OpenAIChatCompletionsModel(MODEL, openai.AsyncOpenAI())
