"""Answers that are compressed though nobody asked for it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace

import brotli
import zstandard

from robust.bench import Bench, Check, differs
from robust.cut import ANSWER, TEXT
from upstreams.http import Reply

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def _packed(name: str, streamed: bool) -> Check:
    def shape(reply: Reply) -> Reply:
        packed = PACKERS[name](b"".join(part for part in reply.body if isinstance(part, bytes)))
        # In three parts, which end wherever they end.
        third = len(packed) // 3
        parts = [packed[:third], packed[third : 2 * third], packed[2 * third :]]
        return replace(reply, body=parts, headers={"content-encoding": name})

    def check(bench: Bench) -> list[str]:
        return differs(bench.ask(ANSWER, shape, streamed), ANSWER, TEXT)

    return check


PACKED: dict[str, Check] = {
    f"{name}, {'streamed' if streamed else 'whole'}": _packed(name, streamed) for name in PACKERS for streamed in (True, False)
}
