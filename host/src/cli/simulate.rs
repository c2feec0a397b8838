//! `airlock simulate`: runs the simulated upstream alone, for trying things out and for tests.

use std::net::SocketAddr;

use anyhow::Context as _;

use crate::simulate::Simulator;
use crate::simulate::models::MODELS;

/// Options of `airlock simulate`.
#[derive(Debug, clap::Args)]
pub struct SimulateArgs {
    /// Address to listen on; port 0 takes a free one. Loopback only: the simulator checks no credentials.
    #[arg(long, default_value = "127.0.0.1:4199")]
    pub listen: SocketAddr,
}

/// Serves until Ctrl-C. The last line of the banner is `listening on http://ADDRESS/v1`: tests wait for it.
pub async fn run(args: SimulateArgs) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.listen.ip().is_loopback(),
        "--listen {}: the simulator checks no credentials and serves loopback only; use 127.0.0.1:PORT",
        args.listen
    );
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| {
            format!(
                "cannot listen on {}; is something else running there? Try --listen 127.0.0.1:0",
                args.listen
            )
        })?;
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    crate::render::terminal::print(
        "SIMULATED upstream: no model runs here, every answer is scripted (header x-airlock-simulated: 1)\n",
    );
    for model in MODELS {
        crate::render::terminal::print(&format!("  {:<14} {}\n", model.name, model.behaviour));
    }
    crate::render::terminal::print(&format!("listening on http://{address}/v1\n"));
    let shutdown = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "Ctrl-C cannot be watched");
            std::future::pending::<()>().await;
        }
    };
    Simulator::new()
        .serve(listener, shutdown)
        .await
        .context("the simulator stopped")
}
