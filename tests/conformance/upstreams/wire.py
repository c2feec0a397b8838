"""What every fake upstream has: a wire API in which it checks requests and tells an answer, and a list of answers to give."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from script import Answer, Gate
from upstreams.http import Received, Reply, Server


class Refused(Exception):
    """The vendor would refuse this request in these words."""


class Wire(Protocol):
    """A wire API, from the vendor's documentation."""

    name: str
    # What the configuration calls it as an upstream.
    dialect: str
    # What follows the host in the base URL that the vendor's SDK takes.
    base: str
    content_type: str

    def serves(self, request: Received) -> bool: ...

    def check(self, request: Received) -> None: ...

    def streamed(self, request: Received) -> bool: ...

    def stream(self, answer: Answer, request: Received) -> Iterator[bytes | Gate]: ...

    def body(self, answer: Answer, request: Received) -> dict[str, Any]: ...

    def error(self, status: int, message: str) -> dict[str, Any]: ...


def need(condition: object, why: str) -> None:
    """Refuses the request unless the condition holds."""
    if not condition:
        raise Refused(why)


def known(value: dict[str, Any], names: Iterable[str], where: str) -> None:
    """Refuses a parameter that the vendor does not know."""
    unknown = sorted(set(value) - set(names))
    need(not unknown, f"Unrecognized request argument supplied: {where}: {', '.join(unknown)}")


def data(value: Any, event: str | None = None) -> bytes:
    """A server-sent event."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


# Changes a reply on its way out: what a wire does to an answer, and not its words.
Shape = Callable[[Reply], Reply]


class Upstream:
    """A fake model server of one wire API. Each request takes the next answer."""

    def __init__(self, wire: Wire):
        self.wire = wire
        self.lock = threading.Lock()
        self.answers: list[Answer] = []
        self.requests: list[Received] = []
        self.refusals: list[str] = []
        self.shape: Shape | None = None
        self.server = Server(self._answer)
        self.base_url = f"http://127.0.0.1:{self.server.port}{wire.base}"

    def play(self, *answers: Answer, shape: Shape | None = None) -> None:
        """Forgets what was, and gives these answers, one a request, each changed by the shape on its way out."""
        with self.lock:
            self.answers, self.requests, self.refusals, self.shape = list(answers), [], [], shape

    def stop(self) -> None:
        self.server.stop()

    def _answer(self, request: Received) -> Reply:
        with self.lock:
            self.requests.append(request)
            try:
                need(self.wire.serves(request), f"Not found: {request.method} {request.path}")
                self.wire.check(request)
                need(self.answers, "the script has no further answer")
            except (Refused, KeyError, TypeError, ValueError) as error:
                self.refusals.append(f"{error!r}")
                return Reply.whole(400, self.wire.error(400, f"{error!r}"))
            answer, shape = self.answers.pop(0), self.shape
        if answer.status != 200:
            return Reply.whole(answer.status, self.wire.error(answer.status, "the upstream said no"))
        streamed = self.wire.streamed(request) if answer.streamed is None else answer.streamed
        if streamed:
            reply = Reply(200, self.wire.content_type, self.wire.stream(answer, request))
        else:
            reply = Reply(200, body=self._whole(answer, request))
        return shape(reply) if shape else reply

    def _whole(self, answer: Answer, request: Received) -> Iterator[bytes | Gate]:
        """A body in two halves, with the script's gates between them."""
        body = json.dumps(self.wire.body(answer, request), ensure_ascii=False).encode()
        yield body[: len(body) // 2]
        for part in answer.parts:
            if gate := getattr(part, "gate", None):
                yield gate
        yield body[len(body) // 2 :]
