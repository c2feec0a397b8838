//! Scenes about tools: one that is called for ever. Its model is scripted turn by turn, so it plays with simulated models
//! only.

use serde_json::{Value, json};

use super::{Outcome, ask, user};
use crate::demo::agent::{Agent, Call, Heard};
use crate::demo::screen::Who;
use crate::demo::stage::Stage;

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
    [tool("find_order")].into_iter().collect()
}

fn turn(tool: &str, arguments: Value) -> Value {
    json!({"tool_calls": [{"name": tool, "arguments": arguments}]})
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
