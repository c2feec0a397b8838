//! A turn of the model as its server wrote it, kept so that it can be given back.
//!
//! Thinking models demand their own turn again when its calls are answered: reasoning, signatures, encrypted blocks, in fields
//! that each vendor names as it likes. A turn that Airlock built from what it understands would lack them, and is refused.
//! So what is not understood is kept too, and goes back with its values as they came.

use serde_json::{Map, Value};

/// Bytes of frames from which one turn is put together at most. The longest thinking that is known (64,000 tokens, each in a
/// frame of 250 bytes) comes to 16 MB.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// The turn, as far as it has arrived.
#[derive(Clone, Debug, Default)]
pub struct OwnTurn {
    /// The message without its calls.
    pub(super) message: Map<String, Value>,
    /// Its calls, in order.
    pub(super) calls: Vec<OwnCall>,
    bytes: usize,
    lost: bool,
}

/// A call of the turn.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnCall {
    /// Index that its server gave it.
    pub(super) index: Option<u64>,
    /// All its fields but the index.
    pub(super) fields: Map<String, Value>,
}

impl OwnTurn {
    /// Some of it was not seen, or could not be read: what is left of it is not the model's turn.
    pub fn give_up(&mut self) {
        *self = Self {
            lost: true,
            ..Self::default()
        };
    }

    /// Whether this many more bytes may be read into it.
    pub(super) fn takes(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_BYTES {
            self.give_up();
        }
        !self.lost
    }

    /// The message without its calls, as JSON; `None` if it is not known whole.
    pub fn message(&self) -> Option<String> {
        (!self.lost && !self.message.is_empty()).then(|| written(&self.message))
    }

    /// The call of this id, as JSON.
    pub fn call(&self, id: &str) -> Option<String> {
        let call = self.calls.iter().find(|call| call.id() == id)?;
        (!id.is_empty()).then(|| written(&call.fields))
    }
}

impl OwnCall {
    pub(super) fn id(&self) -> &str {
        let id = self.fields.get("id").and_then(Value::as_str);
        id.unwrap_or_default()
    }
}

fn written(fields: &Map<String, Value>) -> String {
    Value::Object(fields.clone()).to_string()
}
