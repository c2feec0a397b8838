//! Tools run in the client: their calls leave with one response, their results come back with a later request. This
//! keeps the books between the two.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::event::Micros;

/// Calls that wait for a result, oldest forgotten first beyond this many: a client that never answers must not fill memory.
const MAX_OPEN: usize = 1024;

/// Tool calls of a session and what became of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tools {
    open: HashMap<String, (String, Micros)>,
    /// Calls released to the client.
    pub calls: u32,
    /// Results that state a failure.
    pub failures: u32,
    /// The same, since the last result that states none.
    pub failures_in_a_row: u32,
}

impl Tools {
    /// A call goes to the client.
    pub fn released(&mut self, id: &str, name: &str, at: Micros) {
        if self.open.len() >= MAX_OPEN
            && let Some(oldest) = self
                .open
                .iter()
                .min_by_key(|(_, (_, at))| *at)
                .map(|(id, _)| id.clone())
        {
            self.open.remove(&oldest);
        }
        self.calls += 1;
        self.open.insert(id.to_owned(), (name.to_owned(), at));
    }

    /// A result arrived: name of the tool (empty if the call is not known) and time since the call was released.
    pub fn result(&mut self, id: &str, failed: bool, at: Micros) -> (String, u64) {
        if failed {
            self.failures += 1;
            self.failures_in_a_row += 1;
        } else {
            self.failures_in_a_row = 0;
        }
        self.open
            .remove(id)
            .map(|(name, since)| (name, at.saturating_sub(since)))
            .unwrap_or_default()
    }
}

/// Whether the text of a tool result states a failure.
///
/// Chat completions has no field for it, so this reads the shapes that agent frameworks write: a JSON object with `error`,
/// `is_error`/`isError` or `success: false`; text that begins with an error word; a traceback.
pub fn states_failure(text: &str) -> bool {
    let text = text.trim_start();
    if text.starts_with('{') {
        return serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok_and(
            |object| {
                let truthy = |key: &str| {
                    object
                        .get(key)
                        .is_some_and(|v| !v.is_null() && v != false && v != "")
                };
                truthy("error")
                    || truthy("is_error")
                    || truthy("isError")
                    || object.get("success").is_some_and(|v| v == false)
            },
        );
    }
    let head = text
        .get(..text.floor_char_boundary(text.len().min(64)))
        .unwrap_or_default()
        .to_ascii_lowercase();
    [
        "error",
        "exception",
        "traceback (most recent call last)",
        "fatal:",
        "failed:",
        "failure:",
    ]
    .iter()
    .any(|word| {
        head.strip_prefix(word)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_is_read_from_the_shapes_that_frameworks_write() {
        for failed in [
            r#"{"error": "no such file"}"#,
            r#" {"isError": true, "content": []}"#,
            r#"{"success": false}"#,
            "Error: connection refused",
            "ERROR 503",
            "Traceback (most recent call last):\n  File",
        ] {
            assert!(states_failure(failed), "{failed}");
        }
        for fine in [
            r#"{"error": null, "rows": 3}"#,
            r#"{"success": true}"#,
            "Errors were found in 3 files",
            "",
            "12 °C",
            "{broken",
        ] {
            assert!(!states_failure(fine), "{fine}");
        }
    }

    #[test]
    fn a_success_ends_the_row_but_not_the_count() {
        let mut tools = Tools::default();
        tools.released("a", "search", 100);
        assert_eq!(tools.result("a", true, 350), ("search".to_owned(), 250));
        assert_eq!(tools.result("unknown", false, 400), (String::new(), 0));
        assert_eq!((tools.failures, tools.failures_in_a_row), (1, 0));
    }

    #[test]
    fn calls_that_are_never_answered_do_not_pile_up() {
        let mut tools = Tools::default();
        for i in 0..2 * MAX_OPEN {
            tools.released(&i.to_string(), "t", i as u64);
        }
        assert_eq!(tools.open.len(), MAX_OPEN);
        assert!(!tools.open.contains_key("0"));
    }
}
