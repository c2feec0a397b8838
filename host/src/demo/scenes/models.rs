//! Scenes about what lies between an agent and its model: silence, and a full window. They play with simulated models only:
//! no real one falls silent when it is asked to.

use std::time::Instant;

use serde_json::json;

use super::asking::{ask, user};
use crate::demo::limits::{SILENCE_MS, WINDOW};
use crate::demo::outcome::Outcome;
use crate::demo::screen::Who;
use crate::demo::stage::Stage;
use crate::demo::watch::ends;

/// Questions of the long conversation, and words in each: together twice the window.
const QUESTIONS: usize = 10;
const WORDS: usize = 100;

/// A model says nothing; the call goes to another one.
pub async fn silent_model(stage: &Stage) -> anyhow::Result<Outcome> {
    let agent = stage.agent("silent-model")?;
    stage.screen.line(
        Who::Agent,
        "asks sim-silent, which takes the request and says nothing",
    );
    let began = Instant::now();
    let question = [user("Is anybody there?")];
    let heard = ask(stage, &agent, "sim-silent", &question, json!({})).await?;
    let retried = stage.watch.applied("stall", "retry").await;
    stage.watch.ended(1).await;
    Ok(Outcome {
        problem: "a model that falls silent",
        policy: "stall",
        done: format!("left after {SILENCE_MS} ms; sim-fast answered"),
        saved: format!(
            "ten minutes of waiting, for {:.1} s",
            began.elapsed().as_secs_f64()
        ),
        good: retried
            && heard.error.is_none()
            // The frames go on bearing the ids with which the stream began: who answered is in the words.
            && heard.text.contains("fast model"),
    })
}

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
        .read(|events| ends(events).map(|(_, input, _)| input).max());
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
