//! Whether a policy's numbers are within the contract's bounds: the host relays them to policies in other languages.

use crate::contract::{LARGE, SMALL, types};

/// Whether a number is one that every language reads exactly. It is relayed to policies in other languages.
pub(super) fn small(what: &str, number: u64) -> Result<(), String> {
    within(
        what,
        number,
        SMALL.into(),
        "`u32` of the contract is 2^31 - 1",
    )
}

pub(super) fn large(what: &str, number: u64) -> Result<(), String> {
    within(what, number, LARGE, "`u64` of the contract is 2^53")
}

fn within(what: &str, number: u64, most: u64, bound: &str) -> Result<(), String> {
    if number > most {
        return Err(format!("{what} is {number}: the largest {bound} ({most})"));
    }
    Ok(())
}

pub(super) fn place(what: &str, place: &types::Place) -> Result<(), String> {
    [place.choice, place.item, place.part]
        .into_iter()
        .try_for_each(|index| small(what, index.into()))
}

pub(super) fn span(what: &str, span: &types::Span) -> Result<(), String> {
    place(what, &span.place)?;
    small(what, span.offset.into())?;
    small(what, span.length.into())?;
    small(what, end(span))
}

pub(super) fn end(span: &types::Span) -> u64 {
    u64::from(span.offset) + u64::from(span.length)
}
