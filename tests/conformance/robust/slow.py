"""Upstreams that are slow, and clients that stop reading."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness import wait_for
from robust.bench import Bench, Check
from script import Answer, Ask, Gate, Outcome, Say, Wait
from drivers import DRIVERS
from upstreams.http import Reply

# What a client that reads nothing may cost, and what is sent to it.
MOST_KIB = 64 * 1024
ENDLESS_BYTES = 400 * 2**20


def drip(bench: Bench) -> list[str]:
    """Each byte waits until the client has had its time to wait: an upstream that never hurries is read to its end."""
    text = "slowly"
    gates = [Gate() for _ in text]
    parts = [part for letter, gate in zip(text, gates, strict=True) for part in (Say(letter), Wait(gate))]
    answer, outcome = Answer(tuple(parts)), Outcome()
    bench.upstream.play(answer)
    thread = threading.Thread(target=DRIVERS[bench.dialect].ask, args=(bench.house.host, "wire-drip", bench.asks(), outcome))
    thread.start()
    try:
        for count, gate in enumerate(gates, 1):
            wait_for(lambda count=count: outcome.error or outcome.text() == text[:count], f"the client to read {text[:count]!r}, has {outcome.text()!r}")
            gate.open()
    except AssertionError as error:
        return [f"{error}"]
    finally:
        for gate in gates:
            gate.open()
        thread.join(60)
    return [] if outcome.text() == text and not outcome.error else [f"expected {text!r}, came {outcome}"]


def silent(bench: Bench) -> list[str]:
    """An upstream that falls silent for longer than it may: the client is told so."""
    gate = Gate()
    answer, outcome = Answer((Say("and then"), Wait(gate), Say(" no more"))), Outcome()
    bench.upstream.play(answer, answer)
    ask = Ask(model=f"impatient-{bench.dialect}-x")
    thread = threading.Thread(target=DRIVERS[bench.dialect].ask, args=(bench.house.host, "wire-silent", ask, outcome))
    thread.start()
    try:
        wait_for(lambda: outcome.error or outcome.finish or not thread.is_alive(), "the client to be told of the silence")
    except AssertionError as error:
        return [f"{error}"]
    finally:
        gate.open()
        thread.join(60)
    return [] if outcome.error else [f"expected an error, came {outcome.text()!r} and the end {outcome.finish}"]


def deaf(bench: Bench) -> list[str]:
    """A client that reads nothing: the upstream is not read either, and memory stays."""
    request = bench.request()
    status = Path(f"/proc/{bench.house.airlock.process.child.pid}/status")
    before, sent = _rss_kib(status), [0]
    stop = threading.Event()

    def endless(parts: list[bytes]) -> Iterator[bytes | Gate]:
        yield parts[0]
        text = next(part for part in parts if b"again" in part)
        while sent[0] < ENDLESS_BYTES and not stop.is_set():
            sent[0] += len(text)
            yield text

    def shape(reply: Reply) -> Reply:
        return replace(reply, body=endless([part for part in reply.body if isinstance(part, bytes)]))

    bench.upstream.play(Answer((Say("again " * 2000),)), shape=shape)
    with socket.create_connection(("127.0.0.1", bench.house.airlock.port), timeout=60) as client:
        url = bench.url(request).removeprefix(bench.house.host)
        lines = [f"POST {url} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(request.body)}"]
        lines += [f"{name}: {value}" for name, value in bench.headers(request).items()]
        client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + request.body)
        wait_for(lambda: sent[0] > 0, "the upstream to begin")
        try:
            wait_for(_Still(sent), "the upstream to be kept waiting", 120)
        finally:
            stop.set()
        grown = _rss_kib(status) - before
    wrong = [f"the upstream could send all of its {sent[0]} bytes"] if sent[0] >= ENDLESS_BYTES else []
    return wrong + ([f"memory grew by {grown} KiB"] if grown > MOST_KIB else [])


class _Still:
    """True once a count has been the same in a hundred looks."""

    def __init__(self, count: list[int]):
        self.count, self.last, self.looks = count, -1, 0

    def __call__(self) -> bool:
        self.looks = self.looks + 1 if self.count[0] == self.last else 0
        self.last = self.count[0]
        return self.looks >= 100


def _rss_kib(status: Path) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS"))


SLOW: dict[str, Check] = {"an upstream that drips": drip, "an upstream that falls silent": silent, "a client that stops reading": deaf}
