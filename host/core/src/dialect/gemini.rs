//! Google's Gemini API, `generateContent`, as Google AI and its clients speak it.
//!
//! Model and form of the answer stand in the path; a stream is asked for as events (`alt=sse`) or, without, comes as the elements
//! of one JSON array. Where text stands: see [`walk`]. Every frame of a stream is a whole response, and nothing but the end
//! of the connection ends one: the finish reasons of its candidates say that it is complete.
//!
//! Fields have two spellings, `camelCase` and the `snake_case` of their protocol buffers, and Google's parser and SDKs read
//! both: see [`fields`].

mod body;
mod calls;
mod contents;
mod counted;
mod edit;
mod fact;
mod fields;
mod function;
mod insert;
mod own;
mod parameters;
mod part;
mod partial;
mod path;
mod portable;
mod quiet;
mod read;
mod reader;
mod request;
mod request_edit;
mod reshape;
mod roles;
mod say;
mod splice;
mod system;
mod text;
mod undecodable;
mod walk;
mod writer;

pub use undecodable::NAME;

/// The dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gemini {
    /// Version of the API that is asked.
    pub version: Version,
    /// Form of the stream that its client reads.
    pub stream: Stream,
}

/// Version of the API, as it stands in its paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `v1`.
    V1,
    /// `v1beta`.
    V1Beta,
}

/// How a stream reaches its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// As Server-Sent Events.
    Events,
    /// As elements of one JSON array.
    Array,
}

static V1: Gemini = Gemini {
    version: Version::V1,
    stream: Stream::Events,
};
static V1_ARRAY: Gemini = Gemini {
    version: Version::V1,
    stream: Stream::Array,
};
/// As upstreams are asked: the newest version, by events.
pub(super) static V1BETA: Gemini = Gemini {
    version: Version::V1Beta,
    stream: Stream::Events,
};
static V1BETA_ARRAY: Gemini = Gemini {
    version: Version::V1Beta,
    stream: Stream::Array,
};

impl Gemini {
    /// It as a client speaks it with this query. What is not streamed has one form.
    pub fn asked(version: Version, query: Option<&str>) -> &'static Self {
        let pairs = query.unwrap_or_default().split('&');
        let events = pairs
            .into_iter()
            .any(|pair| matches!(pair, "alt=sse" | "$alt=sse" | "%24alt=sse"));
        match (version, events) {
            (Version::V1, true) => &V1,
            (Version::V1, false) => &V1_ARRAY,
            (Version::V1Beta, true) => &V1BETA,
            (Version::V1Beta, false) => &V1BETA_ARRAY,
        }
    }
}

#[cfg(test)]
mod tests;
