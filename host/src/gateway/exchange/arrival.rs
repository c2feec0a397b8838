//! What is settled before an exchange begins: who calls, what the request declares, and whether there is room for it.

use axum::body::Body;
use http::{HeaderMap, Response, StatusCode};

use super::conclude::{Form, error_response};
use super::deadline::expired;
use super::{DIALECT, refuse};
use crate::dialect::RequestView;
use crate::event::clock::now;
use crate::event::{FailureKind, Micros};
use crate::gateway::admission::{self, Permit};
use crate::gateway::declared::{self, Declared};
use crate::gateway::identity::{Caller, identify, unauthorized};
use crate::gateway::settings::Settings;
use crate::session::ledger::Limits;

/// A request of which the headers were read.
pub(super) struct Arrival {
    /// Who calls.
    pub caller: Caller,
    /// What the request says about itself.
    pub declared: Declared,
    /// When it must be over.
    pub deadline: Option<Micros>,
}

impl Arrival {
    /// Reads the headers, and takes Airlock's own key out of them.
    ///
    /// # Errors
    /// The answer to a caller without a key, or to a declaration that makes no sense.
    pub fn read(settings: &Settings, headers: &mut HeaderMap) -> Result<Self, Box<Response<Body>>> {
        let at = now();
        let caller = identify(&settings.config.keys, headers).map_err(|_| unauthorized())?;
        let declared = declared::read(headers).map_err(|malformed| {
            refuse(
                StatusCode::BAD_REQUEST,
                FailureKind::Other,
                "airlock_declared",
                malformed.to_string(),
            )
        })?;
        Ok(Self {
            caller,
            deadline: declared.deadline.map(|d| at + d.as_micros() as Micros),
            declared,
        })
    }

    /// Lets the call in, or keeps it waiting as long as the limits and its own deadline allow.
    ///
    /// # Errors
    /// The answer to a call for which there is no room, or no time.
    pub async fn admit(
        &self,
        settings: &Settings,
        view: &RequestView,
    ) -> Result<Permit, Box<Response<Body>>> {
        tokio::select! {
            biased;
            admitted = admission::admit(settings, &self.caller, admission::estimate(view)) => {
                admitted.map_err(|full| Box::new(admission::refused(&full)))
            }
            () = super::until(self.deadline) => Err(Box::new(error_response(&DIALECT, &expired(), Form::Error))),
        }
    }

    /// What the request allows its whole session.
    pub fn allocation(&self) -> Limits {
        Limits {
            tokens: self.declared.max_tokens,
            cost: None,
        }
    }
}
