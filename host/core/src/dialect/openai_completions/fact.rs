//! What a response says, fact by fact, and where each stands in its bytes.

use std::borrow::Cow;

use crate::dialect::json::Raw;
use crate::event::Place;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A chunk of a stream.
    Frame,
    /// A whole answer.
    Body,
}

/// Hears the facts.
pub(super) type Tell<'t, 'a> = &'t mut dyn FnMut(Fact<'a>);

/// A fact, and where it stands.
pub(super) enum Fact<'a> {
    Id(Raw<'a>),
    Model(Raw<'a>),
    Created(Raw<'a>),
    /// Text that is not empty.
    Text {
        place: Place,
        /// `None`: it is not the value of a field, and cannot be replaced.
        value: Option<Raw<'a>>,
        text: Cow<'a, str>,
        /// The model wrote it.
        generated: bool,
    },
    /// Says again what the choice says, in tokens.
    Tokens {
        choice: u16,
        value: Raw<'a>,
    },
    /// Not read: no client of this API reads it.
    Beside(Raw<'a>),
    Finish {
        choice: u16,
        reason: Cow<'a, str>,
        value: Raw<'a>,
    },
    Usage(Raw<'a>),
    Error(Raw<'a>),
}
