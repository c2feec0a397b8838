//! `airlock client-setup`: how to point a client at this Airlock. Nothing but its base URL and key changes.

mod clients;

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::global::{Global, Output, configuration};
use crate::failure::Failure;
use crate::render::terminal;
use clients::{CLIENTS, Client, Where};

/// Arguments of the command.
#[derive(Debug, Args)]
pub struct ClientSetupArgs {
    /// Which client; without one, the list of all.
    client: Option<String>,
    /// Form of what is printed.
    #[arg(long, value_enum, default_value_t)]
    shell: Shell,
    /// Address at which the client reaches Airlock; without it, `listen` of [gateway].
    #[arg(long, value_name = "ADDRESS")]
    url: Option<String>,
}

/// Where settings are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Shell {
    /// Lines for bash, zsh and the like.
    #[default]
    Bash,
    /// Lines for PowerShell.
    Powershell,
    /// The client's own configuration file, or its code where it has none.
    File,
}

/// Prints it.
///
/// # Errors
/// There is no such client (64), or the configuration is wrong.
pub fn run(global: &Global, args: &ClientSetupArgs) -> Result<(), Failure> {
    let config = configuration(global)?;
    let own = format!("http://{}", config.gateway.listen);
    let url = args.url.as_deref().unwrap_or(&own).trim_end_matches('/');
    let Some(name) = &args.client else {
        list(global.output);
        return Ok(());
    };
    let Some(client) = CLIENTS.iter().find(|client| client.name == name) else {
        let names: Vec<&str> = CLIENTS.iter().map(|client| client.name).collect();
        return Err(Failure::usage(anyhow::anyhow!(
            "there is no client {name:?} that is known: take one of {}, or the one of its SDK",
            names.join(", ")
        )));
    };
    let keyed = !config.keys.is_empty();
    match global.output {
        Output::Json => terminal::print_json(&json!({
            "client": client.name,
            "api": client.api,
            "environment": client.environment.iter().map(|(variable, value)| {
                json!({"name": variable, "value": filled(value, url)})
            }).collect::<Vec<_>>(),
            "file": client.file.name,
            "text": filled(client.file.text, url),
            "airlock_keys": keyed,
        })),
        Output::Table => terminal::print(&text(client, args.shell, url, keyed)),
    }
    Ok(())
}

fn list(output: Output) {
    match output {
        Output::Json => {
            let all = CLIENTS
                .iter()
                .map(|c| json!({"client": c.name, "api": c.api}));
            terminal::print_json(&json!(all.collect::<Vec<_>>()));
        }
        Output::Table => {
            let mut out = String::new();
            for client in &CLIENTS {
                let _ = writeln!(out, "{:<18} {}", client.name, client.api);
            }
            out.push_str("\nairlock client-setup CLIENT [--shell bash|powershell|file]\n");
            terminal::print(&out);
        }
    }
}

/// What to do, for people.
fn text(client: &Client, shell: Shell, url: &str, keyed: bool) -> String {
    let mut out = String::new();
    let by_environment = !client.environment.is_empty();
    let Where { name, text } = client.file;
    match shell {
        Shell::File => {
            let _ = writeln!(out, "# {name}\n{}", filled(text, url));
        }
        _ if !by_environment => {
            let _ = writeln!(
                out,
                "# {} reads no base URL from the environment: {name}\n{}",
                client.name,
                filled(text, url)
            );
        }
        _ => {
            for (variable, value) in client.environment {
                let value = filled(value, url);
                let _ = match shell {
                    Shell::Powershell => writeln!(out, "$env:{variable} = \"{value}\""),
                    _ => writeln!(out, "export {variable}=\"{value}\""),
                };
            }
        }
    }
    let key = match keyed {
        true => "# Its API key: one of Airlock's (airlock key new).\n",
        false => {
            "# Its API key stays as it is: it goes to the vendor, unless [upstream] has one of its own.\n"
        }
    };
    out.push_str(key);
    for note in client.notes {
        let _ = writeln!(out, "# {}", filled(note, url));
    }
    out
}

fn filled(text: &str, url: &str) -> String {
    text.replace("{url}", url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_says_where_airlock_is_in_every_form() {
        for client in &CLIENTS {
            for shell in [Shell::Bash, Shell::Powershell, Shell::File] {
                let text = text(client, shell, "http://127.0.0.1:4100", false);
                assert!(
                    text.contains("http://127.0.0.1:4100"),
                    "{}: {text}",
                    client.name
                );
                assert!(!text.contains("{url}"), "{}: {text}", client.name);
            }
        }
    }

    #[test]
    fn a_shell_is_told_in_its_own_words() {
        let claude = CLIENTS.iter().find(|c| c.name == "claude-code");
        let said = |shell| {
            claude
                .map(|c| text(c, shell, "http://h:1", true))
                .unwrap_or_default()
        };
        assert!(said(Shell::Bash).starts_with("export ANTHROPIC_BASE_URL=\"http://h:1\"\n"));
        assert!(said(Shell::Powershell).starts_with("$env:ANTHROPIC_BASE_URL = \"http://h:1\"\n"));
        assert!(said(Shell::File).contains("\"ANTHROPIC_BASE_URL\": \"http://h:1\""));
    }
}
