//! How an agent of a scene asks, and tells what it heard.

use serde_json::{Value, json};

use crate::demo::agent::{Agent, Heard};
use crate::demo::screen::Who;
use crate::demo::stage::Stage;

pub(super) async fn ask(
    stage: &Stage,
    agent: &Agent,
    model: &str,
    messages: &[Value],
    more: Value,
) -> anyhow::Result<Heard> {
    let heard = agent
        .ask(model, messages, more, |text| stage.screen.hears(text))
        .await?;
    stage.screen.heard();
    if let Some(error) = &heard.error {
        stage
            .screen
            .line(Who::Agent, &format!("its SDK raises: {error}"));
    }
    if let Some(mark) = &heard.partial {
        stage
            .screen
            .line(Who::Agent, &format!("the answer says of itself: {mark}"));
    }
    Ok(heard)
}

pub(super) fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}
