//! What a response says, fact by fact, and where each stands in its bytes.

use std::borrow::Cow;

use crate::dialect::json::Raw;
use crate::event::Place;

/// Hears the facts.
pub(super) type Tell<'t, 'a> = &'t mut dyn FnMut(Fact<'a>);

/// A fact, and where it stands.
pub(super) enum Fact<'a> {
    Id(Raw<'a>),
    Model(Raw<'a>),
    /// Text that is not empty.
    Text {
        place: Place,
        spot: Spot<'a>,
        text: Cow<'a, str>,
        /// The model wrote it.
        generated: bool,
    },
    Call(Part<'a>),
    Finish {
        reason: Cow<'a, str>,
        value: Raw<'a>,
    },
    Usage(Raw<'a>),
    Error(Raw<'a>),
}

/// Where text stands.
#[derive(Clone, Copy)]
pub(super) enum Spot<'a> {
    /// It is the value of a field.
    Field(Raw<'a>),
    /// It is a key.
    Key,
    /// It is signed or encrypted, or is the signature: whoever gets it back refuses another one.
    Sealed,
}

/// A part of a call, and where it stands.
pub(super) struct Part<'a> {
    /// Its number among the calls of the message.
    pub number: u16,
    pub id: Option<Cow<'a, str>>,
    pub name: Option<Cow<'a, str>>,
    pub arguments: Cow<'a, str>,
    pub form: Form,
    /// The block, or the value of `partial_json`.
    pub value: Raw<'a>,
}

/// What a part of a call, or a block, stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// In a list of blocks, whole.
    Whole,
    /// In an event that begins a block.
    Start,
    /// In one that adds to it.
    Delta,
}
