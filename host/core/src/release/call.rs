//! A tool call under way.
//!
//!     Open -> Sealed -> Permitted | Denied
//!                 \-> Parked -/
//!
//! Parts are added to an open call alone, by `parts::OpenCall`, which no sealed one gives. A call is sealed when its choice
//! finishes or nothing more can come, not when the next call begins: servers may send parts of several in turn. What comes
//! for a sealed call was never judged, and ends the exchange where somebody judges.

use crate::dialect::{CallKind, CallPart, Slot};
use crate::event;
use crate::session::record::Called;

/// A tool call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The id by which policies and upstreams know it: the vendor's, or one that Airlock made where the vendor gave none, or
    /// one that another call of the leg has.
    pub id: String,
    /// The vendor's, as the client sees it; empty if it gave none.
    pub shown: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments with which it goes out instead of the model's own.
    pub rewritten: Option<String>,
    /// How often its arguments were replaced.
    pub rewrites: u8,
    /// The client has a part of it.
    pub left: bool,
    /// The call to the upstream that brought it, from 0.
    pub leg: u32,
    /// Why clients would read it differently.
    pub unclear: Option<String>,
    pub(super) kind: CallKind,
    pub(super) slot: Slot,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Parts may come. A policy may have denied it already.
    Open { denied: Option<String> },
    /// Nothing more comes; it is not judged.
    Sealed,
    /// Somebody was asked, and has not answered.
    Parked,
    /// It goes to the client.
    Permitted,
    /// It does not; the model is given this as its result.
    Denied(String),
}

/// A part of a call that a frame bears.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Index of the call's stretch.
    pub stretch: usize,
    /// First offset of the arguments in it.
    pub start: u32,
    /// Offset past their last.
    pub end: u32,
    /// How the upstream numbers it.
    pub slot: Slot,
    /// It says an id that was said before.
    pub id_said: bool,
    /// It says a name that was said before.
    pub name_said: bool,
}

/// A part came for a call that is sealed.
#[derive(Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Name of the tool.
    pub name: String,
}

impl Call {
    /// It as the record has it.
    pub fn called(&self) -> Called {
        Called {
            id: self.id.clone(),
            name: self.name.clone(),
            kind: self.kind(),
        }
    }

    /// Who runs the tool. What states no kind is a function: so it was before there were others.
    pub fn kind(&self) -> event::CallKind {
        match self.kind {
            CallKind::Custom => event::CallKind::Custom,
            CallKind::Function | CallKind::Unsaid => event::CallKind::Function,
        }
    }

    pub(super) fn new(part: &CallPart, leg: u32) -> Call {
        Call {
            id: String::new(),
            shown: String::new(),
            name: String::new(),
            rewritten: None,
            rewrites: 0,
            left: false,
            leg,
            unclear: None,
            kind: part.kind,
            slot: part.slot,
            stage: Stage::Open { denied: None },
        }
    }

    /// Parts may still come.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open { .. })
    }

    /// It waits for somebody's answer.
    pub fn is_parked(&self) -> bool {
        self.stage == Stage::Parked
    }

    /// It is whole, and nobody decided about it.
    pub fn is_sealed(&self) -> bool {
        self.stage == Stage::Sealed
    }

    /// It was decided whether it goes to the client.
    pub fn is_judged(&self) -> bool {
        matches!(self.stage, Stage::Permitted | Stage::Denied(_))
    }

    /// Why it does not go to the client.
    pub fn denial(&self) -> Option<&str> {
        match &self.stage {
            Stage::Denied(reason)
            | Stage::Open {
                denied: Some(reason),
            } => Some(reason),
            _ => None,
        }
    }

    /// It is denied, and no more of it can come: nothing waits for it.
    pub fn is_out(&self) -> bool {
        matches!(self.stage, Stage::Denied(_))
    }

    /// No more parts come.
    pub fn seal(&mut self) {
        if let Stage::Open { denied } = &mut self.stage {
            self.stage = denied.take().map_or(Stage::Sealed, Stage::Denied);
        }
    }

    /// It waits for somebody's answer.
    pub fn park(&mut self) {
        if self.stage == Stage::Sealed {
            self.stage = Stage::Parked;
        }
    }

    /// It waits no longer, and is judged anew.
    pub fn resume(&mut self) {
        if self.stage == Stage::Parked {
            self.stage = Stage::Sealed;
        }
    }

    /// It goes to the client, if nobody objected to it. Whether that was decided now.
    pub fn permit(&mut self) -> bool {
        let permits = self.stage == Stage::Sealed;
        if permits {
            self.stage = Stage::Permitted;
        }
        permits
    }

    /// It does not go to the client. One of which the client has a part cannot be denied any more; see `left`.
    pub fn deny(&mut self, reason: String) {
        match &mut self.stage {
            Stage::Open { denied } => *denied = Some(reason),
            stage => *stage = Stage::Denied(reason),
        }
    }

    /// The id under which the client sends its result.
    pub fn client_id(&self) -> &str {
        if self.shown.is_empty() {
            &self.id
        } else {
            &self.shown
        }
    }
}
