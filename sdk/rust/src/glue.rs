//! Carries calls of the host to a policy's traits. Used by the export macros only.

use std::{cell::RefCell, marker::PhantomData, sync::Once};

pub use crate::bindings::{policy::exports::airlock::policy as exports, types};
use crate::{
    Actuator, Batch, Policy, Reasoner, Situation,
    bindings::policy::{
        airlock::policy::{actions, events},
        exports::airlock::policy::{about, acting, reasoning, sessions},
    },
    host,
    types::{Assessment, Decision, Description, Facts, Level, Subscription},
};

/// A component that exports `T`.
pub struct Component<T>(PhantomData<T>);

/// One session of `T`, for all that `T` is. The host never enters a session twice at once, so the cell is never borrowed
/// twice.
pub struct Session<T>(RefCell<T>);

impl<T: Policy> about::Guest for Component<T> {
    fn describe() -> Result<Description, String> {
        report_panics();
        Ok(describe::<T>())
    }

    fn configure(settings: String) -> Result<Subscription, String> {
        report_panics();
        configure::<T>(&settings)
    }
}

impl<T: Policy> sessions::Guest for Component<T> {
    type Session = Session<T>;
}

impl<T: Policy> sessions::GuestSession for Session<T> {
    fn start(facts: Facts, settings: String) -> Result<sessions::Session, String> {
        Ok(sessions::Session::new(Self::new(facts, &settings, None)?))
    }

    fn restore(
        facts: Facts,
        settings: String,
        schema: u32,
        saved: Vec<u8>,
    ) -> Result<sessions::Session, String> {
        Ok(sessions::Session::new(Self::new(
            facts,
            &settings,
            Some((schema, &saved)),
        )?))
    }

    fn save(&self) -> Result<Vec<u8>, String> {
        save(&*self.0.borrow())
    }
}

impl<T: Reasoner> reasoning::Guest for Component<T> {
    fn observe(
        session: reasoning::SessionBorrow<'_>,
        batch: events::Batch,
    ) -> Result<Assessment, String> {
        let session = session.get::<Session<T>>();
        session.0.borrow_mut().observe(&Batch::new(batch))
    }
}

impl<T: Actuator> acting::Guest for Component<T> {
    fn decide(
        session: acting::SessionBorrow<'_>,
        situation: actions::Situation,
    ) -> Result<Decision, String> {
        let session = session.get::<Session<T>>();
        session.0.borrow_mut().decide(&Situation::new(situation))
    }
}

impl<T: Policy> Session<T> {
    fn new(facts: Facts, settings: &str, saved: Option<(u32, &[u8])>) -> Result<Self, String> {
        report_panics();
        Ok(Self(RefCell::new(start(facts, settings, saved)?)))
    }
}

pub(crate) fn describe<T: Policy>() -> Description {
    Description {
        state_schema: T::STATE_SCHEMA,
        ..T::describe()
    }
}

pub(crate) fn configure<T: Policy>(settings: &str) -> Result<Subscription, String> {
    T::configure(&parse::<T>(settings)?)
}

pub(crate) fn start<T: Policy>(
    facts: Facts,
    settings: &str,
    saved: Option<(u32, &[u8])>,
) -> Result<T, String> {
    let state = match saved {
        // Nothing was worth saving: a policy without memory, or one that had none yet.
        None | Some((_, [])) => T::State::default(),
        Some((schema, bytes)) if schema == T::STATE_SCHEMA => serde_json::from_slice(bytes)
            .map_err(|error| format!("saved state cannot be read: {error}"))?,
        Some((schema, bytes)) => T::migrate(schema, bytes)?,
    };
    T::start(facts, parse::<T>(settings)?, state)
}

pub(crate) fn save<T: Policy>(policy: &T) -> Result<Vec<u8>, String> {
    let bytes = serde_json::to_vec(policy.state())
        .map_err(|error| format!("state cannot be saved: {error}"))?;
    // `()` is `null` in JSON; the contract's word for no memory is no bytes.
    Ok(if bytes == b"null" { Vec::new() } else { bytes })
}

fn parse<T: Policy>(settings: &str) -> Result<T::Settings, String> {
    let settings = if settings.trim().is_empty() {
        "{}"
    } else {
        settings
    };
    serde_json::from_str(settings).map_err(|error| error.to_string())
}

/// A panic becomes a trap, which has no words: so they go to the log first.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| host::log(Level::Error, panic.to_string())))
    });
}

/// Compiles if `T` is a reasoner.
pub fn is_reasoner<T: Reasoner>() {}

/// Compiles if `T` is an actuator.
pub fn is_actuator<T: Actuator>() {}
