//! How much of the time is used, and what has been said of it.

use std::collections::BTreeMap;

use airlock_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub budget_ms: u64,
    pub per: Per,
    pub fast_model: String,
    pub fast_upstream: String,
    pub downgrade_at: f64,
    pub stop_at: f64,
    pub confidence: f32,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    Session,
    Exchange,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            budget_ms: 60_000,
            per: Per::Session,
            fast_model: String::new(),
            fast_upstream: String::new(),
            downgrade_at: 0.8,
            stop_at: 1.0,
            confidence: 0.5,
        }
    }
}

/// How far the budget is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    Within,
    Near,
    Exceeded,
}

impl Settings {
    pub fn check(&self) -> Result<(), String> {
        if self.budget_ms == 0 {
            return Err("budget_ms is 0: give the session some time".into());
        }
        if !(self.downgrade_at > 0.0 && self.downgrade_at < self.stop_at) {
            return Err(format!(
                "downgrade_at ({}) must be above 0 and below stop_at ({})",
                self.downgrade_at, self.stop_at
            ));
        }
        Ok(())
    }

    /// The vital that is measured.
    pub fn vital(&self) -> vital::Id {
        match self.per {
            Per::Session => vital::SESSION_BUSY,
            Per::Exchange => vital::ELAPSED,
        }
    }

    /// A share of the budget in the unit of that vital.
    pub fn microseconds(&self, share: f64) -> f64 {
        self.budget_ms as f64 * 1000.0 * share
    }

    pub fn level(&self, used: f64) -> Level {
        if used >= self.microseconds(self.stop_at) {
            Level::Exceeded
        } else if used >= self.microseconds(self.downgrade_at) {
            Level::Near
        } else {
            Level::Within
        }
    }
}

/// What has been said of which exchange (0: of the session), so that nothing is said twice.
#[derive(Default, Serialize, Deserialize)]
pub struct Told(BTreeMap<u32, Level>);

/// Exchanges that are remembered. More of one session do not run at once; the oldest is forgotten.
const REMEMBERED: usize = 32;

impl Told {
    /// Whether this level is news.
    pub fn is_news(&mut self, exchange: u32, level: Level) -> bool {
        if level <= self.0.get(&exchange).copied().unwrap_or(Level::Within) {
            return false;
        }
        self.0.insert(exchange, level);
        if self.0.len() > REMEMBERED {
            self.0.pop_first();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_level_begins_at_its_share() {
        let settings = Settings {
            budget_ms: 1_000,
            ..Settings::default()
        };
        assert_eq!(settings.level(799_999.0), Level::Within);
        assert_eq!(settings.level(800_000.0), Level::Near);
        assert_eq!(settings.level(999_999.0), Level::Near);
        assert_eq!(settings.level(1_000_000.0), Level::Exceeded);
    }

    #[test]
    fn each_level_is_news_once_and_never_backwards() {
        let mut told = Told::default();
        assert!(!told.is_news(0, Level::Within));
        assert!(told.is_news(0, Level::Near));
        assert!(!told.is_news(0, Level::Near));
        assert!(told.is_news(0, Level::Exceeded));
        assert!(!told.is_news(0, Level::Near));
        assert!(told.is_news(7, Level::Near));
    }

    #[test]
    fn memory_is_bounded() {
        let mut told = Told::default();
        for exchange in 1..1_000 {
            assert!(told.is_news(exchange, Level::Exceeded));
        }
        assert_eq!(told.0.len(), REMEMBERED);
    }

    #[test]
    fn shares_in_the_wrong_order_are_refused() {
        let settings = Settings {
            downgrade_at: 1.0,
            ..Settings::default()
        };
        assert!(settings.check().unwrap_err().contains("downgrade_at (1)"));
    }
}
