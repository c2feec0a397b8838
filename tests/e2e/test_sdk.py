"""The official SDK sees no difference between the upstream and Airlock in front of it."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from airlock import Airlock, exchange_texts, new_session, of
from harness import Simulator, body, client, frames, script

CALLS = [{"name": "search", "arguments": {"q": "ü" * 9}, "id": "call_a"}, {"name": "read", "arguments": {}, "id": "call_b"}]
TOOLS = [{"type": "function", "function": {"name": n, "parameters": {"type": "object"}}} for n in ("search", "read")]


@pytest.fixture(params=["direct", "airlock"])
def sdk(request: pytest.FixtureRequest, plain: Airlock, simulator: Simulator) -> openai.OpenAI:
    return client(plain.base_url if request.param == "airlock" else simulator.base_url)


def test_streamed_text(sdk: openai.OpenAI) -> None:
    stream = sdk.chat.completions.create(model="sim-echo", messages=script(chunks=["a", " b", "ü"]), stream=True)
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "a bü"
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_whole_text(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="sim-echo", messages=script(text="a b"))
    assert answer.choices[0].message.content == "a b" and answer.usage.completion_tokens == 2


@pytest.mark.parametrize("streamed", [True, False])
def test_tools(sdk: openai.OpenAI, streamed: bool) -> None:
    order: dict[str, Any] = {"model": "sim-echo", "messages": script(tool_calls=CALLS), "tools": TOOLS}
    if streamed:
        with sdk.chat.completions.stream(**order) as stream:
            choice = stream.get_final_completion().choices[0]
    else:
        choice = sdk.chat.completions.create(**order).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert [(c.id, c.function.name, json.loads(c.function.arguments)) for c in choice.message.tool_calls] == [
        (c["id"], c["name"], c["arguments"]) for c in CALLS
    ]


def test_an_agents_loop(sdk: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "find it"}]
    for _ in range(4):
        message = sdk.chat.completions.create(model="sim-tools", messages=messages, tools=TOOLS).choices[0].message
        messages.append(message)
        if not message.tool_calls:
            break
        messages += [{"role": "tool", "tool_call_id": c.id, "content": "found"} for c in message.tool_calls]
    assert "done" in messages[-1].content


def test_several_choices(sdk: openai.OpenAI) -> None:
    order = {"model": "sim-echo", "n": 2, "messages": script(choices=[["a", "b"], ["x"]])}
    assert [c.message.content for c in sdk.chat.completions.create(**order).choices] == ["ab", "x"]
    said = ["", ""]
    for chunk in sdk.chat.completions.create(**order, stream=True):
        said[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert said == ["ab", "x"]


def test_usage_when_asked(sdk: openai.OpenAI) -> None:
    options = {"include_usage": True}
    chunks = list(
        sdk.chat.completions.create(model="sim-echo", messages=script(text="a b c"), stream=True, stream_options=options)
    )
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 3


def test_no_usage_when_not_asked(sdk: openai.OpenAI) -> None:
    chunks = list(sdk.chat.completions.create(model="sim-echo", messages=script(text="a b c"), stream=True))
    assert all(c.choices and c.usage is None for c in chunks)


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (401, openai.AuthenticationError), (404, openai.NotFoundError), (429, openai.RateLimitError)],
)
def test_errors_keep_status_and_words(sdk: openai.OpenAI, status: int, error: type[Exception]) -> None:
    order = script(status=status, error={"message": "the vendor's words", "code": "its_code"}, headers={"x-request-id": "r-1"})
    with pytest.raises(error, match="the vendor's words") as raised:
        sdk.chat.completions.create(model="sim-echo", messages=order)
    assert raised.value.code == "its_code" and raised.value.request_id == "r-1"


def test_an_error_in_mid_stream_raises(sdk: openai.OpenAI) -> None:
    order = script(chunks=["a", "b"], error_after_chunks=1, error={"message": "broken in the middle"})
    with pytest.raises(openai.APIError, match="broken in the middle"):
        list(sdk.chat.completions.create(model="sim-echo", messages=order, stream=True))


def test_embeddings_and_models(sdk: openai.OpenAI) -> None:
    assert len(sdk.embeddings.create(model="sim-embedding", input="a").data[0].embedding) == 8
    assert "sim-echo" in [m.id for m in sdk.models.list()]


# Byte for byte


@pytest.mark.parametrize("write_bytes", [None, 1, 7])
@pytest.mark.parametrize("streamed", [True, False])
def test_bytes_pass_unchanged(plain: Airlock, simulator: Simulator, streamed: bool, write_bytes: int | None) -> None:
    order = body(
        stream=streamed, chunks=["a", "", "ü😀", '"\\\n'], reasoning=["r"], tool_calls=CALLS, write_bytes=write_bytes
    )
    if streamed:
        order["stream_options"] = {"include_usage": True}
    received = plain.post(order)
    assert received.status_code == 200 and received.headers["x-airlock-simulated"] == "1"
    assert received.content == simulator.chats()[-1]["response"].encode()


@pytest.mark.parametrize(
    "raw",
    [
        [": comment\n\n", 'data: {"choices":[]}\n\n', "data: [DONE]\n\n"],
        ['data:{"unknown":1}\r\n\r\n', "event: odd\ndata: not json\n\n", "data: [DONE]\n\n"],
        ['id: 1\ndata: {"choices":[{"index":0,"delta":{"content":"a"},"new_field":[1e400]}]}\n\n', "data: [DONE]\n\n"],
    ],
)
def test_frames_of_any_shape_pass_unchanged(plain: Airlock, simulator: Simulator, raw: list[str]) -> None:
    order = body(raw=raw) | {"stream_options": {"include_usage": True}}
    assert plain.post(order).content == "".join(raw).encode()


def test_usage_is_asked_for_upstream_and_stripped(plain: Airlock, simulator: Simulator) -> None:
    session = new_session()
    received = plain.post(body(chunks=["a", "b"]), session).content
    upstream = simulator.chats()[-1]
    assert upstream["json"]["stream_options"]["include_usage"] is True
    chunks = [json.loads(f) for f in frames(received)[:-1]]
    assert all(c["choices"] for c in chunks) and not any(c.get("usage") for c in chunks)
    usage = of(plain.ended(session), "response-end")[0]["usage"]
    assert usage["exact"] and usage["output"] == 2


def test_an_untouched_request_keeps_its_bytes(plain: Airlock, simulator: Simulator) -> None:
    raw = b'{ "model":"sim-echo",\n"messages":[{"content":"h\\u0069","role":"user"}],"new":1e2 , "stream":false}'
    plain.http.post("/v1/chat/completions", content=raw, headers={"content-type": "application/json"}).raise_for_status()
    assert simulator.chats()[-1]["body"].encode() == raw


def test_headers_of_both_directions(plain: Airlock, simulator: Simulator) -> None:
    back = {"x-request-id": "req-1", "openai-processing-ms": "5", "x-ratelimit-remaining-tokens": "9", "retry-after": "1"}
    order = script(text="a", headers=back)
    sdk = client(plain.base_url, organization="org-1", project="proj-1", default_headers={"traceparent": "00-1-2-01", "openai-beta": "x"})
    raw = sdk.chat.completions.with_raw_response.create(model="sim-echo", messages=order)
    assert {k: raw.headers.get(k) for k in back} == back
    assert raw.request_id == "req-1"
    sent = dict(simulator.chats()[-1]["headers"])
    assert sent["openai-organization"] == "org-1" and sent["openai-project"] == "proj-1" and sent["openai-beta"] == "x"
    assert sent["traceparent"] == "00-1-2-01" and "x-stainless-lang" in sent and sent["user-agent"].startswith("OpenAI/")
    assert not [h for h in sent if h.startswith("x-airlock")]


def test_a_stream_is_not_buffered(plain: Airlock) -> None:
    # A stream that hangs after its first frames still delivers those.
    order = body(chunks=["first", "second"], hang_after_chunks=1)
    with plain.http.stream("POST", "/v1/chat/completions", json=order) as response:
        assert response.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in response.headers
        received = b""
        for piece in response.iter_raw():
            received += piece
            if b"first" in received:
                break


def test_the_timeline_tells_what_was_said(plain: Airlock) -> None:
    session = new_session()
    plain.post(body(chunks=["a", "b"], reasoning=["r"], tool_calls=CALLS), session)
    events = plain.ended(session)
    texts = exchange_texts(events)
    assert texts["output"] == "ab" and texts["reasoning"] == "r"
    assert [(c["id"], c["name"]) for c in of(events, "tool-call")] == [("call_a", "search"), ("call_b", "read")]
    assert events[0]["kind"] == "session-opened" and of(events, "response-end")[0]["status"] == "complete"
    assert [e["seq"] for e in events] == sorted({e["seq"] for e in events})


def test_tool_results_are_told_with_duration_and_state(plain: Airlock) -> None:
    session = new_session()
    sdk = plain.sdk(session)
    messages: list[Any] = [{"role": "user", "content": "find it"}]
    for result in ["Error: refused", "found"]:
        message = sdk.chat.completions.create(model="sim-tools", messages=messages, tools=TOOLS).choices[0].message
        messages += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": result}]
    sdk.chat.completions.create(model="sim-tools", messages=messages, tools=TOOLS)
    results = of(plain.ended(session, 3), "tool-result")
    assert [(r["name"], r["failed"]) for r in results] == [("search", True), ("search", False)]
    assert all(r["duration_us"] > 0 for r in results)


def test_a_rewritten_history_is_told_and_times_never_go_back(plain: Airlock) -> None:
    session = new_session()
    plain.post(body(text="a"), session)
    plain.post(body(text="something else"), session)
    events = plain.ended(session, 2)
    assert of(events, "history-rewritten")[0]["from_message"] == 0
    times = [e["at"] for e in events]
    assert times == sorted(times)
