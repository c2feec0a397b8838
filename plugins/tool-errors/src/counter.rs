//! Counts failures, and says when there were too many.

use airlock_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub max_errors: u32,
    pub mode: Mode,
    pub repeat_after: u32,
    pub message: String,
    pub role: Speaker,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    Session,
    InARow,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    System,
    User,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_errors: 3,
            mode: Mode::Session,
            repeat_after: 3,
            message: "{count} tool calls have failed, the last one of `{tool}`. Do not repeat the same call. Read the \
                      error messages, check your assumptions, then try another way; if there is none, say what you \
                      could not do and why."
                .into(),
            role: Speaker::System,
        }
    }
}

/// Failures so far. It is the session's state.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    failures: u32,
    /// Number of failures at which was told last; 0: not yet.
    told: u32,
}

impl Counter {
    /// Counts one result.
    pub fn count(&mut self, mode: Mode, failed: bool) {
        if failed {
            self.failures += 1;
        } else if mode == Mode::InARow {
            *self = Self::default();
        }
    }

    /// The number of failures, if it is time to tell: once past the maximum, and again after `repeat_after` more.
    pub fn tell(&mut self, settings: &Settings) -> Option<u32> {
        let due = match (self.told, settings.repeat_after) {
            (0, _) => self.failures > settings.max_errors,
            (_, 0) => false,
            (told, more) => self.failures >= told.saturating_add(more),
        };
        if !due {
            return None;
        }
        self.told = self.failures;
        Some(self.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers at which is told, for results that failed (`x`) or not (`.`).
    fn told(settings: &Settings, results: &str) -> Vec<u32> {
        let mut counter = Counter::default();
        results
            .chars()
            .filter_map(|result| {
                counter.count(settings.mode, result == 'x');
                counter.tell(settings)
            })
            .collect()
    }

    #[test]
    fn the_fourth_failure_of_a_session_tells_and_then_each_third() {
        let settings = Settings::default();
        assert_eq!(told(&settings, "xxx"), [0; 0]);
        assert_eq!(told(&settings, "x.x..x"), [0; 0]);
        assert_eq!(told(&settings, "xx.xx"), [4]);
        assert_eq!(told(&settings, "xxxxxxxxxxx"), [4, 7, 10]);
    }

    #[test]
    fn a_success_ends_a_row() {
        let settings = Settings {
            mode: Mode::InARow,
            ..Settings::default()
        };
        assert_eq!(told(&settings, "xxx.xxx.xxx"), [0; 0]);
        assert_eq!(told(&settings, "xxxx.xxxx"), [4, 4]);
    }

    #[test]
    fn zero_never_repeats() {
        let settings = Settings {
            repeat_after: 0,
            max_errors: 0,
            ..Settings::default()
        };
        assert_eq!(told(&settings, "xxxxx"), [1]);
    }
}
