//! Circuits of a session's tools: a tool that fails is not called for a while, then tried once, then called again.
//!
//!     closed ──open──▶ open ──cooldown──▶ half open ──good result──▶ closed
//!                       ▲                    │
//!                       └────bad result──────┘
//!
//! Tools run in the client, so two sessions' tools of one name need not be one tool: a circuit is of its session. While it
//! is open a call gets the answer that was stated with it; without one, the last good result of the same call; without
//! that, a sentence that says what is the matter.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::event::Micros;

/// Circuits kept for a session; the one that opens first closes first. A session offers some dozens of tools.
const MAX_CIRCUITS: usize = 128;

/// Good results that are remembered, and the longest of them.
const MAX_CACHED: usize = 32;
const MAX_CACHED_BYTES: usize = 8 * 1024;

/// A probe whose result never comes counts as lost after this long: five minutes, longer than tools of agents run.
const PROBE_US: u64 = 300_000_000;

/// The circuits of one session.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Circuits {
    circuits: HashMap<String, Circuit>,
    /// Calls under way: what was asked, by id. Only for tools whose results may be needed again, so not saved: results are
    /// content, and content is kept no longer than its process.
    #[serde(skip)]
    asked: HashMap<String, Key>,
    #[serde(skip)]
    good: VecDeque<(Key, String)>,
}

type Key = [u8; 16];

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Circuit {
    by: String,
    answer: String,
    cooldown: Micros,
    until: Micros,
    probe: Option<Probe>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Probe {
    call: String,
    since: Micros,
}

/// Whether a call may go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The circuit is closed.
    Pass,
    /// It is half open, and this call tries it.
    Probe {
        /// Who opened it.
        by: String,
    },
    /// It is open.
    Refuse {
        /// Who opened it.
        by: String,
        /// What the model is given as the call's result.
        answer: String,
    },
}

/// What a result did to its tool's circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The probe succeeded.
    Closed,
    /// The probe failed.
    Reopened,
}

impl Circuits {
    /// Opens the circuit of a tool for `cooldown` us. One that is open already stays open until the later moment.
    pub fn open(&mut self, tool: &str, by: &str, cooldown: Micros, answer: &str, now: Micros) {
        if self.circuits.len() >= MAX_CIRCUITS
            && !self.circuits.contains_key(tool)
            && let Some(first) = self
                .circuits
                .iter()
                .min_by_key(|(_, circuit)| circuit.until)
                .map(|(name, _)| name.clone())
        {
            self.circuits.remove(&first);
        }
        let until = now.saturating_add(cooldown);
        let before = self.circuits.get(tool).map_or(0, |circuit| circuit.until);
        self.circuits.insert(
            tool.to_owned(),
            Circuit {
                by: by.to_owned(),
                answer: answer.to_owned(),
                cooldown,
                until: until.max(before),
                probe: None,
            },
        );
    }

    /// Whether any circuit is not closed.
    pub fn any(&self) -> bool {
        !self.circuits.is_empty()
    }

    /// Rules on a call.
    pub fn admit(&mut self, call: &str, tool: &str, arguments: &str, now: Micros) -> Admission {
        let Some(circuit) = self.circuits.get_mut(tool) else {
            return Admission::Pass;
        };
        let by = circuit.by.clone();
        let probing = circuit
            .probe
            .as_ref()
            .is_some_and(|probe| probe.since.saturating_add(PROBE_US) > now);
        if now >= circuit.until && !probing {
            circuit.probe = Some(Probe {
                call: call.to_owned(),
                since: now,
            });
            return Admission::Probe { by };
        }
        let key = key(tool, arguments);
        let cached = || {
            self.good
                .iter()
                .rev()
                .find(|(known, _)| *known == key)
                .map(|(_, text)| text.clone())
        };
        let answer = Some(circuit.answer.clone())
            .filter(|answer| !answer.is_empty())
            .or_else(cached)
            .unwrap_or_else(|| {
                format!(
                    "The tool `{tool}` is not available at present. Go on without it, or say what is missing."
                )
            });
        Admission::Refuse { by, answer }
    }

    /// A call goes to the client.
    pub fn released(&mut self, call: &str, tool: &str, arguments: &str) {
        if self.asked.len() >= MAX_CACHED * 4 {
            self.asked.clear();
        }
        self.asked.insert(call.to_owned(), key(tool, arguments));
    }

    /// A call that was admitted as a probe does not go out after all: the next one may try.
    pub fn not_sent(&mut self, call: &str) {
        for circuit in self.circuits.values_mut() {
            if circuit.probe.as_ref().is_some_and(|p| p.call == call) {
                circuit.probe = None;
            }
        }
    }

    /// A result arrived.
    pub fn result(
        &mut self,
        call: &str,
        failed: bool,
        text: &str,
        now: Micros,
    ) -> Option<(String, Change)> {
        if let Some(key) = self.asked.remove(call)
            && !failed
            && text.len() <= MAX_CACHED_BYTES
        {
            self.good.retain(|(known, _)| *known != key);
            self.good.push_back((key, text.to_owned()));
            if self.good.len() > MAX_CACHED {
                self.good.pop_front();
            }
        }
        let tool = self
            .circuits
            .iter()
            .find(|(_, circuit)| circuit.probe.as_ref().is_some_and(|p| p.call == call))
            .map(|(tool, _)| tool.clone())?;
        if !failed {
            self.circuits.remove(&tool);
            return Some((tool, Change::Closed));
        }
        if let Some(circuit) = self.circuits.get_mut(&tool) {
            circuit.probe = None;
            circuit.until = now.saturating_add(circuit.cooldown);
        }
        Some((tool, Change::Reopened))
    }
}

/// The same for two calls that ask the same of a tool, however the arguments are spelled.
fn key(tool: &str, arguments: &str) -> Key {
    let arguments = match serde_json::from_str::<serde_json::Value>(arguments) {
        Ok(mut value) => {
            value.sort_all_objects();
            value.to_string()
        }
        Err(_) => arguments.to_owned(),
    };
    let mut key = Key::default();
    let hash = Sha256::new()
        .chain_update((tool.len() as u64).to_le_bytes())
        .chain_update(tool)
        .chain_update(arguments)
        .finalize();
    key.copy_from_slice(&hash[..16]);
    key
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn refused(admission: Admission) -> String {
        match admission {
            Admission::Refuse { answer, .. } => answer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_circuit_opens_is_probed_once_and_closes_on_a_good_result() {
        let mut c = Circuits::default();
        assert_eq!(c.admit("1", "search", "{}", 0), Admission::Pass);
        c.open("search", "breaker", 100, "down", 0);
        assert_eq!(refused(c.admit("2", "search", "{}", 99)), "down");
        assert_eq!(c.admit("2", "other", "{}", 99), Admission::Pass);
        assert!(matches!(
            c.admit("3", "search", "{}", 100),
            Admission::Probe { .. }
        ));
        assert_eq!(refused(c.admit("4", "search", "{}", 101)), "down");
        assert_eq!(
            c.result("3", false, "ok", 110),
            Some(("search".to_owned(), Change::Closed))
        );
        assert_eq!(c.admit("5", "search", "{}", 111), Admission::Pass);
        assert!(!c.any());
    }

    #[test]
    fn a_failed_probe_opens_it_again_for_the_whole_cooldown() {
        let mut c = Circuits::default();
        c.open("t", "p", 100, "", 0);
        c.admit("1", "t", "{}", 100);
        assert_eq!(
            c.result("1", true, "error", 150),
            Some(("t".to_owned(), Change::Reopened))
        );
        assert!(matches!(
            c.admit("2", "t", "{}", 249),
            Admission::Refuse { .. }
        ));
        assert!(matches!(
            c.admit("3", "t", "{}", 250),
            Admission::Probe { .. }
        ));
    }

    #[test]
    fn a_lost_probe_does_not_keep_a_circuit_open_for_ever() {
        let mut c = Circuits::default();
        c.open("t", "p", 1, "", 0);
        c.admit("1", "t", "{}", 10);
        assert!(matches!(
            c.admit("2", "t", "{}", 11),
            Admission::Refuse { .. }
        ));
        assert!(matches!(
            c.admit("2", "t", "{}", 10 + PROBE_US),
            Admission::Probe { .. }
        ));
        c.not_sent("2");
        assert!(matches!(
            c.admit("3", "t", "{}", 11 + PROBE_US),
            Admission::Probe { .. }
        ));
    }

    #[test]
    fn without_a_stated_answer_the_last_good_result_of_the_same_call_is_given() {
        let mut c = Circuits::default();
        c.released("1", "t", r#"{"a": 1, "b": 2}"#);
        assert_eq!(c.result("1", false, "seven", 5), None);
        c.open("t", "p", 100, "", 10);
        assert_eq!(refused(c.admit("2", "t", r#"{"b":2,"a":1}"#, 11)), "seven");
        assert!(refused(c.admit("3", "t", r#"{"a":2}"#, 11)).contains("not available"));
    }

    #[test]
    fn circuits_survive_and_results_do_not() {
        let mut c = Circuits::default();
        c.released("1", "t", "{}");
        c.result("1", false, "seven", 5);
        c.open("t", "p", 100, "", 10);
        let text = serde_json::to_string(&c).unwrap();
        assert!(!text.contains("seven"));
        let mut back: Circuits = serde_json::from_str(&text).unwrap();
        assert!(matches!(
            back.admit("2", "t", "{}", 11),
            Admission::Refuse { .. }
        ));
    }
}
