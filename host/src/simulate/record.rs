//! What the simulator remembers: requests with their raw bytes, the answers' raw bytes, open generations, prompts.
//!
//! Bounded, so that a long load test does not fill the memory: the oldest go first, and long answers are kept in part
//! (`response_truncated` says so).

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, Method, Uri};
use serde::Serialize;

/// Requests that are kept.
const MAX_REQUESTS: usize = 1_000;
/// Bytes of each answer that are kept.
const MAX_RESPONSE: usize = 1 << 20;
/// Prompts of each model that the simulated cache holds.
const MAX_PROMPTS: usize = 64;

/// Everything remembered.
#[derive(Default)]
pub struct Record {
    next: AtomicU64,
    open: AtomicU64,
    completed: AtomicU64,
    cancelled: AtomicU64,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    requests: VecDeque<Request>,
    prompts: HashMap<String, VecDeque<String>>,
    attempts: HashMap<String, u32>,
}

/// One received request.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// From 1, in order of arrival.
    pub number: u64,
    pub method: String,
    /// Path and query.
    pub path: String,
    /// In order of arrival; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body: String,
    /// The raw body of the answer, as far as it was sent.
    #[serde(serialize_with = "as_text")]
    pub response: Vec<u8>,
    /// Whether `response` lacks its end because it was too long.
    pub response_truncated: bool,
}

fn as_text<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

/// Counts of generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Live {
    /// Under way now.
    pub open: u64,
    /// Came to the end that their script states.
    pub completed: u64,
    /// The client left before.
    pub cancelled: u64,
}

impl Record {
    /// Notes a request and returns its number.
    pub fn received(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        };
        let request = Request {
            number,
            method: method.to_string(),
            path: uri
                .path_and_query()
                .map_or_else(|| uri.path().to_owned(), ToString::to_string),
            headers: headers.iter().map(header).collect(),
            body: String::from_utf8_lossy(body).into_owned(),
            response: Vec::new(),
            response_truncated: false,
        };
        let mut memory = self.memory();
        if memory.requests.len() == MAX_REQUESTS {
            memory.requests.pop_front();
        }
        memory.requests.push_back(request);
        number
    }

    /// The requests that are kept, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.memory().requests.iter().cloned().collect()
    }

    /// Forgets requests, prompts and attempts; the counts of generations stay.
    pub fn forget(&self) {
        *self.memory() = Memory::default();
    }

    /// How many generations are open, completed and cancelled.
    pub fn live(&self) -> Live {
        Live {
            open: self.open.load(Ordering::SeqCst),
            completed: self.completed.load(Ordering::SeqCst),
            cancelled: self.cancelled.load(Ordering::SeqCst),
        }
    }

    /// Counts this attempt at the same messages, from 1.
    pub fn attempt(&self, prompt: &str) -> u32 {
        let mut memory = self.memory();
        let attempts = memory.attempts.entry(prompt.to_owned()).or_default();
        *attempts += 1;
        *attempts
    }

    /// How many leading bytes of this prompt the model has seen, and remembers the prompt.
    pub fn cached_bytes(&self, model: &str, prompt: &str) -> usize {
        let mut memory = self.memory();
        let prompts = memory.prompts.entry(model.to_owned()).or_default();
        let common = |seen: &String| {
            seen.bytes()
                .zip(prompt.bytes())
                .take_while(|(a, b)| a == b)
                .count()
        };
        let cached = prompts.iter().map(common).max().unwrap_or(0);
        if prompts.len() == MAX_PROMPTS {
            prompts.pop_front();
        }
        prompts.push_back(prompt.to_owned());
        cached
    }

    /// Begins a generation.
    pub fn open(self: &Arc<Self>, number: u64) -> Open {
        self.open.fetch_add(1, Ordering::SeqCst);
        Open {
            record: Arc::clone(self),
            number,
            completed: false,
        }
    }

    /// A poisoned lock guards counts and copies, which no panic leaves half-made.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A generation under way. Dropped before `complete`, it counts as cancelled: the server drops a body, or a handler,
/// whose client has left.
pub struct Open {
    record: Arc<Record>,
    number: u64,
    completed: bool,
}

impl Open {
    /// Notes bytes that go out.
    pub fn sent(&self, bytes: &[u8]) {
        let mut memory = self.record.memory();
        // The newest are at the end, and those are the ones being answered.
        let Some(request) = memory
            .requests
            .iter_mut()
            .rev()
            .find(|request| request.number == self.number)
        else {
            return;
        };
        if request.response.len() + bytes.len() > MAX_RESPONSE {
            request.response_truncated = true;
        } else {
            request.response.extend_from_slice(bytes);
        }
    }

    /// The generation came to its end.
    pub fn complete(&mut self) {
        self.completed = true;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let count = if self.completed {
            &self.record.completed
        } else {
            &self.record.cancelled
        };
        count.fetch_add(1, Ordering::SeqCst);
        self.record.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_knows_the_longest_common_beginning_of_a_models_prompts() {
        let record = Record::default();
        assert_eq!(record.cached_bytes("a", "one two"), 0);
        assert_eq!(record.cached_bytes("a", "one three"), 5);
        assert_eq!(record.cached_bytes("b", "one two"), 0);
        assert_eq!(record.cached_bytes("a", "one two three"), 7);
    }

    #[test]
    fn a_generation_that_is_dropped_counts_as_cancelled() {
        let record = Arc::new(Record::default());
        let mut first = record.open(1);
        let second = record.open(2);
        assert_eq!(
            record.live(),
            Live {
                open: 2,
                completed: 0,
                cancelled: 0
            }
        );
        first.complete();
        drop((first, second));
        assert_eq!(
            record.live(),
            Live {
                open: 0,
                completed: 1,
                cancelled: 1
            }
        );
    }
}
