"""Semantic Kernel."""

from __future__ import annotations

from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent, ChatHistoryAgentThread
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function

from frameworks.agent import Agent, Place
from sdks import MODEL, Tools


class Plugin:
    """The tools, as Semantic Kernel takes them."""

    def __init__(self, tools: Tools):
        self.tools = tools

    @kernel_function
    def look_up(self, q: str) -> str:
        """Looks something up."""
        return self.tools.look_up(q)

    @kernel_function
    def delete_user(self, id: int) -> str:
        """Deletes a user."""
        return self.tools.delete_user(id)


class SemanticKernel(Agent):
    wire, setup, prefix = "openai-chat", "semantic-kernel", "Plugin-"

    def make(self, place: Place) -> None:
        service = OpenAIChatCompletion(ai_model_id=MODEL, async_client=AsyncOpenAI())
        self.agent = ChatCompletionAgent(service=service, name="agent", instructions="Be brief.", plugins=[Plugin(self.tools)])
        self.thread: ChatHistoryAgentThread | None = None

    async def turn(self, text: str, streamed: bool) -> str:
        if not streamed:
            answer = await self.agent.get_response(messages=text, thread=self.thread)
            self.thread = answer.thread
            return f"{answer.message}"
        said = ""
        async for part in self.agent.invoke_stream(messages=text, thread=self.thread):
            said, self.thread = said + f"{part.message}", part.thread
        return said
