//! What the operator states.

use airlock_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub above: f64,
    pub target: f64,
    pub keep_steps: u32,
    pub summarise_with: String,
    pub summary_tokens: u32,
    pub wait_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            above: 0.85,
            target: 0.6,
            keep_steps: 3,
            summarise_with: String::new(),
            summary_tokens: 500,
            wait_seconds: 20,
        }
    }
}

impl Settings {
    pub fn check(&self) -> Result<(), String> {
        if !(self.target > 0.0 && self.target < self.above && self.above <= 1.0) {
            return Err(format!(
                "target ({}) must be above 0 and below above ({}), which is at most 1",
                self.target, self.above
            ));
        }
        // Each step of relief breaks the provider's prompt cache once. A step this small would break it all the time.
        if self.above - self.target < 0.05 {
            return Err(format!(
                "target ({}) is less than 0.05 below above ({}): room would have to be made again at once",
                self.target, self.above
            ));
        }
        if !self.summarise_with.is_empty() && !(1..=600).contains(&self.wait_seconds) {
            return Err(format!(
                "wait_seconds is {}: it must be 1 to 600",
                self.wait_seconds
            ));
        }
        Ok(())
    }

    pub fn wait_ms(&self) -> u32 {
        self.wait_seconds * 1_000
    }
}
