//! What the README says in numbers and names is what the code does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use airlock_policy::limits::Limits;
use airlock_policy::spec::ACTIONS;

const README: &str = include_str!("../../README.md");

#[test]
fn the_table_of_limits_has_every_limit_with_its_default() {
    let limits = serde_json::to_value(Limits::default()).unwrap();
    for (name, value) in limits.as_object().unwrap() {
        let row = format!("| `{name}` | {value} |");
        assert!(README.contains(&row), "README.md lacks {row}");
    }
}

#[test]
fn the_table_of_actions_has_every_action() {
    let table: String = README
        .lines()
        .skip_while(|line| !line.starts_with("| actions |"))
        .take_while(|line| line.starts_with('|'))
        .collect();
    for action in ACTIONS {
        assert!(
            table.contains(&format!("`{action}`")),
            "README.md does not say what becomes of `{action}`"
        );
    }
}
