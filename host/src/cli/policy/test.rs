//! `airlock policy test`: runs a policy's own tests natively, then its golden cases in the sandbox, as a host rehearses
//! each new generation before it serves.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use airlock_build::{Built, Options};
use anyhow::{Context as _, anyhow, bail};

use crate::failure::Failure;
use airlock_policy::spec::ACTIONS;
use airlock_policy::{Grants, Policies, PolicySettings, PolicySpec};

/// Options of `airlock policy test`.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// Directory of the crate.
    #[arg(default_value = ".")]
    directory: PathBuf,
}

/// Runs them.
///
/// # Errors
/// A test failed, or there is no compiler.
pub async fn run(args: TestArgs) -> Result<(), Failure> {
    // Compilers and policies both take their time: not on a thread that serves others.
    tokio::task::spawn_blocking(move || test(&args.directory))
        .await
        .context("the tests were interrupted")??;
    Ok(())
}

fn test(directory: &Path) -> anyhow::Result<()> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .arg("test")
        .current_dir(directory)
        .status()
        .with_context(|| {
            format!(
                "cannot run cargo in {}: name a policy's directory, and install Rust (rustup.rs) if it is missing",
                directory.display()
            )
        })?;
    if !status.success() {
        bail!("the policy's native tests failed");
    }
    let target = directory.join("target/airlock");
    let built = airlock_build::build(&Options {
        crates: vec![directory.to_owned()],
        out: target.join("tested"),
        target,
        locked: false,
    })
    .context("cannot build the policy")?;
    for built in &built {
        rehearse(built)?;
        crate::render::terminal::print(&format!(
            "{}: loads, and {} golden cases hold in the sandbox\n",
            built.name, built.golden
        ));
    }
    Ok(())
}

/// Loads one component as the host would, with everything granted: what it may do is the operator's matter, not the test's.
/// Content and the targets that it asks are granted to golden cases in any host.
fn rehearse(built: &Built) -> anyhow::Result<()> {
    let grants = Grants {
        sees: vec!["*".to_owned()],
        actions: ACTIONS.iter().map(|action| (*action).to_owned()).collect(),
        ..Grants::default()
    };
    let spec = PolicySpec {
        grants: Some(grants),
        ..PolicySpec::default()
    };
    let bytes = std::fs::read(&built.path)
        .with_context(|| format!("cannot read {}", built.path.display()))?;
    let policies = Policies::start(PolicySettings {
        specs: BTreeMap::from([(built.name.clone(), spec)]),
        builtins: vec![(built.name.clone(), Cow::Owned(bytes))],
        ..PolicySettings::default()
    })?;
    let status = policies
        .status()
        .into_iter()
        .find(|status| status.name == built.name);
    match status {
        Some(status) if status.generation.is_some() => Ok(()),
        Some(status) => Err(anyhow!(
            "{} does not load: {}",
            built.name,
            status.last_error.unwrap_or_default()
        )),
        None => Err(anyhow!("{} does not load", built.name)),
    }
}
