//! Whatever frames an upstream makes up, no client reads the name of a denied call in what leaves: without I/O, so that many
//! thousands can be tried in the time of one over a connection. The fuzz target `differential` makes up the bytes themselves.

use std::collections::VecDeque;

use airlock_core::dialect::openai_chat::OpenAiChat;
use proptest::prelude::*;
use serde_json::json;

use crate::readings::readings;
use crate::world::{Asked, NO_DELETE, Outcome, Play, World, drive};

const ASKS: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;

fn frame() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["get_time", "delete_", "file", "delete_file", ""]);
    let id = prop::option::of(prop::sample::select(vec!["a", "b", ""]));
    let index = prop::option::of(0_u16..3);
    let part = prop::sample::select(vec!["delta", "message"]);
    let arguments = prop::sample::select(vec!["", "{}", "{\"a\":", "1}"]);
    let kind = prop::sample::select(vec!["function", "function", "custom"]);
    let finish = prop::option::weighted(0.2, prop::sample::select(vec!["stop", "tool_calls"]));
    let call = (
        index,
        id,
        prop::option::of(name),
        arguments,
        kind,
        part,
        finish,
    );
    call.prop_map(|(index, id, name, arguments, kind, part, finish)| {
        let mut function = json!({ "arguments": arguments });
        if let Some(name) = name {
            function["name"] = json!(name);
        }
        let mut call = json!({ kind: function });
        if let Some(index) = index {
            call["index"] = json!(index);
        }
        if let Some(id) = id {
            call["id"] = json!(id);
        }
        let choice = json!({"index": 0, part: {"tool_calls": [call]}, "finish_reason": finish});
        format!("data: {}\n\n", json!({"id": "x", "choices": [choice]}))
    })
}

proptest! {
    #[test]
    fn no_client_reads_the_name_of_a_denied_call(frames in prop::collection::vec(frame(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(async {
            let world = World::new(NO_DELETE);
            let mut exchange = world.begin(&OpenAiChat, Asked::default(), ASKS).await;
            let stream = frames.concat() + "data: [DONE]\n\n";
            let after = "data: {\"id\":\"y\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"as you like\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
            let mut plays = VecDeque::from([
                Play::Answers(vec![stream.leak()]),
                Play::Answers(vec![after]),
            ]);
            let mut outcome = Outcome::default();
            drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
            outcome
        });
        let text = String::from_utf8_lossy(&outcome.given).into_owned();
        let names = readings(&text).names;
        let read = names.iter().find(|name| name.contains("delete_file"));
        prop_assert!(read.is_none(), "{frames:?}\nis read as {read:?} in\n{text}");
    }
}
