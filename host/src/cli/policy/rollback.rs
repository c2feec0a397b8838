//! `airlock policy rollback`: brings the last good generation of a policy back.

use crate::cli::global::{Global, configuration};
use crate::client::AdminClient;
use crate::failure::Failure;
use airlock_policy::spec::is_name;

/// Options of `airlock policy rollback`.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// Name of the policy.
    name: String,
}

/// Orders it.
///
/// # Errors
/// No Airlock runs (69), or there is no earlier generation.
pub async fn run(global: &Global, args: &RollbackArgs) -> Result<(), Failure> {
    if !is_name(&args.name) {
        return Err(Failure::usage(anyhow::anyhow!(
            "{} is no name of a policy",
            args.name
        )));
    }
    let answer = AdminClient::new(&configuration(global)?)?
        .post(&format!("/v1/policies/{}/rollback", args.name))
        .await?;
    crate::render::terminal::print(&format!(
        "{}: generation {} serves again\n",
        args.name, answer["generation"]
    ));
    Ok(())
}
