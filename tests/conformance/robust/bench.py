"""What every check of the wire has: an Airlock with all policies, the fake upstream of one wire API, and its SDK."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx

from drivers import DRIVERS
from drivers.driver import CLIENT_KEY
from house import House
from script import Answer, Ask, Outcome
from upstreams import Shape, Upstream
from upstreams.http import Received, Reply


@dataclass
class Bench:
    """One wire API on the bench."""

    house: House
    dialect: str

    @property
    def upstream(self) -> Upstream:
        return self.house.upstreams[self.dialect]

    def asks(self, streamed: bool = True) -> Ask:
        return Ask(model=f"to-{self.dialect}-x", streamed=streamed)

    def ask(self, answer: Answer, shape: Shape | None = None, streamed: bool = True) -> Outcome:
        """What the SDK reports of an answer. Airlock may repeat a call of which its client has nothing."""
        self.upstream.play(answer, answer, shape=shape)
        self.house.feed.begin()
        return DRIVERS[self.dialect].ask(self.house.host, f"wire-{uuid.uuid4().hex}", self.asks(streamed), Outcome())

    def request(self) -> Received:
        """A streaming request as the SDK sends it."""
        self.ask(Answer(()))
        return self.upstream.requests[0]

    def url(self, request: Received) -> str:
        query = "&".join(f"{name}={value}" for name, value in request.query.items())
        return f"{self.house.host}{request.path}" + (f"?{query}" if query else "")

    def headers(self, request: Received) -> dict[str, str]:
        kept = {name: value for name, value in request.headers.items() if name.startswith(("anthropic-", "x-goog-api-key"))}
        return kept | {"content-type": "application/json", "authorization": f"Bearer {CLIENT_KEY}"}

    def raw(self, request: Received, answer: Answer, shape: Shape | None = None) -> bytes:
        """The bytes that a client gets, whatever an SDK would make of them."""
        self.upstream.play(answer, answer, shape=shape)
        response = httpx.post(self.url(request), content=request.body, headers=self.headers(request), timeout=60)
        return response.content


Check = Callable[[Bench], list[str]]


def differs(outcome: Outcome, answer: Answer, text: str) -> list[str]:
    """What differs from an answer that arrived as it was said."""
    wrong = []
    if outcome.error:
        wrong.append(f"expected an answer, came {outcome.error[0]} {outcome.message[:200]}")
    if outcome.text() != text:
        wrong.append(f"expected {text[:60]!r} ({len(text)}), came {outcome.text()[:60]!r} ({len(outcome.text())})")
    if outcome.usage != answer.usage:
        wrong.append(f"expected the usage {answer.usage}, came {outcome.usage}")
    return wrong


def edited(edit: Callable[[bytes], bytes]) -> Shape:
    """Each part of the body, changed."""

    def shape(reply: Reply) -> Reply:
        body = [edit(part) if isinstance(part, bytes) else part for part in reply.body]
        return replace(reply, body=body)

    return shape


def text_of(value: Any) -> str:
    """How the fake upstreams write a text in JSON."""
    return json.dumps(value, ensure_ascii=False)
