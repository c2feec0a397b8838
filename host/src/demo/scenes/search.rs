//! A tool that keeps failing, and an agent that keeps calling it.

use serde_json::{Value, json};

use super::asking::{ask, user};
use crate::demo::outcome::Outcome;
use crate::demo::screen::Who;
use crate::demo::stage::Stage;
use crate::demo::watch::ends;

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

fn tools() -> Value {
    let tool = |name: &str| {
        let parameters = json!({"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]});
        json!({"type": "function", "function": {"name": name, "description": "Looks things up.", "parameters": parameters}})
    };
    json!([tool("search"), tool("cache")])
}
