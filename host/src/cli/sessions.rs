//! `airlock sessions`: what was recorded, newest first.
//!
//! Reads the database itself, so that it works while the server runs and after it ended.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use clap::Args;

use crate::render::style::{Paint, Style, count, dollars, duration, one_line, pad, shorten};
use airlock_core::event::clock::now;
use airlock_core::store::reader::Reader;
use airlock_core::store::{SessionFilter, SessionRow};

/// Which sessions to print.
#[derive(Args, Clone, Debug)]
pub struct SessionsArgs {
    /// At most so many.
    #[arg(short = 'n', long, default_value_t = 20)]
    pub limit: usize,
    /// Only of this tenant.
    #[arg(long)]
    pub tenant: Option<String>,
    /// Only of this principal.
    #[arg(long)]
    pub principal: Option<String>,
    /// Only those in which a policy found something, something was done, or a policy failed.
    #[arg(long)]
    pub notable: bool,
}

/// Prints the sessions of the database at `path`, as a table or as one JSON object a line.
///
/// # Errors
/// When the database cannot be read, or nothing can be printed.
pub fn run(
    path: &Path,
    args: &SessionsArgs,
    json: bool,
    style: Style,
    out: &mut impl Write,
) -> Result<()> {
    let filter = SessionFilter {
        tenant: args.tenant.clone(),
        principal: args.principal.clone(),
        since: None,
        notable: args.notable,
    };
    let rows = Reader::open(path)?.sessions(&filter, args.limit)?;
    if json {
        for row in &rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
        return Ok(());
    }
    if rows.is_empty() {
        writeln!(out, "No sessions.")?;
        return Ok(());
    }
    let header = format!(
        "{:<8}  {:>10}  {:<20}  {:<18}  {:>5}  {:>13}  {:>9}  NOTABLE",
        "SESSION", "SEEN", "PRINCIPAL", "MODEL", "CALLS", "TOKENS", "COST"
    );
    writeln!(out, "{}", style.paint(Paint::DIM, &header))?;
    let now = now();
    for row in &rows {
        writeln!(out, "{}", line(row, now, &style).trim_end())?;
    }
    Ok(())
}

fn line(row: &SessionRow, now: u64, style: &Style) -> String {
    let counters = &row.counters;
    let seen = format!(
        "{} ago",
        duration(now.saturating_sub(row.last_seen).max(1_000_000))
    );
    // The last whole unit says enough here: `3 min ago`, not `3 min 5 s ago`.
    let seen = match seen.split(' ').collect::<Vec<_>>().as_slice() {
        [number, unit, .., "ago"] => {
            format!("{} {unit} ago", number.split('.').next().unwrap_or(number))
        }
        _ => seen,
    };
    let tokens = format!(
        "{} + {}",
        count(counters.input_tokens),
        count(counters.output_tokens)
    );
    let mut notable = Vec::new();
    let mut note = |number: u64, one: &str, many: &str, paint| {
        if number > 0 {
            notable.push(style.paint(
                paint,
                &format!("{number} {}", if number == 1 { one } else { many }),
            ));
        }
    };
    note(counters.applied, "action", "actions", Paint::BOLD_RED);
    note(counters.findings, "finding", "findings", Paint::YELLOW);
    note(counters.faults, "policy fault", "policy faults", Paint::RED);
    note(
        counters.tool_failures,
        "tool failure",
        "tool failures",
        Paint::YELLOW,
    );
    note(
        counters.dropped,
        "event missing",
        "events missing",
        Paint::RED,
    );
    if !row.replayable {
        notable.push(style.paint(Paint::DIM, "not replayable"));
    }
    let who = if row.key.tenant == "default" {
        row.key.principal.clone()
    } else {
        format!("{}/{}", row.key.tenant, row.key.principal)
    };
    format!(
        "{}  {:>10}  {}  {}  {:>5}  {:>13}  {:>9}  {}",
        style.paint(Paint::BOLD_CYAN, &row.id.short()),
        shorten(&seen, 10),
        pad(&one_line(&who), 20),
        pad(&one_line(&row.model), 18),
        counters.exchanges,
        tokens,
        dollars(counters.cost),
        notable.join(", ")
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use airlock_core::event::key::SessionKey;
    use airlock_core::store::sqlite::{Options, SqliteStore};
    use airlock_core::store::{SessionHead, Store};

    fn args() -> SessionsArgs {
        SessionsArgs {
            limit: 20,
            tenant: None,
            principal: None,
            notable: false,
        }
    }

    fn print(path: &Path, args: &SessionsArgs, json: bool) -> Result<String> {
        let mut out = Vec::new();
        run(path, args, json, Style::PLAIN, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn reads_beside_the_server_and_says_when_there_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::in_directory(dir.path(), 0);
        let path = options.path.clone();
        let error = print(&path, &args(), false).unwrap_err();
        assert!(
            error.to_string().contains("no session has been recorded"),
            "{error}"
        );

        let store = SqliteStore::open(options).unwrap();
        assert_eq!(print(&path, &args(), false).unwrap(), "No sessions.\n");
        let key = SessionKey {
            tenant: "default".into(),
            principal: "evil\x1b[2J".into(),
            source: "test".into(),
            value: "v".into(),
        };
        let id = key.id();
        store.open_session(
            id,
            SessionHead {
                key,
                opened: now(),
                parent: None,
                seed: 1,
                whole: false,
            },
        );
        store.flush().unwrap();

        let text = print(&path, &args(), false).unwrap();
        assert!(
            text.contains(&id.short()) && text.contains("not replayable") && !text.contains('\x1b'),
            "{text}"
        );
        let json: serde_json::Value =
            serde_json::from_str(&print(&path, &args(), true).unwrap()).unwrap();
        assert_eq!(json["id"], id.to_string());
        assert_eq!(
            print(
                &path,
                &SessionsArgs {
                    notable: true,
                    ..args()
                },
                true
            )
            .unwrap(),
            ""
        );
    }
}
