//! What an answer says, fact by fact, and where each stands in its bytes.

use std::borrow::Cow;

use crate::dialect::json::Raw;
use crate::event::Place;

/// Hears the facts.
pub(super) type Tell<'t, 'a> = &'t mut dyn FnMut(Fact<'a>);

/// A fact, and where it stands.
pub(super) enum Fact<'a> {
    Model(Raw<'a>),
    /// Text that is not empty.
    Text {
        place: Place,
        /// `None`: it is not the value of a field, and cannot be replaced.
        value: Option<Raw<'a>>,
        text: Cow<'a, str>,
        /// The model wrote it.
        generated: bool,
    },
    /// A call stands whole.
    Call(Call<'a>),
    /// Says again, in tokens, what the line says.
    Tokens(Raw<'a>),
    /// Says again, in tokens, what the whole conversation says.
    Context(Raw<'a>),
    /// Tokens that were used: the fields that state them.
    Usage(Vec<(&'static str, Raw<'a>)>),
    /// An error, which is not empty.
    Error(Raw<'a>),
    /// The answer is complete.
    Done {
        /// `true`.
        value: Raw<'a>,
        reason: Cow<'a, str>,
        /// Where the reason stands; old servers state none.
        stated: Option<Raw<'a>>,
    },
}

/// A call, and where it stands.
pub(super) struct Call<'a> {
    pub name: Option<Cow<'a, str>>,
    pub arguments: Cow<'a, str>,
    /// The list in which it is an element.
    pub list: Raw<'a>,
    pub value: Raw<'a>,
}
