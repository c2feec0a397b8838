//! What a response says, fact by fact, and where each stands in its bytes.

use crate::dialect::json::Raw;
use std::borrow::Cow;

use crate::dialect::{CallKind, Slot};
use crate::event::{Channel, Place};

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
    Role(Raw<'a>),
    /// Text that is not empty.
    Text {
        place: Place,
        /// `None`: it is not the value of a field, and cannot be replaced.
        value: Option<Raw<'a>>,
        text: Cow<'a, str>,
        /// The model wrote it.
        generated: bool,
    },
    /// Says again what stands at a channel of the choice, or anywhere in it.
    Repeat {
        choice: u16,
        of: Option<Channel>,
        value: Raw<'a>,
    },
    /// Name of the field in which reasoning came.
    ReasoningField(&'static str),
    Call(Part<'a>),
    /// Not read: no client of this form reads it.
    Beside(Raw<'a>),
    Finish {
        choice: u16,
        reason: Cow<'a, str>,
        value: Raw<'a>,
    },
    Usage(Raw<'a>),
    Error(Raw<'a>),
}

/// A part of a call, and where it stands.
pub(super) struct Part<'a> {
    pub choice: u16,
    pub slot: Slot,
    pub kind: CallKind,
    pub id: Option<Cow<'a, str>>,
    pub name: Option<Cow<'a, str>>,
    pub arguments: Cow<'a, str>,
    /// The list in which it is an element; `None`: it is the value of `function_call`.
    pub list: Option<Raw<'a>>,
    pub value: Raw<'a>,
}
