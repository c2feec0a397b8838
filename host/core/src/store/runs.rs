//! Events as they lie on the disk: those of a session that came together are one row, a run. A row for each event cost most
//! of what a call with policies cost the writer: 8,000 instructions for 100 bytes.
//!
//! A run is a JSON list of events, each a list of its number, its time, its exchange and its fact.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::weight;
use crate::event::{Body, Event, Micros};

/// Events and bytes of text in one run at most: what a reader that wants one of them reads.
const EVENTS: usize = 128;
const BYTES: usize = 64 * 1024;

/// Cuts events, in order, into runs.
pub(super) fn cut(events: &[Arc<Event>]) -> impl Iterator<Item = &[Arc<Event>]> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |event: &&Arc<Event>| {
            bytes += weight(&event.body);
            bytes <= BYTES
        };
        let run = rest.iter().take(EVENTS).take_while(fits).count();
        // One that is longer is a run of its own.
        let (run, after) = rest.split_at(run.max(1).min(rest.len()));
        rest = after;
        (!run.is_empty()).then_some(run)
    })
}

/// A run as text.
///
/// # Errors
/// An event is not to be had as JSON.
pub(super) fn write(run: &[Arc<Event>]) -> serde_json::Result<String> {
    let mut text = Vec::with_capacity(256 * run.len());
    text.push(b'[');
    for (index, event) in run.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        let Event {
            seq, at, exchange, ..
        } = **event;
        text.extend_from_slice(format!("[{seq},{at},{exchange},").as_bytes());
        serde_json::to_writer(&mut text, &event.body)?;
        text.push(b']');
    }
    text.push(b']');
    String::from_utf8(text).map_err(serde::ser::Error::custom)
}

/// The events of a run. A fact that this version cannot read stands as an annotation `unreadable` by `airlock`.
///
/// # Errors
/// It is no run.
pub(super) fn read(text: &str) -> serde_json::Result<Vec<Event>> {
    let events: Vec<(u64, Micros, u32, &RawValue)> = serde_json::from_str(text)?;
    let event = |(seq, at, exchange, body): (u64, Micros, u32, &RawValue)| Event {
        seq,
        at,
        exchange,
        body: serde_json::from_str(body.get()).unwrap_or_else(|_| Body::Annotation {
            policy: "airlock".into(),
            name: "unreadable".into(),
            value: body.get().to_owned(),
        }),
    };
    Ok(events.into_iter().map(event).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn event(seq: u64, bytes: usize) -> Arc<Event> {
        let body = Body::Annotation {
            policy: "p".into(),
            name: "é\"".into(),
            value: "x".repeat(bytes),
        };
        Arc::new(Event {
            seq,
            at: seq * 10,
            exchange: 3,
            body,
        })
    }

    #[test]
    fn what_is_written_is_read() {
        let events = [event(1, 5), event(2, 0), event(9, 100)];
        let read = read(&write(&events).unwrap()).unwrap();
        assert!(read.iter().eq(events.iter().map(Arc::as_ref)));
        assert!(super::read(&write(&[]).unwrap()).unwrap().is_empty());
    }

    #[test]
    fn a_fact_of_another_version_is_told_as_it_is() {
        let [event] = &read(r#"[[4,5,6,{"kind":"new","a":1}]]"#).unwrap()[..] else {
            panic!("not one");
        };
        assert_eq!((event.seq, event.at, event.exchange), (4, 5, 6));
        assert!(
            matches!(&event.body, Body::Annotation { name, value, .. } if name == "unreadable" && value.contains("\"a\":1"))
        );
    }

    #[test]
    fn runs_are_bounded_and_lose_nothing() {
        let sizes = [10, 40_000, 40_000, 200_000, 5]
            .into_iter()
            .chain(std::iter::repeat_n(1, 300));
        let events: Vec<_> = sizes
            .zip(1..)
            .map(|(bytes, seq)| event(seq, bytes))
            .collect();
        let runs: Vec<usize> = cut(&events).map(<[_]>::len).collect();
        assert_eq!(runs, [2, 1, 1, 128, 128, 45]);
        assert!(cut(&[]).next().is_none());
    }
}
