"""A thousand streams at once, none of which loses a frame."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field, replace

from robust.bench import Bench, Check
from script import Answer, Gate, Say
from upstreams.http import Received, Reply

STREAMS = 1000
FRAMES = 20


@dataclass
class Crowd:
    """Holds every stream after its first frame until all have begun."""

    gate: Gate = field(default_factory=Gate)
    begun: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def shape(self, reply: Reply) -> Reply:
        parts = list(reply.body)
        first = next(at for at, part in enumerate(parts) if isinstance(part, bytes) and b"frame-00" in part)
        return replace(reply, body=[*parts[: first + 1], self.gate, *parts[first + 1 :]])

    def arrived(self) -> None:
        with self.lock:
            self.begun += 1
            if self.begun == STREAMS:
                self.gate.open()


def crowd(bench: Bench) -> list[str]:
    request = bench.request()
    texts = [f"frame-{number:02} " for number in range(FRAMES)]
    many = Crowd()
    bench.upstream.play(*[Answer(tuple(Say(text) for text in texts))] * STREAMS, shape=many.shape)
    wanted = "".join(texts).encode()
    try:
        got = asyncio.run(_all(bench, request, many))
    finally:
        many.gate.open()
    wrong = [body for body in got if b"".join(_words(body)) != wanted]
    if not wrong:
        return []
    return [f"{len(wrong)} of {STREAMS} streams are not whole; {many.begun} had begun; the first has {len(_words(wrong[0]))} frames: {wrong[0][:300]!r}"]


def _words(body: bytes) -> list[bytes]:
    """The frames' words, as they stand in any of the wire APIs. A repetition of the whole text at the end is not counted."""
    found, at = [], body.find(b"frame-")
    while at >= 0 and len(found) < FRAMES:
        found.append(body[at : at + 9])
        at = body.find(b"frame-", at + 9)
    return found


async def _all(bench: Bench, request: Received, many: Crowd) -> list[bytes]:
    return await asyncio.wait_for(asyncio.gather(*(_one(bench, request, many) for _ in range(STREAMS))), 240)


async def _one(bench: Bench, request: Received, many: Crowd) -> bytes:
    """One client: says when it has the first frame, and reads to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.house.airlock.port)
    url = bench.url(request).removeprefix(bench.house.host)
    lines = [f"POST {url} HTTP/1.1", "host: 127.0.0.1", "connection: close", f"content-length: {len(request.body)}"]
    lines += [f"{name}: {value}" for name, value in bench.headers(request).items()]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + request.body)
    body, counted = b"", False
    while part := await reader.read(65536):
        body += part
        if not counted and b"frame-00" in body:
            counted = True
            many.arrived()
    writer.close()
    return body


CROWD: dict[str, Check] = {"1,000 streams at once": crowd}
