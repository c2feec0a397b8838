"""Changes of the conversation on real traffic: an agent with the official SDK whose context fills up, on a real store."""

from __future__ import annotations

from typing import Any

from airlock import Airlock, interventions, new_session, of, policy
from conftest import Makers
from harness import Simulator

# A model with a small window, so that a few turns fill it.
WINDOW = '[price."sim-echo"]\ninput = 1.0\noutput = 1.0\ncontext_window = 3000\n'
PRESSURE = policy("context-pressure", {"above": 0.8, "target": 0.4})
FILLER = "lorem ipsum dolor sit amet " * 50


def start() -> list[Any]:
    return [{"role": "system", "content": "be brief"}, {"role": "user", "content": "the task of this session"}]


def chat(airlock: Airlock, session: str, messages: list[Any], turns: range) -> None:
    """Goes on with a conversation, as an application with the SDK does: the whole history each time."""
    sdk = airlock.sdk(session)
    for turn in turns:
        answer = sdk.chat.completions.create(model="sim-echo", messages=messages).choices[0].message
        messages.append(answer.model_dump(exclude_none=True))
        messages.append({"role": "user", "content": f"turn {turn}: {FILLER}"})


RELIEVED = ("context-pressure", "replace-messages", "applied")


def sent(simulator: Simulator) -> list[list[dict[str, Any]]]:
    """The messages of each request that reached the upstream."""
    return [call["json"]["messages"] for call in simulator.chats()]


def continues(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> bool:
    return after[: len(before)] == before


def test_a_full_context_is_relieved_once_and_stays_so(make: Makers, simulator: Simulator) -> None:
    airlock, session, messages = make.airlock(simulator, PRESSURE, WINDOW), new_session(), start()
    chat(airlock, session, messages, range(8))
    requests = sent(simulator)
    relieved = [i for i in range(1, len(requests)) if not continues(requests[i - 1], requests[i])]
    assert relieved, [len(r) for r in requests]
    # Each relief breaks the provider's cache; between two of them every request continues the one before.
    applied = interventions(airlock.ended(session, 8)).count(RELIEVED)
    assert len(relieved) == applied < 4, (relieved, applied)
    for request in requests:
        assert request[:2] == start(), "instructions and the task stay"
    # What the client sends grows and grows; what the model reads does not.
    assert len(requests[-1]) < len(messages) - 2


def test_the_changes_of_a_session_outlive_a_crash(make: Makers, simulator: Simulator) -> None:
    airlock, session, messages = make.airlock(simulator, PRESSURE, WINDOW), new_session(), start()
    chat(airlock, session, messages, range(8))
    assert RELIEVED in interventions(airlock.ended(session, 8))
    before = sent(simulator)[-1]
    airlock.kill()
    airlock.start()
    # The request that was answered last, once more.
    airlock.sdk(session).chat.completions.create(model="sim-echo", messages=messages[:-2])
    assert sent(simulator)[-1] == before


def test_a_client_that_goes_back_gets_its_own_history(make: Makers, simulator: Simulator) -> None:
    airlock, session, messages = make.airlock(simulator, PRESSURE, WINDOW), new_session(), start()
    chat(airlock, session, messages, range(8))
    assert RELIEVED in interventions(airlock.ended(session, 8))
    # To a point before anything was left out: nothing of what it sends is missing.
    airlock.sdk(session).chat.completions.create(model="sim-echo", messages=messages[:4])
    assert [m["content"] for m in sent(simulator)[-1]] == [m["content"] for m in messages[:4]]
    assert len(of(airlock.ended(session, 9), "history-rewritten")) == 1
