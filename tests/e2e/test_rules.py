"""Rules without Wasm on real traffic, and what a rule with a mistake does to a start."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from agent import WAYS, Agent, call
from airlock import interventions, new_session
from conftest import Makers
from harness import Process, Simulator, script


@pytest.mark.parametrize("way", WAYS)
def test_a_rule_denies_a_tool(make: Makers, simulator: Simulator, way: str) -> None:
    rule = '[[rule]]\nname = "no-deletion"\nwhen = "tool.name == \'delete_user\'"\ndo = "deny-tool-call"\nmessage = "nobody is deleted"\n'
    airlock = make.airlock(simulator, rule)
    session = new_session()
    agent = Agent(airlock.sdk(session), [call("delete_user", id=7), {"text": "I may not."}], way=way)
    assert (agent.run(), agent.called) == ("I may not.", [])
    told = [m["content"] for m in simulator.chats()[-1]["json"]["messages"] if m["role"] == "tool"]
    assert len(told) == 1 and "nobody is deleted" in told[0], told
    assert ("rule:no-deletion", "deny-tool-call", "applied") in interventions(airlock.ended(session))


@pytest.mark.parametrize("verdict", ["approve", "deny"])
def test_a_rule_holds_a_request_by_its_declared_risk(make: Makers, simulator: Simulator, verdict: str) -> None:
    rule = '[[rule]]\nwhen = "has(session.risk_rank) && session.risk_rank >= 2"\ndo = "hold-for-person"\nmessage = "a risky request"\n'
    airlock = make.airlock(simulator, rule)
    sdk = airlock.sdk(new_session())

    def ask(risk: str) -> str | None:
        order = {"model": "sim-echo", "messages": script(text="the answer"), "extra_headers": {"x-airlock-risk": risk}}
        return sdk.chat.completions.create(**order).choices[0].message.content

    assert ask("low") == "the answer"
    simulator.forget()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, "high")
        held = airlock.held()
        assert held["subject"] == {"kind": "request"} and simulator.chats() == []
        airlock.cli("approvals", verdict, held["id"])
        if verdict == "approve":
            assert answer.result(30) == "the answer"
        else:
            with pytest.raises(openai.APIStatusError, match="held for a person: denied"):
                answer.result(30)
            assert simulator.chats() == []


MISTAKES = {
    "an unknown field": ('[[rule]]\nwhen = "vitals.elapsd > 5"\ndo = "stop"\n', 2, ".elapsd", "did you mean `elapsed`"),
    "bad syntax": ('[[rule]]\nwhen = "request.messages > )"\ndo = "stop"\n', 2, ")", "rule[0].when"),
    "an unknown action": ('[[rule]]\nwhen = "true"\ndo = "stopp"\n', 3, '"stopp"', "stopp"),
    "an unknown key": ('[[rule]]\nwhen = "true"\ndo = "stop"\nmesage = "a"\n', 4, "mesage", "mesage"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_rule_with_a_mistake_refuses_the_start_and_says_where(make: Makers, simulator: Simulator, mistake: str) -> None:
    rule, line, at, says = MISTAKES[mistake]
    airlock = make.airlock(simulator)
    airlock.stop()
    airlock.write(rule)
    before = airlock.config.read_text().count("\n", 0, airlock.config.read_text().index("[[rule]]"))
    column = rule.splitlines()[line - 1].index(at) + 1
    process = Process(["serve", "--config", str(airlock.config)], airlock.folder / "refused.log")
    assert process.child.wait(30) != 0
    assert f"airlock.toml:{before + line}:{column}: " in process.output and says in process.output, process.output
