"""Conversations that name no session are recognised by what was said, also after Airlock was started anew in the middle."""

from __future__ import annotations

import pytest

from frameworks import Agent
from frameworks.langgraph_agent import LangGraphAnthropic, LangGraphChat, LangGraphResponses
from harness import new_prompt
from place import at
from stage import DENIED, Stages, calls, says


@pytest.mark.parametrize("kind", [LangGraphChat, LangGraphResponses, LangGraphAnthropic], ids=lambda kind: kind.__name__)
def test_a_restart_in_the_middle_loses_neither_session_nor_denied_call(stages: Stages, kind: type[Agent], monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stages.of(kind.wire)
    stage.play(calls("delete_user", '{"id":7}'), says("I may not."), calls("look_up", '{"q":"b"}', "call_two"), says("It is 42."))
    with at(stage, kind, monkeypatch) as agent:
        assert agent.run(new_prompt(), True) == "I may not."
        stage.restart()
        assert agent.run("Then the balance.", True) == "It is 42."
    assert agent.called == [("look_up", {"q": "b"})]
    assert DENIED in stage.asked[2] and DENIED in stage.asked[3]
    assert [row["exchanges"] for row in stage.sessions(3)] == [3]


def test_two_conversations_at_once_are_two_sessions(stages: Stages, kind: type[Agent], monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stages.of(kind.wire)
    stage.play(says("first"), says("second"), says("first again"), says("second again"))
    with at(stage, kind, monkeypatch) as one, at(stage, kind, monkeypatch) as other:
        assert [one.run(new_prompt(), True), other.run(new_prompt(), True)] == ["first", "second"]
        assert [one.run("Go on.", True), other.run("Go on.", True)] == ["first again", "second again"]
    assert [row["exchanges"] for row in stage.sessions(4)] == [2, 2]
