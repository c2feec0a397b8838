//! Edits of the events of a stream: only the bytes of what is edited change, and what was written is read again.
//!
//! A client must read one answer, though several calls to an upstream make it: one beginning, one end, items and events numbered
//! without gaps. What is left out of it (a denied call, the beginning of a further leg) leaves in no repetition either.

use bytes::Bytes;
use serde_json::Value;

use crate::dialect::json::{self, Object};
use crate::dialect::openai_responses::client::Client;
use crate::dialect::openai_responses::compose::Out;
use crate::dialect::openai_responses::event::{self, Kind};
use crate::dialect::openai_responses::fact::{Event, Fact};
use crate::dialect::openai_responses::proof::Meant;
use crate::dialect::openai_responses::reader::pieces;
use crate::dialect::openai_responses::rows::{Links, Rows};
use crate::dialect::openai_responses::splice::{Changes, framed, one_line, passed};
use crate::dialect::openai_responses::state::State;
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::openai_responses::{final_edit, walk};
use crate::dialect::sse::Frame;
use crate::dialect::{EditError, Edits, Identity};

/// What becomes of an event.
enum Becomes {
    /// Nothing.
    Gone,
    /// This.
    Event(String),
    /// Events that say what is new in it; it is not said itself.
    Items(Vec<Value>),
}

/// The frame with `edits` made.
pub(super) fn frame(
    state: &mut State,
    frame: &Frame,
    source: &str,
    edits: &Edits<'_>,
) -> Result<Option<Bytes>, EditError> {
    let root = Object::parse(source).map_err(|error| undecodable("the response", error))?;
    let name = root.string("type").unwrap_or_default();
    let kind = event::kind(&name);
    let mut out = Out::default();
    if state.turns(kind, &name, edits) {
        state.next_leg(&mut out);
    }
    state.part_ways();
    let State {
        client,
        theirs,
        links,
        foreign,
        ..
    } = state;
    let Some(theirs) = theirs.as_mut() else {
        return Ok(None);
    };
    let event = walk::event(theirs, source)?;
    link(&event, links, client, *foreign);
    let mut rows = Rows::new(theirs, &client.record, links);
    rows.items_alone = kind == Kind::Ends && edits.goes_on;
    rows.make(&event.facts, edits)?;
    let (becomes, meant) = match rows.withheld {
        true => (Becomes::Gone, Meant::default()),
        false => becomes(rows, &event, client, (edits, source, *foreign))?,
    };
    // What closes the items of the leg before says nothing new.
    out.pieces.clear();
    match becomes {
        Becomes::Gone => client.renumbers = true,
        Becomes::Items(items) => {
            client.renumbers = true;
            items
                .iter()
                .for_each(|item| client.say_item(&mut out, item));
        }
        Becomes::Event(written) => {
            let number = client.number(event.sequence);
            let written = numbered(written, number)?;
            let heard = client.heard(&written)?;
            pieces(&heard, false, &mut out.pieces);
            let bytes = match written == source {
                true => passed(frame, &event.name),
                false => framed(&event.name, &one_line(&written)).into(),
            };
            out.bytes.extend_from_slice(&bytes);
        }
    }
    meant.reads(&out.pieces)?;
    Ok((!out.bytes.is_empty()).then(|| out.bytes.into()))
}

/// Numbers of the items that an event is about.
fn links_of(event: &Event<'_>) -> Vec<u32> {
    let listed = event.output.iter().flat_map(|(_, items)| items);
    listed.map(|(key, _)| *key).chain(event.item).collect()
}

/// Items that are new get their number at the client: their own, as long as nothing was left out or put in before.
fn link(event: &Event<'_>, links: &mut Links, client: &Client, foreign: bool) {
    let mut next = client.next_item().max(links.next());
    for key in links_of(event) {
        if links.of(key).is_some() || links.is_gone(key) {
            continue;
        }
        let own = !foreign && !client.renumbers;
        let number = if own { key } else { next };
        next = next.max(number.saturating_add(1));
        links.link(key, number);
    }
}

/// What becomes of an event whose edits are made, and what it is to say.
fn becomes<'a>(
    mut rows: Rows<'a, '_>,
    event: &Event<'a>,
    client: &Client,
    (edits, source, foreign): (&Edits<'_>, &str, bool),
) -> Result<(Becomes, Meant), EditError> {
    let gone = event.item.is_some_and(|item| rows.is_gone(item));
    let begun = event.kind == Kind::Begins && foreign && client.record.began;
    if gone || begun {
        return Ok((Becomes::Gone, Meant::default()));
    }
    if event.kind == Kind::Ends && edits.goes_on {
        let items = final_edit::items(&rows, event, client)?;
        return Ok((Becomes::Items(items), rows.meant));
    }
    if let (Some(index), Some(item)) = (event.index, event.item)
        && let Some(number) = rows.of(item)
        && json::integer(index) != Some(number.into())
    {
        rows.changes.replace(index, number.to_string());
    }
    if let Some(identity) = edits.identity {
        ids(&event.facts, identity, &mut rows.changes);
    }
    let written = match event.kind {
        Kind::Ends => final_edit::write(&mut rows, event, client, (edits, source, foreign))?,
        _ => rows.changes.within(source),
    };
    Ok((Becomes::Event(written), rows.meant))
}

/// The ids that the client reads, in place of those that the upstream states.
pub(super) fn ids<'a>(facts: &[Fact<'a>], identity: &Identity, changes: &mut Changes<'a>) {
    for fact in facts {
        match fact {
            Fact::Id(value) => changes.replace(*value, json::quote(&identity.id)),
            Fact::Model(value) => changes.replace(*value, json::quote(&identity.model)),
            Fact::Created(value) => changes.replace(*value, identity.created.to_string()),
            _ => {}
        }
    }
}

/// The event with another number.
fn numbered(written: String, number: Option<u64>) -> Result<String, EditError> {
    let Some(number) = number else {
        return Ok(written);
    };
    let root = Object::parse(&written).map_err(|error| undecodable("the response", error))?;
    Ok(json::set(
        &written,
        &root,
        &[("sequence_number", number.to_string())],
    ))
}
