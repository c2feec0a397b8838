//! `airlock config check`: judges a configuration as `airlock serve` does.

use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::json;

use crate::cli::global::{Global, Output};
use crate::config::warnings::warnings;
use crate::config::{Config, Problems, locate, profile};
use crate::failure::Failure;
use crate::serve::judge;

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
    // As `airlock serve` reads it, with upstreams from the environment where the file names none.
    let judged = match locate::load(Some(&path), &locate::process_variables).await {
        Ok(config) => judge(config).await,
        Err(problems) => Err(problems),
    };
    if global.output == Output::Json {
        crate::render::terminal::print_json(&report(&judged, *expanded));
    }
    let (config, warnings) = judged.map_err(|problems| match global.output {
        Output::Json => Failure::usage(anyhow!("{} problems", problems.problems.len())),
        Output::Table => Failure::from(problems),
    })?;
    if global.output == Output::Table {
        for warning in warnings {
            crate::render::terminal::print(&format!(
                "warning: {warning}
"
            ));
        }
        if *expanded {
            match profile::expanded(&config.profile) {
                text if text.is_empty() => {
                    crate::render::terminal::print("# there is no [profile]\n")
                }
                text => crate::render::terminal::print(&text),
            }
        }
        crate::render::terminal::print(&format!("{}: good\n", path.display()));
    }
    Ok(())
}

/// All that serving judges, but nothing is bound or written: the configuration with what is worth telling.
async fn judge(config: Config) -> Result<(Config, Vec<String>), Problems> {
    let mut policies = judge::policy_settings(&config);
    policies.dir = policies.dir.filter(|dir| dir.is_dir());
    policies.cache_dir = policies.cache_dir.filter(|dir| dir.is_dir());
    let judged = judge::judge(&config, policies).await?;
    let mut told = warnings(&config);
    told.extend(judge::warnings(&config, &judged.policies.status()));
    Ok((config, told))
}

fn report(judged: &Result<(Config, Vec<String>), Problems>, expanded: bool) -> serde_json::Value {
    match judged {
        Ok((config, warnings)) => {
            let mut report = json!({"good": true, "warnings": warnings, "problems": []});
            if expanded {
                report["expanded"] = profile::expanded(&config.profile).into();
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
