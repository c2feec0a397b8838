//! What the operator's rows order, and whom they tell.

use super::finding::Check;
use airlock_core::reason::rules::reaction::Reaction;

pub(super) fn rows(check: &mut Check<'_>) {
    for (n, row) in check.config.on_finding.iter().enumerate() {
        reaction(check, "on_finding", n, &row.reaction);
    }
    for (n, row) in check.config.rules.iter().enumerate() {
        reaction(check, "rule", n, &row.reaction);
    }
}

/// That what a row names exists.
fn reaction(check: &mut Check<'_>, table: &str, row: usize, reaction: &Reaction) {
    let row = row.to_string();
    match reaction {
        Reaction::Alert { webhook, .. } => check.webhook_exists(&[table, &row, "webhook"], webhook),
        Reaction::Route {
            upstream, model, ..
        } if upstream.is_empty() && model.is_empty() => {
            let message = "a route needs an `upstream`, a `model`, or both";
            check.say(&[table, &row], message);
        }
        Reaction::Route { upstream, .. } | Reaction::Retry { upstream, .. }
            if !upstream.is_empty() =>
        {
            check.upstream_exists(&[table, &row, "upstream"], upstream);
        }
        _ => {}
    }
}

pub(super) fn webhooks(check: &mut Check<'_>) {
    for (name, webhook) in &check.config.webhooks {
        match (&webhook.header, &webhook.key) {
            (Some(header), Some(_)) if header.parse::<http::HeaderName>().is_err() => {
                check.say(
                    &["webhook", name, "header"],
                    "this is no name of a header, such as \"authorization\"",
                );
            }
            (Some(_), None) => {
                let message = "a header needs its value by reference: add key = \"env:NAME\"";
                check.say(&["webhook", name, "header"], message);
            }
            (None, Some(_)) => {
                let message =
                    "name the header that carries the key: add header = \"authorization\"";
                check.say(&["webhook", name, "key"], message);
            }
            _ => {}
        }
    }
}

pub(super) fn people(check: &mut Check<'_>) {
    let people = &check.config.people;
    check.webhook_exists(&["people", "webhook"], &people.webhook);
    for (key, minutes) in [
        ("max_wait_minutes", people.max_wait_minutes),
        ("remember_minutes", people.remember_minutes),
    ] {
        if !(1..=1440).contains(&minutes) {
            check.say(
                &["people", key],
                "1 to 1440 minutes (a day): the default is 60",
            );
        }
    }
    if people.max_open == 0 {
        check.say(
            &["people", "max_open"],
            "at least 1: with 0 nobody could be asked; the default is 1000",
        );
    }
}
