//! What is being judged, and what was found wrong with it so far.

use crate::config::Config;
use airlock_policy::advice;

/// Path to a value, and what is wrong with it.
pub(in crate::config) type Finding = (Vec<String>, String);

/// A configuration under judgement.
pub(super) struct Check<'a> {
    pub config: &'a Config,
    /// Some entries are missing because they could not be read: names are then not looked up.
    pub partial: bool,
    pub found: Vec<Finding>,
}

impl Check<'_> {
    pub fn say(&mut self, path: &[&str], message: impl Into<String>) {
        self.found.push((
            path.iter().map(|step| (*step).to_owned()).collect(),
            message.into(),
        ));
    }

    /// That there is such an upstream.
    pub fn upstream_exists(&mut self, path: &[&str], name: &str) {
        if !self.partial && self.config.upstream(name).is_none() {
            let message = advice::unknown(
                "upstream",
                name,
                self.config.upstreams.iter().map(|(n, _)| n.as_str()),
            );
            self.say(path, message);
        }
    }

    /// That there is such a webhook.
    pub fn webhook_exists(&mut self, path: &[&str], name: &str) {
        let known = self.config.webhooks.iter().map(|(known, _)| known.as_str());
        if !name.is_empty() && !self.partial && !known.clone().any(|known| known == name) {
            let message = advice::unknown("webhook", name, known);
            self.say(path, message);
        }
    }
}
