//! What the client was given, whatever the ending: by it the conversation is recognised when it goes on, and the denied calls
//! of the turn find their place in it.

use super::conduct::Exchange;
use super::hold::Stretch;
use crate::dialect::{MessageView, ToolCallView};
use crate::event::digest::Digest;
use crate::event::marks::{Given, Words};
use crate::event::{Channel, Role, Status};

impl Exchange {
    /// Keeps what the next request of the conversation is recognised by.
    pub(super) fn remember(&mut self, status: Status) {
        let turn = self.turn_given(status);
        let given = Given {
            words: Words::of(&turn.text),
            whole: status == Status::Complete,
            calls: turn
                .tool_calls
                .iter()
                .map(|call| call.id.clone())
                .filter(|id| !id.is_empty())
                .collect(),
        };
        if !(turn.text.is_empty() && turn.tool_calls.is_empty()) {
            let message = self.session.state().conversation.answered(turn.digest());
            self.restore_denied(message);
        }
        self.app
            .sessions
            .remember(&self.session.key, &self.digests, &given, self.weak);
    }

    /// The turn as the client has it, and will send it back.
    fn turn_given(&self, status: Status) -> MessageView {
        // Of an answer that is not streamed the client has all or nothing.
        let has_all = matches!(status, Status::Complete | Status::Partial);
        let stretches = self.hold.stretches.iter().filter(|s| s.place.choice == 0);
        let (text, tool_calls) = match &self.given {
            Some(text) => (text.clone(), Vec::new()),
            None if !self.view.streamed && !has_all => (String::new(), Vec::new()),
            None => (
                stretches
                    .clone()
                    .filter(|s| s.place.channel == Channel::Output)
                    .map(|s| {
                        if self.view.streamed {
                            s.seen_to(s.released)
                        } else {
                            s.seen()
                        }
                    })
                    .collect::<String>()
                    + &self.epilogue,
                stretches
                    .filter_map(|s| call_given(s, self.view.streamed))
                    .collect(),
            ),
        };
        MessageView {
            role: Role::Assistant,
            text,
            tool_calls,
            tool_results: Vec::new(),
            name: None,
            has_media: false,
            span: 0..0,
            media_digest: Digest::default(),
        }
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
