//! What changes in a session from exchange to exchange, and how it outlives the process.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::row::from_row;
use crate::event::Micros;
use crate::event::clock::now;
use crate::event::digest::{Digest, DigestMap};
use crate::observe::health::Track;
use crate::observe::tools::Tools;
use crate::session::circuits::Circuits;
use crate::session::conversation::Conversation;
use crate::session::mailbox::SavedMailbox;
use crate::session::overlay::Overlay;
use crate::store::SavedSession;
use airlock_policy::services::SavedState;

/// How long a request can be recognised as a repetition of an earlier one: beyond the longest wait of the vendors' SDKs
/// (120 s) and the time of an attempt.
const RETRY_WINDOW_US: u64 = 15 * 60 * 1_000_000;

/// The changing part of a session.
#[derive(Debug, Default)]
pub struct State {
    /// What the client told.
    pub conversation: Conversation,
    /// Tool calls and results.
    pub tools: Tools,
    /// How the tool has been doing whose result is the newest.
    pub newest_tool: Option<Arc<Track>>,
    /// What policies changed for the rest of the session.
    pub overlay: Overlay,
    /// Tools that are not called for a while.
    pub circuits: Circuits,
    /// Thresholds that were crossed, by policy.
    pub fired: HashMap<Arc<str>, Vec<bool>>,
    /// Exchanges that are under way.
    pub open: u32,
    /// When the last exchange began or ended.
    pub last_seen: Micros,
    pub(super) opened: Micros,
    pub(super) exchanges: u32,
    pub(super) busy: u64,
    pub(super) retries: u32,
    recent: Vec<Recent>,
    pub(super) saved_seats: HashMap<String, SavedState>,
    /// Tokens of messages in a prompt.
    pub(super) counted: DigestMap<u32>,
}

/// A request that a client may repeat.
#[derive(Clone, Debug)]
struct Recent {
    body: Digest,
    exchange: u32,
    at: Micros,
    /// The client's number of the last repetition that was taken for this exchange.
    retry: u32,
    /// It is under way.
    open: bool,
    /// Its connection was cut by a policy: a repetition is cut too, without another generation.
    cut: bool,
}

/// What outlives the process, opaque to the store.
#[derive(Serialize, Deserialize)]
struct Saved<'a> {
    conversation: Cow<'a, Conversation>,
    tools: Cow<'a, Tools>,
    overlay: Cow<'a, Overlay>,
    #[serde(default)]
    fired: HashMap<String, Vec<bool>>,
    #[serde(default)]
    circuits: Cow<'a, Circuits>,
    opened: Micros,
    busy: u64,
    retries: u32,
    #[serde(default)]
    mailbox: SavedMailbox,
}

impl State {
    /// Of a session that was opened then, and is seen now.
    pub(super) fn new(opened: Micros) -> Self {
        Self {
            opened,
            last_seen: now(),
            ..Self::default()
        }
    }

    /// Begins an exchange: its number, and how often the client sent this same request before. A repetition attaches to
    /// the exchange that it repeats, once that is over, and each number once: an exchange has one account, and a mark that any
    /// client can write must not let twenty calls share it.
    pub fn begin(&mut self, body: Digest, retry_of_client: u32, at: Micros) -> (u32, u32) {
        self.last_seen = at;
        self.open += 1;
        self.recent.retain(|r| r.at + RETRY_WINDOW_US > at);
        let repeated = |r: &&mut Recent| r.body == body && !r.open && r.retry < retry_of_client;
        if let Some(recent) = self.recent.iter_mut().find(repeated) {
            (recent.at, recent.retry, recent.open) = (at, retry_of_client, true);
            self.retries += 1;
            return (recent.exchange, retry_of_client);
        }
        self.exchanges += 1;
        let exchange = self.exchanges;
        self.recent.push(Recent {
            body,
            exchange,
            at,
            retry: retry_of_client,
            open: true,
            cut: false,
        });
        (exchange, 0)
    }

    /// The connection of an exchange was cut. SDKs repeat what ends so.
    pub fn cut(&mut self, exchange: u32) {
        let mut recent = self.recent.iter_mut();
        if let Some(recent) = recent.find(|r| r.exchange == exchange) {
            recent.cut = true;
        }
    }

    /// Whether the connection of an exchange was cut.
    pub fn was_cut(&self, exchange: u32) -> bool {
        self.recent.iter().any(|r| r.exchange == exchange && r.cut)
    }

    /// An exchange is over: a repetition of its request may attach to it.
    pub(super) fn ended(&mut self, exchange: u32) {
        let mut recent = self.recent.iter_mut();
        if let Some(recent) = recent.find(|r| r.exchange == exchange) {
            recent.open = false;
        }
    }

    /// Airlock itself repeats a call.
    pub fn retried(&mut self) {
        self.retries += 1;
    }

    pub(super) fn save(&self, mailbox: SavedMailbox) -> Vec<u8> {
        let saved = Saved {
            conversation: Cow::Borrowed(&self.conversation),
            tools: Cow::Borrowed(&self.tools),
            overlay: Cow::Borrowed(&self.overlay),
            fired: self
                .fired
                .iter()
                .map(|(policy, fired)| (policy.to_string(), fired.clone()))
                .collect(),
            circuits: Cow::Borrowed(&self.circuits),
            opened: self.opened,
            busy: self.busy,
            retries: self.retries,
            mailbox,
        };
        serde_json::to_vec(&saved).unwrap_or_default()
    }

    pub(super) fn resume(&mut self, saved: &SavedSession) -> SavedMailbox {
        self.exchanges = saved.row.counters.exchanges;
        self.saved_seats = saved
            .seats
            .iter()
            .map(|seat| (seat.policy.clone(), from_row(seat)))
            .collect();
        let Some(bytes) = &saved.state else {
            return SavedMailbox::default();
        };
        match serde_json::from_slice::<Saved<'_>>(bytes) {
            Ok(state) => {
                self.conversation = state.conversation.into_owned();
                self.tools = state.tools.into_owned();
                self.overlay = state.overlay.into_owned();
                self.fired = state
                    .fired
                    .into_iter()
                    .map(|(policy, fired)| (policy.into(), fired))
                    .collect();
                self.circuits = state.circuits.into_owned();
                self.busy = state.busy;
                self.retries = state.retries;
                state.mailbox
            }
            Err(error) => {
                tracing::error!(session = %saved.row.id, %error, "saved state is unreadable: the session begins anew");
                SavedMailbox::default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_clients_retry_attaches_to_its_exchange() {
        let mut state = State::default();
        assert_eq!(state.begin([1; 16], 0, 10), (1, 0));
        assert_eq!(state.begin([2; 16], 0, 20), (2, 0));
        state.ended(1);
        assert_eq!(state.begin([1; 16], 1, 30), (1, 1));
        // The same words without the SDK's mark are a new call.
        assert_eq!(state.begin([1; 16], 0, 40), (3, 0));
        assert_eq!(state.begin([9; 16], 1, 50), (4, 0));
        state.ended(1);
        assert_eq!(state.begin([1; 16], 2, 60), (1, 2));
    }

    #[test]
    fn a_retry_mark_shares_no_account_with_a_call_under_way_nor_twice() {
        let mut state = State::default();
        assert_eq!(state.begin([1; 16], 0, 10), (1, 0));
        // Under way: copies are calls of their own, whatever number they state.
        assert_eq!(state.begin([1; 16], 1, 20), (2, 0));
        assert_eq!(state.begin([1; 16], u32::MAX, 30), (3, 0));
        state.ended(1);
        assert_eq!(state.begin([1; 16], 1, 40), (1, 1));
        assert_eq!(state.begin([1; 16], 1, 50), (4, 0));
        state.ended(1);
        // The number was taken.
        assert_eq!(state.begin([1; 16], 1, 60), (5, 0));
    }
}
