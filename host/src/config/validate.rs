//! What the types cannot say: that names exist, that numbers make sense, and that nothing calls itself.

mod asks;
mod callers;
mod finding;
mod listeners;
mod numbers;
mod policies;
mod reactions;
pub(super) mod rules;
mod upstreams;

use self::finding::{Check, Finding};
pub(super) use self::upstreams::calls_itself;
use crate::config::Config;

/// Judges a configuration whose parts can be read. With `partial`, some entries are missing because they could not be:
/// names are then not looked up.
pub(super) fn check(config: &Config, partial: bool) -> Vec<Finding> {
    let mut check = Check {
        config,
        partial,
        found: Vec::new(),
    };
    listeners::check(&mut check);
    upstreams::upstreams(&mut check);
    upstreams::routes(&mut check);
    asks::check(&mut check);
    policies::check(&mut check);
    reactions::rows(&mut check);
    reactions::webhooks(&mut check);
    reactions::people(&mut check);
    numbers::machine(&mut check);
    numbers::numbers(&mut check);
    callers::check(&mut check);
    check.found
}
