//! How long a model has been silent.

use std::collections::BTreeMap;

use airlock_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub first_token_ms: u32,
    pub gap_ms: u32,
    pub fallback_upstream: String,
    pub fallback_model: String,
    pub max_retries: u32,
    pub confidence: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Models that think before they speak are silent for tens of seconds, and are not stalled.
            first_token_ms: 60_000,
            gap_ms: 20_000,
            fallback_upstream: String::new(),
            fallback_model: String::new(),
            max_retries: 1,
            confidence: 0.5,
        }
    }
}

/// The contract's shortest `every-ms`, and the longest interval that still looks in good time.
const INTERVAL_MS: (u32, u32) = (10, 1_000);

impl Settings {
    pub fn check(&self) -> Result<(), String> {
        if self.first_token_ms == 0 && self.gap_ms == 0 {
            return Err("first_token_ms and gap_ms are both 0: no silence would ever count; state one of them".into());
        }
        Ok(())
    }

    /// How often to look: a tenth of the shorter limit, so that a silence is noticed at most so much too late.
    pub fn interval_ms(&self) -> u32 {
        let shorter = [self.first_token_ms, self.gap_ms]
            .into_iter()
            .filter(|ms| *ms > 0)
            .min();
        (shorter.unwrap_or(u32::MAX) / 10).clamp(INTERVAL_MS.0, INTERVAL_MS.1)
    }
}

/// A silence that is too long.
#[derive(Debug, PartialEq)]
pub enum Silence {
    /// Nothing has come yet: the call can be repeated elsewhere.
    BeforeFirst { ms: u64 },
    /// The generation has begun and does not go on.
    InMidStream { ms: u64 },
}

/// What the clock of an exchange shows, from its vitals.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Microseconds since the Unix epoch.
    pub now: u64,
    /// Microseconds since the request arrived.
    pub elapsed: f64,
    /// Microseconds until the first token, if it came.
    pub first_token: Option<f64>,
    /// Mean gap between tokens, if there were two.
    pub token_gap: Option<f64>,
    pub tokens: f64,
}

impl Reading {
    /// The vitals of a batch; nothing if it brings none.
    pub fn of(batch: &Batch) -> Option<Self> {
        Some(Self {
            now: batch.events().last()?.time,
            elapsed: batch.vital(vital::ELAPSED)?,
            first_token: batch.vital(vital::FIRST_TOKEN),
            token_gap: batch.vital(vital::TOKEN_GAP),
            tokens: batch.vital(vital::OUTPUT_TOKENS).unwrap_or(0.0),
        })
    }

    /// Microseconds since the latest token: the mean gap times the gaps is the time from the first to the latest.
    fn since_latest(&self, first_token: f64) -> f64 {
        let generating = self.token_gap.unwrap_or(0.0) * (self.tokens - 1.0).max(0.0);
        self.elapsed - first_token - generating
    }
}

/// One attempt at an exchange.
#[derive(Default, Serialize, Deserialize)]
struct Attempt {
    streamed: bool,
    /// When it was looked at first, once it was on its way. Not the time of the request, which may have waited for a
    /// person since.
    since: Option<u64>,
    retries: u32,
    /// Whether its silence was reported; once is enough.
    told: bool,
}

/// Exchanges under way. It is the session's state.
#[derive(Default, Serialize, Deserialize)]
pub struct Clocks(BTreeMap<u32, Attempt>);

/// Exchanges that are remembered. More of one session do not run at once; the oldest is forgotten.
const REMEMBERED: usize = 32;

impl Clocks {
    /// A call is about to go upstream, perhaps not for the first time.
    pub fn begin(&mut self, exchange: u32, streamed: bool) {
        let attempt = self.0.entry(exchange).or_default();
        *attempt = Attempt {
            streamed,
            since: None,
            retries: attempt.retries,
            told: false,
        };
        if self.0.len() > REMEMBERED {
            self.0.pop_first();
        }
    }

    /// Looks at the clock. A silence is reported once for each attempt; one before the first token only as long as the
    /// call may still be repeated, since the upstream's own limit of time says the rest.
    pub fn look(
        &mut self,
        settings: &Settings,
        exchange: u32,
        reading: Reading,
    ) -> Option<Silence> {
        let attempt = self.0.get_mut(&exchange)?;
        // An answer that is not streamed shows no token before all of them.
        if attempt.told || !attempt.streamed {
            return None;
        }
        let since = *attempt.since.get_or_insert(reading.now);
        let over = |limit_ms: u32, us: f64| {
            (limit_ms > 0 && us >= f64::from(limit_ms) * 1_000.0).then_some(us as u64 / 1_000)
        };
        let silence = match reading.first_token {
            Some(first) => {
                let ms = over(settings.gap_ms, reading.since_latest(first))?;
                Silence::InMidStream { ms }
            }
            None if attempt.retries >= settings.max_retries => return None,
            None => {
                let waited = reading.now.saturating_sub(since) as f64;
                let ms = over(settings.first_token_ms, waited)?;
                attempt.retries += 1;
                Silence::BeforeFirst { ms }
            }
        };
        attempt.told = true;
        Some(silence)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const SECOND: u64 = 1_000_000;

    fn settings() -> Settings {
        Settings {
            first_token_ms: 2_000,
            gap_ms: 1_000,
            ..Settings::default()
        }
    }

    /// A reading at a second since the request, before any token.
    fn silent(second: u64) -> Reading {
        Reading {
            now: second * SECOND,
            elapsed: (second * SECOND) as f64,
            first_token: None,
            token_gap: None,
            tokens: 0.0,
        }
    }

    /// A reading after so many tokens, each 100 ms after the other, the first at 1 s.
    fn speaking(at_ms: u64, tokens: u64) -> Reading {
        Reading {
            now: at_ms * 1_000,
            elapsed: (at_ms * 1_000) as f64,
            first_token: Some(1_000_000.0),
            token_gap: (tokens > 1).then_some(100_000.0),
            tokens: tokens as f64,
        }
    }

    #[test]
    fn silence_before_the_first_token_is_counted_from_the_first_look() {
        let mut clocks = Clocks::default();
        clocks.begin(1, true);
        // It waited a minute for a person.
        assert_eq!(clocks.look(&settings(), 1, silent(60)), None);
        assert_eq!(clocks.look(&settings(), 1, silent(61)), None);
        assert_eq!(
            clocks.look(&settings(), 1, silent(62)),
            Some(Silence::BeforeFirst { ms: 2_000 })
        );
        assert_eq!(clocks.look(&settings(), 1, silent(63)), None);
    }

    #[test]
    fn each_attempt_has_its_own_time_and_attempts_are_counted() {
        let mut clocks = Clocks::default();
        let mut tried = Vec::new();
        clocks.begin(1, true);
        for second in 0..20 {
            if clocks.look(&settings(), 1, silent(second)).is_some() {
                tried.push(second);
                clocks.begin(1, true);
            }
        }
        assert_eq!(tried, [2]);
    }

    #[test]
    fn a_gap_is_counted_from_the_latest_token() {
        let mut clocks = Clocks::default();
        clocks.begin(1, true);
        assert_eq!(clocks.look(&settings(), 1, speaking(1_999, 1)), None);
        // 11 tokens: the latest came at 2 s.
        assert_eq!(clocks.look(&settings(), 1, speaking(2_999, 11)), None);
        assert_eq!(
            clocks.look(&settings(), 1, speaking(3_000, 11)),
            Some(Silence::InMidStream { ms: 1_000 })
        );
    }

    #[test]
    fn what_is_not_streamed_or_not_limited_is_never_silent() {
        let mut clocks = Clocks::default();
        clocks.begin(1, false);
        assert_eq!(clocks.look(&settings(), 1, silent(0)), None);
        assert_eq!(clocks.look(&settings(), 1, silent(100)), None);
        clocks.begin(2, true);
        let only_first = Settings {
            gap_ms: 0,
            ..settings()
        };
        assert_eq!(clocks.look(&only_first, 2, speaking(99_000, 1)), None);
        // An exchange of which no request was seen.
        assert_eq!(clocks.look(&settings(), 3, silent(100)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut clocks = Clocks::default();
        for exchange in 0..1_000 {
            clocks.begin(exchange, true);
        }
        assert_eq!(clocks.0.len(), REMEMBERED);
    }

    #[test]
    fn it_looks_often_enough_and_not_more() {
        let every = |first_token_ms, gap_ms| {
            Settings {
                first_token_ms,
                gap_ms,
                ..Settings::default()
            }
            .interval_ms()
        };
        assert_eq!(every(60_000, 20_000), 1_000);
        assert_eq!(every(0, 5_000), 500);
        assert_eq!(every(50, 0), 10);
        assert!(
            Settings {
                first_token_ms: 0,
                gap_ms: 0,
                ..Settings::default()
            }
            .check()
            .is_err()
        );
    }
}
