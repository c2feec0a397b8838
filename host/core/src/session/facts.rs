//! What is settled of one exchange when it begins, and never changed.

use std::sync::Arc;

use crate::dialect::{Dialect, RequestView};
use crate::event::Micros;
use crate::event::declared::Declared;
use crate::event::digest::Digest;
use crate::session::state::Session;

/// What is settled when an exchange begins.
pub struct Facts {
    /// The session that it belongs to.
    pub session: Arc<Session>,
    /// Its number in the session.
    pub number: u32,
    /// How often its client has sent this request before.
    pub retry: u32,
    /// When it began.
    pub started: Micros,
    /// The request as the client sent it.
    pub view: RequestView,
    /// Digest of each message of the request, in order.
    pub digests: Vec<Digest>,
    /// Identity of each message of the request, in order.
    pub ids: Vec<u64>,
    /// Digest of the request's body, by which a repetition is recognised.
    pub body: Digest,
    /// What the request says about itself.
    pub declared: Declared,
    /// What only correlates its calls with others.
    pub weak: Option<Digest>,
    /// The wire API that the client speaks.
    pub client: &'static dyn Dialect,
}

impl Facts {
    /// Session and exchange, for `x-airlock-exchange`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.session.id, self.number)
    }

    /// Choices that were asked for, at least one.
    pub fn choices(&self) -> u16 {
        self.view.choices.max(1)
    }
}
