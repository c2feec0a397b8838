//! The latest results of each tool, and when they are reason enough to take it out of service.

use std::collections::{BTreeMap, VecDeque};

use airlock_sdk::{glob, prelude::*};

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub error_rate: f64,
    pub max_p99_ms: u64,
    pub min_calls: u32,
    pub window_seconds: u64,
    pub cooldown_seconds: u32,
    pub tools: Vec<String>,
    pub answer: String,
    pub alert: bool,
    pub webhook: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            error_rate: 0.5,
            max_p99_ms: 0,
            min_calls: 4,
            window_seconds: 60,
            cooldown_seconds: 30,
            tools: vec!["*".into()],
            answer: "`{tool}` is out of service for {seconds} s: {cause}. Do not call it again before that. Go on \
                     without it, or say what cannot be done without it."
                .into(),
            alert: true,
            webhook: String::new(),
        }
    }
}

/// Longest cooldown: a day. More is a decision for a person.
const MAX_COOLDOWN_SECONDS: u32 = 86_400;

impl Settings {
    pub fn check(&self) -> Result<(), String> {
        if self.error_rate <= 0.0 && self.max_p99_ms == 0 {
            return Err(
                "error_rate and max_p99_ms are both 0: no circuit could ever open; state one of them"
                    .into(),
            );
        }
        if self.min_calls == 0 || self.min_calls as usize > KEPT {
            return Err(format!(
                "min_calls is {}: it must be 1 to {KEPT}, the number of results that are kept of a tool",
                self.min_calls
            ));
        }
        if self.window_seconds == 0 {
            return Err("window_seconds is 0: no result would ever count".into());
        }
        if !(1..=MAX_COOLDOWN_SECONDS).contains(&self.cooldown_seconds) {
            return Err(format!(
                "cooldown_seconds is {}: it must be 1 to {MAX_COOLDOWN_SECONDS}",
                self.cooldown_seconds
            ));
        }
        if self.answer.trim().is_empty() {
            return Err("answer is empty: say what the model is to do without the tool".into());
        }
        Ok(())
    }

    /// Whether results of this tool count at all.
    pub fn watches(&self, tool: &str) -> bool {
        self.tools.iter().any(|pattern| glob(pattern, tool))
    }
}

/// Results that are kept of a tool, and tools that are kept: together at most 45 KB of saved state, below the contract's
/// 64 KiB. The tool that was called longest ago is forgotten.
const KEPT: usize = 128;
const TOOLS: usize = 16;

/// One result.
#[derive(Clone, Copy)]
pub struct Outcome {
    /// Microseconds since the Unix epoch.
    pub at: u64,
    /// Microseconds.
    pub duration: u64,
    pub failed: bool,
}

/// What is known of one tool.
#[derive(Default, Serialize, Deserialize)]
struct Tool {
    /// Time in ms, duration in ms, whether it failed; oldest first.
    results: VecDeque<(u64, u64, bool)>,
    /// Until when (ms) its circuit is open. Kept after that, until a result says how it is now.
    open_until: Option<u64>,
}

/// All tools of a session. It is the session's state.
#[derive(Default, Serialize, Deserialize)]
pub struct Tools(BTreeMap<String, Tool>);

/// A circuit that must open.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Trip {
    pub tool: String,
    /// What was measured, for people and for the model.
    pub cause: String,
    /// Whether it was open just before, and the trial call failed.
    pub again: bool,
}

impl Tools {
    /// Counts a result, and says if the tool's circuit must open now.
    pub fn count(&mut self, settings: &Settings, name: &str, outcome: Outcome) -> Option<Trip> {
        let now = outcome.at / 1_000;
        let tool = self.0.entry(name.to_owned()).or_default();
        // A call that was under way when the circuit opened says nothing new.
        if tool.open_until.is_some_and(|until| now < until) {
            return None;
        }
        let on_trial = tool.open_until.take().is_some();
        tool.add(settings, now, outcome);
        let cause = if on_trial {
            tool.failed_trial(settings)
        } else {
            tool.cause(settings)
        };
        if cause.is_some() {
            tool.results.clear();
            tool.open_until = Some(now + u64::from(settings.cooldown_seconds) * 1_000);
        }
        self.forget_oldest();
        Some(Trip {
            tool: name.to_owned(),
            cause: cause?,
            again: on_trial,
        })
    }

    fn forget_oldest(&mut self) {
        while self.0.len() > TOOLS {
            let latest = |tool: &Tool| tool.results.back().map_or(0, |(at, ..)| *at);
            let Some(oldest) = self
                .0
                .iter()
                .min_by_key(|(_, tool)| tool.open_until.unwrap_or(0).max(latest(tool)))
                .map(|(name, _)| name.clone())
            else {
                return;
            };
            self.0.remove(&oldest);
        }
    }
}

impl Tool {
    fn add(&mut self, settings: &Settings, now: u64, outcome: Outcome) {
        let since = now.saturating_sub(settings.window_seconds * 1_000);
        self.results
            .push_back((now, outcome.duration / 1_000, outcome.failed));
        while self.results.len() > KEPT || self.results.front().is_some_and(|(at, ..)| *at < since)
        {
            self.results.pop_front();
        }
    }

    /// What is wrong with the results in the window, if it is enough.
    fn cause(&self, settings: &Settings) -> Option<String> {
        let calls = self.results.len();
        if calls < settings.min_calls as usize {
            return None;
        }
        let failed = self.results.iter().filter(|(.., failed)| *failed).count();
        let window = settings.window_seconds;
        if settings.error_rate > 0.0 && failed as f64 >= settings.error_rate * calls as f64 {
            return Some(format!(
                "{failed} of its last {calls} calls in {window} s failed"
            ));
        }
        let p99 = self.p99()?;
        (settings.max_p99_ms > 0 && p99 > settings.max_p99_ms).then(|| {
            format!(
                "the slowest of its last {calls} calls in {window} s (p99) took {p99} ms, more than {} ms",
                settings.max_p99_ms
            )
        })
    }

    /// What was wrong with the first call after the pause.
    fn failed_trial(&self, settings: &Settings) -> Option<String> {
        let (_, took, failed) = self.results.back()?;
        if *failed && settings.error_rate > 0.0 {
            return Some("the first call after its pause failed again".into());
        }
        (settings.max_p99_ms > 0 && *took > settings.max_p99_ms).then(|| {
            format!(
                "the first call after its pause took {took} ms, more than {} ms",
                settings.max_p99_ms
            )
        })
    }

    /// 99th percentile of the durations by nearest rank: below 100 results, the longest.
    fn p99(&self) -> Option<u64> {
        let mut durations: Vec<u64> = self.results.iter().map(|(_, took, _)| *took).collect();
        durations.sort_unstable();
        durations
            .get((durations.len() * 99).div_ceil(100).checked_sub(1)?)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// Seconds at which circuits open, for results (second, ms, failed) of one tool.
    fn trips(settings: &Settings, results: &[(u64, u64, bool)]) -> Vec<(u64, bool)> {
        let mut tools = Tools::default();
        results
            .iter()
            .filter_map(|(second, ms, failed)| {
                let outcome = Outcome {
                    at: second * 1_000_000,
                    duration: ms * 1_000,
                    failed: *failed,
                };
                let trip = tools.count(settings, "search", outcome)?;
                Some((*second, trip.again))
            })
            .collect()
    }

    #[test]
    fn half_of_four_failures_open_it_and_fewer_calls_do_not() {
        let settings = Settings::default();
        assert_eq!(
            trips(&settings, &[(0, 1, true), (1, 1, true), (2, 1, true)]),
            []
        );
        let mixed = [(0, 1, true), (1, 1, false), (2, 1, false), (3, 1, true)];
        assert_eq!(trips(&settings, &mixed), [(3, false)]);
        let mostly_good = [(0, 1, true), (1, 1, false), (2, 1, false), (3, 1, false)];
        assert_eq!(trips(&settings, &mostly_good), []);
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let settings = Settings::default();
        let old = [(0, 1, true), (1, 1, true), (2, 1, true), (100, 1, true)];
        assert_eq!(trips(&settings, &old), []);
        let edge = [(0, 1, true), (1, 1, true), (2, 1, true), (60, 1, true)];
        assert_eq!(trips(&settings, &edge), [(60, false)]);
    }

    #[test]
    fn a_slow_tool_opens_it_only_if_a_limit_is_stated() {
        let slow = [
            (0, 10, false),
            (1, 10, false),
            (2, 10, false),
            (3, 5_000, false),
        ];
        assert_eq!(trips(&Settings::default(), &slow), []);
        let limit = Settings {
            max_p99_ms: 4_999,
            ..Settings::default()
        };
        assert_eq!(trips(&limit, &slow), [(3, false)]);
        let just = Settings {
            max_p99_ms: 5_000,
            ..Settings::default()
        };
        assert_eq!(trips(&just, &slow), []);
    }

    #[test]
    fn of_a_hundred_results_the_slowest_one_is_not_the_p99() {
        let settings = Settings {
            max_p99_ms: 1_000,
            min_calls: 100,
            window_seconds: 1_000,
            ..Settings::default()
        };
        let mut results: Vec<_> = (0..100).map(|second| (second, 10, false)).collect();
        results[7].1 = 5_000;
        assert_eq!(trips(&settings, &results), []);
        results[9].1 = 5_000;
        assert_eq!(trips(&settings, &results), [(99, false)]);
    }

    #[test]
    fn after_the_pause_one_call_decides() {
        let settings = Settings::default();
        let down: Vec<_> = (0..4).map(|second| (second, 1, true)).collect();
        let then = |more: &[(u64, u64, bool)]| trips(&settings, &[&down[..], more].concat());
        // Under way when it opened: not counted.
        assert_eq!(then(&[(4, 1, true), (32, 1, true)]), [(3, false)]);
        assert_eq!(then(&[(33, 1, true)]), [(3, false), (33, true)]);
        // A good trial closes it, and the window begins empty.
        let recovered = [
            (33, 1, false),
            (34, 1, true),
            (35, 1, false),
            (36, 1, false),
        ];
        assert_eq!(then(&recovered), [(3, false)]);
    }

    #[test]
    fn tools_do_not_answer_for_each_other_and_memory_is_bounded() {
        let settings = Settings::default();
        let mut tools = Tools::default();
        for second in 0..10_000 {
            let outcome = Outcome {
                at: second * 1_000,
                duration: 86_400_000_000,
                failed: second % 3 == 0,
            };
            let name = format!("tool-with-a-rather-long-name-{}", second % 40);
            assert_eq!(tools.count(&settings, &name, outcome), None);
        }
        assert_eq!(tools.0.len(), TOOLS);
        for tool in tools.0.values_mut() {
            tool.results =
                std::iter::repeat_n((1_800_000_000_000, 86_400_000, false), KEPT).collect();
        }
        assert!(serde_json::to_vec(&tools).unwrap().len() < 65_536);
    }

    #[test]
    fn settings_that_could_never_act_are_refused() {
        let refused = |settings: Settings| settings.check().unwrap_err();
        let never = Settings {
            error_rate: 0.0,
            ..Settings::default()
        };
        assert!(refused(never).contains("both 0"));
        let many = Settings {
            min_calls: 129,
            ..Settings::default()
        };
        assert!(refused(many).contains("1 to 128"));
        assert!(Settings::default().check().is_ok());
    }
}
