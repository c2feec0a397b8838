"""AgentScope, over each of its models."""

from __future__ import annotations

import os
from typing import Any

from agentscope.agent import Agent as Declared
from agentscope.credential import AnthropicCredential, OpenAICredential
from agentscope.message import UserMsg
from agentscope.model import AnthropicChatModel, OpenAIChatModel, OpenAIResponseModel
from agentscope.permission import PermissionBehavior, PermissionDecision
from agentscope.tool import FunctionTool, Toolkit

from frameworks.agent import Agent, Place
from sdks import MODEL


class AgentScopeChat(Agent):
    wire, setup = "openai-chat", "agentscope"

    def make(self, place: Place) -> None:
        self.agent: Any = None

    def model(self, streamed: bool) -> Any:
        return OpenAIChatModel(OpenAICredential(api_key=os.environ["OPENAI_API_KEY"]), MODEL, stream=streamed)

    async def turn(self, text: str, streamed: bool) -> str:
        if self.agent is None:
            allowed = PermissionDecision(behavior=PermissionBehavior.ALLOW, message="allowed")
            tools = [FunctionTool(tool, permission=allowed) for tool in (self.tools.look_up, self.tools.delete_user)]
            self.agent = Declared("agent", "Be brief.", self.model(streamed), Toolkit(tools))
        answer = await self.agent.reply(UserMsg("user", text))
        return answer.get_text_content() or ""


class AgentScopeResponses(AgentScopeChat):
    wire = "openai-responses"

    def model(self, streamed: bool) -> Any:
        return OpenAIResponseModel(OpenAICredential(api_key=os.environ["OPENAI_API_KEY"]), MODEL, stream=streamed)


class AgentScopeAnthropic(AgentScopeChat):
    wire = "anthropic-messages"

    def model(self, streamed: bool) -> Any:
        return AnthropicChatModel(AnthropicCredential(api_key=os.environ["ANTHROPIC_API_KEY"]), MODEL, stream=streamed)
