//! What the client was given, whatever the ending: by it the conversation is recognised when it goes on.

use super::Release;
use super::stretch::Stretch;
use crate::dialect::{MessageView, ToolCallView};
use crate::event::digest::Digest;
use crate::event::{Channel, Role, Status};
use crate::observe::tokens::TokenCounter;

impl Release {
    /// The turn as the client has it, and will send it back.
    pub fn turn_given(&self, streamed: bool, status: Status) -> MessageView {
        // Of an answer that is not streamed the client has all or nothing.
        let has_all = matches!(status, Status::Complete | Status::Partial);
        let stretches = self.hold.stretches.iter().filter(|s| s.place.choice == 0);
        let (text, tool_calls) = match &self.given {
            Some(text) => (text.clone(), Vec::new()),
            None if !streamed && !has_all => (String::new(), Vec::new()),
            None => {
                let said = stretches
                    .clone()
                    .filter(|s| s.place.channel == Channel::Output);
                let seen = |s: &Stretch| match streamed {
                    true => s.seen_to(s.released),
                    false => s.seen(),
                };
                let text = said.map(seen).collect::<String>() + &self.epilogue;
                let calls = stretches.filter_map(|s| call_given(s, streamed)).collect();
                (text, calls)
            }
        };
        MessageView {
            role: Role::Assistant,
            text,
            tool_calls,
            tool_results: Vec::new(),
            name: None,
            media: Vec::new(),
            span: 0..0,
            media_digest: Digest::default(),
        }
    }

    /// Tokens of what the model generated in the present leg, by another counter.
    pub fn recounted(&self, by: &TokenCounter) -> u32 {
        let stretches = self.hold.stretches.iter();
        stretches.map(|stretch| stretch.recounted(by)).sum()
    }

    /// Tokens of such a turn, where all of it was counted as it came.
    pub fn tokens_of(&self, turn: &MessageView) -> Option<u32> {
        let stretches = self.hold.stretches.iter();
        let mut said =
            stretches.filter(|s| s.place.choice == 0 && s.place.channel == Channel::Output);
        let (only, more) = (said.next()?, said.next());
        let is_it = more.is_none() && turn.tool_calls.is_empty() && only.text == turn.text;
        only.counted().filter(|_| is_it)
    }
}

/// A call as the client has it, unless it never got it.
fn call_given(stretch: &Stretch, streamed: bool) -> Option<ToolCallView> {
    let call = stretch.call.as_ref()?;
    let has = call.denial().is_none() && (call.left || !streamed);
    has.then(|| ToolCallView {
        id: call.shown.clone(),
        name: call.name.clone(),
        arguments: stretch.seen(),
        ..ToolCallView::default()
    })
}
