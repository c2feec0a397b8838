//! The scenes: agents that misbehave, and what must happen to them.
//!
//! A scene says afterwards whether Airlock stepped in as it must. Against a real server the agents do the same; where a
//! model does not misbehave as the simulated ones do, the scene says what it changed.

pub mod models;
pub mod tools;

use std::time::Duration;

use serde_json::{Value, json};

use super::agent::{Agent, Heard};
use super::screen::Who;
use super::stage::Stage;
use super::watch::{applied, ends};
use crate::simulate::models::FORBIDDEN;
use airlock_core::event::{Body, Status};

/// What a scene came to.
pub struct Outcome {
    /// What went wrong without Airlock.
    pub problem: &'static str,
    /// Who stepped in.
    pub policy: &'static str,
    /// What Airlock did.
    pub done: String,
    /// What that saved.
    pub saved: String,
    /// Whether everything that must happen did.
    pub good: bool,
}

/// Time that a session may spend waiting for models, in milliseconds.
pub const LATENCY_BUDGET_MS: u64 = 4_000;
/// Tokens that a session may use.
pub const TOKEN_BUDGET: u64 = 200;
/// Calls that run away at once. When the budget ends, each may have one token under way: generated, so paid for, and withheld.
const CALLS: usize = 2;
/// Steps after which the agent gives up by itself.
const MAX_STEPS: usize = 12;

/// An agent asks for a report with a tool that is down, and asks, and asks.
pub async fn failing_tool(stage: &Stage) -> anyhow::Result<Outcome> {
    let agent = stage.agent("failing-tool")?;
    let model = stage.model("sim-tools");
    let mut messages = vec![user(
        "Find the quarterly report. Use the search tool; the cache may be stale.",
    )];
    stage.screen.line(
        Who::Agent,
        &format!("asks {model} to find the quarterly report; its tools are search and cache"),
    );
    let mut failures: usize = 0;
    let mut steps = 0;
    let mut tokens_a_step = 0;
    while steps < MAX_STEPS {
        steps += 1;
        let heard = ask(stage, &agent, model, &messages, json!({"tools": tools()})).await?;
        messages.push(heard.as_message());
        if heard.calls.is_empty() {
            break;
        }
        for call in &heard.calls {
            let works = call.name != "search";
            let result = if works {
                "Q3 report: revenue up 4 %"
            } else {
                "Error: connection to search:9200 refused"
            };
            failures += usize::from(!works);
            messages.push(json!({"role": "tool", "tool_call_id": call.id, "content": result}));
        }
        tokens_a_step = stage.watch.read(|events| {
            ends(events)
                .map(|(_, input, output)| input + output)
                .max()
                .unwrap_or(0)
        });
    }
    let stepped_in = stage.watch.applied("tool-errors", "inject").await;
    let recovered = steps < MAX_STEPS;
    let spared = MAX_STEPS.saturating_sub(steps);
    Ok(Outcome {
        problem: "a tool that keeps failing",
        policy: "tool-errors",
        done: if stepped_in {
            format!("told the model after {failures} failures; it took another way")
        } else {
            "nothing".into()
        },
        saved: format!(
            "{spared} more steps (some {} tokens)",
            spared * tokens_a_step as usize
        ),
        // A real model may recover before it is told.
        good: if stage.is_simulated() {
            stepped_in && recovered
        } else {
            recovered
        },
    })
}

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

/// A rule is changed and rebuilt while an answer is running; the same answer goes on under it.
pub async fn changed_rule(stage: &Stage) -> anyhow::Result<Option<Outcome>> {
    let Some(workshop) = &stage.workshop else {
        stage.screen.line(
            Who::Operator,
            "left out: a policy can only be rebuilt in Airlock's source tree (run `make demo`)",
        );
        return Ok(None);
    };
    let first = workshop.install(stage, &["tulip"]).await?;
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
            workshop.install(stage, &["tulip", "mango"]).await?;
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

/// What the policy of this scene puts in a name's place.
const REDACTED: &str = "█████";
/// How often the new rule is to be seen at work.
const ENOUGH: usize = 6;

fn after_last_mango(text: &str) -> &str {
    text.rfind("mango").map_or("", |at| &text[at..])
}

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

async fn ask(
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

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn tools() -> Value {
    let tool = |name: &str| {
        let parameters = json!({"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]});
        json!({"type": "function", "function": {"name": name, "description": "Looks things up.", "parameters": parameters}})
    };
    json!([tool("search"), tool("cache")])
}

/// How many bytes of the forbidden string, from its beginning, stand at the end of the text or inside it.
fn longest_beginning(text: &str) -> usize {
    // One letter is in every text.
    (2..=FORBIDDEN.len())
        .rev()
        .find(|len| text.contains(&FORBIDDEN[..*len]))
        .unwrap_or(0)
}
