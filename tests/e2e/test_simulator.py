"""The test double itself: if it is not exact, no other test means anything."""

from __future__ import annotations

import json

import httpx
import openai
import pytest

from harness import CLIENT_KEY, Simulator, body, client, frames, script, wait_for


def test_it_says_that_it_is_simulated(simulator: Simulator) -> None:
    response = simulator.http.get("/v1/models")
    assert response.headers["x-airlock-simulated"] == "1"
    models = client(simulator.base_url).models.list().data
    assert models and all(m.id.startswith("sim-") and m.owned_by == "airlock-simulator" for m in models)
    assert "SIMULATED" in simulator.process.output


def test_each_chunk_is_one_frame(simulator: Simulator) -> None:
    chunks = ["a", " b", "", "ü\n", "😀 c"]
    stream = client(simulator.base_url).chat.completions.create(
        model="sim-echo", messages=script(chunks=chunks), stream=True, stream_options={"include_usage": True}
    )
    received = list(stream)
    assert received[0].choices[0].delta.role == "assistant"
    said = [c.choices[0].delta.content for c in received[1:] if c.choices and c.choices[0].delta.content is not None]
    assert said == chunks
    assert received[-2].choices[0].finish_reason == "stop"
    assert received[-1].choices == [] and received[-1].usage.completion_tokens == len(chunks)


def test_no_usage_unless_asked(simulator: Simulator) -> None:
    stream = client(simulator.base_url).chat.completions.create(model="sim-fast", messages=script(), stream=True)
    assert all(c.usage is None and c.choices for c in stream)


def test_streamed_and_whole_say_the_same(simulator: Simulator) -> None:
    controls = {
        "chunks": ["one", " two"],
        "reasoning": ["hm", "m"],
        "tool_calls": [{"name": "f", "arguments": {"a": "ü" * 20}, "id": "call_1"}, {"name": "g"}],
    }
    sdk = client(simulator.base_url)
    whole = sdk.chat.completions.create(model="sim-echo", messages=script(**controls)).choices[0]
    with sdk.chat.completions.stream(model="sim-echo", messages=script(**controls)) as stream:
        streamed = stream.get_final_completion().choices[0]
    assert whole.finish_reason == streamed.finish_reason == "tool_calls"
    assert whole.message.content == streamed.message.content == "one two"
    assert whole.message.reasoning_content == "hmm"
    calls = [[(c.function.name, c.function.arguments) for c in choice.message.tool_calls] for choice in (whole, streamed)]
    assert calls[0] == calls[1] == [("f", json.dumps({"a": "ü" * 20}, ensure_ascii=False, separators=(",", ":"))), ("g", "{}")]


def test_several_choices(simulator: Simulator) -> None:
    answer = client(simulator.base_url).chat.completions.create(
        model="sim-echo", n=3, messages=script(choices=[["a"], ["b"], ["c"]])
    )
    assert [c.message.content for c in answer.choices] == ["a", "b", "c"]


def test_a_token_limit_cuts_at_its_frame(simulator: Simulator) -> None:
    answer = client(simulator.base_url).chat.completions.create(
        model="sim-runaway", messages=[{"role": "user", "content": "go"}], max_tokens=7
    )
    assert answer.choices[0].finish_reason == "length" and answer.usage.completion_tokens == 7


def test_turns_follow_the_conversation(simulator: Simulator) -> None:
    messages = script(turns=[{"text": "first"}, {"text": "second"}])
    sdk = client(simulator.base_url)
    for expected in ["first", "second"]:
        said = sdk.chat.completions.create(model="sim-echo", messages=messages).choices[0].message.content
        assert said == expected
        messages.append({"role": "assistant", "content": said})


def test_flaky_fails_and_recovers_under_the_sdks_retries(simulator: Simulator) -> None:
    answer = client(simulator.base_url, max_retries=2).chat.completions.create(model="sim-flaky", messages=script(text="ok"))
    assert answer.choices[0].message.content == "ok"
    retries = [dict(r["headers"])["x-stainless-retry-count"] for r in simulator.chats()]
    assert retries == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (401, openai.AuthenticationError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
def test_scripted_status(simulator: Simulator, status: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="out of it"):
        client(simulator.base_url).chat.completions.create(
            model="sim-echo", messages=script(status=status, error={"message": "out of it"})
        )


def test_a_cut_connection_raises(simulator: Simulator) -> None:
    stream = client(simulator.base_url).chat.completions.create(
        model="sim-echo", messages=script(chunks=["a", "b", "c"], die_after_chunks=2), stream=True
    )
    said = []
    # The SDK leaves httpx's own error as it is when it comes while a stream is read.
    with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
        for chunk in stream:
            said.append(chunk.choices[0].delta.content)
    assert said == ["", "a", "b"]


def test_a_silent_upstream_runs_into_the_clients_timeout(simulator: Simulator) -> None:
    with (
        pytest.raises(httpx.ReadTimeout),
        simulator.http.stream("POST", "/v1/chat/completions", json=body(chunks=["a"], hang_after_chunks=0), timeout=0.3) as r,
    ):
        r.read()


def test_a_disconnect_is_counted_as_cancelled(simulator: Simulator) -> None:
    before = simulator.live()
    stream = client(simulator.base_url).chat.completions.create(model="sim-runaway", messages=script(), stream=True)
    next(iter(stream))
    assert simulator.live()["open"] == before["open"] + 1
    stream.close()
    wait_for(lambda: simulator.live()["cancelled"] == before["cancelled"] + 1, "the generation to be cancelled")


def test_writes_are_cut_where_ordered_and_recorded_whole(simulator: Simulator) -> None:
    order = body(chunks=["ü", "😀"], write_bytes=1)
    raw = simulator.http.post("/v1/chat/completions", json=order).content
    assert [json.loads(f)["choices"][0]["delta"].get("content") for f in frames(raw)[1:3]] == ["ü", "😀"]
    assert simulator.chats()[-1]["response"].encode() == raw


def test_a_prompt_that_was_seen_is_cached(simulator: Simulator) -> None:
    messages = [{"role": "system", "content": "x" * 4000}, *script(text="a")]
    sdk = client(simulator.base_url)
    first = sdk.chat.completions.create(model="sim-echo", messages=messages).usage
    messages += [{"role": "assistant", "content": "a"}, *script(text="b")]
    second = sdk.chat.completions.create(model="sim-echo", messages=messages).usage
    assert first.prompt_tokens_details.cached_tokens == 0
    assert 900 < second.prompt_tokens_details.cached_tokens < second.prompt_tokens


def test_a_misspelt_control_is_an_error(simulator: Simulator) -> None:
    with pytest.raises(openai.BadRequestError, match="chunk_s"):
        client(simulator.base_url).chat.completions.create(model="sim-echo", messages=script(chunk_s=["a"]))


def test_embeddings_are_the_same_for_the_same_text(simulator: Simulator) -> None:
    data = client(simulator.base_url).embeddings.create(model="sim-embedding", input=["a", "b", "a"]).data
    assert data[0].embedding == data[2].embedding != data[1].embedding


def test_requests_are_read_back_raw(simulator: Simulator) -> None:
    raw = b'{ "model":"sim-echo",  "messages":[{"role":"user","content":"h\\u0069"}] }'
    simulator.http.post("/v1/chat/completions", content=raw, headers={"authorization": f"Bearer {CLIENT_KEY}"})
    request = simulator.requests()[-1]
    assert request["body"].encode() == raw
    assert ["authorization", f"Bearer {CLIENT_KEY}"] in request["headers"]
