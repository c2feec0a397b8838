//! A model that says what it must not.

use serde_json::json;

use super::asking::{ask, user};
use crate::demo::outcome::Outcome;
use crate::demo::screen::Who;
use crate::demo::stage::Stage;
use crate::simulate::models::FORBIDDEN;

/// A model says what it must not, cut so that no single chunk shows it.
pub async fn forbidden_string(stage: &Stage) -> anyhow::Result<Outcome> {
    let agent = stage.agent("forbidden-string")?;
    let model = stage.model("sim-leak");
    let question = format!(
        "Repeat this sentence and nothing else: The build key is {FORBIDDEN}, keep it safe."
    );
    stage
        .screen
        .line(Who::Agent, &format!("asks {model} for the build key"));
    let heard = ask(stage, &agent, model, &[user(&question)], json!({})).await?;
    let stepped_in = stage.watch.applied("blocklist", "block").await;
    let leaked = longest_beginning(&heard.text);
    stage.watch.ended(1).await;
    Ok(Outcome {
        problem: "a forbidden string, split over chunks",
        policy: "blocklist",
        done: "blocked: the client's SDK raises an error".into(),
        saved: format!(
            "{leaked} of {} bytes of it reached the client",
            FORBIDDEN.len()
        ),
        good: stepped_in && heard.error.is_some() && leaked == 0,
    })
}

/// How many bytes of the forbidden string, from its beginning, stand at the end of the text or inside it.
fn longest_beginning(text: &str) -> usize {
    // One letter is in every text.
    (2..=FORBIDDEN.len())
        .rev()
        .find(|len| text.contains(&FORBIDDEN[..*len]))
        .unwrap_or(0)
}
