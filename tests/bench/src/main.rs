//! Measures what Airlock adds: to a call, to a chunk of a stream, to the machine; beside nginx as a plain reverse proxy, and
//! beside no proxy at all, in one run, with one upstream, on loopback.
//!
//! `airlock-bench [PART...] [--upstream ADDRESS --with NAME=ADDRESS,...]`, from the top of the source tree, as `make bench`
//! prepares it. A part is a load (`whole`, `stream`, `paced`, `long`), `dialects`, `idle` or `policy`; `--with` puts other proxies into
//! the table, which somebody started and which forward to the upstream. Servers take turns within each round, so that
//! whatever else the machine does falls on all of them; only figures of one run can be compared.
//!
//! Upstream, clients and proxy share the machine's processors, so calls and chunks per second say which is ahead, not
//! what a machine of its own would reach.

mod apis;
mod arguments;
mod callgrind;
mod clock;
mod dialects;
mod http;
mod idle;
mod instructions;
mod load;
mod policies;
mod report;
mod servers;
mod upstream;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::apis::Api;
use anyhow::Context as _;
use arguments::Arguments;
use load::{Amount, Load, Seen};
use report::Row;
use servers::Server;

const ROUNDS: usize = 2;

/// The first-party policies with settings under which they have something to look for and nothing to do.
const FIRST: &str = r#"
[policy.blocklist.settings]
patterns = [{ text = "ACME-INTERNAL-7731" }, { text = "sk-[A-Za-z0-9]{32}", regex = true }]
[policy.latency-budget.settings]
budget_ms = 3600000
[policy.token-budget.settings]
max_tokens = 1000000000
[policy.tool-errors.settings]
"#;

/// The agents of a run make more sessions than an operator would provide for by default.
const ROOM: &str = "[limits]\ninstances = 8000\n";

/// Policies that are asked at every token.
const ASKED: usize = 4;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = Path::new("target/bench");
    let asked = folder.join("policies/asked.wasm");
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("instructions", rest)) = words.split_first().map(|(f, r)| (f.as_str(), r)) {
        return instructions::run(folder, rest).await;
    }
    let arguments = Arguments::read(words.into_iter())?;
    // First, because the memory of this process is measured.
    let idle = match arguments.idle {
        true => Some(idle::measure(folder, &asked).await?),
        false => None,
    };
    let mut rows = Vec::new();
    if !arguments.loads.is_empty() {
        let upstream = upstream::start(arguments.upstream).await?;
        let mut servers = servers(folder, &asked, upstream)?;
        for (name, address) in &arguments.peers {
            servers.push(Server::peer(name, *address)?);
        }
        rows = measure(&servers, &arguments.loads).await?;
    }
    if arguments.dialects {
        dialects::print(&dialects::measure(folder, &asked).await?);
    }
    let costs = match arguments.policy {
        true => {
            let (folder, asked) = (folder.to_owned(), asked.clone());
            let measuring = move || {
                policies::measure(&folder, &asked, Path::new("target/policies/blocklist.wasm"))
            };
            Some(tokio::task::spawn_blocking(measuring).await??)
        }
        false => None,
    };
    report::print(&rows, costs.as_ref(), idle.as_ref());
    let file = Path::new("target/bench.json");
    let json = serde_json::to_string_pretty(&report::json(&rows, costs.as_ref(), idle.as_ref()))?;
    std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    println!("\n{}", file.display());
    Ok(())
}

fn servers(folder: &Path, asked: &Path, upstream: SocketAddr) -> anyhow::Result<Vec<Server>> {
    let copies: Vec<(String, PathBuf)> = (1..=ASKED)
        .map(|n| (format!("asked-{n}"), asked.to_owned()))
        .collect();
    Ok(vec![
        Server::direct(upstream),
        Server::nginx(folder, upstream)?,
        Server::airlock("airlock", folder, upstream, "", &[])?,
        Server::airlock("airlock, first four", folder, upstream, FIRST, &[])?,
        Server::airlock("airlock, every token", folder, upstream, ROOM, &copies)?,
    ])
}

async fn measure(servers: &[Server], loads: &[Load]) -> anyhow::Result<Vec<Row>> {
    for server in servers {
        // What is loaded at the first call is not what is measured.
        load::run(server.address, (Load::Whole, Api::Chat), 16, Amount::Some)
            .await
            .with_context(|| server.name.clone())?;
        load::run(server.address, (Load::Full, Api::Chat), 1, Amount::Some)
            .await
            .with_context(|| server.name.clone())?;
    }
    let mut rows = Vec::new();
    for load in loads {
        for clients in load.clients() {
            let mut seen: Vec<(Seen, f64)> = servers.iter().map(|_| Default::default()).collect();
            for _ in 0..ROUNDS {
                for (server, (seen, cpu)) in servers.iter().zip(&mut seen) {
                    let before = server.cpu();
                    seen.add(
                        load::run(server.address, (*load, Api::Chat), *clients, Amount::Some)
                            .await
                            .with_context(|| server.name.clone())?,
                    );
                    *cpu += server.cpu() - before;
                }
            }
            rows.extend(servers.iter().zip(seen).map(|(server, (seen, cpu))| {
                Row::new(&server.name, *load, *clients, seen, cpu, server.rss_kib())
            }));
        }
    }
    Ok(rows)
}
