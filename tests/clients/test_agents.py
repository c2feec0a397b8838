"""What each client gets of a tool, of a call that is denied, and of a block. Nothing but its base URL and key is Airlock's."""

from __future__ import annotations

import pytest

from frameworks import Agent
from harness import new_prompt
from policies import FORBIDDEN
from sdks import BALANCE, Sdk
from stage import DENIED, Stage, calls, says


def prefix(agent: Sdk | Agent) -> str:
    return getattr(agent, "prefix", "")


def test_a_loop_with_a_tool(stage: Stage, agent: Sdk | Agent, streamed: bool) -> None:
    stage.play(calls(f"{prefix(agent)}look_up", '{"q":"a balance"}'), says("It is", " 42."))
    assert agent.run(new_prompt(), streamed) == "It is 42."
    assert agent.called == [("look_up", {"q": "a balance"})]
    first, second = stage.asked
    assert BALANCE not in first and BALANCE in second
    assert len(stage.sessions(2)) == 1


def test_a_conversation_is_one_session_and_another_is_another(stage: Stage, agent: Sdk | Agent, streamed: bool) -> None:
    name = f"{prefix(agent)}look_up"
    stage.play(says("Of which account?"), calls(name, '{"q":"a"}'), says("It is 42."), calls(name, '{"q":"b"}', "call_two"), says("42 too."))
    assert agent.run(new_prompt(), streamed) == "Of which account?"
    assert agent.run("Of the first.", streamed) == "It is 42."
    assert agent.run("And the second?", streamed) == "42 too."
    assert len(stage.asked) == 5
    assert [row["exchanges"] for row in stage.sessions(5)] == [5]


def test_a_denied_call_is_told_to_the_model_and_not_to_the_client(stage: Stage, agent: Sdk | Agent, streamed: bool) -> None:
    stage.play(calls(f"{prefix(agent)}delete_user", '{"id":7}'), says("I may not."), says("Nor now."))
    assert agent.run(new_prompt(), streamed) == "I may not."
    assert agent.called == []
    assert DENIED not in stage.asked[0] and DENIED in stage.asked[1]
    assert agent.run("And now?", streamed) == "Nor now."
    assert DENIED in stage.asked[2], "the model keeps what it called and was told"
    assert [row["exchanges"] for row in stage.sessions(2)] == [2]


def test_a_hard_block_is_an_exception_and_no_second_generation(stage: Stage, agent: Sdk | Agent, streamed: bool) -> None:
    stage.play(says("safe ", FORBIDDEN[:5], FORBIDDEN[5:], " after"))
    with pytest.raises(Exception) as raised:
        agent.run(new_prompt(), streamed)
    seen = f"{raised.value!r} {raised.value} {raised.value.__cause__!r} {raised.value.__context__!r}"
    assert "blocklist" in seen and FORBIDDEN not in seen
    assert len(stage.asked) == 1
