//! Amounts and limits, and the limits that the operator sets for every session.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// Limits of a session. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Tokens in all, input and output.
    pub tokens: Option<u64>,
    /// Microdollars in all.
    pub cost: Option<u64>,
}

impl Limits {
    /// The tighter of the two, each by itself.
    pub fn tightest(self, other: Self) -> Self {
        let min = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self {
            tokens: min(self.tokens, other.tokens),
            cost: min(self.cost, other.cost),
        }
    }

    /// Whether there is none.
    pub fn is_unlimited(self) -> bool {
        self.tokens.is_none() && self.cost.is_none()
    }
}

/// An amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// Tokens, input and output.
    pub tokens: u64,
    /// Microdollars.
    pub cost: u64,
}

impl Spend {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            cost: self.cost.saturating_add(other.cost),
        }
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            cost: self.cost.saturating_sub(other.cost),
        }
    }

    pub(super) fn max(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.max(other.tokens),
            cost: self.cost.max(other.cost),
        }
    }

    pub(super) fn min(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.min(other.tokens),
            cost: self.cost.min(other.cost),
        }
    }

    pub(super) fn capped(self, limits: Limits) -> Self {
        Self {
            tokens: self.tokens.min(limits.tokens.unwrap_or(u64::MAX)),
            cost: self.cost.min(limits.cost.unwrap_or(u64::MAX)),
        }
    }

    pub(super) fn within(self, limits: Limits) -> bool {
        self.capped(limits) == self
    }
}

/// The operator's limits: one for all sessions of the process, so that another configuration reaches each of them at once,
/// live, hibernated or still on the disk.
#[derive(Clone, Debug, Default)]
pub struct Operator(Arc<ArcSwap<Limits>>);

impl Operator {
    /// Limits for every session.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(limits)))
    }

    /// Other limits from now on, lower or higher.
    pub fn set(&self, limits: Limits) {
        self.0.store(Arc::new(limits));
    }

    /// The limits now.
    pub fn limits(&self) -> Limits {
        **self.0.load()
    }
}
