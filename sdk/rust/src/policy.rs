//! The three traits that a policy implements.

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    batch::{Batch, Situation},
    types::{Assessment, Decision, Description, Facts, Subscription},
};

/// What every policy says of itself, and one session of it.
///
/// A session has one value of this type, whether the policy concludes, orders or does both: what
/// [`observe`](Reasoner::observe) remembers, [`decide`](Actuator::decide) finds. What people are to see of it belongs in
/// the findings, which stand on the timeline.
pub trait Policy: Sized + 'static {
    /// Settings, from JSON. Use `#[serde(default, deny_unknown_fields)]`, so that a misspelt setting is refused.
    type Settings: DeserializeOwned;
    /// What the session must remember when it hibernates, is reloaded or moves; `()` for nothing. At most 64 KiB of JSON.
    type State: Serialize + DeserializeOwned + Default;
    /// Number of the format of `State`. Raise it when a changed `State` cannot read what the old one wrote.
    const STATE_SCHEMA: u32 = 1;

    /// What the policy is. Start with [`description!`](crate::description).
    fn describe() -> Description;

    /// What the policy wants under these settings.
    ///
    /// # Errors
    /// Which setting cannot be, and what to do. The host then keeps the generation that serves.
    fn configure(settings: &Self::Settings) -> Result<Subscription, String>;

    /// Begins a session, with the default state, or goes on with one, with the state that was saved.
    ///
    /// # Errors
    /// Why the session cannot be served: a fault of the policy, which the host reports in these words.
    fn start(facts: Facts, settings: Self::Settings, state: Self::State) -> Result<Self, String>;

    /// What to remember, asked after each exchange and before hibernation.
    fn state(&self) -> &Self::State;

    /// Reads the state of an earlier [`STATE_SCHEMA`](Self::STATE_SCHEMA).
    ///
    /// # Errors
    /// If it cannot, as by default; the host then begins the session anew or keeps the old generation for it.
    fn migrate(schema: u32, _saved: &[u8]) -> Result<Self::State, String> {
        Err(format!(
            "state of schema {schema} cannot be read, only of schema {}",
            Self::STATE_SCHEMA
        ))
    }
}

/// Turns events into findings.
pub trait Reasoner: Policy {
    /// Called when one of the subscription's conditions holds. Must depend on nothing but its arguments, the facts and the
    /// state: the host replays it.
    ///
    /// # Errors
    /// Why it cannot judge: a fault of the policy, which the host reports in these words.
    fn observe(&mut self, batch: &Batch) -> Result<Assessment, String>;
}

/// Turns findings into actions.
pub trait Actuator: Policy {
    /// Called with findings of the kinds that the subscription names. The same rule holds as for
    /// [`observe`](Reasoner::observe).
    ///
    /// # Errors
    /// Why it cannot decide: a fault of the policy, which the host reports in these words.
    fn decide(&mut self, situation: &Situation) -> Result<Decision, String>;
}
