//! The end of an exchange: what it used is settled, and what the next one needs is saved. Whatever way it ends, it ends once.

use std::sync::Arc;

use super::conduct::Exchange;
use crate::event::clock::now;
use crate::event::phase::Phase;
use crate::event::{Body, Status, Usage};
use crate::observe::vitals::id;
use crate::session::ledger::Settlement;

impl Exchange {
    /// The exchange is over. Accounts are settled and everything that the next one needs is saved. Does nothing the
    /// second time.
    pub fn end(&mut self, status: Status) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.flush();
        let at = now();
        let usage = self.usage_so_far();
        let cost = self.cost_so_far();
        self.permit
            .settle(u64::from(usage.input) + u64::from(usage.output));
        let ledger = &self.session.ledger;
        let known = self.usage.is_some() || self.prior != Usage::default();
        let settled = match (known, self.phase) {
            (true, _) => ledger.settle(self.number, usage, cost),
            // Nothing was sent, or the upstream refused before it generated anything: nothing was spent.
            (false, Phase::Request | Phase::Failed) => {
                ledger.release(self.number);
                Settlement::default()
            }
            (false, Phase::Waiting | Phase::Generating) => {
                let generated = self.cut_at.unwrap_or(self.vitals.output_tokens);
                ledger.abandon(self.number, generated.into())
            }
        };
        let elapsed = at.saturating_sub(self.started);
        self.session.timeline.append(
            self.number,
            Body::ResponseEnd {
                finish: self.finish.clone().unwrap_or_default(),
                model: if self.identity.model.is_empty() {
                    self.model.clone()
                } else {
                    self.identity.model.clone()
                },
                usage,
                cost,
                status,
                elapsed_us: elapsed,
            },
        );
        if !ledger.limits().is_unlimited()
            && let Some(told) = settled.overshoot()
        {
            self.session.timeline.append(self.number, told);
        }
        self.session.mailbox.unclaim(&self.bell);
        self.keep_fired();
        self.keep_changes(false);
        self.remember(status);
        for (policy, fault) in self.session.settle(self.number, elapsed) {
            tracing::warn!(%policy, %fault, session = %self.session.id, "policy could not save its state");
            self.session.timeline.append(
                self.number,
                Body::PolicyFault {
                    generation: self
                        .plan
                        .entries
                        .iter()
                        .find(|g| *g.name == *policy)
                        .map_or(0, |g| g.number),
                    policy,
                    fault: fault.kind.as_str().to_owned(),
                    text: fault.message,
                    on_failure: "open".to_owned(),
                },
            );
        }
    }

    /// Thresholds of the session's vitals stay crossed from one exchange to the next; those of an exchange do not.
    fn keep_fired(&self) {
        let mut state = self.session.state();
        for watcher in self.watchers.iter().filter(|w| !w.fired.is_empty()) {
            let (Some(generation), Some(wants)) = (
                self.plan.entries.get(watcher.entry),
                self.plan.wants.get(watcher.entry),
            ) else {
                continue;
            };
            let thresholds = wants.thresholds.iter().zip(&watcher.fired);
            let fired = thresholds
                .map(|((vital, _), fired)| *fired && *vital >= id::SESSION_ELAPSED)
                .collect();
            state.fired.insert(Arc::clone(&generation.name), fired);
        }
    }

    /// What all calls to upstreams cost, each by the prices of the model that it went to; `None` if nobody knows a price.
    pub(super) fn cost_so_far(&self) -> Option<u64> {
        let now = self.cost_of_round();
        self.prior_cost
            .map_or(now, |prior| Some(prior + now.unwrap_or_default()))
    }

    /// What the present call to an upstream cost so far.
    pub(super) fn cost_of_round(&self) -> Option<u64> {
        self.settings
            .prices
            .cost_microdollars(&self.model, &self.round_usage())
    }

    /// Tokens of all rounds, as the provider stated them, else as they were counted.
    pub(super) fn usage_so_far(&self) -> Usage {
        let prior = self.prior;
        let now = self.round_usage();
        if prior == Usage::default() {
            return now;
        }
        Usage {
            input: prior.input.saturating_add(now.input),
            output: prior.output.saturating_add(now.output),
            cached: prior.cached.saturating_add(now.cached),
            reasoning: prior.reasoning.saturating_add(now.reasoning),
            exact: prior.exact && now.exact,
        }
    }

    /// Tokens of the present round: as stated, and what was generated since, as servers state their usage in mid-stream too;
    /// else as counted.
    pub(super) fn round_usage(&self) -> Usage {
        if let Some(stated) = self.usage {
            let since = self.vitals.output_tokens.saturating_sub(self.stated_at);
            return Usage {
                output: stated.output.saturating_add(since),
                exact: stated.exact && since == 0,
                ..stated
            };
        }
        Usage {
            input: match self.phase {
                Phase::Request | Phase::Failed => 0,
                Phase::Waiting | Phase::Generating => self.prompt_tokens(),
            },
            // The token at which a budget ends was generated and is withheld: the account does not hold it.
            output: self
                .cut_at
                .unwrap_or(self.vitals.output_tokens)
                .saturating_sub(self.prior_output),
            exact: false,
            ..Usage::default()
        }
    }
}

impl Drop for Exchange {
    /// Whoever drops an exchange that has not ended has lost its client. A client that has read the last frame may close
    /// before the upstream does: that is a good end.
    fn drop(&mut self) {
        let whole = self.saw_end && self.judged_response && self.hold.bytes() == 0;
        self.end(if whole {
            Status::Complete
        } else {
            Status::Disconnected
        });
    }
}
