"""What each client's user gets of a soft block, and of a session's budget that is used up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frameworks import Agent
from harness import new_prompt
from place import at
from policies import FALLBACK, FORBIDDEN
from sdks import Sdk
from stage import Stages, says

# Tokens of a session: more than any first request has.
BUDGET = 20000

# These raise where the vendor says that an answer was filtered: streamed, whole.
RAISES = {
    "OpenAIAgents": ("content_filter", "content_filter"),
    "GoogleAdk": ("SAFETY", None),
}


def test_a_soft_block_is_its_text_or_the_exception_for_filtered_answers(
    stages: Stages, kind: type[Sdk] | type[Agent], streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stages.of(kind.wire, "soft")
    stage.play(says("safe ", FORBIDDEN[:5], FORBIDDEN[5:], " after"), says("another answer"))
    with at(stage, kind, monkeypatch) as agent:
        if expected := RAISES.get(kind.__name__, (None, None))[not streamed]:
            with pytest.raises(Exception) as raised:
                agent.run(new_prompt(), streamed)
            assert expected in f"{raised.value!r}", f"{raised.value!r}"
            assert FORBIDDEN not in f"{raised.value!r}"
        else:
            said = agent.run(new_prompt(), streamed)
            assert said.endswith(FALLBACK) and FORBIDDEN not in said
            assert agent.run("Go on.", streamed) == "another answer"
            assert [row["exchanges"] for row in stage.sessions(2)] == [2], "an intervention does not lose the session"
    assert FORBIDDEN not in "".join(stage.asked)


def test_a_used_up_budget_is_an_exception_that_nobody_repeats(
    stages: Stages, kind: type[Sdk] | type[Agent], streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stages.of(kind.wire, "hard", f"[session]\nmax_tokens = {BUDGET}\n")
    stage.play(replace(says("an answer"), usage=(BUDGET, 1)), says("one too many"))
    with at(stage, kind, monkeypatch) as agent:
        assert agent.run(new_prompt(), streamed) == "an answer"
        with pytest.raises(Exception) as raised:
            agent.run("Go on.", streamed)
    assert "budget is used up" in f"{raised.value!r} {raised.value} {raised.value.__cause__!r}"
    assert len(stage.asked) == 1
    [session] = stage.sessions(2)
    assert session["exchanges"] == 2, "nobody sent the refused request twice"
