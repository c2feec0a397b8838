//! `airlock serve`: runs Airlock.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::summary;
use crate::cli::global::{Global, Output};
use crate::config::locate;
use crate::failure::Failure;
use crate::render::terminal;
use crate::serve::Airlock;

/// Runs until a signal to stop; then lets open streams end.
///
/// # Errors
/// The configuration is wrong (64), or something that Airlock needs cannot be had.
pub async fn run(global: &Global) -> Result<(), Failure> {
    let file = locate::find(global.config.as_deref())?;
    let config = locate::load(file.as_deref(), &locate::process_variables).await?;
    let airlock = Airlock::prepare(config, file).await?;
    if global.output == Output::Table {
        terminal::tell(&summary::render(
            &airlock.config,
            airlock.gateway,
            airlock.admin,
            &airlock.app.policies.status(),
        ));
    }
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone())?);
    airlock.serve(stop).await
}

/// The first signal lets open streams end; the second one does not wait for them.
fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch SIGTERM")?;
    Ok(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        tracing::info!("stopping: open streams may end; a second signal cuts them");
        stop.cancel();
        next().await;
        tracing::warn!("cut by a second signal");
        std::process::exit(1);
    })
}
