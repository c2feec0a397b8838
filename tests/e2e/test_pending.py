"""A policy that asks a model while the request waits for the answer: context-pressure with a summary."""

from __future__ import annotations

import json
import sqlite3

from airlock import Airlock, interventions, new_session, of, policy
from conftest import Makers
from harness import Simulator

# The conversation's window is small; the summaries are another model's.
WINDOW = '[price."sim-echo"]\ninput = 1.0\noutput = 1.0\ncontext_window = 3000\n'
ASK = '[ask.notes]\nupstream = "sim"\nmodel = "sim-fast"\nkinds = ["generate"]\n'
GRANTS = {"sees": ["*"], "actions": ["replace-messages", "substitute-tool-result"], "asks": ["notes"]}
SETTINGS = {"above": 0.8, "target": 0.4, "summarise_with": "notes"}
# A policy's question goes to an upstream that takes no client's credential.
ROUTES = '[upstream.sim]\nbase_url = "{}"\ncredential = "none"\n'
# The ledger is kept on the disk for sessions with a limit.
LIMIT = "[session]\nmax_tokens = 1000000\n"
FILLER = "lorem ipsum dolor sit amet " * 25
TURNS = 12


def settled(airlock: Airlock, session: str) -> int:
    """Tokens on the session's account."""
    query = "select settled_tokens from ledgers join sessions on ledgers.session = sessions.n where value = ?"
    with sqlite3.connect(next(airlock.data.glob("*.db"))) as db:
        return db.execute(query, [session]).fetchone()[0]


def test_old_turns_are_summed_up_on_the_sessions_account(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, policy("context-pressure", SETTINGS, grants=GRANTS), ASK, WINDOW, LIMIT, routes=ROUTES.format(simulator.base_url))
    session = new_session()
    sdk = airlock.sdk(session)
    messages = [{"role": "user", "content": "the task"}]
    for turn in range(TURNS):
        said = sdk.chat.completions.create(model="sim-echo", messages=messages).choices[0].message.content
        messages += [{"role": "assistant", "content": said}, {"role": "user", "content": f"turn {turn}: {FILLER}"}]
    events = airlock.ended(session, TURNS)

    summaries = [c for c in simulator.chats() if c["json"]["model"] == "sim-fast"]
    assert summaries, "the summary was asked for"
    asked = summaries[0]["json"]["messages"]
    assert "turn 0: lorem" in asked[-1]["content"]
    text = json.loads(summaries[0]["response"])["choices"][0]["message"]["content"]
    position = simulator.chats().index(summaries[0])
    after = [m["content"] for m in simulator.chats()[position + 1]["json"]["messages"]]
    assert after[0] == "the task" and not any(m.startswith("turn 0:") for m in after), "the old turns are replaced"
    assert sum(text in m for m in after) == 1, after
    assert ("context-pressure", "replace-messages", "applied") in interventions(events)

    assert len(of(events, "asked")) == len(of(events, "answer")) == len(summaries)
    spent = [json.loads(c["response"])["usage"]["total_tokens"] for c in simulator.chats()]
    assert settled(airlock, session) == sum(spent), "conversation and summaries, no more and no less"


def test_without_an_answer_the_old_turns_leave_all_the_same(make: Makers, simulator: Simulator) -> None:
    # No such model: the upstream refuses.
    ask = ASK.replace("sim-fast", "nobody")
    routes = ROUTES.format(simulator.base_url)
    airlock = make.airlock(simulator, policy("context-pressure", SETTINGS, grants=GRANTS), ask, WINDOW, routes=routes)
    session = new_session()
    sdk = airlock.sdk(session)
    messages = [{"role": "user", "content": "the task"}]
    for turn in range(TURNS):
        said = sdk.chat.completions.create(model="sim-echo", messages=messages).choices[0].message.content
        messages += [{"role": "assistant", "content": said}, {"role": "user", "content": f"turn {turn}: {FILLER}"}]
    assert ("context-pressure", "replace-messages", "applied") in interventions(airlock.ended(session, TURNS))
    last = [m["content"] for m in simulator.chats()[-1]["json"]["messages"]]
    assert last[0] == "the task" and not any(m.startswith("turn 0:") for m in last)
