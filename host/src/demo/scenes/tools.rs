//! Scenes about tools: one that is down, one that is forbidden, one that a person must allow, and one that is called for
//! ever. Their models are scripted turn by turn, so they play with simulated models only.

use serde_json::{Value, json};

use super::asking::{ask, user};
use crate::demo::agent::{Agent, Call, Heard};
use crate::demo::outcome::Outcome;
use crate::demo::screen::Who;
use crate::demo::stage::Stage;
use crate::failure::Failure;
use airlock_core::event::Body;

/// Steps after which the scripted model gives up by itself.
const LOOP_STEPS: usize = 12;

/// What an agent did until its model made no call any more, or Airlock ended it.
struct Run {
    /// Calls that reached the agent.
    calls: Vec<Call>,
    /// The last answer.
    last: Heard,
}

/// Runs an agent whose model does these turns, and whose tools answer like this.
async fn run(
    stage: &Stage,
    agent: &Agent,
    turns: Vec<Value>,
    answer: impl Fn(&Call) -> &'static str,
) -> anyhow::Result<Run> {
    let mut messages = vec![user(&json!({ "turns": turns }).to_string())];
    let mut calls = Vec::new();
    let mut asked = 0;
    loop {
        asked += 1;
        let more = json!({ "tools": tools() });
        let heard = ask(stage, agent, "sim-echo", &messages, more).await?;
        messages.push(heard.as_message());
        for call in &heard.calls {
            let (result, arguments) = (answer(call), &call.arguments);
            let said = format!("runs {} {arguments}: {result}", call.name);
            stage.screen.line(Who::Agent, &said);
            messages.push(json!({"role": "tool", "tool_call_id": call.id, "content": result}));
        }
        if heard.calls.is_empty() {
            // The audience is to see its end before the next scene.
            stage.watch.ended(asked).await;
            return Ok(Run { calls, last: heard });
        }
        calls.extend(heard.calls);
    }
}

fn tools() -> Value {
    let tool = |name| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    ["inventory", "delete_account", "transfer", "find_order"]
        .map(tool)
        .into()
}

fn turn(tool: &str, arguments: Value) -> Value {
    json!({"tool_calls": [{"name": tool, "arguments": arguments}]})
}

/// A tool is down. Its circuit opens, and the model goes on without it.
pub async fn broken_tool(stage: &Stage) -> anyhow::Result<Outcome> {
    let agent = stage.agent("broken-tool")?;
    let mut turns: Vec<Value> = (1..=4)
        .map(|item| turn("inventory", json!({"item": item})))
        .collect();
    turns.push(
        json!({"text": "The inventory is out of service, so I cannot say what is in stock."}),
    );
    let asked = turns.len() - 1;
    let ran = run(
        stage,
        &agent,
        turns,
        |_| "Error: connection to inventory:5432 refused",
    )
    .await?;
    let opened = stage.watch.applied("tool-breaker", "open-circuit").await;
    let reached = ran.calls.len();
    Ok(Outcome {
        problem: "a tool that is down",
        policy: "tool-breaker",
        done: format!(
            "its circuit opened after {reached} failures; the model was told and went on without it"
        ),
        saved: format!(
            "{} of {asked} calls to a tool that cannot answer",
            asked.saturating_sub(reached)
        ),
        good: opened && reached == 2 && ran.last.text.contains("out of service"),
    })
}

/// A call that the rules forbid never reaches the agent.
pub async fn denied_call(stage: &Stage) -> anyhow::Result<Outcome> {
    let agent = stage.agent("denied-call")?;
    let turns = vec![
        turn("delete_account", json!({"id": 7731})),
        json!({"text": "I am not allowed to delete accounts. Please ask the support team."}),
    ];
    let ran = run(stage, &agent, turns, |_| "deleted").await?;
    let denied = stage.watch.applied("tool-guard", "deny-tool-call").await;
    Ok(Outcome {
        problem: "a tool call that must not be",
        policy: "tool-guard",
        done: "denied; the model was told what is allowed and answered in the same stream".into(),
        saved: "the account: the agent never saw the call".into(),
        good: denied && ran.calls.is_empty() && !ran.last.text.is_empty(),
    })
}

/// A risky call waits for a person, here the demo itself.
pub async fn held_call(stage: &Stage) -> Result<Outcome, Failure> {
    let agent = stage.agent("held-call")?;
    let turns = vec![
        turn("transfer", json!({"to": "CH93 0076", "amount": 900})),
        json!({"text": "The 900 francs are on their way."}),
    ];
    let person = async {
        if !stage
            .watch
            .wait(|events| events.iter().any(|e| held(&e.body).is_some()))
            .await
        {
            return Ok(false);
        }
        let approval = stage
            .watch
            .read(|events| events.iter().find_map(|e| held(&e.body)));
        stage.approve(&approval.unwrap_or_default()).await?;
        Ok(true)
    };
    let (asked, ran) = tokio::try_join!(person, async {
        Ok::<_, Failure>(run(stage, &agent, turns, |_| "transferred").await?)
    })?;
    let held = stage.watch.applied("tool-guard", "hold-for-person").await;
    Ok(Outcome {
        problem: "a tool call that a person must allow",
        policy: "tool-guard",
        done: "held while the client waited; it went out when it was approved".into(),
        saved: "900 francs from going without anybody's word".into(),
        good: asked && held && ran.calls.len() == 1 && !ran.last.text.is_empty(),
    })
}

fn held(body: &Body) -> Option<String> {
    match body {
        Body::Held { approval, .. } => Some(approval.clone()),
        _ => None,
    }
}

/// The same call for ever: first the model is told, then the run ends.
pub async fn endless_loop(stage: &Stage) -> anyhow::Result<Outcome> {
    let agent = stage.agent("endless-loop")?;
    let turns = vec![turn("find_order", json!({"number": "A-17"})); LOOP_STEPS];
    let ran = run(stage, &agent, turns, |_| "no such order").await?;
    let nudged = stage.watch.applied("loop", "inject").await;
    let stopped = stage.watch.applied("loop", "stop").await;
    let made = ran.calls.len();
    Ok(Outcome {
        problem: "an agent that repeats itself",
        policy: "loop",
        done: format!("told at the third same call, stopped after {made}, marked partial"),
        saved: format!(
            "{} more calls of {LOOP_STEPS}",
            LOOP_STEPS.saturating_sub(made)
        ),
        good: nudged && stopped && made < LOOP_STEPS && ran.last.partial.is_some(),
    })
}
