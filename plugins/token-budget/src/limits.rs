//! The limits, and which of them a session is near to.

use airlock_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub max_tokens: u64,
    /// US dollars.
    pub max_cost: f64,
    pub warn_at: f64,
    pub alert: bool,
    pub webhook: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_tokens: 1_000_000,
            max_cost: 0.0,
            warn_at: 0.8,
            alert: true,
            webhook: String::new(),
        }
    }
}

/// Limits as the ledger knows them; 0 is none.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub tokens: u64,
    pub microdollars: u64,
}

impl Settings {
    pub fn check(&self) -> Result<(), String> {
        if !(self.warn_at > 0.0 && self.warn_at < 1.0) {
            return Err(format!(
                "warn_at is {}: a share between 0 and 1 warns before the limit",
                self.warn_at
            ));
        }
        if !(0.0..=1e9).contains(&self.max_cost) {
            return Err(format!(
                "max_cost is {}: say US dollars, 0 for no limit",
                self.max_cost
            ));
        }
        if self.max_cost > 0.0 && self.limits().microdollars == 0 {
            return Err(format!(
                "max_cost is {}: less than a microdollar is no limit",
                self.max_cost
            ));
        }
        if self.limits() == Limits::default() {
            return Err(
                "max_tokens and max_cost are both 0: set one of them, or remove the policy".into(),
            );
        }
        Ok(())
    }

    pub fn limits(&self) -> Limits {
        Limits {
            tokens: self.max_tokens,
            microdollars: (self.max_cost * 1e6) as u64,
        }
    }
}

impl Limits {
    /// Those that are limits, as the ledger is told.
    pub fn allocation(self) -> Allocation {
        let mut allocation = Allocation::for_session();
        if self.tokens > 0 {
            allocation = allocation.tokens(self.tokens);
        }
        if self.microdollars > 0 {
            allocation = allocation.cost(self.microdollars);
        }
        allocation
    }

    /// Shares of the limits that are used: what of, and how much.
    pub fn used(self, batch: &Batch) -> impl Iterator<Item = (&'static str, f64)> {
        let share = |limit: u64, id| {
            let used = batch.vital(id).filter(|_| limit > 0)?;
            Some(used / limit as f64)
        };
        let tokens = share(self.tokens, vital::SESSION_TOKENS).map(|share| ("tokens", share));
        let cost = share(self.microdollars, vital::SESSION_COST).map(|share| ("cost", share));
        tokens.into_iter().chain(cost)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn dollars_become_microdollars() {
        let settings = Settings {
            max_cost: 2.5,
            ..Settings::default()
        };
        assert_eq!(settings.limits().microdollars, 2_500_000);
    }

    #[test]
    fn what_is_not_limited_is_not_named() {
        let named = |tokens, microdollars| {
            let limits = Limits {
                tokens,
                microdollars,
            };
            limits.allocation().limits
        };
        assert_eq!(named(5, 0), [("tokens".into(), 5)]);
        assert_eq!(named(0, 7), [("cost".into(), 7)]);
        assert_eq!(named(5, 7), [("tokens".into(), 5), ("cost".into(), 7)]);
    }

    #[test]
    fn limits_that_limit_nothing_are_refused() {
        let none = Settings {
            max_tokens: 0,
            ..Settings::default()
        };
        assert!(none.check().unwrap_err().contains("both 0"));
        let dust = Settings {
            max_cost: 1e-9,
            ..Settings::default()
        };
        assert!(dust.check().unwrap_err().contains("microdollar"));
        let late = Settings {
            warn_at: 1.0,
            ..Settings::default()
        };
        assert!(late.check().unwrap_err().contains("warn_at is 1"));
    }
}
