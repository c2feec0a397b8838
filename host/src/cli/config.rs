//! `airlock config check`: judges a configuration.

use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::json;

use super::{Failure, Global, Output};
use crate::config::{Problems, locate};
use crate::upstream::Upstreams;

/// Commands on the configuration.
#[derive(Debug, clap::Subcommand)]
pub enum ConfigCommand {
    /// Judge a file: all mistakes, each with its line and what to do
    Check {
        /// File to judge; without it, the one that `airlock serve` would use.
        file: Option<PathBuf>,
        /// Show the policies and rules that [profile] becomes.
        #[arg(long)]
        expanded: bool,
    },
}

/// Runs a command.
///
/// # Errors
/// The configuration is wrong (64).
pub async fn run(global: &Global, command: &ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Check { file, expanded } = command;
    let path = match file.as_deref().or(global.config.as_deref()) {
        Some(path) => path.to_owned(),
        None => locate::find(None)?.ok_or_else(|| {
            Failure::usage(anyhow!("there is no airlock.toml here or in the configuration directory: airlock init writes one"))
        })?,
    };
    let judged = locate::read(&path);
    if global.output == Output::Json {
        println!("{}", report(&judged, *expanded));
    }
    let config = judged.map_err(|problems| match global.output {
        Output::Json => Failure::usage(anyhow!("{} problems", problems.problems.len())),
        Output::Table => Failure::from(problems),
    })?;
    // Keys and certificates may be there only where Airlock runs: worth telling, not a mistake of the file.
    let missing = Upstreams::new(&config)
        .err()
        .into_iter()
        .flat_map(|missing| missing.problems)
        .map(|problem| format!("{}: {}", problem.key, problem.message));
    if global.output == Output::Table {
        for warning in config.warnings().into_iter().chain(missing) {
            println!("warning: {warning}");
        }
        if *expanded {
            match config.profile.expanded() {
                text if text.is_empty() => println!("# there is no [profile]"),
                text => print!("{text}"),
            }
        }
        println!("{}: good", path.display());
    }
    Ok(())
}

fn report(judged: &Result<crate::config::Config, Problems>, expanded: bool) -> serde_json::Value {
    match judged {
        Ok(config) => {
            let mut report = json!({"good": true, "warnings": config.warnings(), "problems": []});
            if expanded {
                report["expanded"] = config.profile.expanded().into();
            }
            report
        }
        Err(problems) => {
            let rows: Vec<_> = problems
                .problems
                .iter()
                .map(|p| json!({"line": p.line, "column": p.column, "key": p.key, "message": p.message}))
                .collect();
            json!({"good": false, "file": problems.file, "problems": rows})
        }
    }
}
