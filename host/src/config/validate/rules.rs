//! The names and conditions of rules, judged together.

use airlock_core::reason::rules::row::{PROFILE, RuleConfig};
use airlock_core::reason::rules::{RuleError, Rules};
use airlock_policy::spec::is_name;

/// Judges the rows together.
///
/// # Errors
/// What is wrong with their names and conditions.
pub(in crate::config) fn judge(rows: &[RuleConfig]) -> Result<(), Vec<RuleError>> {
    let mut errors = Rules::compile(rows).err().unwrap_or_default();
    for (n, row) in rows.iter().enumerate() {
        let mut wrong = |message: String| {
            errors.push(RuleError {
                rule: n,
                key: "name",
                offset: 0,
                message,
            });
        };
        if !is_name(&row.name) {
            wrong("a rule's name is 1 to 64 of a-z, 0-9 and -".to_owned());
        } else if row.name.starts_with(PROFILE) {
            wrong(format!(
                "names that begin with {PROFILE} are the profile's: choose another"
            ));
        } else if rows.iter().take(n).any(|other| other.name == row.name) {
            wrong(format!(
                "another rule is named `{}`: name one of them otherwise",
                row.name
            ));
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}
