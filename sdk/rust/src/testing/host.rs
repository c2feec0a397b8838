//! What stands in for the host: the imports of the contract, under the names of their interfaces, one memory a thread.

use std::{cell::RefCell, collections::BTreeMap};

use crate::types::Level;

#[derive(Default)]
struct Memory {
    log: Vec<(Level, String)>,
    state: BTreeMap<String, Vec<u8>>,
    content: BTreeMap<u64, String>,
    tickets: u64,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

fn with<R>(f: impl FnOnce(&mut Memory) -> R) -> R {
    MEMORY.with_borrow_mut(f)
}

/// Forgets everything.
pub(crate) fn reset() {
    with(|memory| *memory = Memory::default());
}

/// Serves these texts as content.
pub(crate) fn serve(content: &BTreeMap<u64, String>) {
    with(|memory| memory.content = content.clone());
}

pub(crate) fn logged() -> Vec<(Level, String)> {
    with(|memory| memory.log.clone())
}

pub(crate) mod logging {
    use super::{Level, with};

    pub(crate) fn log(level: Level, message: &str) {
        with(|memory| memory.log.push((level, message.into())));
    }
}

pub(crate) mod state {
    use super::with;
    use crate::{
        host::refusal,
        types::{Refusal, RefusalKind},
    };

    pub(crate) fn recall(key: &str) -> Option<Vec<u8>> {
        with(|memory| memory.state.get(key).cloned())
    }

    pub(crate) fn keep(key: &str, value: Option<&[u8]>) -> Result<(), Refusal> {
        if !(1..=128).contains(&key.len()) {
            return Err(refusal(
                RefusalKind::OverLimit,
                "a key has 1 to 128 bytes".into(),
            ));
        }
        with(|memory| match value {
            Some(value) => drop(memory.state.insert(key.into(), value.into())),
            None => drop(memory.state.remove(key)),
        });
        Ok(())
    }
}

pub(crate) mod content {
    use super::with;
    use crate::{
        host::refusal,
        types::{Refusal, RefusalKind},
    };

    pub(crate) fn read(content: u64, offset: u64, limit: u32) -> Result<Vec<u8>, Refusal> {
        with(|memory| {
            let Some(text) = memory.content.get(&content) else {
                return Err(refusal(
                    RefusalKind::Unknown,
                    format!("there is no content {content}"),
                ));
            };
            let from = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(text.len());
            let rest = &text.as_bytes()[from..];
            Ok(rest[..rest.len().min(limit as usize).min(65_536)].to_vec())
        })
    }
}

pub(crate) mod asking {
    use super::with;
    use crate::types::{Question, Refusal};

    pub(crate) fn ask(
        _target: &str,
        _question: &Question,
        _deadline_ms: u32,
    ) -> Result<u64, Refusal> {
        Ok(with(|memory| {
            memory.tickets += 1;
            memory.tickets
        }))
    }
}
