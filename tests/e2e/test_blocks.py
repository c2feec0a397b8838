"""A block never looks like success: each mode, streamed and not, as the SDK shows it."""

from __future__ import annotations

import httpx
import openai
import pydantic
import pytest

from airlock import Airlock, interventions, new_session, of
from conftest import Makers
from harness import Simulator, body, script, wait_for
from policies import FALLBACK, FORBIDDEN, blocklist

LEAK = {"chunks": ["safe ", FORBIDDEN[:5], FORBIDDEN[5:], " after"]}


class Answer(pydantic.BaseModel):
    text: str


@pytest.fixture(scope="module", params=["hard", "soft", "abort"])
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def blocking(mode: str, module_make: Makers, shared_simulator: Simulator) -> Airlock:
    return module_make.airlock(shared_simulator, blocklist(mode))


def test_streamed(blocking: Airlock, mode: str) -> None:
    said, finish = "", None

    def read() -> None:
        nonlocal said, finish
        for chunk in blocking.sdk().chat.completions.create(model="sim-echo", messages=script(**LEAK), stream=True):
            choice = chunk.choices[0]
            said, finish = said + (choice.delta.content or ""), choice.finish_reason or finish

    if mode == "hard":
        with pytest.raises(openai.APIError):
            read()
    elif mode == "abort":
        with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError, httpx.ReadError)):
            read()
    else:
        read()
        assert finish == "content_filter" and said.endswith(FALLBACK)
    assert finish != "stop"
    # What an abort finds on its way may be lost with the connection.
    assert said.removesuffix(FALLBACK) in (["safe ", ""] if mode == "abort" else ["safe "])


def test_stream_helper_raises(blocking: Airlock, mode: str) -> None:
    errors = {
        "hard": openai.APIError,
        "soft": openai.ContentFilterFinishReasonError,
        "abort": (openai.APIConnectionError, httpx.RemoteProtocolError, httpx.ReadError),
    }
    with (
        pytest.raises(errors[mode]),
        # The helper looks at the finish reason only of what it is to parse.
        blocking.sdk().chat.completions.stream(
            model="sim-echo", messages=script(**LEAK), tools=[openai.pydantic_function_tool(Answer)]
        ) as stream,
    ):
        stream.until_done()


def test_whole(blocking: Airlock, simulator: Simulator, mode: str) -> None:
    sdk = blocking.sdk(max_retries=2)
    if mode == "soft":
        choice = sdk.chat.completions.create(model="sim-echo", messages=script(**LEAK)).choices[0]
        assert choice.finish_reason == "content_filter" and choice.message.content == FALLBACK
    else:
        with pytest.raises(openai.APIConnectionError if mode == "abort" else openai.BadRequestError):
            sdk.chat.completions.create(model="sim-echo", messages=script(**LEAK))
    if mode != "abort":
        assert len(simulator.chats()) == 1, "the SDK was told not to repeat what will be refused again"


def test_what_is_clean_passes(blocking: Airlock) -> None:
    near = FORBIDDEN[:-1]
    answer = blocking.sdk().chat.completions.create(model="sim-echo", messages=script(chunks=["a ", near, " b"]))
    assert answer.choices[0].message.content == f"a {near} b"


def test_the_block_is_on_the_timeline(blocking: Airlock) -> None:
    session = new_session()
    try:
        blocking.post(body(**LEAK), session)
    except httpx.TransportError:
        pass
    events = blocking.ended(session)
    assert ("blocklist", "block", "applied") in interventions(events)
    assert of(events, "finding")[0]["policy"] == "blocklist"
    assert of(events, "response-end")[0]["status"] == "blocked"


def test_a_block_cancels_the_upstream(blocking: Airlock, simulator: Simulator) -> None:
    before = simulator.live()["cancelled"]
    try:
        blocking.post(body("sim-runaway", text=f"on and on {FORBIDDEN} ", delay_ms=2))
    except httpx.TransportError:
        pass
    wait_for(lambda: simulator.live()["cancelled"] > before, "the upstream call to be cancelled")


def test_observe_mode_changes_nothing(make: Makers, simulator: Simulator) -> None:
    airlock = make.airlock(simulator, blocklist(mode="observe"))
    session = new_session()
    received = airlock.post(body(**LEAK) | {"stream_options": {"include_usage": True}}, session)
    assert received.content == simulator.chats()[-1]["response"].encode()
    assert ("blocklist", "block", "would-apply") in interventions(airlock.ended(session))
