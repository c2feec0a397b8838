//! What kind of value an expression of a condition has.

/// What kind of value an expression has.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A number with a fraction.
    Double,
    /// Text.
    Text,
    /// A list.
    List(Box<Kind>),
    /// A finding; see [`FINDING`](super::inputs::FINDING).
    Finding,
    /// JSON, of which nothing is known before it is there.
    Json,
    /// `null`.
    Null,
}

impl Kind {
    pub(super) fn comparable(&self, other: &Kind) -> bool {
        let numeric = |kind: &Kind| matches!(kind, Kind::Int | Kind::Double);
        match (self, other) {
            (Kind::Json | Kind::Null, _) | (_, Kind::Json | Kind::Null) => true,
            (Kind::List(a), Kind::List(b)) => a.comparable(b),
            (a, b) => a == b || (numeric(a) && numeric(b)),
        }
    }

    /// For people.
    pub(super) fn told(&self) -> &'static str {
        match self {
            Kind::Bool => "true or false",
            Kind::Int => "a whole number",
            Kind::Double => "a number with a fraction",
            Kind::Text => "text",
            Kind::List(_) => "a list",
            Kind::Finding => "a finding",
            Kind::Json => "JSON",
            Kind::Null => "null",
        }
    }
}
