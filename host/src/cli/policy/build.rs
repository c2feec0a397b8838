//! `airlock policy build`: makes the component of a policy's crate.

use std::path::PathBuf;

use airlock_build::Options;
use anyhow::Context as _;

use crate::cli::global::{Global, configuration};
use crate::failure::Failure;

/// Options of `airlock policy build`.
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// Directory of the crate.
    #[arg(default_value = ".")]
    pub directory: PathBuf,
    /// Directory that gets the component. Without it: the policy directory, so that a running Airlock takes it at once.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Builds it.
///
/// # Errors
/// No compiler for Wasm, or the crate does not compile.
pub fn run(global: &Global, args: &BuildArgs) -> Result<(), Failure> {
    let out = match &args.out {
        Some(out) => out.clone(),
        None => configuration(global)?.policies.dir,
    };
    let options = Options {
        crates: vec![args.directory.clone()],
        out,
        target: args.directory.join("target/airlock"),
        locked: false,
    };
    for built in airlock_build::build(&options).context("cannot build the policy")? {
        crate::render::terminal::print(&format!(
            "{} ({}, {} KiB, {} golden cases){}\n",
            built.path.display(),
            built.world,
            built.bytes.div_ceil(1024),
            built.golden,
            if built.changed { "" } else { ", unchanged" }
        ));
    }
    Ok(())
}
