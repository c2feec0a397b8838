//! `airlock policy ...`: everything around one policy.

use crate::cli::global::Global;
use crate::failure::Failure;

pub mod build;
pub mod edit;
pub mod grant;
pub mod rollback;
pub mod scaffold;
pub mod test;
pub mod toolchain;

/// Commands on one policy.
#[derive(Debug, clap::Subcommand)]
pub enum PolicyCommand {
    /// Begin a policy: a crate with the SDK, an example and a test
    New(scaffold::NewArgs),
    /// Make the component of a policy's crate
    Build(build::BuildArgs),
    /// Get a Rust that compiles to Wasm, where rustup has none to give
    Toolchain,
    /// Run a policy's own tests and golden cases
    Test(test::TestArgs),
    /// Let a policy order more actions
    Grant(grant::GrantArgs),
    /// Bring a policy's last good generation back
    Rollback(rollback::RollbackArgs),
}

/// Runs a command.
///
/// # Errors
/// The command's.
pub async fn run(global: &Global, command: PolicyCommand) -> Result<(), Failure> {
    match command {
        PolicyCommand::New(args) => scaffold::run(&args),
        PolicyCommand::Build(args) => build::run(global, &args),
        PolicyCommand::Toolchain => toolchain::run(),
        PolicyCommand::Test(args) => test::run(args).await,
        PolicyCommand::Grant(args) => grant::run(global, &args).await,
        PolicyCommand::Rollback(args) => rollback::run(global, &args).await,
    }
}
