//! `airlock demo`: Airlock at work, in one command.

use std::path::PathBuf;

use anyhow::anyhow;

use crate::demo::{Options, Real, play};
use crate::failure::Failure;

/// Options of `airlock demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Address of a real server, with /v1, instead of simulated models. Its key is taken from OPENAI_API_KEY.
    #[arg(long, value_name = "URL", requires = "model")]
    pub upstream: Option<String>,
    /// Model that the agents ask.
    #[arg(long, requires = "upstream")]
    pub model: Option<String>,
    /// Model to which a slow session moves. Default: the same.
    #[arg(long, requires = "upstream")]
    pub fast_model: Option<String>,
    /// Folder for configuration, database and policies. It is emptied first.
    #[arg(long, default_value = ".demo")]
    pub folder: PathBuf,
}

/// Plays the demo.
///
/// # Errors
/// Something cannot be started, or Airlock did not step in somewhere as it must.
pub async fn run(args: DemoArgs) -> Result<(), Failure> {
    let real = args.upstream.zip(args.model).map(|(base_url, model)| {
        let fast_model = args.fast_model.unwrap_or_else(|| model.clone());
        Real {
            base_url,
            model,
            fast_model,
        }
    });
    let good = play(Options {
        real,
        folder: args.folder,
    })
    .await?;
    if good {
        return Ok(());
    }
    Err(anyhow!("Airlock did not step in as it must: see the table above").into())
}
