//! Measured state of an exchange, its session and what is around it, by the ids of the contract's table of vitals.

pub mod id;

use std::sync::Arc;

use super::health::{Summary, Track};
use super::machine::Machine;
use crate::event::Micros;
use airlock_policy::contract::types::Vital;

/// What a session measured, as a copy at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SessionVitals {
    /// When the session was opened.
    pub opened: Micros,
    /// Sum of the durations of ended exchanges, us.
    pub busy: u64,
    /// Tokens, reserved ones included.
    pub tokens: u64,
    /// Microdollars.
    pub cost: u64,
    /// Exchanges so far.
    pub exchanges: u32,
    /// Tool calls, failures, failures in a row.
    pub tools: (u32, u32, u32),
    /// Retries by client and Airlock.
    pub retries: u32,
    /// Limit of tokens in the ledger.
    pub token_limit: Option<u64>,
}

/// Where an exchange finds what others measure.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// The machine and the agent.
    pub machine: Arc<Machine>,
    /// The tool whose result is the newest, in this session.
    pub tool: Option<Arc<Track>>,
    /// The model that is asked.
    pub model: Option<Arc<Track>>,
    /// The upstream that is asked.
    pub upstream: Option<Arc<Track>>,
}

impl Around {
    fn value(&self, vital: u16, now: Micros) -> Option<f64> {
        let track = match vital {
            id::TOOL_ERROR_RATE..=id::TOOL_P99 => &self.tool,
            id::MODEL_ERROR_RATE..=id::MODEL_P99 => &self.model,
            id::UPSTREAM_ERROR_RATE..=id::UPSTREAM_P99 => &self.upstream,
            _ => return self.machine.value(vital),
        };
        health_of(vital, &track.as_ref()?.summary(now))
    }
}

fn health_of(vital: u16, summary: &Summary) -> Option<f64> {
    match vital {
        id::TOOL_ERROR_RATE | id::MODEL_ERROR_RATE | id::UPSTREAM_ERROR_RATE => {
            summary.error_rate()
        }
        id::TOOL_P50 | id::MODEL_P50 | id::UPSTREAM_P50 => summary.p50,
        id::TOOL_P99 | id::MODEL_P99 | id::UPSTREAM_P99 => summary.p99,
        _ => None,
    }
}

/// Whether a vital changes without an event of the exchange, in a way that nobody can foretell: the machine's, and those
/// of models and upstreams, which others call too. Whoever waits for one has to look at it from time to time.
pub fn is_polled(vital: u16) -> bool {
    matches!(vital, id::HOST_CPU..=id::AGENT_IO | id::MODEL_ERROR_RATE..=id::UPSTREAM_P99)
}

/// What one exchange measures.
#[derive(Clone, Debug)]
pub struct Vitals {
    /// When the request arrived.
    pub started: Micros,
    /// When the first token arrived.
    pub first_token: Option<Micros>,
    /// When the latest token arrived.
    pub last_token: Option<Micros>,
    /// Generated tokens so far.
    pub output_tokens: u32,
    /// Whether the provider stated the counts.
    pub exact: bool,
    /// Prompt tokens over the model's window.
    pub context_share: Option<f64>,
    /// The session's part.
    pub session: SessionVitals,
    /// What others measure.
    pub around: Around,
}

impl Vitals {
    /// An exchange that begins.
    pub fn new(started: Micros, session: SessionVitals) -> Vitals {
        Vitals {
            started,
            first_token: None,
            last_token: None,
            output_tokens: 0,
            exact: false,
            context_share: None,
            session,
            around: Around::default(),
        }
    }

    /// Tokens arrived.
    pub fn tokens(&mut self, count: u32, at: Micros) {
        self.first_token.get_or_insert(at);
        self.last_token = Some(at);
        self.output_tokens += count;
    }

    /// The value of one vital now; `None` if it is not known (yet).
    pub fn value(&self, vital: u16, now: Micros) -> Option<f64> {
        let s = &self.session;
        let generating = || Some(self.last_token?.saturating_sub(self.first_token?) as f64);
        Some(match vital {
            id::ELAPSED => now.saturating_sub(self.started) as f64,
            id::FIRST_TOKEN => self.first_token?.saturating_sub(self.started) as f64,
            id::TOKEN_GAP if self.output_tokens > 1 => {
                generating()? / f64::from(self.output_tokens - 1)
            }
            id::TOKENS_PER_SECOND => match generating()? {
                span if span > 0.0 => f64::from(self.output_tokens) * 1e6 / span,
                _ => return None,
            },
            id::OUTPUT_TOKENS => self.output_tokens.into(),
            id::TOKENS_EXACT => f64::from(u8::from(self.exact)),
            id::SESSION_ELAPSED => now.saturating_sub(s.opened) as f64,
            id::SESSION_BUSY => (s.busy + now.saturating_sub(self.started)) as f64,
            id::SESSION_TOKENS => s.tokens as f64,
            id::SESSION_COST => s.cost as f64,
            id::SESSION_EXCHANGES => s.exchanges.into(),
            id::TOOL_CALLS => s.tools.0.into(),
            id::TOOL_FAILURES => s.tools.1.into(),
            id::TOOL_FAILURES_IN_A_ROW => s.tools.2.into(),
            id::RETRIES => s.retries.into(),
            id::TOKEN_LIMIT => s.token_limit? as f64,
            id::TOKEN_USED_SHARE => {
                s.tokens as f64 / s.token_limit.filter(|limit| *limit > 0)? as f64
            }
            id::CONTEXT_SHARE => self.context_share?,
            _ => return self.around.value(vital, now),
        })
    }

    /// Everything that is known now.
    pub fn all(&self, now: Micros) -> Vec<Vital> {
        let around = &self.around;
        // Looked at once for the three vitals of each: they are one measurement.
        let health = [
            (id::TOOL_ERROR_RATE..=id::TOOL_P99, &around.tool),
            (id::MODEL_ERROR_RATE..=id::MODEL_P99, &around.model),
            (id::UPSTREAM_ERROR_RATE..=id::UPSTREAM_P99, &around.upstream),
        ];
        let health = health.into_iter().flat_map(|(ids, track)| {
            let summary = track.as_ref().map(|track| track.summary(now));
            ids.filter_map(move |id| Some((id, health_of(id, &summary?)?)))
        });
        (id::ELAPSED..=id::AGENT_IO)
            .filter_map(|id| Some((id, self.value(id, now)?)))
            .chain(health)
            .map(|(quantity, value)| Vital { quantity, value })
            .collect()
    }

    /// When a vital that grows with time alone will rise above a value; `None` for others.
    pub fn crosses_at(&self, vital: u16, above: f64) -> Option<Micros> {
        let base = match vital {
            id::ELAPSED => self.started,
            id::SESSION_ELAPSED => self.session.opened,
            id::SESSION_BUSY => self.started.saturating_sub(self.session.busy),
            _ => return None,
        };
        // One microsecond more, because a threshold is crossed when the value is above it.
        Some(base.saturating_add(above.max(0.0) as u64).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rates_are_of_the_generation_not_of_the_wait_before_it() {
        let mut v = Vitals::new(1_000_000, SessionVitals::default());
        assert_eq!(v.value(id::TOKENS_PER_SECOND, 2_000_000), None);
        v.tokens(1, 3_000_000);
        v.tokens(1, 3_100_000);
        v.tokens(1, 3_200_000);
        assert_eq!(v.value(id::FIRST_TOKEN, 9_000_000), Some(2_000_000.0));
        assert_eq!(v.value(id::TOKEN_GAP, 9_000_000), Some(100_000.0));
        assert_eq!(v.value(id::TOKENS_PER_SECOND, 9_000_000), Some(15.0));
    }

    #[test]
    fn a_deadline_is_the_moment_at_which_the_threshold_is_passed() {
        let session = SessionVitals {
            busy: 400_000,
            opened: 10,
            ..SessionVitals::default()
        };
        let v = Vitals::new(1_000_000, session);
        for (vital, above) in [
            (id::ELAPSED, 250_000.0),
            (id::SESSION_BUSY, 500_000.0),
            (id::SESSION_ELAPSED, 3_000_000.0),
        ] {
            let at = v.crosses_at(vital, above).unwrap();
            assert!(v.value(vital, at).unwrap() > above, "{vital}");
            assert!(v.value(vital, at - 1).unwrap() <= above, "{vital}");
        }
        assert_eq!(v.crosses_at(id::OUTPUT_TOKENS, 5.0), None);
    }

    #[test]
    fn what_others_measure_is_told_with_the_rest() {
        let mut v = Vitals::new(0, SessionVitals::default());
        let track = Arc::<Track>::default();
        track.add(Some(1_000_000), true, 0);
        v.around.machine.take(&crate::observe::machine::Sample {
            host_cpu: Some(0.5),
            ..Default::default()
        });
        v.around.model = Some(track);
        let all = v.all(1);
        for vital in &all {
            assert_eq!(
                v.value(vital.quantity, 1),
                Some(vital.value),
                "{}",
                vital.quantity
            );
        }
        let ids: Vec<u16> = all
            .iter()
            .map(|v| v.quantity)
            .filter(|id| *id >= 30)
            .collect();
        assert_eq!(
            ids,
            [
                id::HOST_CPU,
                id::MODEL_ERROR_RATE,
                id::MODEL_P50,
                id::MODEL_P99
            ]
        );
        assert_eq!(v.value(id::MODEL_ERROR_RATE, 1), Some(1.0));
        assert_eq!(v.value(id::TOOL_ERROR_RATE, 1), None);
    }

    #[test]
    fn a_share_without_a_limit_is_unknown() {
        let session = SessionVitals {
            tokens: 50,
            token_limit: Some(200),
            ..SessionVitals::default()
        };
        assert_eq!(
            Vitals::new(0, session).value(id::TOKEN_USED_SHARE, 0),
            Some(0.25)
        );
        assert_eq!(
            Vitals::new(0, SessionVitals::default()).value(id::TOKEN_USED_SHARE, 0),
            None
        );
    }
}
