"""Agents in frameworks, one framework a file."""

from frameworks.agent import Agent, Place
from frameworks.agentscope_agent import AgentScopeAnthropic, AgentScopeChat, AgentScopeResponses
from frameworks.google_adk import GoogleAdk
from frameworks.langgraph_agent import LangGraphAnthropic, LangGraphChat, LangGraphResponses
from frameworks.litellm_agent import LiteLLM
from frameworks.node_agent import NODE
from frameworks.openai_agents import OpenAIAgents, OpenAIAgentsChat
from frameworks.pydantic_agent import PydanticAnthropic, PydanticChat, PydanticGoogle, PydanticResponses
from frameworks.semantic_kernel_agent import SemanticKernel

FRAMEWORKS: list[type[Agent]] = [
    OpenAIAgents,
    OpenAIAgentsChat,
    LangGraphChat,
    LangGraphResponses,
    LangGraphAnthropic,
    GoogleAdk,
    SemanticKernel,
    AgentScopeChat,
    AgentScopeResponses,
    AgentScopeAnthropic,
    PydanticChat,
    PydanticResponses,
    PydanticAnthropic,
    PydanticGoogle,
    LiteLLM,
    *NODE,
]

__all__ = ["FRAMEWORKS", "Agent", "Place"]
