//! Long content of exchanges that are under way, for policies that were granted to read it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use airlock_policy::contract::types::ContentRef;
use airlock_policy::services::ContentSource;

/// Most bytes that one read returns: bounds what a guest can make the host copy at once.
const MAX_READ: usize = 65_536;

/// Content of one session by id.
#[derive(Debug, Default)]
pub struct Contents {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    next: u64,
    by_id: HashMap<u64, (u32, Arc<str>)>,
}

impl Contents {
    /// Keeps a text until its exchange ends.
    pub fn keep(&self, exchange: u32, text: &str) -> ContentRef {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.next += 1;
        let id = kept.next;
        kept.by_id.insert(id, (exchange, text.into()));
        ContentRef {
            content: id,
            length: text.len() as u64,
        }
    }

    /// The whole text, for the host itself.
    pub fn whole(&self, id: u64) -> Option<Arc<str>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_id.get(&id).map(|(_, text)| Arc::clone(text))
    }

    /// The exchange ended.
    pub fn forget(&self, exchange: u32) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_id.retain(|_, (of, _)| *of != exchange);
    }
}

impl ContentSource for Contents {
    fn read(&self, id: u64, offset: u64, len: u32) -> Option<Vec<u8>> {
        let text = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&kept.by_id.get(&id)?.1)
        };
        let start = usize::try_from(offset).ok()?.min(text.len());
        let end = start
            .saturating_add((len as usize).min(MAX_READ))
            .min(text.len());
        text.as_bytes().get(start..end).map(<[u8]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_are_bounded_and_end_with_the_exchange() {
        let contents = Contents::default();
        let long = "x".repeat(100_000);
        let content = contents.keep(1, &long);
        assert_eq!(content.length, 100_000);
        assert_eq!(
            contents.read(content.content, 0, u32::MAX).unwrap().len(),
            MAX_READ
        );
        assert_eq!(contents.read(content.content, 99_999, 10).unwrap(), b"x");
        assert_eq!(contents.read(content.content, u64::MAX, 10).unwrap(), b"");
        assert_eq!(contents.read(content.content + 1, 0, 1), None);
        contents.forget(1);
        assert_eq!(contents.read(content.content, 0, 1), None);
    }
}
