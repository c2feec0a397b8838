//! What a chunk costs in each wire API, beside chat completions.

use std::path::Path;

use anyhow::Context as _;

use crate::apis::Api;
use crate::load::{self, Amount, Load, Seen};
use crate::report::stats;
use crate::servers::Server;
use crate::upstream::{self, CHUNKS};

/// Clients at once.
const CLIENTS: u32 = 16;
const ROUNDS: usize = 3;

/// One API behind one server.
pub struct Row {
    server: String,
    api: Api,
    /// Added to a chunk, the middle of all, microseconds.
    added: f64,
    /// CPU of 1,000 chunks, milliseconds.
    cpu: f64,
}

/// Puts paced streams of each API through Airlock, with nobody who judges and with four policies that are asked at every
/// token, in turns with going direct.
///
/// # Errors
/// A call failed.
pub async fn measure(folder: &Path, asked: &Path) -> anyhow::Result<Vec<Row>> {
    let upstream = upstream::start(None).await?;
    let servers = crate::servers(folder, asked, upstream)?;
    let wanted = ["direct", "airlock", "airlock, every token"];
    let servers: Vec<Server> = servers
        .into_iter()
        .filter(|server| wanted.contains(&&*server.name))
        .collect();
    let all = servers
        .iter()
        .flat_map(|server| Api::ALL.into_iter().map(move |api| (server, api)));
    let mut seen: Vec<(&Server, Api, Seen, f64)> = all
        .map(|(server, api)| (server, api, Seen::default(), 0.0))
        .collect();
    for _ in 0..ROUNDS {
        for (server, api, seen, cpu) in &mut seen {
            let before = server.cpu();
            let load = (Load::Paced, *api);
            let ran = load::run(server.address, load, CLIENTS, Amount::Some).await;
            seen.add(ran.with_context(|| format!("{}, {}", server.name, api.name()))?);
            *cpu += server.cpu() - before;
        }
    }
    let middle = |seen: &Seen| stats(seen.chunk.clone()).p50 as f64 / 1000.0;
    let direct: Vec<(Api, f64)> = seen
        .iter()
        .filter(|(server, ..)| server.name == "direct")
        .map(|(_, api, seen, _)| (*api, middle(seen)))
        .collect();
    let rows = seen.iter().filter(|(server, ..)| server.name != "direct");
    Ok(rows
        .map(|(server, api, seen, cpu)| {
            let without = direct.iter().find(|(of, _)| of == api);
            Row {
                server: server.name.clone(),
                api: *api,
                added: middle(seen) - without.map_or(0.0, |(_, us)| *us),
                cpu: cpu * 1e6 / (seen.calls as f64 * CHUNKS as f64),
            }
        })
        .collect())
}

/// Prints them, each beside chat completions of the same server.
pub fn print(rows: &[Row]) {
    println!(
        "\nstreams of 200 chunks at 100 chunks/s, {CLIENTS} clients; added = beyond the same API without a proxy"
    );
    println!(
        "{:<22}{:<18}{:>14}{:>8}{:>20}{:>8}",
        "", "", "chunk p50, us", "ratio", "CPU, ms/1,000", "ratio"
    );
    for row in rows {
        let mut same = rows.iter().filter(|other| other.server == row.server);
        let chat = same.find(|other| other.api == Api::Chat);
        let ratio = |of: fn(&Row) -> f64| chat.map_or(0.0, |chat| of(row) / of(chat));
        println!(
            "{:<22}{:<18}{:>14.0}{:>8.2}{:>20.1}{:>8.2}",
            row.server,
            row.api.name(),
            row.added,
            ratio(|row| row.added),
            row.cpu,
            ratio(|row| row.cpu),
        );
    }
}
