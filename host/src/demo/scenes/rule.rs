//! A rule that is changed while an answer runs.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use super::asking::user;
use crate::demo::agent::Heard;
use crate::demo::outcome::Outcome;
use crate::demo::screen::Who;
use crate::demo::stage::Stage;
use crate::demo::watch::PATIENCE;
use crate::demo::workshop::{POLICY, Workshop};
use airlock_core::event::Body;

/// What the policy of this scene puts in a name's place.
const REDACTED: &str = "█████";

/// How often the new rule is to be seen at work.
const ENOUGH: usize = 6;

/// A rule is changed and rebuilt while an answer is running; the same answer goes on under it.
pub async fn changed_rule(stage: &Stage) -> anyhow::Result<Option<Outcome>> {
    let Some(workshop) = &stage.workshop else {
        stage.screen.line(
            Who::Operator,
            "left out: a policy can only be rebuilt in Airlock's source tree (run `make demo`)",
        );
        return Ok(None);
    };
    let first = install(workshop, stage, &["tulip"]).await?;
    let agent = stage.agent("changed-rule")?;
    let model = stage.model("sim-runaway");
    let text = "Sales of mango rose, and sales of tulip fell; ";
    let question = if stage.is_simulated() {
        user(&json!({"text": text, "endless": true, "delay_ms": 90}).to_string())
    } else {
        user("Write 300 numbered sentences about trade. Each has the words mango and tulip in it.")
    };
    stage.screen.line(
        Who::Agent,
        &format!("asks {model} for a long report, in which code names come up"),
    );
    let messages = [question];
    let ((), heard) = tokio::try_join!(
        async {
            // The audience is to see the old rule at work before the new one comes.
            stage.watch.applied("codenames", "replace-range").await;
            install(workshop, stage, &["tulip", "mango"]).await?;
            anyhow::Ok(())
        },
        async {
            // Hangs up once the new rule was seen at work a few times.
            let words = |text: &str| stage.screen.hears(text);
            let enough =
                |heard: &Heard| after_last_mango(&heard.text).matches(REDACTED).count() >= ENOUGH;
            let listening = agent.ask_until(model, &messages, json!({}), words, enough);
            tokio::time::timeout(Duration::from_secs(120), listening).await?
        },
    )?;
    let second = stage.generation("codenames");
    let moved = stage.watch.wait(|events| {
        events.iter().any(|event| matches!(&event.body, Body::PolicyMoved { policy, to, .. } if policy == "codenames" && *to > first))
    }).await;
    let mangos = heard.text.matches("mango").count();
    let clean_after = after_last_mango(&heard.text).matches(REDACTED).count();
    Ok(Some(Outcome {
        problem: "a rule that is wrong, in production",
        policy: "codenames",
        done: format!("generation {first} → {second} in the middle of one answer"),
        saved: format!("no restart: mango passed {mangos} times, then never again"),
        good: moved
            && second > first
            && mangos > 0
            && clean_after >= ENOUGH
            && !heard.text.contains("tulip")
            && heard.error.is_none(),
    }))
}

/// Writes the rule, builds the policy, drops it into the policy directory and waits until it serves. Returns its
/// generation.
async fn install(workshop: &Workshop, stage: &Stage, names: &[&str]) -> anyhow::Result<u32> {
    let rule = Workshop::rule(names);
    stage
        .screen
        .line(Who::Operator, &format!("writes   {rule}"));
    workshop.write(&rule)?;
    let began = Instant::now();
    stage
        .screen
        .line(Who::Operator, "runs     airlock policy build");
    workshop.build().await?;
    let before = stage.generation(POLICY);
    workshop.put(&stage.policy_dir())?;
    stage.screen.line(
        Who::Operator,
        &format!(
            "built it in {:.1} s and dropped {POLICY}.wasm into the policy directory",
            began.elapsed().as_secs_f64()
        ),
    );
    stage
        .wait_generation(POLICY, before)
        .await
        .with_context(|| {
            format!(
                "{POLICY} did not load within {} s; `airlock policies` would say why",
                PATIENCE.as_secs()
            )
        })
}

fn after_last_mango(text: &str) -> &str {
    text.rfind("mango").map_or("", |at| &text[at..])
}
