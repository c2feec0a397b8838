"""Runs one call of a cell: the SDK asks in a thread of its own, while the test looks on, and is the person who decides."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from drivers import DRIVERS
from evidence import complaints
from expect import channel_of, judge
from harness import wait_for
from house import HELD, House
from plan import ARGUMENTS, CHOICES, ERROR, LEAD, RESULT, STREAMED, WHOLE, Plan
from script import TOOL, Answer, Call, Done, Outcome


class Runner:
    """Runs calls one after the other, so that the feed's next session is that of the call."""

    def __init__(self, house: House):
        self.house = house
        self.pool = ThreadPoolExecutor(1)

    def run(self, plan: Plan) -> list[str]:
        """What is wrong; nothing if the call was as it must be."""
        upstream = self.house.upstreams[plan.upstream]
        self.house.feed.begin()
        outcome, session = Outcome(), f"cell-{uuid.uuid4().hex}"
        driver = DRIVERS[plan.cell.dialect]
        wrong: list[str] = []
        if plan.ask.done:
            plan, wrong = self._called(plan, plan.ask.done, session)
        upstream.play(*plan.answers)
        asked = self.pool.submit(driver.ask, self.house.host, session, plan.ask, outcome)
        try:
            if plan.cell.act == HELD:
                wrong += self._held(plan, asked, outcome)
        except AssertionError as error:
            wrong.append(f"{error}")
        finally:
            if plan.gate:
                plan.gate.open()
        asked.result(120)
        streams = [upstream.wire.streamed(request) for request in upstream.requests]
        if streams != [plan.cell.mode != WHOLE] * len(streams):
            wrong.append(f"the upstream was asked for {'a stream' if plan.cell.mode == WHOLE else 'a whole answer'}")
        bodies = [request.body.decode() for request in upstream.requests]
        wrong += judge(plan, outcome, bodies, upstream.refusals)
        try:
            self.house.feed.ended(2 if plan.ask.done else 1)
        except AssertionError as error:
            return [*wrong, f"no end on the timeline: {error}"]
        heard = self.house.feed.heard()
        if self.house.feed.missed:
            wrong.append("the live feed lost events: nothing is proved")
        # Of an answer that failed, a client of whole ones has no text.
        if plan.shows != ERROR or plan.cell.mode == STREAMED:
            wrong += complaints(plan, outcome, heard) if plan.shows != RESULT else self._result_heard(plan, heard)
        return [plan.way + one for one in wrong]

    def _called(self, plan: Plan, done: Done, session: str) -> tuple[Plan, list[str]]:
        """The turn before, in which the model calls the tool whose result comes next: the plan with the id that its client got."""
        call = Call(done.name, (json.dumps(done.arguments),), id=done.id)
        self.house.upstreams[plan.upstream].play(Answer((call,), finish=TOOL))
        before = DRIVERS[plan.cell.dialect].ask(self.house.host, session, replace(plan.ask, done=None), Outcome())
        expected, came = [(0, done.name, done.arguments)], [one[1:] for one in before.calls]
        if came != expected:
            return plan, [f"the turn before: expected {expected}, came {came} {before.message[:200]}"]
        return replace(plan, ask=replace(plan.ask, done=replace(done, id=before.ids[0]))), []

    def _result_heard(self, plan: Plan, heard: list[dict[str, object]]) -> list[str]:
        """The canary had the result of the tool before the upstream had the request."""
        done = plan.ask.done
        times = [part["at"] for part in heard if part.get("said") == (done and done.result)]
        if not times:
            return [f"the canary did not hear the tool's result: {heard}"]
        late = [r.at for r in self.house.upstreams[plan.upstream].requests if r.at < min(times) * 1000]
        return ["the upstream had the tool's result before the canary"] if late else []

    def _held(self, plan: Plan, asked: Future[Outcome], outcome: Outcome) -> list[str]:
        """Nothing leaves that waits; then it may."""
        if plan.gate:
            return self._held_text(plan, asked, outcome)
        found = wait_for(lambda: asked.done() or self.house.airlock.approvals(), "something to be put before a person")
        if found is True:
            return [f"expected that a person is asked, came {outcome.error or outcome.text()!r} {outcome.message[:200]}"]
        wrong = []
        subject = {ARGUMENTS: "tool-call", RESULT: "tool-result"}.get(plan.shows, "request")
        if found[0]["subject"]["kind"] != subject:
            wrong.append(f"expected that a {subject} waits, came {found[0]['subject']}")
        if outcome.text("tool-arguments") or outcome.calls or outcome.finish:
            wrong.append(f"the client could read on while it waited: {outcome}")
        upstream = self.house.upstreams[plan.upstream]
        if subject != "tool-call" and upstream.requests:
            wrong.append("the request went upstream while it waited")
        self.house.airlock.admin(f"/v1/approvals/{found[0]['id']}/approve", "POST", json={"by": "ada"}).raise_for_status()
        return wrong

    def _held_text(self, plan: Plan, asked: Future[Outcome], outcome: Outcome) -> list[str]:
        """What may be the beginning of a forbidden word waits, though the canary has it."""
        channel, choice = channel_of(plan), 1 if plan.shows == CHOICES else 0

        def heard() -> str:
            return "".join(part["text"] for part in self.house.feed.heard() if part.get("channel") == channel and part["choice"] == choice)

        wait_for(lambda: asked.done() or heard().endswith("HARD"), "the canary to hear the beginning of a word")
        if asked.done():
            return [f"expected that the answer waits, came {outcome.error or outcome.text()!r} {outcome.message[:200]}"]
        wait_for(lambda: asked.done() or outcome.text(channel, choice) == LEAD, f"the client to read {LEAD!r}, has {outcome.read}")
        return []
