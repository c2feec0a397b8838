"""Fake model servers, one wire API a file, written from the vendors' documentation and not from Airlock's sources."""

from upstreams.chat import Chat
from upstreams.completions import Completions
from upstreams.gemini import Gemini
from upstreams.generate import Generate
from upstreams.messages import Messages
from upstreams.ollama import Ollama
from upstreams.responses import Responses
from upstreams.wire import Shape, Upstream, Wire

WIRES: dict[str, Wire] = {wire.name: wire for wire in (Chat(), Responses(), Messages(), Gemini(), Ollama(), Generate(), Completions())}

__all__ = ["WIRES", "Shape", "Upstream", "Wire"]
