//! What is to be done next for an exchange, and what its driver tells of it.

use bytes::Bytes;

use crate::dialect::{ClientError, Failure};
use crate::event::Micros;
use crate::event::target::{Foreign, Target};
use crate::observe::prices::Prices;

/// What is to be done next.
#[derive(Debug)]
pub enum Next {
    /// Something is taken from the session's ledger; then `took`.
    Take(Take),
    /// An upstream is asked; then `attempts`, and `answered`, `refused` or `unreached`.
    Send(Leg),
    /// The next bytes of the answer are waited for, or the bell, or that moment; then `chunk`, `ended` or `broke`, or `woke`.
    Read {
        /// When it has to be woken though nothing comes.
        until: Option<Micros>,
    },
    /// Nothing is read: what was sent is waited for, the bell, or that moment.
    Wait {
        /// When it has to be woken though nothing comes.
        until: Option<Micros>,
        /// It is held for somebody's answer.
        held: bool,
    },
    /// The client is given these bytes.
    Give(Bytes),
    /// Nothing more comes.
    End(Ending),
}

/// What is taken from the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// The prompts of all legs, in tokens, at these prices.
    Prompt(u64, Prices),
    /// More tokens of output.
    Output(u64),
}

/// A call to an upstream within an exchange.
#[derive(Debug)]
pub struct Leg {
    /// Where it may go, the best first, with the body for each.
    pub targets: Vec<(Target, Body)>,
}

/// The body of a leg for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Path under the upstream's base URL.
    pub path: String,
    /// What is sent.
    pub bytes: Bytes,
    /// What is sent if the upstream refuses the call because it was asked for the usage of its stream.
    pub plain: Option<Bytes>,
    /// Its wire API, where it is not the client's: headers of the client's vendor then do not go along.
    pub foreign: Option<Foreign>,
    /// What of the client's request is left behind there.
    pub left: Vec<String>,
}

/// An attempt at a leg that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// Where it went.
    pub target: Target,
    /// What failed.
    pub failure: Failure,
    /// Whether that says something about the upstream, and not about the request or the configuration.
    pub is_its_own: bool,
}

/// How it ends.
#[derive(Debug, PartialEq)]
pub enum Ending {
    /// The client has all that it gets.
    Done,
    /// The connection is cut without a word.
    Cut,
    /// A response of Airlock's own, to a client that has nothing, not even a head.
    Reply(Reply),
    /// The client gets why no upstream gave an answer: what came of asking, with this body if an upstream sent one.
    Unreached(Option<Bytes>),
}

/// A response to a client that has nothing.
#[derive(Debug, PartialEq)]
pub enum Reply {
    /// Its SDK raises.
    Error(ClientError),
    /// An answer that is not streamed; with the status of the upstream's answer, unless another is stated.
    Whole(Bytes, Option<u16>),
    /// All of a stream.
    Stream(Bytes),
}
