//! Bounds on what is held of an answer, and what becomes of whoever holds it beyond them.

use super::conduct::{Exchange, Fate};
use crate::contract::types::BlockMode;
use crate::event::Body;
use crate::event::clock::now;
use crate::policy::spec::OnFailure;

/// Bytes of text that wait at most for policies: past this, those that hold it are treated as failed. A megabyte is some
/// 200,000 tokens. While something waits for a person, no more than this is read from the upstream.
const MAX_HELD_BYTES: usize = 1024 * 1024;

/// Bytes of frames that are held at most, whatever for. Each token of a call under way comes in a frame of some 250 bytes,
/// and is held until the call is whole: this is room for 128,000 tokens, more than any model writes at once.
const MAX_HELD_FRAME_BYTES: usize = 32 * 1024 * 1024;

/// Arguments of one call. A large file written by a tool is a megabyte.
const MAX_ARGUMENTS_BYTES: usize = 4 * 1024 * 1024;

/// Time that a frame waits at most, us.
const MAX_HELD_US: u64 = 60_000_000;

impl Exchange {
    /// Whether so much is held, for an answer that somebody else gives, that no more is read from the upstream meanwhile.
    pub(super) fn is_full(&self) -> bool {
        self.waits() && self.hold.bytes() > MAX_HELD_BYTES
    }

    /// What is held is bounded in bytes and time.
    pub(super) fn bound_hold(&mut self) {
        // At its end everything is judged, and leaves or does not.
        if self.judged_response || self.saw_end || self.fate.is_some() {
            return;
        }
        if self.hold.bytes() > MAX_HELD_FRAME_BYTES {
            let what = format!(
                "Airlock holds more than {MAX_HELD_FRAME_BYTES} bytes of it, the most that waits to be judged"
            );
            return self.too_much(what);
        }
        let waits = self
            .hold
            .waiting_since()
            .is_some_and(|since| now().saturating_sub(since) > MAX_HELD_US);
        let late = waits || self.hold.text_bytes() > MAX_HELD_BYTES;
        if late && self.parked.is_empty() {
            self.overdue("held the stream beyond the host's bounds");
        }
    }

    /// Arguments of one call are bounded, since clients, policies and people get them whole.
    pub(super) fn bound_call(&mut self, stretch: usize) {
        let Some(call) = self.hold.stretches.get(stretch) else {
            return;
        };
        if call.text.len() > MAX_ARGUMENTS_BYTES && self.guards() && self.fate.is_none() {
            let name = call.call.as_ref().map_or("", |call| &call.name);
            let what = format!(
                "the arguments of the call of `{name}` are longer than {MAX_ARGUMENTS_BYTES} bytes, the most that Airlock \
                 judges"
            );
            self.too_much(what);
        }
    }

    fn too_much(&mut self, what: String) {
        self.hold.discard();
        self.fate = Some(Fate::Block {
            mode: BlockMode::Hard,
            by: String::new(),
            reason: format!("the upstream's answer cannot be judged: {what}"),
            fallback: String::new(),
        });
    }

    /// Text that a holding policy never released: nothing passes its mark, not even at the end.
    pub(super) fn unreleased_at_end(&mut self) {
        let holds = |w: &crate::reason::watch::Watcher| {
            self.plan.wants.get(w.entry).is_some_and(|wants| {
                self.hold
                    .stretches
                    .iter()
                    .any(|s| w.limit(wants, s.place) < s.text.len() as u32)
            })
        };
        if self.watchers.iter().any(holds) {
            self.overdue("did not release the text that it held");
        }
    }

    /// Policies that hold text and do not judge it are treated as failed.
    fn overdue(&mut self, what: &str) {
        let late: Vec<usize> = self
            .watchers
            .iter()
            .filter(|w| {
                self.plan.entries.get(w.entry).is_some_and(|g| g.enforces())
                    && self.plan.wants.get(w.entry).is_some_and(|wants| {
                        self.hold
                            .stretches
                            .iter()
                            .any(|s| w.limit(wants, s.place) < s.text.len() as u32)
                    })
            })
            .map(|w| w.entry)
            .collect();
        for entry in late {
            let Some(generation) = self.plan.entries.get(entry).cloned() else {
                continue;
            };
            let closed = generation.on_failure == OnFailure::Closed;
            self.session.timeline.append(
                self.number,
                Body::PolicyFault {
                    policy: generation.name.to_string(),
                    generation: generation.number,
                    fault: "overdue".to_owned(),
                    text: what.to_owned(),
                    on_failure: if closed { "closed" } else { "open" }.to_owned(),
                },
            );
            if closed {
                self.fate = Some(Fate::Block {
                    mode: BlockMode::Hard,
                    by: String::new(),
                    reason: format!("the policy `{}` {what}", generation.name),
                    fallback: String::new(),
                });
            } else {
                self.excuse(entry);
            }
        }
    }
}
