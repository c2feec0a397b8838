//! Numbers, for people as a table and for programs as JSON.

use serde_json::{Value, json};

use crate::idle::{Idle, SESSIONS};
use crate::load::{Load, Seen};
use crate::policies::{BATCHES, Costs};
use crate::upstream::CHUNKS;

/// The middle and the slow end of some times, nanoseconds.
#[derive(Clone, Copy, Default)]
pub struct Stats {
    /// Half of them were shorter.
    pub p50: u64,
    /// One in a hundred was longer.
    pub p99: u64,
}

/// Sorts times out.
pub fn stats(mut times: Vec<u64>) -> Stats {
    times.sort_unstable();
    let at = |share: f64| {
        times
            .get((times.len() as f64 * share) as usize)
            .copied()
            .unwrap_or_default()
    };
    Stats {
        p50: at(0.5),
        p99: at(0.99),
    }
}

/// One server under one load.
pub struct Row {
    /// Which server.
    pub server: String,
    /// Which load.
    pub load: Load,
    /// How many clients at once.
    pub clients: u32,
    /// What the clients saw.
    pub first: Stats,
    /// The same for every chunk.
    pub chunk: Stats,
    /// Answers a second.
    pub calls_per_second: f64,
    /// CPU time of the server, seconds: for 1,000 chunks, or for 1,000 calls if the answers were whole.
    pub cpu_per_thousand: f64,
    /// CPU time of the server by time passed; 1 is one processor.
    pub processors: f64,
    /// Memory of the server after the load, KiB.
    pub rss_kib: u64,
}

impl Row {
    /// Condenses what was seen and used.
    pub fn new(server: &str, load: Load, clients: u32, seen: Seen, cpu: f64, rss_kib: u64) -> Row {
        let calls = seen.calls as f64;
        let units = if !load.streams() {
            calls
        } else {
            calls * CHUNKS as f64
        };
        Row {
            server: server.to_owned(),
            load,
            clients,
            first: stats(seen.first),
            chunk: stats(seen.chunk),
            calls_per_second: calls / seen.seconds,
            cpu_per_thousand: cpu / units * 1000.0,
            processors: cpu / seen.seconds,
            rss_kib,
        }
    }

    fn chunks_per_second(&self) -> f64 {
        if !self.load.streams() {
            0.0
        } else {
            self.calls_per_second * CHUNKS as f64
        }
    }
}

/// The row of the same load without a proxy.
fn direct<'a>(rows: &'a [Row], row: &Row) -> Option<&'a Row> {
    rows.iter().find(|other| {
        other.server == "direct" && other.load == row.load && other.clients == row.clients
    })
}

/// What a proxy adds, microseconds; it may come out below 0 by chance.
fn added(with: u64, without: u64) -> f64 {
    (with as f64 - without as f64) / 1000.0
}

/// Prints both tables. The second one says what a policy costs by itself.
pub fn print(rows: &[Row], costs: Option<&Costs>, idle: Option<&Idle>) {
    for load in Load::ALL {
        if rows.iter().all(|row| row.load != load) {
            continue;
        }
        let what = match load {
            Load::Whole => "whole answers, one after the other (first = the whole answer)",
            Load::Full => "streams of 200 chunks at full speed, one after the other",
            Load::Paced => "streams of 200 chunks at 100 chunks/s",
            Load::Long => "whole answers in a conversation of 1,000 messages and 2 MB",
        };
        println!("\n{what}; added = beyond the same percentile without a proxy");
        println!(
            "{:<22}{:>8}{:>12}{:>12}{:>12}{:>12}{:>10}{:>11}{:>13}{:>8}{:>9}",
            "",
            "clients",
            "first p50",
            "first p99",
            "chunk p50",
            "chunk p99",
            "calls/s",
            "chunks/s",
            "CPU ms/1000",
            "CPU %",
            "RSS MiB"
        );
        println!(
            "{:<22}{:>8}{:>12}{:>12}{:>12}{:>12}",
            "", "", "added us", "added us", "added us", "added us"
        );
        for row in rows.iter().filter(|row| row.load == load) {
            let Some(direct) = direct(rows, row) else {
                continue;
            };
            let chunk = |a: u64, b: u64| {
                if !load.streams() || a == 0 && b > 0 {
                    String::new()
                } else {
                    format!("{:.0}", added(a, b))
                }
            };
            println!(
                "{:<22}{:>8}{:>12.0}{:>12.0}{:>12}{:>12}{:>10.0}{:>11.0}{:>13.1}{:>8.1}{:>9.1}",
                row.server,
                row.clients,
                added(row.first.p50, direct.first.p50),
                added(row.first.p99, direct.first.p99),
                chunk(row.chunk.p50, direct.chunk.p50),
                chunk(row.chunk.p99, direct.chunk.p99),
                row.calls_per_second,
                row.chunks_per_second(),
                row.cpu_per_thousand * 1000.0,
                row.processors * 100.0,
                row.rss_kib as f64 / 1024.0,
            );
        }
    }
    if let Some(costs) = costs {
        print_costs(costs);
    }
    if let Some(idle) = idle {
        print_idle(idle);
    }
}

fn print_costs(costs: &Costs) {
    println!("\na policy by itself, through the contract (CPU time but for the reload)");
    for (events, call) in BATCHES.iter().zip(&costs.call) {
        println!(
            "  one call with {events:>2} events            {:>10.2} us",
            call.p50 as f64 / 1e3
        );
    }
    println!(
        "  a session with 8 policies, opened    {:>8.0} us",
        costs.open.p50 as f64 / 1e3
    );
    println!(
        "  file replaced to generation serving  {:>8.0} ms",
        costs.reload.p50 as f64 / 1e6
    );
}

fn print_idle(idle: &Idle) {
    println!(
        "\nsessions with 8 policies that nobody uses (with the places for instances, which stay in memory)"
    );
    for (count, rss) in SESSIONS.into_iter().zip(idle.rss_kib) {
        println!(
            "  memory at {count:>6} hibernating        {:>8.1} MiB, {:.1} KiB each",
            rss as f64 / 1024.0,
            rss as f64 / count as f64
        );
    }
    for (what, times) in [
        ("a hibernating policy woken, and called", &idle.waking),
        ("a session read from the disk          ", &idle.loading),
    ] {
        println!(
            "  {what} {:>6.0} us, p99 {:.0} us",
            times.p50 as f64 / 1e3,
            times.p99 as f64 / 1e3
        );
    }
}

/// Everything measured.
pub fn json(rows: &[Row], costs: Option<&Costs>, idle: Option<&Idle>) -> Value {
    let of =
        |stats: &Stats| json!({"p50_us": stats.p50 as f64 / 1e3, "p99_us": stats.p99 as f64 / 1e3});
    let more = |a: &Stats, b: &Stats| json!({"p50_us": added(a.p50, b.p50), "p99_us": added(a.p99, b.p99)});
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let direct = direct(rows, row);
            json!({
                "server": row.server,
                "load": row.load.name(),
                "clients": row.clients,
                "first": of(&row.first),
                "first_added": direct.map(|direct| more(&row.first, &direct.first)),
                "chunk": of(&row.chunk),
                "chunk_added": direct.map(|direct| more(&row.chunk, &direct.chunk)),
                "calls_per_second": row.calls_per_second,
                "chunks_per_second": row.chunks_per_second(),
                "cpu_ms_per_thousand": row.cpu_per_thousand * 1000.0,
                "processors": row.processors,
                "rss_kib": row.rss_kib,
            })
        })
        .collect();
    let idle = idle.map(|idle| {
        json!({
            "memory": SESSIONS.iter().zip(idle.rss_kib)
                .map(|(sessions, rss)| json!({"sessions": sessions, "rss_kib": rss}))
                .collect::<Vec<_>>(),
            "waking": of(&idle.waking),
            "loading": of(&idle.loading),
        })
    });
    let policy = costs.map(|costs| {
        let calls: Vec<Value> = BATCHES
            .iter()
            .zip(&costs.call)
            .map(|(events, call)| json!({"events": events, "call": of(call)}))
            .collect();
        json!({"calls": calls, "open_8": of(&costs.open), "reload": of(&costs.reload)})
    });
    json!({"proxies": rows, "idle": idle, "policy": policy})
}
