"""One conversation in each framework, as its documentation has it. Nothing but the base URL is Airlock's.

A client has `say(text) -> str`: the next turn of one conversation, whole. It raises what its user would have to catch.
"""

from __future__ import annotations

import asyncio
from typing import Any

import openai

KEY = "sk-client-0123456789abcdef"
MODEL = "sim-echo"


class OpenAISdk:
    def __init__(self, url: str):
        self.sdk, self.messages = openai.OpenAI(base_url=url, api_key=KEY), []

    def say(self, text: str) -> str:
        self.messages.append({"role": "user", "content": text})
        message = self.sdk.chat.completions.create(model=MODEL, messages=self.messages).choices[0].message
        self.messages.append(message)
        return message.content or ""


class LangChain:
    def __init__(self, url: str):
        from langchain_openai import ChatOpenAI

        self.model, self.messages = ChatOpenAI(model=MODEL, base_url=url, api_key=KEY), []

    def say(self, text: str) -> str:
        self.messages.append(("user", text))
        answer = self.model.invoke(self.messages)
        self.messages.append(answer)
        return answer.content


class PydanticAI:
    def __init__(self, url: str):
        from pydantic_ai import Agent
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        self.agent = Agent(OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=url, api_key=KEY)))
        self.history: list[Any] = []

    def say(self, text: str) -> str:
        answer = self.agent.run_sync(text, message_history=self.history)
        self.history = answer.all_messages()
        return answer.output


class SemanticKernel:
    def __init__(self, url: str):
        from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
        from semantic_kernel.contents import ChatHistory

        self.url, self.kind, self.history = url, OpenAIChatCompletion, ChatHistory()

    def say(self, text: str) -> str:
        from semantic_kernel.connectors.ai.open_ai import OpenAIChatPromptExecutionSettings

        self.history.add_user_message(text)

        async def ask() -> Any:
            service = self.kind(ai_model_id=MODEL, async_client=openai.AsyncOpenAI(base_url=self.url, api_key=KEY))
            return await service.get_chat_message_contents(self.history, OpenAIChatPromptExecutionSettings())

        answer = asyncio.run(ask())[0]
        self.history.add_message(answer)
        return answer.content or ""


class LiteLLM:
    def __init__(self, url: str):
        self.url, self.messages = url, []

    def say(self, text: str) -> str:
        import litellm

        litellm.suppress_debug_info = True
        self.messages.append({"role": "user", "content": text})
        answer = litellm.completion(model=f"openai/{MODEL}", api_base=self.url, api_key=KEY, messages=self.messages)
        self.messages.append(answer.choices[0].message.model_dump())
        return answer.choices[0].message.content or ""


class OpenAIAgents:
    def __init__(self, url: str):
        from agents import Agent, OpenAIChatCompletionsModel, set_tracing_disabled

        set_tracing_disabled(True)
        self.make = lambda: Agent(
            name="agent", model=OpenAIChatCompletionsModel(MODEL, openai.AsyncOpenAI(base_url=url, api_key=KEY))
        )
        self.items: list[Any] = []

    def say(self, text: str) -> str:
        from agents import Runner

        self.items.append({"role": "user", "content": text})
        answer = asyncio.run(Runner.run(self.make(), self.items))
        self.items = answer.to_input_list()
        return answer.final_output


ALL = [OpenAISdk, LangChain, PydanticAI, SemanticKernel, LiteLLM, OpenAIAgents]
