//! Instructions of one call and of one chunk, by part, under `valgrind --tool=callgrind`: the same on every machine but for
//! the compiler's version, so that a budget can be held. The budgets are in `tests/bench/instructions.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::apis::Api;
use crate::callgrind::Counted;
use crate::load::{Amount, Load};
use crate::servers::{Server, fresh};
use crate::upstream::{self, CHUNKS};
use crate::{ASKED, FIRST, load};

/// Kept in the tree.
const BUDGETS: &str = "tests/bench/instructions.json";

/// Airlock with its functions' names, as `make bench-instructions` builds it.
const BINARY: &str = "target/bench/symbols/airlock";

/// What may be above a budget: two runs differ by 1 %, and what is above by 3 % is told.
const TOLERANCE: f64 = 0.05;
const TOLD: f64 = 0.03;

/// Calls before anything is counted, and those that are: sessions begin, end and go to the disk in both.
const WARM: u64 = 64;
const CALLS: u64 = 256;
const STREAMS: u64 = 32;

/// Under callgrind a policy takes fifty times as long, which is no fault of its own; and there is less address space.
const SLOW: &str = "[limits]\ncpu_ms = 5000\nwall_ms = 10000\ninstances = 400\n";

/// Functions that are listed of each case.
const LISTED: usize = 25;

type Budgets = BTreeMap<String, u64>;

/// What a case is called, the sections of its configuration, the components in its policy directory, its loads.
type Case<'a> = (&'a str, &'a str, &'a [(String, PathBuf)], &'a [Load]);

/// Counts every case, or those named, prints it beside its budget, and with `--write` makes what was counted the budget.
///
/// # Errors
/// A case is above its budget; or valgrind or the binary is missing.
pub async fn run(folder: &Path, words: &[String]) -> anyhow::Result<()> {
    let write = words.iter().any(|word| word == "--write");
    let chosen: Vec<&String> = words.iter().filter(|word| *word != "--write").collect();
    let budgets: Budgets = match fs::read_to_string(BUDGETS) {
        Ok(text) => serde_json::from_str(&text).with_context(|| BUDGETS)?,
        Err(_) => Budgets::new(),
    };
    let upstream = upstream::start(None).await?;
    let asked = folder.join("policies/asked.wasm");
    let copies: Vec<(String, PathBuf)> = (1..=ASKED)
        .map(|n| (format!("asked-{n}"), asked.clone()))
        .collect();
    let cases: [Case<'_>; 3] = [
        ("none", "", &[], &[Load::Whole, Load::Full, Load::Long]),
        ("first four", FIRST, &[], &[Load::Whole, Load::Full]),
        ("every token", "", &copies, &[Load::Whole, Load::Full]),
    ];
    let mut counted = budgets.clone();
    let mut above = Vec::new();
    for (policies, sections, components, loads) in cases {
        for load in loads {
            let name = format!("{policies}, {}", load.name());
            if !(chosen.is_empty() || chosen.iter().any(|chosen| **chosen == name)) {
                continue;
            }
            let count = count(folder, upstream, (sections, components), *load)
                .await
                .with_context(|| name.clone())?;
            let (unit, units) = match load {
                Load::Full => ("chunk", STREAMS * CHUNKS as u64),
                Load::Long => ("call", STREAMS),
                _ => ("call", CALLS),
            };
            print(&name, &count, unit, units);
            let each = count.total() / units;
            if let Some(budget) = budgets.get(&name) {
                let more = each as f64 / *budget as f64 - 1.0;
                let remark = match more {
                    more if more > TOLD => ", more than a run differs from another",
                    more if more < -TOLD => ", and can be lowered with --write",
                    _ => "",
                };
                println!("  budget {budget}: {:+.1} %{remark}", more * 100.0);
                if more > TOLERANCE {
                    above.push(format!(
                        "{name}: {each} a {unit}, budget {budget}, {:+.1} %",
                        more * 100.0
                    ));
                }
            }
            counted.insert(name, each);
        }
    }
    if write {
        let text = serde_json::to_string_pretty(&counted)? + "\n";
        fs::write(BUDGETS, text).with_context(|| format!("cannot write {BUDGETS}"))?;
        println!("\n{BUDGETS}");
        return Ok(());
    }
    if !above.is_empty() {
        bail!(
            "above the budget by more than {:.0} %: {}. Find what costs more (a list is above), or say why it is worth it and set \
             the budgets anew: `target/release/airlock-bench instructions --write`",
            TOLERANCE * 100.0,
            above.join("; ")
        );
    }
    Ok(())
}

async fn count(
    folder: &Path,
    upstream: std::net::SocketAddr,
    (sections, components): (&str, &[(String, PathBuf)]),
    load: Load,
) -> anyhow::Result<Counted> {
    let out = fresh(&folder.join("callgrind"))?.join("out");
    let sections = format!("{sections}{SLOW}");
    let server = Server::counted(
        folder,
        Path::new(BINARY),
        upstream,
        (&sections, components),
        &out,
    )?;
    let calls = match load {
        Load::Whole => CALLS,
        _ => STREAMS,
    };
    load::run(
        server.address,
        (load, Api::Chat),
        1,
        Amount::Calls(WARM.min(calls)),
    )
    .await?;
    let pid = server.pid().context("no process")?;
    control(pid, &["instrumentation", "on"])?;
    load::run(server.address, (load, Api::Chat), 1, Amount::Calls(calls)).await?;
    control(pid, &["dump"])?;
    drop(server);
    Counted::read(&out.with_file_name("out.1"))
}

/// Has the running program start to count, or write what it counted.
fn control(pid: u32, order: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("vgdb")
        .arg(format!("--pid={pid}"))
        .args(order)
        .output()
        .context("cannot run vgdb: install valgrind")?;
    if !output.status.success() {
        bail!("vgdb: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn print(name: &str, counted: &Counted, unit: &str, units: u64) {
    println!(
        "\n{name}: {} instructions a {unit}",
        counted.total() / units
    );
    for (part, count) in &counted.parts {
        let share = *count as f64 / counted.total() as f64 * 100.0;
        println!("  {part:<10}{:>10}{share:>7.1} %", count / units);
    }
    println!("  most of it:");
    for (function, count) in counted.functions.iter().take(LISTED) {
        let function: String = function.chars().take(110).collect();
        println!("  {:>10}  {function}", count / units);
    }
}
