//! What a set of policies wants, and which rules stand beside it, compiled once per set and shared by all exchanges under it.

use std::sync::Arc;

use super::patterns::{PatternError, PatternSet, PatternSpec, Syntax};
use super::rules::Rules;
use crate::event::{Channel, Place};
use crate::observe::log::Kinds;
use airlock_policy::contract::types::{EventKind, PatternSyntax, ReleaseMode, Subscription, Wake};
use airlock_policy::generation::Generation;

/// A policy that judges text but does not say how often is asked every so many tokens.
pub const DEFAULT_EVERY_TOKENS: u32 = 16;

/// Held text wakes its policy after this long, unless the policy says otherwise: 250 ms, about what a reader notices.
const DEFAULT_MAX_HOLD_US: u64 = 250_000;

/// What one policy wants.
#[derive(Debug)]
pub struct Wants {
    /// Kinds it is told.
    pub sees: Kinds,
    /// Kinds that wake it.
    pub wakes_on: Kinds,
    /// Tokens after which it is woken.
    pub every_tokens: Option<u32>,
    /// Time after which it is woken, during a generation.
    pub every_us: Option<u64>,
    /// Vitals above which it is woken.
    pub thresholds: Vec<(u16, f64)>,
    /// For each channel that it holds until judged: how long text may wait before it is woken.
    pub holds: [Option<u64>; 5],
}

impl Wants {
    /// Whether it is asked while a generation runs, and not at its end alone.
    fn judges_meanwhile(&self, subscription: &Subscription) -> bool {
        let timed = self.every_tokens.is_some() || self.every_us.is_some();
        let looks = !subscription.patterns.is_empty() || !self.thresholds.is_empty();
        timed || looks || self.holds.iter().any(Option::is_some)
    }

    /// Whether text at this place waits for the policy's marks.
    pub fn holds_at(&self, place: Place) -> bool {
        let held = self.holds.get(place.channel as usize);
        held.is_some_and(Option::is_some)
    }
}

/// A set of policies, ready to be asked.
#[derive(Debug, Default)]
pub struct Plan {
    /// The policies, in order.
    pub entries: Vec<Arc<Generation>>,
    /// What each wants; same indexes.
    pub wants: Vec<Wants>,
    /// Patterns per channel; `None` where no policy looks for any.
    pub patterns: [Option<Arc<PatternSet>>; 5],
    /// The operator's rules.
    pub rules: Arc<Rules>,
    /// Whether any policy enforces, or any rule that may keep something from the client.
    pub enforcing: bool,
    /// Whether a tool call waits until it was judged whole.
    pub holds_tool_calls: bool,
    /// Whether a policy that enforces judges a generation while it runs.
    pub watches: bool,
}

impl Plan {
    /// Compiles what `entries` want.
    ///
    /// # Errors
    /// A pattern that does not compile, alone or together with the others.
    pub fn compile(entries: Vec<Arc<Generation>>, rules: Arc<Rules>) -> Result<Plan, PatternError> {
        let wants: Vec<Wants> = entries
            .iter()
            .map(|g| Wants::of(&g.subscription, |kind| g.sees(kind)))
            .collect();
        let mut patterns = [const { None }; 5];
        for (slot, channel) in patterns.iter_mut().zip(Channel::GENERATED) {
            let specs: Vec<PatternSpec> = entries
                .iter()
                .enumerate()
                .filter(|(_, g)| g.reasons)
                .flat_map(|(owner, g)| {
                    specs(&g.subscription, owner as u32, g.enforces(), Some(channel))
                })
                .collect();
            if !specs.is_empty() {
                *slot = Some(Arc::new(PatternSet::compile(specs)?));
            }
        }
        let enforcing = entries.iter().any(|g| g.enforces()) || rules.enforcing().is_some();
        let holds_tool_calls = entries
            .iter()
            .zip(&wants)
            .any(|(g, w)| g.enforces() && g.reasons && w.wakes_on.has(EventKind::ToolCall))
            || rules.holds_tool_calls();
        let mut enforced = entries.iter().zip(&wants).filter(|(g, _)| g.enforces());
        let watches = enforced.any(|(g, w)| w.judges_meanwhile(&g.subscription));
        Ok(Plan {
            watches,
            entries,
            wants,
            patterns,
            rules,
            enforcing,
            holds_tool_calls,
        })
    }

    /// Whether this plan is of just these generations and rules.
    pub fn is_of(&self, entries: &[Arc<Generation>], rules: &Arc<Rules>) -> bool {
        Arc::ptr_eq(&self.rules, rules)
            && self.entries.len() == entries.len()
            && self
                .entries
                .iter()
                .zip(entries)
                .all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

/// Refuses a subscription whose patterns do not compile: part of the rehearsal of a new generation.
///
/// # Errors
/// Names the pattern and what is wrong with it.
pub fn check(subscription: &Subscription) -> Result<(), String> {
    PatternSet::compile(specs(subscription, 0, true, None).collect())
        .map(drop)
        .map_err(|e| e.to_string())
}

fn specs(
    subscription: &Subscription,
    owner: u32,
    holds: bool,
    channel: Option<Channel>,
) -> impl Iterator<Item = PatternSpec> {
    let wanted = move |channels: &[airlock_policy::contract::types::Channel]| {
        channel.is_none_or(|c| channels.is_empty() || channels.contains(&c.into()))
    };
    subscription
        .patterns
        .iter()
        .enumerate()
        .filter(move |(_, p)| wanted(&p.channels))
        .map(move |(index, p)| PatternSpec {
            owner,
            index: index as u32,
            syntax: match p.syntax {
                PatternSyntax::Literal => Syntax::Literal,
                PatternSyntax::Regex => Syntax::Regex,
            },
            text: p.text.clone(),
            ignore_case: p.ignore_case,
            holds,
        })
}

impl Wants {
    fn of(subscription: &Subscription, granted: impl Fn(EventKind) -> bool) -> Wants {
        let mut wants = Wants {
            sees: Kinds::of(&subscription.sees),
            wakes_on: Kinds::default(),
            every_tokens: None,
            every_us: None,
            thresholds: Vec::new(),
            holds: [None; 5],
        };
        let mut told = Kinds::default();
        for wake in &subscription.wakes {
            match wake {
                Wake::Event(EventKind::Text) => {
                    told = told.with(EventKind::Text);
                    wants.every_tokens.get_or_insert(DEFAULT_EVERY_TOKENS);
                }
                Wake::Event(kind) => {
                    told = told.with(*kind);
                    wants.wakes_on = wants.wakes_on.with(*kind);
                }
                Wake::EveryTokens(n) => {
                    told = told.with(EventKind::Text);
                    wants.every_tokens = Some((*n).max(1));
                }
                Wake::EveryMs(ms) => {
                    told = told.with(EventKind::Vitals);
                    wants.every_us = Some(u64::from((*ms).max(10)) * 1000);
                }
                Wake::VitalAbove(threshold) => {
                    told = told.with(EventKind::Vitals);
                    wants.thresholds.push((threshold.quantity, threshold.above));
                }
                Wake::Other(_) => {}
            }
        }
        for release in subscription
            .release
            .iter()
            .filter(|r| r.mode == ReleaseMode::HoldUntilJudged)
        {
            let max_hold = match release.max_hold_ms {
                0 => DEFAULT_MAX_HOLD_US,
                ms => u64::from(ms.min(60_000)) * 1000,
            };
            told = told.with(EventKind::Text);
            wants.every_tokens.get_or_insert(DEFAULT_EVERY_TOKENS);
            if let Some(hold) =
                Channel::from_wit(release.channel).and_then(|c| wants.holds.get_mut(c as usize))
            {
                *hold = Some(max_hold);
            }
        }
        if !subscription.patterns.is_empty() {
            told = told.with(EventKind::Text);
        }
        if subscription.sees.is_empty() {
            wants.sees = told;
        }
        wants.sees = ALL_KINDS
            .into_iter()
            .filter(|k| wants.sees.has(*k) && granted(*k))
            .fold(Kinds::default(), Kinds::with);
        wants
    }
}

/// Every kind of the contract.
const ALL_KINDS: [EventKind; 13] = [
    EventKind::SessionOpened,
    EventKind::HistoryRewritten,
    EventKind::Message,
    EventKind::Request,
    EventKind::Text,
    EventKind::ToolCall,
    EventKind::ToolResult,
    EventKind::ResponseEnd,
    EventKind::Failure,
    EventKind::Vitals,
    EventKind::Answer,
    EventKind::Intervention,
    EventKind::Other,
];

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_policy::contract::types::{self as wit, ChannelRelease, Threshold};

    fn subscription(wakes: Vec<Wake>) -> Subscription {
        Subscription {
            wakes,
            patterns: vec![],
            release: vec![],
            sees: vec![],
            findings: vec![],
        }
    }

    #[test]
    fn a_policy_sees_what_wakes_it_and_no_more() {
        let wants = Wants::of(
            &subscription(vec![
                Wake::Event(EventKind::ToolResult),
                Wake::VitalAbove(Threshold {
                    quantity: 1,
                    above: 5.0,
                }),
            ]),
            |_| true,
        );
        assert_eq!(
            wants.sees,
            Kinds::of(&[EventKind::ToolResult, EventKind::Vitals])
        );
        assert_eq!(wants.every_tokens, None);
    }

    #[test]
    fn what_is_not_granted_is_not_seen() {
        let wants = Wants::of(&subscription(vec![Wake::EveryTokens(1)]), |kind| {
            kind != EventKind::Text
        });
        assert!(!wants.sees.has(EventKind::Text));
    }

    #[test]
    fn holding_without_a_wake_condition_is_asked_at_the_default_pace() {
        let mut s = subscription(vec![]);
        s.release.push(ChannelRelease {
            channel: wit::Channel::Output,
            mode: ReleaseMode::HoldUntilJudged,
            max_hold_ms: 0,
        });
        let wants = Wants::of(&s, |_| true);
        assert_eq!(wants.every_tokens, Some(DEFAULT_EVERY_TOKENS));
        assert_eq!(
            wants.holds,
            [Some(DEFAULT_MAX_HOLD_US), None, None, None, None]
        );
    }
}
