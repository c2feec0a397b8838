//! What a response says, fact by fact, and where each stands in its bytes.

use std::borrow::Cow;

use crate::dialect::json::Raw;
use crate::event::Place;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A frame of a stream.
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
    /// Text that is not empty.
    Text {
        place: Place,
        /// `None`: it is not the value of a field, and cannot be replaced.
        value: Option<Raw<'a>>,
        text: Cow<'a, str>,
        /// The model wrote it.
        generated: bool,
        /// The part of a content whose text it is, if that is signed.
        signed: Option<Raw<'a>>,
    },
    Call(Call<'a>),
    /// Sound, pictures and the like, of which nothing is read.
    Media,
    /// Says in another way what the choice says, and is worthless once that was changed: what stands in its place then.
    Repeat {
        choice: u16,
        value: Raw<'a>,
        emptied: &'static str,
    },
    Finish {
        choice: u16,
        reason: Cow<'a, str>,
        /// `None`: the prompt was refused, which is stated elsewhere.
        value: Option<Raw<'a>>,
    },
    Usage(Raw<'a>),
    Error(Raw<'a>),
}

/// A part of a content that is a call, or a part of one, and where it stands.
#[derive(Clone)]
pub(super) struct Call<'a> {
    pub choice: u16,
    /// The parts among which it stands.
    pub list: Raw<'a>,
    /// The part of the content.
    pub part: Raw<'a>,
    pub signed: bool,
    pub id: Option<Cow<'a, str>>,
    pub name: Option<Cow<'a, str>>,
    pub shape: Shape<'a>,
}

/// What of a call a part of a content has.
#[derive(Clone)]
pub(super) enum Shape<'a> {
    /// All of it: its arguments, if it states any.
    Whole(Option<Raw<'a>>),
    /// Some of its arguments, and whether more follow. One that has a name begins a call.
    Partial { arguments: Vec<Raw<'a>>, more: bool },
}
