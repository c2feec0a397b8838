"""PydanticAI, over each of its models."""

from __future__ import annotations

from typing import Any

from pydantic_ai import Agent as Declared
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

from frameworks.agent import Agent, Place
from sdks import MODEL


class PydanticChat(Agent):
    wire, setup = "openai-chat", "pydantic-ai"

    def make(self, place: Place) -> None:
        self.agent = Declared(self.model(), instructions="Be brief.", tools=[self.tools.look_up, self.tools.delete_user])
        self.history: list[Any] = []

    def model(self) -> Any:
        return OpenAIChatModel(MODEL)

    async def turn(self, text: str, streamed: bool) -> str:
        if streamed:
            async with self.agent.run_stream(text, message_history=self.history) as answer:
                said = await answer.get_output()
        else:
            answer = await self.agent.run(text, message_history=self.history)
            said = answer.output
        self.history = answer.all_messages()
        return said


class PydanticResponses(PydanticChat):
    wire = "openai-responses"

    def model(self) -> Any:
        return OpenAIResponsesModel(MODEL)


class PydanticAnthropic(PydanticChat):
    wire = "anthropic-messages"

    def model(self) -> Any:
        return AnthropicModel(MODEL)


class PydanticGoogle(PydanticChat):
    wire = "gemini"

    def model(self) -> Any:
        return GoogleModel(MODEL)
