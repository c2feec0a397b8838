//! Time and tokens that are used up.

use serde_json::json;

use super::asking::{ask, user};
use crate::demo::limits::{LATENCY_BUDGET_MS, TOKEN_BUDGET};
use crate::demo::outcome::Outcome;
use crate::demo::screen::Who;
use crate::demo::stage::Stage;
use crate::demo::watch::{applied, ends};
use airlock_core::event::Status;

/// Calls that run away at once. When the budget ends, each may have one token under way: generated, so paid for, and withheld.
const CALLS: usize = 2;

/// A slow model uses up the session's time: first the session moves to a fast one, then its answer is cut.
pub async fn slow_model(stage: &Stage) -> anyhow::Result<Outcome> {
    let (slow, fast) = (stage.model("sim-slow"), stage.fast_model());
    let agent = stage.agent("slow-model")?;
    // 24 words at 150 ms: 90 % of the budget.
    let long = stage.says(
        "A thorough answer takes its time, and this one takes even more of it, since the slow model weighs every single word \
         it says.",
    );
    stage.screen.line(
        Who::Agent,
        &format!(
            "asks {slow}; the session has {:.1} s",
            LATENCY_BUDGET_MS as f64 / 1e3
        ),
    );
    let mut messages = vec![user(&long)];
    let first = ask(stage, &agent, slow, &messages, json!({})).await?;
    let rerouted = stage.watch.applied("latency-budget", "route").await;
    stage
        .screen
        .line(Who::Agent, &format!("asks {slow} the next question"));
    messages.extend([
        first.as_message(),
        user("In one sentence: what is a runtime layer?"),
    ]);
    let second = ask(stage, &agent, slow, &messages, json!({})).await?;
    let moved = second.model != slow || !stage.is_simulated();

    let other = stage.agent("slow-model-again")?;
    let longer = stage
        .says(&"Nobody asked for so many words, yet here they come, one after another. ".repeat(6));
    stage.screen.line(
        Who::Agent,
        &format!("in another session: asks {slow} something that takes far too long"),
    );
    let cut = ask(stage, &other, slow, &[user(&longer)], json!({})).await?;
    let stopped = stage.watch.applied("latency-budget", "stop").await;
    let whole = longer.split(' ').count() as f64 * 0.15;
    let spared = (whole - cut.took.as_secs_f64()).max(0.0);
    Ok(Outcome {
        problem: "a slow model",
        policy: "latency-budget",
        done: format!(
            "session moved to {fast}; another cut at {:.1} s, marked partial",
            cut.took.as_secs_f64()
        ),
        saved: if stage.is_simulated() {
            format!("{spared:.1} s of waiting")
        } else {
            "the wait past the budget".into()
        },
        good: rerouted && moved && (stopped && cut.partial.is_some() || !stage.is_simulated()),
    })
}

/// Two calls of one session run away together.
pub async fn runaway(stage: &Stage) -> anyhow::Result<Outcome> {
    let model = stage.model("sim-runaway");
    let agent = stage.agent("runaway")?;
    let question = user(&if stage.is_simulated() {
        "Tell me everything.".into()
    } else {
        "Write a story of 5,000 words.".to_owned()
    });
    stage.screen.line(
        Who::Agent,
        &format!("makes two calls of {model} at once; the session has {TOKEN_BUDGET} tokens"),
    );
    let quiet = |_: &str| {};
    let messages = [question];
    let (one, two) = tokio::try_join!(
        ask(stage, &agent, model, &messages, json!({})),
        agent.ask(model, &messages, json!({}), quiet)
    )?;
    stage.watch.ended(CALLS).await;
    let (used, cut) = stage.watch.read(|events| {
        let used: u64 = ends(events)
            .map(|(_, input, output)| u64::from(input + output))
            .sum();
        let cut = ends(events)
            .filter(|(status, ..)| matches!(status, Status::Partial | Status::Blocked))
            .count();
        (used, cut)
    });
    let limited = stage
        .watch
        .read(|events| applied(events, "token-budget", "allocate"));
    stage.screen.line(
        Who::Agent,
        &format!(
            "got {} and {} words",
            one.text.split(' ').count(),
            two.text.split(' ').count()
        ),
    );
    Ok(Outcome {
        problem: "a runaway budget, two calls at once",
        policy: "token-budget",
        done: format!("cut in mid-stream at {used} of {TOKEN_BUDGET} tokens"),
        saved: if stage.is_simulated() {
            "all the rest: the model had no end".into()
        } else {
            "every token past the budget".into()
        },
        good: limited && cut == CALLS && used <= TOKEN_BUDGET,
    })
}
