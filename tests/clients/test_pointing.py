"""The code and the files that `airlock client-setup` prints lead each client here; its variables are what the other tests use."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import Callable
from functools import partial
from typing import Any

import anthropic
import httpx
import litellm
import ollama
import openai
import pytest
from agents import Agent as OpenAIAgent
from agents import Runner, set_default_openai_client
from agentscope.credential import OpenAICredential
from agentscope.message import UserMsg
from agentscope.model import OpenAIChatModel as AgentScopeModel
from google import genai
from google.adk.agents import Agent as AdkAgent
from google.adk.models import Gemini
from google.adk.runners import InMemoryRunner
from google.genai import types
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAIChatPromptExecutionSettings
from semantic_kernel.contents import ChatHistory

from airlock import lines
from frameworks.agent import LOOP
from frameworks.node_agent import AssistantUI, VercelAnthropic, VercelChat, VercelGoogle, VercelResponses
from harness import new_prompt
from place import Place, pointed, printed
from sdks import MODEL
from stage import Stages, says

ASKED = [{"role": "user", "content": "Go on."}]


def run(code: str, **names: Any) -> dict[str, Any]:
    """Runs what is printed, with the names that it takes from its framework."""
    exec(code, names)
    return names


def openai_sdk(code: str) -> Any:
    client = run(code, OpenAI=openai.OpenAI)["client"]
    return client.chat.completions.create(model=MODEL, messages=ASKED).choices[0].message.content


def anthropic_sdk(code: str) -> Any:
    client = run(code, Anthropic=anthropic.Anthropic)["client"]
    return client.messages.create(model=MODEL, max_tokens=9, messages=ASKED).content[0].text


def google_genai(code: str) -> Any:
    client = run(code, genai=genai, types=types)["client"]
    return client.models.generate_content(model=MODEL, contents="Go on.").text


def ollama_sdk(code: str) -> Any:
    client = run(code, ollama=ollama)["client"]
    return client.chat(model=MODEL, messages=ASKED).message.content


def openai_agents(code: str) -> Any:
    run(code, set_default_openai_client=set_default_openai_client, AsyncOpenAI=openai.AsyncOpenAI)
    return LOOP.run_until_complete(Runner.run(OpenAIAgent(name="agent", model=MODEL), "Go on.")).final_output


def langchain(code: str, line: int) -> Any:
    names = {"ChatOpenAI": partial(ChatOpenAI, model=MODEL), "ChatAnthropic": partial(ChatAnthropic, model=MODEL)}
    return run(code.splitlines()[line], **names)["model"].invoke("Go on.").text


def google_adk(code: str) -> Any:
    agent = run(code, Agent=partial(AdkAgent, name="agent"), Gemini=Gemini)["agent"]
    return LOOP.run_until_complete(InMemoryRunner(agent=agent, app_name="app").run_debug("Go on.", quiet=True))[-1].content.parts[0].text


def semantic_kernel(code: str) -> Any:
    service = run(code, OpenAIChatCompletion=partial(OpenAIChatCompletion, ai_model_id=MODEL), AsyncOpenAI=openai.AsyncOpenAI)["service"]
    history = ChatHistory()
    history.add_user_message("Go on.")
    return LOOP.run_until_complete(service.get_chat_message_content(history, OpenAIChatPromptExecutionSettings())).content


def agentscope(code: str) -> Any:
    credential = run(code, OpenAICredential=OpenAICredential)["credential"]
    model = AgentScopeModel(credential, MODEL, stream=False)
    return LOOP.run_until_complete(model([UserMsg("user", "Go on.")])).content[0].text


def pydantic_ai(code: str) -> Any:
    model = run(code, OpenAIChatModel=OpenAIChatModel, OpenAIProvider=OpenAIProvider)["model"]
    return LOOP.run_until_complete(PydanticAgent(model).run("Go on.")).output


def lite_llm(code: str) -> Any:
    # Printed as an expression: the call itself.
    return eval(code, {"litellm": Completion()}).choices[0].message.content


class Completion:
    """LiteLLM with something to say."""

    completion = staticmethod(partial(litellm.completion, messages=ASKED))


def claude_code(code: str) -> Any:
    """The settings file: variables, which Claude Code's SDK reads."""
    base_url = json.loads(code)["env"]["ANTHROPIC_BASE_URL"]
    return anthropic.Anthropic(base_url=base_url).messages.create(model=MODEL, max_tokens=9, messages=ASKED).content[0].text


def codex(code: str) -> Any:
    """The configuration file: a provider, whose base URL is followed by `/responses`."""
    config = tomllib.loads(code)
    provider = config["model_providers"][config["model_provider"]]
    assert provider["wire_api"] == "responses" and provider["supports_websockets"] is False
    answer = httpx.post(f"{provider['base_url']}/responses", json={"model": MODEL, "input": "Go on."}, timeout=60)
    return answer.json()["output"][0]["content"][0]["text"]


CHAT, RESPONSES, MESSAGES, GEMINI, OLLAMA = "openai-chat", "openai-responses", "anthropic-messages", "gemini", "ollama"
CODE: list[tuple[str, str, Callable[[str], Any]]] = [
    ("openai", CHAT, openai_sdk),
    ("anthropic", MESSAGES, anthropic_sdk),
    ("google-genai", GEMINI, google_genai),
    ("ollama", OLLAMA, ollama_sdk),
    ("openai-agents", RESPONSES, openai_agents),
    ("langgraph", CHAT, partial(langchain, line=0)),
    ("langgraph", MESSAGES, partial(langchain, line=1)),
    ("google-adk", GEMINI, google_adk),
    ("semantic-kernel", CHAT, semantic_kernel),
    ("agentscope", CHAT, agentscope),
    ("pydantic-ai", CHAT, pydantic_ai),
    ("litellm", CHAT, lite_llm),
    ("claude-code", MESSAGES, claude_code),
    ("codex", RESPONSES, codex),
]
# In JavaScript the code is what the other tests use: here the variables are tested. The last provider reads none.
VARIABLES = [VercelResponses, VercelChat, VercelAnthropic, AssistantUI]


@pytest.mark.parametrize(("client", "wire", "ask"), CODE, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_printed_as_code_leads_here(stages: Stages, client: str, wire: str, ask: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stages.of(wire)
    place = printed(stage.airlock, client)
    pointed(Place(client, {}, place.text), monkeypatch)
    stage.play(says("here"))
    assert ask(place.text) == "here"
    assert len(stage.asked) == 1


@pytest.mark.parametrize("kind", VARIABLES, ids=lambda kind: kind.__name__)
def test_the_variables_lead_clients_in_javascript_here(stages: Stages, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stages.of(kind.wire)
    place = printed(stage.airlock, kind.setup)
    pointed(place, monkeypatch)
    stage.play(says("here"))
    agent = kind(Place(kind.setup, place.environment, ""))
    try:
        assert agent.run(new_prompt(), True) == "here"
    finally:
        agent.close()
    assert len(stage.asked) == 1


def test_every_client_that_is_known_is_tested(stages: Stages) -> None:
    known = {entry["client"] for entry in lines(stages.of(CHAT).airlock.cli("client-setup", "--output", "json"))}
    assert known == {client for client, _, _ in CODE} | {kind.setup for kind in [*VARIABLES, VercelGoogle]}
