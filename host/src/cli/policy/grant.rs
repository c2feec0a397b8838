//! `airlock policy grant`: lets a policy order more actions.
//!
//! Writes where the policy's entry already is: `[policy.<name>]` in the configuration, else `<name>.toml` beside its file, else a
//! new entry. A running Airlock notices by itself; it is asked to look at once, so that this command can say what came of it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde_json::Value;

use super::edit::{self, More};
use crate::cli::global::{Global, configuration};
use crate::cli::replace::replace;
use crate::client::AdminClient;
use crate::config::{Config, Source};
use crate::failure::Failure;
use airlock_policy::PolicySpec;
use airlock_policy::spec::{ACTIONS, is_name};

/// Options of `airlock policy grant`.
#[derive(Debug, clap::Args)]
pub struct GrantArgs {
    /// Name of the policy.
    name: String,
    /// Actions it may order from now on, such as `block`; or --all-requested.
    actions: Vec<String>,
    /// Everything that it asks for; needs a running Airlock.
    #[arg(long)]
    all_requested: bool,
}

/// Where grants of a policy are written.
struct Place {
    file: PathBuf,
    /// Table of the entry in the file; empty for the file itself.
    path: Vec<String>,
}

/// Writes the grants.
///
/// # Errors
/// Unknown names (64); files that cannot be written; with `--all-requested`, no Airlock runs (69).
pub async fn run(global: &Global, args: &GrantArgs) -> Result<(), Failure> {
    if !is_name(&args.name) {
        return Err(Failure::usage(anyhow!(
            "{} is no name of a policy: a-z, 0-9 and -",
            args.name
        )));
    }
    if let Some(unknown) = args
        .actions
        .iter()
        .find(|action| !ACTIONS.contains(&action.as_str()))
    {
        return Err(Failure::usage(anyhow!(
            "there is no action {unknown}: there is {}",
            ACTIONS.join(", ")
        )));
    }
    if args.actions.is_empty() && !args.all_requested {
        return Err(Failure::usage(anyhow!(
            "name the actions to grant, or say --all-requested for all that {} asks for",
            args.name
        )));
    }
    let config = configuration(global)?;
    let admin = AdminClient::new(&configuration(global)?);
    let mut more = More {
        actions: args.actions.clone(),
        ..More::default()
    };
    if args.all_requested {
        let admin = admin.as_ref().map_err(|_| {
            Failure::unavailable(anyhow!(
                "--all-requested asks the running Airlock: start it, or name the actions"
            ))
        })?;
        request(&admin.get("/v1/policies").await?, &args.name, &mut more)?;
    }
    let place = place(&config, &args.name)?;
    write(&place, &config, &args.name, &more)?;
    crate::render::terminal::print(&format!(
        "{}: granted {} in {}\n",
        args.name,
        shown(&more),
        place.file.display()
    ));
    match admin {
        Ok(admin) => match admin.post("/v1/reload").await {
            Ok(_) => crate::render::terminal::print("the running Airlock has taken it\n"),
            Err(failure) => crate::render::terminal::print(&format!(
                "it takes effect when Airlock runs ({failure})\n"
            )),
        },
        Err(_) => crate::render::terminal::print("it takes effect at the next start\n"),
    }
    Ok(())
}

/// Adds what the policy asks for and was not granted: `ask <target>`, `see <kind of event>`, or the name of an action.
fn request(policies: &Value, name: &str, more: &mut More) -> Result<(), Failure> {
    let policy = policies
        .as_array()
        .into_iter()
        .flatten()
        .find(|policy| policy["name"] == name);
    let policy = policy
        .ok_or_else(|| anyhow!("there is no policy {name}: `airlock policies` lists them"))?;
    for wanted in policy["ungranted"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        match wanted.split_once(' ') {
            Some(("ask", target)) => more.asks.push(target.to_owned()),
            Some(("see", kind)) => more.sees.push(kind.to_owned()),
            _ => more.actions.push(wanted.to_owned()),
        }
    }
    if *more == More::default() {
        return Err(anyhow!("{name} asks for nothing that it does not have").into());
    }
    Ok(())
}

fn place(config: &Config, name: &str) -> Result<Place, Failure> {
    let entry = |file: &Path| Place {
        file: file.to_owned(),
        path: vec!["policy".to_owned(), name.to_owned()],
    };
    let beside = config.policies.dir.join(format!("{name}.toml"));
    let component = config.policies.dir.join(format!("{name}.wasm"));
    match &config.source {
        Source::File(file) if config.policy.contains_key(name) => Ok(entry(file)),
        _ if beside.exists() || component.exists() => Ok(Place {
            file: beside,
            path: Vec::new(),
        }),
        Source::File(file) => Ok(entry(file)),
        Source::Environment => Err(Failure::usage(anyhow!(
            "there is no {} and no airlock.toml to write to: airlock init writes one",
            component.display()
        ))),
    }
}

fn write(place: &Place, config: &Config, name: &str, more: &More) -> Result<(), Failure> {
    let shown = place.file.display();
    let before = match std::fs::read_to_string(&place.file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        other => other.with_context(|| format!("cannot read {shown}"))?,
    };
    let path: Vec<&str> = place.path.iter().map(String::as_str).collect();
    let after = edit::grant(&before, &path, &config.policies.grants, more)
        .with_context(|| format!("in {shown}"))?;
    // Judged before it is written: this command never leaves a file behind that would be refused.
    if path.is_empty() {
        toml::from_str::<PolicySpec>(&after)
            .map_err(|error| anyhow!("{shown} would be wrong: {error}"))?;
    } else {
        crate::config::parse::parse(&after, &place.file)
            .with_context(|| format!("{name} would be wrong"))?;
    }
    replace(&place.file, &after).with_context(|| format!("cannot write {shown}"))?;
    Ok(())
}

fn shown(more: &More) -> String {
    let asks = more.asks.iter().map(|target| format!("asking {target}"));
    let sees = more.sees.iter().map(|kind| format!("seeing {kind}"));
    more.actions
        .iter()
        .cloned()
        .chain(asks)
        .chain(sees)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn granted(dir: &Path, name: &str) -> Result<PathBuf, Failure> {
        let file = dir.join("airlock.toml");
        let config = crate::config::locate::read(&file)?;
        let place = place(&config, name)?;
        write(
            &place,
            &config,
            name,
            &More {
                actions: vec!["block".into()],
                ..More::default()
            },
        )?;
        Ok(place.file)
    }

    #[test]
    fn grants_go_where_the_policys_entry_is() {
        let dir = tempfile::tempdir().unwrap();
        let (main, policies) = (dir.path().join("airlock.toml"), dir.path().join("policies"));
        std::fs::create_dir(&policies).unwrap();
        std::fs::write(&main, "# mine\n[policy.listed]\norder = 1\n").unwrap();
        std::fs::write(policies.join("listed.wasm"), "").unwrap();
        std::fs::write(policies.join("dropped.wasm"), "").unwrap();

        assert_eq!(granted(dir.path(), "listed").unwrap(), main);
        assert_eq!(
            granted(dir.path(), "dropped").unwrap(),
            policies.join("dropped.toml")
        );
        assert_eq!(granted(dir.path(), "builtin").unwrap(), main);

        let text = std::fs::read_to_string(&main).unwrap();
        assert!(
            text.starts_with("# mine\n[policy.listed]\norder = 1\n"),
            "{text}"
        );
        let config = crate::config::locate::read(&main).unwrap();
        for name in ["listed", "builtin"] {
            assert!(
                config.policy[name]
                    .grants
                    .as_ref()
                    .unwrap()
                    .actions
                    .contains(&"block".to_owned()),
                "{name}"
            );
        }
        let beside: PolicySpec =
            toml::from_str(&std::fs::read_to_string(policies.join("dropped.toml")).unwrap())
                .unwrap();
        assert_eq!(beside.grants.unwrap().actions, ["annotate", "block"]);
    }

    #[test]
    fn everything_requested_becomes_actions_and_targets() {
        let policies =
            json!([{"name": "guard", "ungranted": ["block", "ask classifier", "see text"]}]);
        let mut more = More::default();
        request(&policies, "guard", &mut more).unwrap();
        assert_eq!(
            more,
            More {
                actions: vec!["block".into()],
                asks: vec!["classifier".into()],
                sees: vec!["text".into()]
            }
        );
        assert!(request(&policies, "nobody", &mut more).is_err());
        assert!(
            request(
                &json!([{"name": "guard", "ungranted": []}]),
                "guard",
                &mut More::default()
            )
            .is_err()
        );
    }
}
