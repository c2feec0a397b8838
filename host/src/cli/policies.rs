//! `airlock policies`: how the policies of the running Airlock stand.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::cli::global::{Global, Output, configuration};
use crate::cli::table;
use crate::client::AdminClient;
use crate::failure::Failure;
use crate::render::style::{indented, one_line};

const HEAD: [&str; 11] = [
    "POLICY",
    "GEN",
    "DIGEST",
    "SINCE",
    "STATE",
    "MODE",
    "ON FAILURE",
    "CALLS",
    "FAULTS",
    "P50",
    "P99",
];

/// Prints them.
///
/// # Errors
/// No Airlock runs (69).
pub async fn run(global: &Global) -> Result<(), Failure> {
    let policies = AdminClient::new(&configuration(global)?)?
        .get("/v1/policies")
        .await?;
    match global.output {
        Output::Json => crate::render::terminal::print_json(&policies),
        Output::Table => {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| d.as_micros() as u64);
            crate::render::terminal::print(&render(&policies, now));
        }
    }
    Ok(())
}

fn render(policies: &Value, now: u64) -> String {
    let policies = policies.as_array().map(Vec::as_slice).unwrap_or_default();
    if policies.is_empty() {
        return "no policies: put a *.wasm file into the policy directory, or name one in airlock.toml\n".to_owned();
    }
    let rows: Vec<Vec<String>> = policies.iter().map(|policy| row(policy, now)).collect();
    let mut out = table::render(&HEAD, &rows);
    for policy in policies {
        let name = one_line(&text(policy, "name"));
        if policy["required"] == true && policy["generation"].is_null() {
            out.push_str(&format!(
                "{name}: required and not loaded: Airlock is not ready\n"
            ));
        }
        if let Some(error) = policy["last_error"].as_str() {
            out.push_str(&format!("{name}: {}\n", indented(error)));
        }
        let wanted: Vec<&str> = policy["ungranted"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if !wanted.is_empty() {
            let list = one_line(&wanted.join(", "));
            out.push_str(&format!("{name}: asks for {list}; to grant it: airlock policy grant {name} --all-requested\n"));
        }
    }
    out
}

fn row(policy: &Value, now: u64) -> Vec<String> {
    let number = |key: &str| {
        policy[key]
            .as_u64()
            .map_or_else(|| "-".to_owned(), |n| n.to_string())
    };
    let time = |key: &str| {
        policy[key]
            .as_f64()
            .map_or_else(|| "-".to_owned(), |us| format!("{us:.1}µs"))
    };
    vec![
        text(policy, "name"),
        number("generation"),
        policy["digest"]
            .as_str()
            .map_or("-", |digest| digest.get(..12).unwrap_or(digest))
            .to_owned(),
        policy["since"]
            .as_u64()
            .map_or_else(|| "-".to_owned(), |at| table::since(at, now)),
        text(policy, "state"),
        text(policy, "mode"),
        text(policy, "on_failure"),
        number("calls"),
        match (policy["faults"].as_u64(), policy["traps"].as_u64()) {
            (Some(faults), Some(traps)) if traps > 0 => format!("{faults} ({traps} traps)"),
            (Some(faults), _) => faults.to_string(),
            _ => "-".to_owned(),
        },
        time("p50_us"),
        time("p99_us"),
    ]
}

fn text(policy: &Value, key: &str) -> String {
    policy[key].as_str().unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_shows_what_stands_and_what_to_do() {
        let policies = json!([
            {"name": "blocklist", "generation": 2, "digest": "0123456789abcdef", "since": 1, "state": "active",
             "mode": "enforce", "on_failure": "closed", "required": true, "ungranted": [], "last_error": null,
             "calls": 7, "faults": 1, "traps": 1, "p50_us": 1.25, "p99_us": 9.0},
            {"name": "mine", "generation": null, "digest": null, "since": null, "state": null, "mode": "observe",
             "on_failure": null, "required": true, "ungranted": ["block"], "last_error": "link: no such import",
             "calls": 0, "faults": 0, "traps": 0, "p50_us": 0.0, "p99_us": 0.0},
        ]);
        let shown = render(&policies, 120_000_001);
        for expected in [
            "blocklist  2    0123456789ab  2m     active  enforce  closed",
            "1 (1 traps)",
            "mine: required and not loaded",
            "mine: link: no such import",
            "airlock policy grant mine --all-requested",
        ] {
            assert!(shown.contains(expected), "lacks {expected}:\n{shown}");
        }
    }

    #[test]
    fn without_policies_it_says_how_to_get_one() {
        assert!(render(&json!([]), 0).contains("*.wasm"));
    }
}
