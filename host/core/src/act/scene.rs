//! In what an order is carried out, and what came of it.

use super::slots::who;
use crate::event::phase::Phase;
use crate::event::{Micros, Outcome};
use crate::observe::vitals::Vitals;
use crate::reason::order::By;
use crate::reason::panel::Panel;
use crate::session::facts::Facts;
use crate::session::record::Record;

/// What became of an order, and why.
pub type Done = (Outcome, String);

/// What every order is carried out in.
pub struct Scene<'a> {
    /// What is settled of the exchange.
    pub facts: &'a Facts,
    /// What it has seen so far.
    pub record: &'a mut Record,
    /// Who judges it.
    pub panel: &'a mut Panel,
    /// What is measured of it.
    pub vitals: &'a mut Vitals,
    /// How far it has come.
    pub phase: Phase,
    /// Who ordered.
    pub by: By,
    /// When.
    pub now: Micros,
}

impl Scene<'_> {
    /// Who ordered it, for people.
    pub fn who(&self) -> String {
        who(self.by, &self.panel.plan)
    }

    /// The policy that is not told of what it caused itself.
    pub fn cause(&self) -> Option<usize> {
        match self.by {
            By::Policy(entry) => Some(entry),
            _ => None,
        }
    }
}

/// It was done.
pub fn done() -> Done {
    (Outcome::Applied, String::new())
}

/// It was not done.
pub fn refused(reason: impl Into<String>) -> Done {
    (Outcome::Refused, reason.into())
}
