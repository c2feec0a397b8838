//! A scene about what lies between an agent and its model: a full window. It plays with a simulated model only, whose window
//! is small.

use serde_json::json;

use super::{Outcome, user};
use crate::demo::screen::Who;
use crate::demo::stage::Stage;

/// Questions of the long conversation, and words in each: together twice the window.
const QUESTIONS: usize = 10;
const WORDS: usize = 100;

/// The window of the model of the long conversation, in tokens.
pub const WINDOW: u64 = 800;

/// A conversation outgrows the model's window; its oldest turns leave.
pub async fn full_window(stage: &Stage) -> anyhow::Result<Outcome> {
    let agent = stage.agent("full-window")?;
    stage.screen.line(
        Who::Agent,
        &format!("asks sim-fast {QUESTIONS} long questions; its window has {WINDOW} tokens"),
    );
    let mut messages = Vec::new();
    for number in 1..=QUESTIONS {
        messages.push(user(&format!(
            "Question {number}: {}",
            "why ".repeat(WORDS)
        )));
        let heard = agent.ask("sim-fast", &messages, json!({}), |_| {}).await?;
        messages.push(heard.as_message());
    }
    stage.watch.ended(QUESTIONS).await;
    let relieved = stage
        .watch
        .applied("context-pressure", "replace-messages")
        .await;
    let most = stage
        .watch
        .read(|events| super::ends(events).map(|(_, input, _)| input).max());
    let most = u64::from(most.unwrap_or(0));
    Ok(Outcome {
        problem: "a conversation longer than the window",
        policy: "context-pressure",
        done: format!(
            "its oldest turns left in big steps; no prompt had more than {most} of {WINDOW} tokens"
        ),
        saved: "the questions for which the window had no room".into(),
        good: relieved && most <= WINDOW,
    })
}
