//! The input is a stream of an upstream: no client reads the name of a denied call in what leaves, however it reads.
#![no_main]

use std::cell::RefCell;
use std::collections::VecDeque;

use airlock_core::dialect::openai_chat::OpenAiChat;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

#[path = "../../../host/tests/gateway/support/readings.rs"]
mod readings;
#[path = "../../../host/core/tests/exchange/world.rs"]
#[allow(dead_code)]
mod world;

use world::{Asked, NO_DELETE, Outcome, Play, World, drive};

const ASKS: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
const AFTER: &str = "data: {\"id\":\"y\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"as you like\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

thread_local! {
    static HOUSE: RefCell<(Runtime, World)> = RefCell::new({
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let world = runtime.block_on(async { World::new(NO_DELETE) });
        (runtime, world)
    });
}

fuzz_target!(|stream: &str| {
    HOUSE.with_borrow(|(runtime, world)| {
        let text = runtime.block_on(async {
            let mut exchange = world.begin(&OpenAiChat, Asked::default(), ASKS).await;
            // Each input is small; the memory is given back with the process.
            let stream: &'static str = Box::leak(stream.to_owned().into_boxed_str());
            let answers = |text| Play::Answers(vec![text]);
            let mut plays = VecDeque::from([answers(stream), answers(AFTER), answers(AFTER)]);
            let mut outcome = Outcome::default();
            drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
            String::from_utf8_lossy(&outcome.given).into_owned()
        });
        let names = readings::readings(&text).names;
        assert!(!names.iter().any(|name| name.contains("delete_file")), "{text}");
    });
});
