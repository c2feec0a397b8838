"""The vendors' SDKs besides chat completions: text, a loop with a tool, a call that is denied, and blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator

import anthropic
import ollama
import openai
import pytest
from google.genai import errors

from harness import new_prompt
from policies import FALLBACK, FORBIDDEN
from sdks import BALANCE, SDKS, Sdk
from stage import DENIED, Stage, Stages, calls, says

# What the user of each SDK has to catch for a hard block: of a whole answer, and of a streamed one.
BLOCKED = {
    "Responses": (openai.BadRequestError, openai.APIError),
    "Messages": (anthropic.BadRequestError, anthropic.APIStatusError),
    "Genai": (errors.ClientError, errors.ClientError),
    "Ollama": (ollama.ResponseError, ollama.ResponseError),
}
OTHERS = [sdk for sdk in SDKS if sdk.__name__ in BLOCKED]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    stages = Stages(tmp_path_factory.mktemp("stages"))
    yield stages
    stages.stop()


@pytest.fixture(params=OTHERS, ids=lambda sdk: sdk.wire)
def kind(request: pytest.FixtureRequest) -> type[Sdk]:
    return request.param


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
def stage(stages: Stages, kind: type[Sdk]) -> Stage:
    return stages.of(kind.wire)


def test_text(stage: Stage, kind: type[Sdk], streamed: bool) -> None:
    stage.play(says("a", " b", "ü"))
    prompt = new_prompt()
    assert kind(stage.host).run(prompt, streamed) == "a bü"
    assert len(stage.asked) == 1 and prompt in stage.asked[0]


def test_a_loop_with_a_tool_is_one_session(stage: Stage, kind: type[Sdk], streamed: bool) -> None:
    stage.play(calls("look_up", '{"q":"a balance"}'), says("It is 42."), says("You are welcome."))
    agent = kind(stage.host)
    assert agent.run(new_prompt(), streamed) == "It is 42."
    assert agent.called == [("look_up", {"q": "a balance"})]
    assert agent.run("Thank you.", streamed) == "You are welcome."
    first, second, third = stage.asked
    assert BALANCE not in first and BALANCE in second and "Thank you." in third
    assert len(stage.sessions(3)) == 1


def test_a_denied_call_is_told_to_the_model_and_not_to_the_client(stage: Stage, kind: type[Sdk], streamed: bool) -> None:
    stage.play(calls("delete_user", '{"id":7}'), says("I may not."), says("Nor now."))
    agent = kind(stage.host)
    assert agent.run(new_prompt(), streamed) == "I may not."
    assert agent.called == [] and "delete_user" not in f"{agent.history}"
    assert DENIED not in stage.asked[0] and DENIED in stage.asked[1]
    assert agent.run("And now?", streamed) == "Nor now."
    assert DENIED in stage.asked[2], "the model keeps what it called and was told"


def test_a_hard_block_is_an_exception_and_no_second_generation(stage: Stage, kind: type[Sdk], streamed: bool) -> None:
    stage.play(says("safe ", FORBIDDEN[:5], FORBIDDEN[5:], " after"))
    with pytest.raises(BLOCKED[kind.__name__][streamed], match="blocklist") as raised:
        kind(stage.host).run(new_prompt(), streamed)
    assert FORBIDDEN not in f"{raised.value!r}"
    assert len(stage.asked) == 1


def test_a_soft_block_is_its_text_and_the_conversation_goes_on(stages: Stages, kind: type[Sdk], streamed: bool) -> None:
    stage = stages.of(kind.wire, "soft")
    stage.play(says("safe ", FORBIDDEN[:5], FORBIDDEN[5:], " after"), says("another answer"))
    agent = kind(stage.host)
    said = agent.run(new_prompt(), streamed)
    assert said == ("safe " if streamed else "") + FALLBACK
    assert FORBIDDEN not in json.dumps(agent.history, default=str)
    assert agent.run("Go on.", streamed) == "another answer"
    assert len(stage.sessions(2)) == 1, "an intervention does not lose the session"
