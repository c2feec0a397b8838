//! Whatever an upstream sends, no client reads what was forbidden, or runs what was denied, however it puts the answer together.
//!
//! Clients differ: by the index of a call or by its id, the first name or all names joined, `delta` or `message`, the first or the
//! last of two equal keys, `function_call` or `tool_calls`. What leaves is read in each of these ways.

use base64::Engine as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::support::readings::readings;
use crate::support::*;

const WORD: &str = "swordfish";
const TOOL: &str = "delete_file";
const RULE: &str = "[[rule]]\nname = \"files\"\nwhen = \"tool.name == 'delete_file'\"\ndo = \"deny-tool-call\"\nmessage = \"no\"\n";

async fn guarded() -> (Scripted, World) {
    let upstream = Scripted::start(vec![]).await;
    let policy = Policy::new("words", matching(WORD, &[block("hard")]));
    let world = configured(&format!("{}{RULE}", upstream.table("x")), vec![policy]).await;
    (upstream, world)
}

fn after(streamed: bool) -> Answer {
    if streamed {
        let frames = [
            json!({"id": "y", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "as you like"}, "finish_reason": null}]}),
            json!({"id": "y", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        ];
        let frames = frames.iter().map(|f| format!("data: {f}\n\n"));
        return Answer::events(frames.collect::<String>() + "data: [DONE]\n\n");
    }
    Answer::json(
        json!({"id": "y", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0,
        "message": {"role": "assistant", "content": "as you like"}, "finish_reason": "stop"}]}),
    )
}

fn assert_nothing_leaves(reply: &Reply, what: &str) {
    let text = reply.text();
    let read = readings(&text);
    let head = format!("{:?}", reply.headers);
    let word = read.texts.iter().chain([&head]).find(|t| t.contains(WORD));
    assert!(
        word.is_none(),
        "{what}: the word is read in {word:?}\n{text}"
    );
    let call = read.names.iter().find(|name| name.contains(TOOL));
    assert!(
        call.is_none(),
        "{what}: the call is read as {call:?}\n{text}"
    );
    assert!(!reply.headers.contains_key("location"), "{what}");
}

fn ask(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn no_recorded_oddity_gets_past_the_guard_and_no_harmless_one_is_harmed() {
    let (upstream, world) = guarded().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/hostile");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        count += 1;
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let body = match case["base64"].as_str() {
            Some(text) => base64::engine::general_purpose::STANDARD
                .decode(text)
                .unwrap(),
            None => case["body"].as_str().unwrap().as_bytes().to_vec(),
        };
        let mut answer = Answer::new(case["status"].as_u64().unwrap() as u16, "", body);
        for (header, value) in case["headers"].as_object().unwrap() {
            let header: &'static str = header.clone().leak();
            answer = answer.with(header, value.as_str().unwrap());
        }
        let streamed = case["streamed"].as_bool().unwrap();
        upstream.say(vec![answer, after(streamed)]);
        let reply = world.call(&name, &ask(streamed)).await;
        assert_nothing_leaves(&reply, &name);
        for text in case["passes"].as_array().unwrap_or(&vec![]) {
            assert!(
                reply.text().contains(text.as_str().unwrap()),
                "{name} does not pass: {}",
                reply.text()
            );
            assert_eq!(reply.status, 200, "{name}");
        }
    }
    assert!(count > 90, "{count} answers were read");
}

/// One frame of a stream that somebody made up to be read in two ways.
fn frame() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec!["sword", "fish", "swordfish", "hello ", ""]);
    let name = prop::sample::select(vec!["get_time", "delete_", "file", "delete_file", ""]);
    let id = prop::option::of(prop::sample::select(vec!["a", "b", ""]));
    let index = prop::option::of(0_u16..3);
    let part = prop::sample::select(vec!["delta", "message"]);
    let field = prop::sample::select(vec![
        "content",
        "reasoning_content",
        "refusal",
        "reasoning",
        "note",
    ]);
    let finish = prop::option::weighted(0.15, prop::sample::select(vec!["stop", "tool_calls"]));
    let text = (piece, field, part.clone(), index.clone(), finish.clone()).prop_map(
        |(piece, field, part, index, finish)| {
            let mut choice = json!({ part: {field: piece}, "finish_reason": finish });
            if let Some(index) = index {
                choice["index"] = json!(index % 2);
            }
            format!("data: {}\n\n", json!({"id": "x", "choices": [choice]}))
        },
    );
    let arguments = prop::sample::select(vec!["", "{}", "{\"a\":", "1}"]);
    let kind = prop::sample::select(vec!["function", "function", "function", "custom"]);
    let legacy = prop::bool::weighted(0.15);
    let both = prop::bool::weighted(0.1);
    let call = (index, id, prop::option::of(name), arguments, kind, part, (finish, legacy, both)).prop_map(
        |(index, id, name, arguments, kind, part, (finish, legacy, both))| {
            let mut function = json!({"arguments": arguments});
            if kind == "custom" {
                function = json!({"input": arguments});
            }
            if let Some(name) = name {
                function["name"] = json!(name);
            }
            let mut call = json!({ kind: function.clone() });
            if let Some(index) = index {
                call["index"] = json!(index);
            }
            if let Some(id) = id {
                call["id"] = json!(id);
            }
            let mut said = json!({"tool_calls": [call]});
            if legacy || both {
                said["function_call"] = function;
            }
            if legacy {
                said.as_object_mut().unwrap().remove("tool_calls");
            }
            format!("data: {}\n\n", json!({"id": "x", "choices": [{"index": 0, part: said, "finish_reason": finish}]}))
        },
    );
    let odd = prop::sample::select(vec![
        ": swordfish\n\n",
        "event: swordfish\n\n",
        "id: swordfish\ndata: {\"id\":\"x\",\"choices\":[]}\n\n",
        "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"swordfish\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"swordfish\",\"content\":\"x\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"delete_file\",\"name\":\"get_time\"}}]}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"message\":{\"content\":\"swordfish\"}}]}\n\n",
        "data: {\"error\":{\"message\":\"swordfish\"}}\n\n",
        "data: {\"id\":\"x\",\"choices\":[],\"usage\":{\"note\":\"swordfish\"}}\n\n",
        "data: [DONE]\n\n",
        "\u{feff}",
        "data: {\"choices\":[{\"index\":0,\"delta\":\ndata: {\"content\":\"sword\\u0066ish\"}}]}\n\n",
    ]);
    prop_oneof![4 => text, 5 => call, 1 => odd.prop_map(str::to_owned)]
}

#[test]
fn no_stream_that_was_made_up_is_read_in_a_way_that_nobody_judged() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (upstream, world) = runtime.block_on(guarded());
    let streams = (prop::collection::vec(frame(), 1..8), any::<bool>());
    // The same streams each time, but where more of them, others each time, are asked for: PROPTEST_CASES=20000.
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => TestRunner::new(config),
        None => {
            let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            TestRunner::new_with_rng(config, rng)
        }
    };
    runner
        .run(&streams, |(frames, ended)| {
            let end = if ended {
                "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n"
            } else {
                ""
            };
            let stream = frames.concat() + end;
            upstream.say(vec![Answer::events(stream.clone()), after(true)]);
            let reply = runtime.block_on(world.call("s", &ask(true)));
            assert_nothing_leaves(&reply, &stream);
            Ok(())
        })
        .unwrap();
}
