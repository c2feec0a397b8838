//! `airlock key ...`: keys that Airlock gives to its clients.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use serde_json::json;

use super::replace::replace;
use crate::cli::global::{Global, Output, configuration};
use crate::cli::table;
use crate::client::AdminClient;
use crate::config::client_key::{DEFAULT_TENANT, new_key};
use crate::config::{ClientKey, KeyHash, locate, parse};
use crate::failure::Failure;
use crate::upstream::limits::CallLimits;

mod entry;

/// Commands on keys.
#[derive(Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Make a key: it is shown once, and only its hash is kept
    New(NewArgs),
    /// List the keys of the configuration
    List,
}

/// Options of `airlock key new`.
#[derive(Debug, clap::Args)]
pub struct NewArgs {
    /// Name of the key: who calls, for sessions, policies and the timeline.
    name: String,
    /// Whose key it is.
    #[arg(long, default_value = DEFAULT_TENANT)]
    tenant: String,
    /// Add the entry to airlock.toml.
    #[arg(long)]
    write: bool,
}

/// Runs a command.
///
/// # Errors
/// The command's.
pub async fn run(global: &Global, command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::New(args) => new(global, &args).await,
        KeyCommand::List => list(global),
    }
}

async fn new(global: &Global, args: &NewArgs) -> Result<(), Failure> {
    let key = new_key().map_err(|error| anyhow!("the system gives no randomness: {error}"))?;
    let hash = KeyHash::of(&key);
    let entry = entry::text(&args.name, &args.tenant, hash);
    // Judged even if it is not written: nobody should paste what is refused.
    let written = add(global, args, hash)?;
    if global.output == Output::Json {
        crate::render::terminal::print_json(
            &json!({"name": args.name, "tenant": args.tenant, "key": key, "hash": hash.to_string(),
                   "written": written}),
        );
    } else {
        crate::render::terminal::print(&format!(
            "{key}\n\nIt is shown this once: Airlock keeps its hash only. Clients send it as their API key.\n"
        ));
        match &written {
            Some(file) => {
                crate::render::terminal::print(&format!("Its entry is in {}.\n", file.display()))
            }
            None => {
                crate::render::terminal::print(&format!("Its entry for airlock.toml:\n\n{entry}\n"))
            }
        }
    }
    if written.is_some() && global.output == Output::Table {
        match AdminClient::new(&configuration(global)?) {
            Ok(admin) => match admin.post("/v1/reload").await {
                Ok(_) => crate::render::terminal::print("the running Airlock has taken it\n"),
                Err(failure) => crate::render::terminal::print(&format!(
                    "it takes effect when Airlock runs ({failure})\n"
                )),
            },
            Err(_) => crate::render::terminal::print("it takes effect at the next start\n"),
        }
    }
    Ok(())
}

/// Adds the entry to the file, if it is to be written. Returns the file.
fn add(global: &Global, args: &NewArgs, hash: KeyHash) -> Result<Option<PathBuf>, Failure> {
    if !args.write {
        entry::judge(&args.name, &args.tenant, hash)?;
        return Ok(None);
    }
    // Not judged as it is: a first key may be what it lacks.
    let Some(file) = locate::find(global.config.as_deref())? else {
        return Err(Failure::usage(anyhow!(
            "there is no airlock.toml to write to: airlock init writes one"
        )));
    };
    let shown = file.display();
    let before = std::fs::read_to_string(&file).with_context(|| format!("cannot read {shown}"))?;
    let after = entry::append(&before, &args.name, &args.tenant, hash)
        .with_context(|| format!("in {shown}"))?;
    parse::parse(&after, &file).map_err(|problems| {
        Failure::usage(anyhow!(
            "nothing is written, since it would be refused\n{problems}"
        ))
    })?;
    replace(&file, &after).with_context(|| format!("cannot write {shown}"))?;
    Ok(Some(file))
}

fn list(global: &Global) -> Result<(), Failure> {
    let config = configuration(global)?;
    if global.output == Output::Json {
        let rows: Vec<_> = config
            .keys
            .iter()
            .map(
                |key| json!({"name": key.name, "tenant": key.tenant, "hash": key.hash.to_string()}),
            )
            .collect();
        crate::render::terminal::print_json(&json!(rows));
        return Ok(());
    }
    crate::render::terminal::print(&render(&config.keys));
    Ok(())
}

fn render(keys: &[ClientKey]) -> String {
    if keys.is_empty() {
        return "no keys: only loopback is served, and everybody there may call\n".to_owned();
    }
    let row = |key: &ClientKey| {
        let hash = key.hash.to_string();
        // Enough to compare by eye.
        let short = hash.get(..15).unwrap_or_default().to_owned();
        vec![
            key.name.clone(),
            key.tenant.clone(),
            limits(key.limits()),
            short,
        ]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    table::render(&["KEY", "TENANT", "LIMITS", "HASH"], &rows)
}

fn limits(limits: CallLimits) -> String {
    let all = [
        (u64::from(limits.requests_per_minute), "calls/min"),
        (limits.tokens_per_minute, "tokens/min"),
        (u64::from(limits.max_concurrent), "at once"),
    ];
    let set: Vec<String> = all
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    match set.is_empty() {
        true => "none".to_owned(),
        false => set.join(", "),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_list_shows_limits_and_no_more_of_a_hash_than_helps() {
        let hash = KeyHash::of("x");
        let key: ClientKey = toml::from_str(&format!(
            "name = \"ci\"\nhash = \"{hash}\"\ntenant = \"acme\"\nrequests_per_minute = 60\nmax_concurrent = 4\n"
        ))
        .unwrap();
        let text = render(&[key]);
        assert!(text.contains("60 calls/min, 4 at once"), "{text}");
        assert!(
            text.contains(&hash.to_string()[..15]) && !text.contains(&hash.to_string()),
            "{text}"
        );
    }
}
