"""An HTTP server that sends what it is told to, byte for byte, and does not go past a closed gate."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from script import Gate


@dataclass
class Received:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    # Nanoseconds since the epoch.
    at: int = field(default_factory=time.time_ns)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """A response: bytes and gates in order. Without `length` the body is sent in chunks."""

    status: int = 200
    content_type: str = "application/json"
    body: Iterable[bytes | Gate] = ()
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    # The connection is cut after the body, without the last chunk.
    cut: bool = False

    @classmethod
    def whole(cls, status: int, value: Any) -> Reply:
        body = json.dumps(value, ensure_ascii=False).encode()
        return cls(status, body=[body], length=len(body))


class Server:
    """Serves on a free port of the loopback interface, in a thread of its own, until it is stopped."""

    def __init__(self, answer: Callable[[Received], Reply]):
        self.answer = answer
        self.broken = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result(30)
        self.port: int = self.server.sockets[0].getsockname()[1]

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20, backlog=2048)

    def stop(self) -> None:
        async def close() -> None:
            self.server.close()
            mine = asyncio.current_task()
            tasks = [task for task in asyncio.all_tasks() if task is not mine]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(close(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _request(reader)) is not None:
                reply = self.answer(request)
                await _send(writer, reply)
                if reply.cut:
                    writer.transport.abort()
                    return
                if request.headers.get("connection") == "close":
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            self.broken += 1
        except asyncio.CancelledError:
            # The server stops; nobody waits for this task.
            writer.transport.abort()
        finally:
            writer.close()


async def _request(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
    body = b""
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    elif headers.get("transfer-encoding", "") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    parts = urlsplit(target)
    return Received(method, parts.path, dict(parse_qsl(parts.query)), headers, body)


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    framing = "transfer-encoding: chunked" if reply.length is None else f"content-length: {reply.length}"
    lines = [f"HTTP/1.1 {reply.status} X", f"content-type: {reply.content_type}", framing]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    await writer.drain()
    async for part in _passed(reply.body):
        writer.write(part if reply.length is not None else b"%x\r\n%b\r\n" % (len(part), part))
        await writer.drain()
    if reply.length is None and not reply.cut:
        writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _passed(body: Iterable[bytes | Gate]) -> AsyncIterator[bytes]:
    for part in body:
        if isinstance(part, Gate):
            passed, loop = asyncio.Event(), asyncio.get_running_loop()
            part.when_open(lambda passed=passed: loop.call_soon_threadsafe(passed.set))
            await passed.wait()
        elif part:
            yield part
        # Others are served between two parts, also where no socket is ever full.
        await asyncio.sleep(0)
