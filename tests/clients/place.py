"""Points a client at Airlock with what `airlock client-setup` prints for it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from airlock import Airlock
from frameworks import Agent, Place
from harness import CLIENT_KEY
from sdks import Sdk
from stage import Stage

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY")
# Variables that would point a client elsewhere.
OTHERS = (
    "OPENAI_BASE_URL OPENAI_API_BASE ANTHROPIC_BASE_URL ANTHROPIC_API_URL GOOGLE_GEMINI_BASE_URL GOOGLE_VERTEX_BASE_URL OLLAMA_HOST HTTP_PROXY HTTPS_PROXY "
    "ALL_PROXY http_proxy https_proxy all_proxy"
).split()


def printed(airlock: Airlock, client: str) -> Place:
    """What Airlock prints for this client."""
    found = json.loads(airlock.cli("client-setup", client, "--output", "json"))
    return Place(client, {entry["name"]: entry["value"] for entry in found["environment"]}, found["text"])


def pointed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets the variables, and no others."""
    for name in OTHERS:
        monkeypatch.delenv(name, raising=False)
    for name in KEYS:
        monkeypatch.setenv(name, CLIENT_KEY)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)


@contextmanager
def at(stage: Stage, kind: type[Sdk] | type[Agent], monkeypatch: pytest.MonkeyPatch) -> Iterator[Sdk | Agent]:
    """A client of this kind."""
    place = printed(stage.airlock, kind.setup)
    pointed(place, monkeypatch)
    if issubclass(kind, Sdk):
        yield kind()
        return
    client = kind(place)
    try:
        yield client
    finally:
        client.close()
