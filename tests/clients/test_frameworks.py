"""What the user of each framework gets of an intervention, and that its conversation stays one session."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airlock import Airlock
from frameworks import ALL
from harness import Simulator, wait_for
from policies import FALLBACK, FORBIDDEN, blocklist

# The exception that the framework has for a filtered answer, or for a request that is refused.
BLOCKED = {
    "OpenAISdk": "BadRequestError",
    "LangChain": "InvalidRequestError",
    "PydanticAI": "ModelRequestRejectedError",
    "SemanticKernel": "ContentFilterAIException",
    "LiteLLM": "BadRequestError",
    "OpenAIAgents": "BadRequestError",
}
# And for a used-up budget.
BUDGET = {"PydanticAI": "ModelQuotaExceededError", "SemanticKernel": "ServiceResponseException", "LiteLLM": "APIError"}


def says(text: str) -> str:
    """A turn that makes the simulated model say this."""
    return json.dumps({"text": text})


def kinds(error: BaseException) -> str:
    """Names of all classes of an exception."""
    return " ".join(kind.__name__ for kind in type(error).__mro__)


@pytest.fixture(params=ALL, ids=lambda kind: kind.__name__)
def client(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_a_conversation_is_one_session(make: Any, simulator: Simulator, client: Any) -> None:
    airlock: Airlock = make.airlock(simulator, blocklist())
    talk = client(airlock.base_url)
    for n in range(3):
        text = f"answer number {n} of a conversation that goes on"
        assert text in talk.say(says(text))
    wait_for(lambda: airlock.sessions(), "a session to be recorded")
    assert len(airlock.sessions()) == 1


def test_a_hard_block_is_an_exception_and_no_second_generation(make: Any, simulator: Simulator, client: Any) -> None:
    airlock: Airlock = make.airlock(simulator, blocklist())
    talk = client(airlock.base_url)
    with pytest.raises(Exception) as raised:
        talk.say(says(f"the word is {FORBIDDEN}"))
    assert BLOCKED[client.__name__] in kinds(raised.value), kinds(raised.value)
    seen = f"{raised.value!r} {raised.value} {raised.value.__cause__}"
    assert FORBIDDEN not in seen and "blocklist" in seen
    assert len(simulator.chats()) == 1, "one generation"


def test_a_soft_block_is_its_text_and_the_conversation_goes_on(make: Any, simulator: Simulator, client: Any) -> None:
    airlock: Airlock = make.airlock(simulator, blocklist("soft"))
    talk = client(airlock.base_url)
    assert talk.say(says(f"the word is {FORBIDDEN}")) == FALLBACK
    assert "and another answer, of some length" in talk.say(says("and another answer, of some length"))
    wait_for(lambda: airlock.sessions(), "a session to be recorded")
    assert len(airlock.sessions()) == 1, "an intervention does not lose the session"


def test_a_used_up_budget_is_an_exception_that_nobody_repeats(make: Any, simulator: Simulator, client: Any) -> None:
    airlock: Airlock = make.airlock(simulator, "[session]\nmax_tokens = 120\n")
    talk = client(airlock.base_url)
    with pytest.raises(Exception) as raised:
        for n in range(30):
            talk.say(says(f"answer number {n}, with so many words that the budget is soon used up"))
    assert BUDGET.get(client.__name__, "APIStatusError") in kinds(raised.value), kinds(raised.value)
    before = len(simulator.chats())
    assert "budget is used up" in f"{raised.value!r} {raised.value.__cause__}"
    assert len(simulator.chats()) == before
