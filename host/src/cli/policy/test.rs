//! `airlock policy test`: runs a policy's own tests, golden cases among them, natively. The same golden cases go into the
//! component, and each generation is rehearsed with them before it serves.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, anyhow};

use crate::cli::Failure;

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
/// A test failed, or there is no cargo.
pub fn run(args: &TestArgs) -> Result<(), Failure> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .arg("test")
        .current_dir(&args.directory)
        .status()
        .with_context(|| {
            format!(
                "cannot run cargo in {}: install Rust (rustup.rs)",
                args.directory.display()
            )
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(anyhow!("the policy's tests failed").into())
    }
}
