//! `airlock health`: how the machine, tools, models and upstreams of the running Airlock have been doing.

use serde_json::Value;

use crate::cli::global::{Global, Output, configuration};
use crate::cli::table;
use crate::client::AdminClient;
use crate::failure::Failure;

const HEAD: [&str; 7] = ["OF", "NAME", "CALLS", "FAILED", "ERRORS", "P50", "P99"];

/// Prints it.
///
/// # Errors
/// No Airlock runs (69).
pub async fn run(global: &Global) -> Result<(), Failure> {
    let report = AdminClient::new(&configuration(global)?)?
        .get("/v1/health")
        .await?;
    match global.output {
        Output::Json => crate::render::terminal::print_json(&report),
        Output::Table => crate::render::terminal::print(&render(&report)),
    }
    Ok(())
}

fn render(report: &Value) -> String {
    let machine = machine(&report["machine"]);
    let rows: Vec<Vec<String>> = report["standings"]
        .as_array()
        .into_iter()
        .flatten()
        .map(row)
        .collect();
    if rows.is_empty() {
        return format!("{machine}no calls in the last five minutes\n");
    }
    format!(
        "{machine}{}last five minutes; times of tools are to the result, others to the first token\n",
        table::render(&HEAD, &rows)
    )
}

/// One line each for the machine and the agent, with what is known of them.
fn machine(sample: &Value) -> String {
    let share = |key: &str| Some(format!("{:.0} %", sample[key].as_f64()? * 100.0));
    let mib = |key: &str| Some(sample[key].as_f64()? / f64::from(1 << 20));
    let agent = [
        (
            "processors",
            sample["agent_cpu"].as_f64().map(|n| format!("{n:.2}")),
        ),
        ("memory", mib("agent_memory").map(|n| format!("{n:.0} MiB"))),
        ("disk", mib("agent_io").map(|n| format!("{n:.1} MiB/s"))),
    ];
    let host = [
        ("processors", share("host_cpu")),
        ("memory", share("host_memory")),
        ("waiting for a disk", share("host_io")),
    ];
    let line = |of: &str, parts: [(&str, Option<String>); 3]| {
        let known: Vec<String> = parts
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name} {}", value?)))
            .collect();
        if known.is_empty() {
            String::new()
        } else {
            format!("{of:<8} {}\n", known.join(", "))
        }
    };
    format!("{}{}", line("machine", host), line("agent", agent))
}

fn row(standing: &Value) -> Vec<String> {
    let text = |key: &str| standing[key].as_str().unwrap_or("-").to_owned();
    let number = |key: &str| standing[key].as_u64().unwrap_or(0).to_string();
    let rate = standing["error_rate"].as_f64().unwrap_or(0.0) * 100.0;
    let time = |key: &str| {
        standing[key]
            .as_f64()
            .map_or_else(|| "-".to_owned(), duration)
    };
    vec![
        text("of"),
        text("name"),
        number("calls"),
        number("failed"),
        format!("{rate:.1} %"),
        time("p50_us"),
        time("p99_us"),
    ]
}

/// Microseconds with two digits that mean something: the measurement is no finer.
fn duration(us: f64) -> String {
    match us {
        us if us < 10_000.0 => format!("{:.1}ms", us / 1e3),
        us if us < 1_000_000.0 => format!("{:.0}ms", us / 1e3),
        us if us < 10_000_000.0 => format!("{:.1}s", us / 1e6),
        us => format!("{:.0}s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_shows_rates_and_times_that_people_can_read() {
        let report = json!({
            "machine": {"host_cpu": 0.25, "host_memory": 0.5, "agent_memory": 3_145_728.0},
            "standings": [
                {"of": "tool", "name": "search", "calls": 40, "failed": 10, "error_rate": 0.25,
                 "p50_us": 250_000.0, "p99_us": 12_400_000.0},
                {"of": "upstream", "name": "openai", "calls": 1, "failed": 1, "error_rate": 1.0,
                 "p50_us": null, "p99_us": null},
            ],
            "sessions": 2,
        });
        let shown = render(&report);
        for expected in [
            "machine  processors 25 %, memory 50 %\n",
            "agent    memory 3 MiB\n",
            "tool      search  40     10      25.0 %   250ms  12s\n",
            "upstream  openai  1      1       100.0 %  -      -\n",
        ] {
            assert!(shown.contains(expected), "lacks {expected}:\n{shown}");
        }
    }

    #[test]
    fn without_calls_it_says_so() {
        let shown = render(&json!({"machine": {}, "standings": [], "sessions": 0}));
        assert_eq!(shown, "no calls in the last five minutes\n");
    }
}
