//! The last event, and whole bodies: their list of items is what the client got, with that of earlier legs before it, and
//! without what was left out.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::dialect::json::{self, Raw};
use crate::dialect::openai_responses::client::Client;
use crate::dialect::openai_responses::fact::{Event, Fact};
use crate::dialect::openai_responses::record::Record;
use crate::dialect::openai_responses::rows::Rows;
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::openai_responses::{forms, walk};
use crate::dialect::{EditError, Edits};

/// The last event as the client gets it.
pub(super) fn write<'a>(
    rows: &mut Rows<'a, '_>,
    event: &Event<'a>,
    client: &Client,
    (edits, source, foreign): (&Edits<'_>, &str, bool),
) -> Result<String, EditError> {
    usage(rows, event, edits);
    if let Some((list, items)) = &event.output {
        let listed = match foreign {
            true => with_earlier(rows, items, client),
            false => kept(rows, items),
        };
        if foreign || listed.len() < items.len() {
            rows.changes
                .replace(*list, format!("[{}]", listed.join(",")));
        }
    }
    whole_text(rows, event, source, |written| {
        let mut record = client.record.clone();
        walk::event(&mut record, written)?;
        Ok(record)
    })
}

/// What is written, with the field that says all text of it once more.
pub(super) fn whole_text<'a>(
    rows: &mut Rows<'a, '_>,
    event: &Event<'a>,
    source: &str,
    read: impl FnOnce(&str) -> Result<Record, EditError>,
) -> Result<String, EditError> {
    let all = event.facts.iter().find_map(|fact| match fact {
        Fact::All(value) if json::string(*value).is_some_and(|said| !said.is_empty()) => {
            Some(*value)
        }
        _ => None,
    });
    let Some(all) = all else {
        return Ok(rows.changes.within(source));
    };
    rows.changes.replace(all, json::quote(""));
    let output = read(&rows.changes.within(source))?.output();
    rows.changes.replace(all, json::quote(&output));
    Ok(rows.changes.within(source))
}

/// The usage of all legs in place of the leg's own.
pub(super) fn usage<'a>(rows: &mut Rows<'a, '_>, event: &Event<'a>, edits: &Edits<'_>) {
    for fact in &event.facts {
        if let (Fact::Usage(value), Some(usage)) = (fact, edits.usage)
            && json::first_byte(*value) == b'{'
        {
            rows.changes
                .replace(*value, forms::usage(usage).to_string());
        }
    }
}

/// Items of a list, without those that are left out.
pub(super) fn kept(rows: &Rows<'_, '_>, items: &[(u32, Raw<'_>)]) -> Vec<String> {
    let kept = items.iter().filter(|(key, _)| !rows.is_gone(*key));
    kept.map(|(_, item)| rows.changes.within(item.get()))
        .collect()
}

/// The same, in the order of the client's numbers, among all others that it has.
fn with_earlier(rows: &Rows<'_, '_>, items: &[(u32, Raw<'_>)], client: &Client) -> Vec<String> {
    let mut all: BTreeMap<u32, String> = client
        .record
        .items
        .keys()
        .map(|key| (*key, client.item(*key, "completed").to_string()))
        .collect();
    for (key, item) in items {
        if let Some(number) = rows.of(*key) {
            all.insert(number, rows.changes.within(item.get()));
        }
    }
    all.into_values().collect()
}

/// Items of the last event that the client does not have, where the answer goes on.
pub(super) fn items(
    rows: &Rows<'_, '_>,
    event: &Event<'_>,
    client: &Client,
) -> Result<Vec<Value>, EditError> {
    let mut new = Vec::new();
    for (key, item) in event.output.iter().flat_map(|(_, items)| items) {
        let known = rows
            .of(*key)
            .is_none_or(|number| client.record.items.contains_key(&number));
        if !known {
            let written = rows.changes.within(item.get());
            let item = serde_json::from_str(&written);
            new.push(item.map_err(|error| undecodable("output", error))?);
        }
    }
    Ok(new)
}
