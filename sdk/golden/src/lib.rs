//! Golden cases of a policy: given settings and events, what it must find and order.
//!
//! A policy keeps them in `golden/*.json`, one case a file. They run natively as a unit test of the policy
//! (`airlock_sdk::testing`), and through Wasm by `airlock policy test` and by the host, which rehearses each new
//! generation with them before it serves: the build embeds them in the component, as [`SECTION`].
//!
//! ```json
//! {
//!   "name": "blocks a forbidden word",
//!   "settings": { "patterns": [{ "text": "swordfish" }] },
//!   "calls": [{
//!     "checkpoint": "stream",
//!     "events": [{ "kind": "text", "channel": "output", "text": "it is swordfish" }],
//!     "matches": [{ "pattern": 0, "span": { "place": { "channel": "output" }, "offset": 6, "length": 9 } }],
//!     "expect": {
//!       "findings": [{
//!         "kind": "blocklist.match",
//!         "severity": "high",
//!         "subject": { "text": { "place": { "channel": "output" }, "offset": 6, "length": 9 } }
//!       }],
//!       "actions": [{ "block": { "mode": "hard" } }]
//!     }
//!   }]
//! }
//! ```
//!
//! Words are those of the contract, in the JSON form of [`wit_json`]; only events, which the contract passes as numbers, are
//! objects here ([`EventCase`]). What is left out of an input is zero, empty, or the first case of its enum; what is left
//! out of an expected record is not compared, but a *list* that is left out of `expect` must be empty. Findings reach the
//! actuator of the same policy as the host would bring them.

mod case;
mod run;
pub mod wit_json;
mod words;

pub use case::{Call, Case, EventCase, Expect};
pub use run::{Failure, Subject, run};
pub use words::{CHANNELS, EVENT_KINDS};

/// Name of the component's custom section that holds the golden cases: a JSON array of [`Case`].
pub const SECTION: &str = "airlock:golden";
