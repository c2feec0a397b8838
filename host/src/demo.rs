//! `airlock demo`: Airlock on real traffic, with agents and models that misbehave, told live.
//!
//! Everything is real but the models: the agents are HTTP clients over loopback, the gateway is the one of `airlock serve`,
//! the policies are components, one of them is rebuilt from source while a stream runs. The models are simulated, and the demo
//! says so; with an upstream of one's own they are real too.

mod act;
pub mod agent;
mod limits;
mod options;
mod outcome;
mod scenes;
mod screen;
mod stage;
mod watch;
mod workshop;

use crate::failure::Failure;
use act::Act;
pub use options::{Options, Real};
use outcome::Outcome;
use screen::Screen;
use stage::Stage;

/// Plays all scenes. `false` if Airlock did not step in somewhere as it must.
pub async fn play(options: Options) -> Result<bool, Failure> {
    let screen = std::sync::Arc::new(Screen::new());
    let stage = Stage::build(&options, std::sync::Arc::clone(&screen)).await?;
    stage.introduce();
    let mut outcomes = Vec::new();

    stage.scene(
        "1",
        "A tool that keeps failing",
        "The agent's search is down, and its model calls it again and again. tool-errors lets three failures pass; at the \
         fourth it puts a message into the conversation.",
    );
    outcomes.push(scenes::search::failing_tool(&stage).await?);
    stage.report(outcomes.last());

    stage.scene(
        "2",
        "A forbidden string, split over three chunks",
        "The model says ACME-INTERNAL-7731 as ACME-IN, TERNAL-, 7731. blocklist's pattern runs across chunk borders, so what may \
         be its beginning is held back.",
    );
    outcomes.push(scenes::leak::forbidden_string(&stage).await?);
    stage.report(outcomes.last());

    stage.scene(
        "3",
        "A rule is changed while an answer is running",
        "codenames replaces one code name and should replace two. Its source is changed, built and dropped into the policy \
         directory; the running answer goes on under the new generation.",
    );
    let changed = scenes::rule::changed_rule(&stage).await?;
    stage.report(changed.as_ref());
    outcomes.extend(changed);

    if stage.is_simulated() {
        stage.turn_on(&Act::guards()).await?;
        outcomes.extend(second_act(&stage).await?);
    } else {
        stage
            .screen
            .plain("\n   4 to 9 are left out: they need models that misbehave on cue.");
    }

    stage.turn_on(&Act::budgets(stage.fast_model())).await?;
    stage.scene(
        "10",
        "A slow model",
        "latency-budget gives a session so much time to wait for models. At 80 % the session goes to the fast model for good; \
         at 100 % the answer is cut and says that it is partial.",
    );
    outcomes.push(scenes::budgets::slow_model(&stage).await?);
    stage.report(outcomes.last());

    stage.scene(
        "11",
        "A runaway budget",
        "Two calls of one session talk without end, at once. The ledger hands out tokens in small leases, so that together they \
         cannot pass the session's budget.",
    );
    outcomes.push(scenes::budgets::runaway(&stage).await?);
    stage.report(outcomes.last());

    stage.strike().await?;
    Ok(summary(&screen, &options, &outcomes))
}

/// What goes wrong with tools, and between an agent and its model.
async fn second_act(stage: &Stage) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::new();
    let mut played = |outcome: Outcome| {
        stage.report(Some(&outcome));
        outcomes.push(outcome);
    };

    stage.scene(
        "4",
        "A tool that is down",
        "Every call of inventory fails. After two of them tool-breaker opens its circuit: further calls are answered by Airlock, \
         and the model reads that it must do without.",
    );
    played(scenes::tools::broken_tool(stage).await?);

    stage.scene(
        "5",
        "A tool call that must not be",
        "The model calls delete_account. tool-guard denies it: the agent never sees the call, the model is told why, and what it \
         says then goes on in the same stream.",
    );
    played(scenes::tools::denied_call(stage).await?);

    stage.scene(
        "6",
        "A tool call that a person must allow",
        "Transfers wait for a person. Nobody is here, so the demo itself approves this one, through the admin API, as \
         `airlock approvals approve` does.",
    );
    played(scenes::tools::held_call(stage).await?);

    stage.scene(
        "7",
        "An agent that repeats itself",
        "The same call with the same arguments and the same result, again and again. loop tells the model so at the third; one \
         that goes on all the same is stopped.",
    );
    played(scenes::tools::endless_loop(stage).await?);

    stage.scene(
        "8",
        "A model that says nothing",
        "stall gives a model so long until its first token; then the call goes to another one. The client sees one answer.",
    );
    played(scenes::models::silent_model(stage).await?);

    stage.scene(
        "9",
        "A conversation longer than the model's window",
        "context-pressure leaves out the oldest turns at 85 % of the window, down to 60 % at once: each step breaks the \
         provider's prompt cache, so there must be few.",
    );
    played(scenes::models::full_window(stage).await?);
    Ok(outcomes)
}

fn summary(screen: &Screen, options: &Options, outcomes: &[Outcome]) -> bool {
    screen.heading("∑", "What happened", "");
    let mut rows = vec![
        ["", "problem", "policy", "saved"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(outcomes.iter().map(|outcome| {
        let mark = if outcome.good { "✔" } else { "✘" };
        [mark, outcome.problem, outcome.policy, &outcome.saved]
            .map(str::to_owned)
            .to_vec()
    }));
    screen.table(&rows);
    let failed = outcomes.iter().filter(|outcome| !outcome.good).count();
    let config = options.folder.join("airlock.toml");
    screen.plain(&format!(
        "\n   Look closer:  airlock sessions --config {0}\n                 airlock timeline last --config {0}\n",
        config.display()
    ));
    failed == 0
}
