//! How tools, models and upstreams have been doing: error rates and quantiles of the last five minutes.
//!
//! A name's calls are a [`Track`], shared by all who look at it; [`Tracks`] finds it by name. Memory is bounded: at most
//! [`MOST_NAMES`] names, of at most [`LONGEST_NAME`] bytes, because models and tools are named by clients. Nothing is kept
//! over a restart: five minutes later it would be forgotten anyway.
//! Not here: what counts as a failure (`exchange::measure`), and what follows from it (policies, rules, circuits).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::event::Micros;

mod window;

use window::Window;
pub use window::{Summary, WINDOW_US};

/// Names that are kept in one [`Tracks`].
const MOST_NAMES: usize = 1000;

/// Calls under longer names are not measured.
const LONGEST_NAME: usize = 256;

/// What the whole process measured.
#[derive(Debug, Default)]
pub struct Health {
    /// Results of tools, by the tool's name, of all sessions. Durations: from the release of the call to its result.
    pub tools: Tracks,
    /// Calls of models, by the name that the upstream was asked for. Durations: to the first token.
    pub models: Tracks,
    /// Calls of upstreams, by their configured name. Durations: to the first token.
    pub upstreams: Tracks,
}

impl Health {
    /// Everything with calls in the last five minutes, in the order tools, models, upstreams, each by name.
    pub fn report(&self, now: Micros) -> Vec<Standing> {
        [
            ("tool", &self.tools),
            ("model", &self.models),
            ("upstream", &self.upstreams),
        ]
        .into_iter()
        .flat_map(|(of, tracks)| {
            tracks.all(now).into_iter().map(move |(name, s)| Standing {
                of,
                name,
                calls: s.calls,
                failed: s.failed,
                error_rate: s.error_rate().unwrap_or(0.0),
                p50_us: s.p50,
                p99_us: s.p99,
            })
        })
        .collect()
    }
}

/// How one tool, model or upstream stands, for people and programs outside.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Standing {
    /// `tool`, `model` or `upstream`.
    pub of: &'static str,
    /// Its name.
    pub name: String,
    /// Calls in the last five minutes.
    pub calls: u32,
    /// Those of them that failed.
    pub failed: u32,
    /// Share of the calls that failed, 0..1.
    pub error_rate: f64,
    /// Median duration in microseconds: of tools to the result, else to the first token. Absent if none is known.
    pub p50_us: Option<f64>,
    /// 99th percentile, likewise.
    pub p99_us: Option<f64>,
}

/// Tracks by name.
#[derive(Debug, Default)]
pub struct Tracks {
    by_name: Mutex<HashMap<Arc<str>, Arc<Track>>>,
}

impl Tracks {
    /// The track of a name, made if it is new. `None` for an empty or too long name, and when there is no room: then all
    /// names that are kept have calls in the last five minutes.
    pub fn track(&self, name: &str, now: Micros) -> Option<Arc<Track>> {
        let mut tracks = lock(&self.by_name);
        if let Some(track) = tracks.get(name) {
            return Some(Arc::clone(track));
        }
        if name.is_empty() || name.len() > LONGEST_NAME {
            return None;
        }
        if tracks.len() >= MOST_NAMES {
            tracks.retain(|_, track| track.summary(now).calls > 0);
        }
        if tracks.len() >= MOST_NAMES {
            return None;
        }
        let track = Arc::<Track>::default();
        tracks.insert(name.into(), Arc::clone(&track));
        Some(track)
    }

    /// How a name stands now; `None` if it has no calls in the last five minutes.
    pub fn summary(&self, name: &str, now: Micros) -> Option<Summary> {
        let track = Arc::clone(lock(&self.by_name).get(name)?);
        Some(track.summary(now)).filter(|summary| summary.calls > 0)
    }

    /// Every name with calls in the last five minutes, by name.
    pub fn all(&self, now: Micros) -> Vec<(String, Summary)> {
        let mut all: Vec<(String, Summary)> = lock(&self.by_name)
            .iter()
            .map(|(name, track)| (name.to_string(), track.summary(now)))
            .filter(|(_, summary)| summary.calls > 0)
            .collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}

/// Calls under one name.
#[derive(Debug, Default)]
pub struct Track(Mutex<Window>);

impl Track {
    /// A call ended: how long it took in us, if that is known, and whether it failed.
    pub fn add(&self, duration: Option<u64>, failed: bool, at: Micros) {
        lock(&self.0).add(duration, failed, at);
    }

    /// A call that was counted as a good one, because its first token came, broke off later.
    pub fn turned_bad(&self, at: Micros) {
        lock(&self.0).turned_bad(at);
    }

    /// How it stands now.
    pub fn summary(&self, now: Micros) -> Summary {
        lock(&self.0).summary(now)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counts: the worst that a panic leaves behind is one call too few.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_is_found_again_and_reported() {
        let health = Health::default();
        let track = health.tools.track("search", 0).unwrap();
        track.add(Some(2_000_000), true, 0);
        health
            .tools
            .track("search", 0)
            .unwrap()
            .add(Some(2_000_000), false, 0);
        health.models.track("quiet", 0).unwrap();
        health.upstreams.track("a", 0).unwrap().add(None, true, 0);
        let report = health.report(0);
        let told: Vec<_> = report
            .iter()
            .map(|s| (s.of, s.name.as_str(), s.calls, s.error_rate))
            .collect();
        assert_eq!(
            told,
            [("tool", "search", 2, 0.5), ("upstream", "a", 1, 1.0)]
        );
        assert!(report[0].p99_us.is_some() && report[1].p50_us.is_none());
        assert_eq!(health.tools.summary("other", 0), None);
        assert_eq!(health.tools.summary("search", WINDOW_US + 1), None);
    }

    #[test]
    fn names_that_clients_make_up_do_not_fill_memory() {
        let tracks = Tracks::default();
        assert!(tracks.track("", 0).is_none());
        assert!(tracks.track(&"x".repeat(LONGEST_NAME + 1), 0).is_none());
        for n in 0..2 * MOST_NAMES {
            if let Some(track) = tracks.track(&n.to_string(), 0) {
                track.add(None, false, 0);
            }
        }
        assert_eq!(lock(&tracks.by_name).len(), MOST_NAMES);
        // Those that are quiet make room for new ones.
        assert!(tracks.track("new", WINDOW_US + 1).is_some());
        assert_eq!(lock(&tracks.by_name).len(), 1);
    }
}
