//! The request as it goes upstream: the client's, with what the session keeps and what this exchange ordered.

pub mod changes;
pub mod compose;
pub mod outgoing;
pub mod shape;
mod tell;

use crate::event::Micros;
use crate::observe::tokens::TokenCounter;
use crate::observe::vitals::Vitals;
use crate::session::conversation::Conversation;
use crate::session::facts::Facts;
use crate::session::record::Record;
pub use changes::{Changes, Ordered};

/// The request of one exchange as it goes upstream.
pub struct Prompt {
    /// What was ordered for it.
    pub changes: Changes,
    /// The conversation with this request, until the request may be known.
    draft: Option<Conversation>,
    /// Counts text as its model does.
    pub counter: TokenCounter,
    /// Tokens that fit into its model's prompt and answer, if known.
    window: Option<u32>,
    /// Its tokens, counted.
    pub input_tokens: u32,
}

impl Prompt {
    /// The request as the client sent it. `window` is the size of its model's context in tokens, if known.
    pub fn new(model: &str, window: Option<u32>, draft: Conversation) -> Self {
        Self {
            changes: Changes::default(),
            draft: Some(draft),
            counter: TokenCounter::for_model(model),
            window,
            input_tokens: 0,
        }
    }

    /// Takes up what the session keeps for a request like this one.
    pub fn take_kept(&mut self, facts: &Facts, vitals: &mut Vitals) {
        self.changes.kept = facts.session.state().overlay.concerning(&facts.ids);
        self.recount(facts, vitals);
    }

    /// Tells what was put in since the last request: the others have not judged it yet. `entry_of` gives a policy's index
    /// in the plan.
    pub fn tell_kept(
        &mut self,
        facts: &Facts,
        record: &mut Record,
        entry_of: impl Fn(&str) -> Option<usize>,
        at: Micros,
    ) {
        let made = self.changes.compose(&facts.view, &facts.ids).made;
        let kept = self.changes.kept.iter().zip(made);
        let unjudged: Vec<_> = kept
            .filter(|(_, made)| *made)
            .filter_map(|(kept, _)| Some((kept.number, kept.unjudged.clone()?, kept.edit.clone())))
            .collect();
        for (number, by, edit) in unjudged {
            tell::change(&self.changes, &edit, facts, record, entry_of(&by), at);
            self.changes.told.push(number);
        }
    }

    /// Makes a change that was ordered in this exchange, and tells it to all but its cause.
    pub fn order(
        &mut self,
        ordered: Ordered,
        facts: &Facts,
        record: &mut Record,
        vitals: &mut Vitals,
        (cause, at): (Option<usize>, Micros),
    ) {
        let edit = ordered.edit.clone();
        self.changes.edits.push(ordered);
        tell::change(&self.changes, &edit, facts, record, cause, at);
        self.recount(facts, vitals);
    }

    /// No policy objected to the request: its messages are known from now on, and not told again. Those of a request that
    /// was blocked are: else a client had only to repeat it.
    pub fn take_in(&mut self, facts: &Facts) {
        if let Some(draft) = self.draft.take() {
            facts.session.state().conversation.take_in(draft);
        }
        self.keep(facts, true);
    }

    /// The session keeps what was ordered for it. With `judged` no policy objected to a request that has it; without, it is
    /// judged with the next request.
    pub fn keep(&mut self, facts: &Facts, judged: bool) {
        let mut state = facts.session.state();
        let ordered = self.changes.edits.iter_mut();
        for ordered in ordered.filter(|ordered| ordered.stays) {
            ordered.stays = false;
            let unjudged = (!judged).then(|| ordered.by.clone());
            let kept = state
                .overlay
                .keep(ordered.edit.clone(), unjudged, &facts.ids);
            if let Err(full) = kept {
                tracing::warn!(session = %facts.session.id, by = ordered.by, %full, "a change is not kept");
            }
        }
        if judged {
            for number in self.changes.told.drain(..) {
                state.overlay.judged(number);
            }
        }
    }
}
