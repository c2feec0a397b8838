//! `airlock approvals`: what waits for a person, and the person's word.
//!
//! Asks the running Airlock. What is printed may come from a model: it cannot command the terminal, and the exact item is always
//! shown whole, however it is written.

use std::fmt::Write as _;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::global::{Global, Output, configuration};
use crate::client::AdminClient;
use crate::failure::Failure;
use crate::render::style::Style;
use crate::render::terminal;
use airlock_core::event::clock::now;
use airlock_core::people::Approval;

mod list;
mod show;
mod watch;

/// What to do with approvals; without a command: list those that wait.
#[derive(Args, Clone, Debug)]
pub struct ApprovalsArgs {
    #[command(subcommand)]
    command: Option<ApprovalsCommand>,
    /// Decided ones too.
    #[arg(long)]
    all: bool,
    /// Only of this session: the beginning of its id, or `last`.
    #[arg(long)]
    session: Option<String>,
}

#[derive(Subcommand, Clone, Debug)]
enum ApprovalsCommand {
    /// Show one: what waits, what led to it, what was decided
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Let it go on, as it is or changed
    Approve {
        #[command(flatten)]
        which: Which,
        /// What goes on in its place: new arguments of a tool call, as JSON, or a new text; @FILE reads it from a file
        #[arg(long, value_name = "JSON|@FILE", conflicts_with = "choice")]
        edit: Option<String>,
        /// The answer to a question that offers some
        #[arg(long)]
        choice: Option<String>,
        #[command(flatten)]
        word: Word,
    },
    /// Block it
    Deny {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        word: Word,
    },
    /// Add a note without deciding
    Note {
        #[command(flatten)]
        which: Which,
        /// What is to be said
        text: String,
        /// Who says so
        #[arg(long, default_value = "operator")]
        by: String,
    },
    /// Show arrivals and decisions as they come
    Watch,
}

#[derive(Args, Clone, Debug)]
struct Which {
    /// The approval: the beginning of its id, or `last`
    #[arg(value_name = "ID", value_parser = id)]
    id: String,
}

#[derive(Args, Clone, Debug)]
struct Word {
    /// Why
    #[arg(long, default_value = "")]
    note: String,
    /// Who decides
    #[arg(long, default_value = "operator")]
    by: String,
}

/// What stands in a path: nothing else may.
fn id(text: &str) -> Result<String, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    if digits || text == "last" {
        Ok(text.to_owned())
    } else {
        Err("an id is hexadecimal digits, as `airlock approvals` prints them, or `last`".to_owned())
    }
}

/// Does what was asked.
///
/// # Errors
/// No Airlock runs (69), there is no such approval, or its decision does not count.
pub async fn run(global: &Global, args: ApprovalsArgs) -> Result<(), Failure> {
    let admin = AdminClient::new(&configuration(global)?)?;
    let json = global.output == Output::Json;
    let style = Style::of_stdout();
    // Left to clap, this would refuse the global options before a subcommand, too.
    if args.command.is_some() && (args.all || args.session.is_some()) {
        return Err(Failure::usage(anyhow::anyhow!(
            "--all and --session belong to the list: `airlock approvals --all`"
        )));
    }
    match args.command {
        None => {
            let state = if args.all { "all" } else { "open" };
            let mut path = format!("/v1/approvals?state={state}");
            if let Some(session) = args.session {
                let session = id(&session).map_err(|why| Failure::usage(anyhow::anyhow!(why)))?;
                // Writing to a string cannot fail.
                let _ = write!(path, "&session={session}");
            }
            let answer = admin.get(&path).await?;
            print(json, answer, |approvals: Vec<Approval>| {
                list::render(&approvals, args.all, now(), &style)
            })
        }
        Some(ApprovalsCommand::Show { which }) => {
            let answer = admin.get(&format!("/v1/approvals/{}", which.id)).await?;
            print(json, answer, |shown| show::render(&shown, now(), &style))
        }
        Some(ApprovalsCommand::Approve {
            which,
            edit,
            choice,
            word,
        }) => {
            let mut body = json!({"by": word.by, "note": word.note});
            if let Some(edit) = edit {
                body["edit"] = Value::String(read(edit)?);
            }
            if let Some(choice) = choice {
                body["choice"] = Value::String(choice);
            }
            decide(&admin, &which, "approve", &body, json, &style).await
        }
        Some(ApprovalsCommand::Deny { which, word }) => {
            let body = json!({"by": word.by, "note": word.note});
            decide(&admin, &which, "deny", &body, json, &style).await
        }
        Some(ApprovalsCommand::Note { which, text, by }) => {
            let body = json!({"by": by, "text": text});
            decide(&admin, &which, "notes", &body, json, &style).await
        }
        Some(ApprovalsCommand::Watch) => watch::run(&admin, json, style).await,
    }
}

async fn decide(
    admin: &AdminClient,
    which: &Which,
    what: &str,
    body: &Value,
    json: bool,
    style: &Style,
) -> Result<(), Failure> {
    let path = format!("/v1/approvals/{}/{what}", which.id);
    let answer = admin.post_json(&path, body).await?;
    print(json, answer, |approval: Approval| {
        list::told(&approval, now(), style)
    })
}

/// An edit is a text, or the name of a file that holds it.
fn read(edit: String) -> anyhow::Result<String> {
    match edit.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the edit from {file}")),
        None => Ok(edit),
    }
}

fn print<T: serde::de::DeserializeOwned>(
    json: bool,
    answer: Value,
    render: impl FnOnce(T) -> String,
) -> Result<(), Failure> {
    if json {
        terminal::print_json(&answer);
        return Ok(());
    }
    let read = serde_json::from_value(answer)
        .context("the running Airlock is of another version: its answer cannot be read")?;
    terminal::print_coloured(&render(read));
    Ok(())
}
