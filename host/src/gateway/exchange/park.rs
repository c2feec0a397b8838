//! Items that wait for an answer: the request, held text, a tool call, a tool's result; for a person's word or for the
//! answer to a policy's question.
//!
//! Guarantees: a parked item does not move on before its answer, its deadline or the end of the exchange; after the
//! deadline its stated default counts, and is recorded; other items go on. What a person changed is judged by the
//! policies like what the model wrote.

use serde_json::json;

use super::apply::Done;
use super::conduct::{Exchange, Fate};
use crate::act::slots::who;
use crate::contract::types::{self as wit, BlockMode, Checkpoint, EventKind};
use crate::event::clock::now;
use crate::event::digest::Digest;
use crate::event::phase::Phase;
use crate::event::{Channel, Micros, OnTimeout, Outcome};
use crate::people::{self, ApprovalId, New, Subject};
use crate::reason::order::By;

/// An item that waits.
#[derive(Clone, Debug)]
pub(super) struct Parked {
    item: Item,
    /// Who holds it.
    policy: String,
    awaits: Awaits,
    until: Micros,
    on_timeout: OnTimeout,
    /// Of the exact item, for a person's word.
    digest: Digest,
}

/// What waits.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Request,
    Text,
    /// The call with this id.
    Call(String),
    /// The result of the call with this id.
    Result(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    Ticket(u64),
    Person(ApprovalId),
}

impl Exchange {
    /// Whether anything waits for an answer.
    pub(super) fn waits(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Whether held text waits for an answer.
    pub(super) fn text_is_parked(&self) -> bool {
        self.parked.iter().any(|p| p.item == Item::Text)
    }

    /// When the first of the parked items has waited long enough.
    pub(super) fn parked_until(&self) -> Option<Micros> {
        self.parked.iter().map(|p| p.until).min()
    }

    /// Puts an item before people.
    pub(super) fn hold_for_person(&mut self, by: By, hold: &wit::Hold) -> Done {
        let item = match self.item(&hold.item) {
            Ok(item) => item,
            Err(refusal) => return refusal,
        };
        let (subject, digest) = self.subject(&item);
        if self.settled.contains(&digest) {
            return (
                Outcome::Superseded,
                "a person has decided about this very item".to_owned(),
            );
        }
        let policy = who(by, &self.plan);
        let approval = self.app.people.put(New {
            session: self.session.id,
            exchange: self.number,
            policy: policy.clone(),
            subject,
            digest,
            title: hold.title.clone(),
            body: hold.body.clone(),
            context: json!({ "model": self.model, "task": self.view.end_user }),
            deadline_ms: hold.deadline_ms,
            on_timeout: hold.on_timeout.into(),
        });
        let id = approval.id;
        self.park(Parked {
            item,
            policy,
            awaits: Awaits::Person(id),
            until: approval.deadline,
            on_timeout: approval.on_timeout,
            digest,
        });
        self.app.people.ring(id, self.bell.clone());
        (
            Outcome::Applied,
            format!("waits for a person: approval {id}"),
        )
    }

    /// Parks an item until a question of its policy is answered.
    pub(super) fn pending(&mut self, entry: usize, pending: &wit::Pending) -> Done {
        let policy = who(By::Policy(entry), &self.plan);
        if !self.session.mailbox.knows(&policy, pending.ticket) {
            return (
                Outcome::Refused,
                format!("`{policy}` holds no ticket {}", pending.ticket),
            );
        }
        let item = match self.item(&pending.item) {
            Ok(item) => item,
            Err(refusal) => return refusal,
        };
        self.park(Parked {
            item,
            policy,
            awaits: Awaits::Ticket(pending.ticket),
            until: now() + u64::from(pending.deadline_ms) * 1_000,
            on_timeout: pending.on_timeout.into(),
            digest: Digest::default(),
        });
        (Outcome::Applied, String::new())
    }

    fn park(&mut self, parked: Parked) {
        if let Item::Call(id) = &parked.item
            && let Some(call) = self.hold.call(id).and_then(|s| s.call.as_mut())
        {
            call.park();
        }
        self.parked.push(parked);
    }

    /// The item that a policy names, if it can wait now.
    fn item(&mut self, item: &wit::Item) -> Result<Item, Done> {
        let refused = |why: &str| Err((Outcome::Refused, why.to_owned()));
        let too_late = |why: &str| Err((Outcome::TooLate, why.to_owned()));
        match item {
            wit::Item::Request if self.phase != Phase::Request => {
                too_late("the request has already gone upstream")
            }
            wit::Item::Request => Ok(Item::Request),
            wit::Item::ToolResult(_) if self.phase != Phase::Request => {
                too_late("the result has already gone upstream")
            }
            wit::Item::ToolResult(id) if self.result_text(id).is_none() => {
                refused("this request brings no result of that call")
            }
            wit::Item::ToolResult(id) => Ok(Item::Result(id.clone())),
            wit::Item::Text if self.phase != Phase::Generating => {
                refused("there is no generated text to hold")
            }
            wit::Item::Text => Ok(Item::Text),
            wit::Item::ToolCall(id) => match self.hold.call(id).and_then(|s| s.call.as_ref()) {
                None => refused("there is no such tool call in this generation"),
                Some(call) if call.left => too_late("the client has a part of the call"),
                Some(call) if call.denial().is_some() => {
                    Err((Outcome::Superseded, "the call was denied".to_owned()))
                }
                Some(call) if call.is_open() => {
                    refused("the call is not complete: hold it at the tool-call checkpoint")
                }
                Some(_) => Ok(Item::Call(id.clone())),
            },
            wit::Item::Other(name) => Err((
                Outcome::Refused,
                format!(
                    "`{name}` is not an item of contract {}",
                    crate::contract::VERSION
                ),
            )),
        }
    }

    fn subject(&mut self, item: &Item) -> (Subject, Digest) {
        use people::digest;
        match item {
            Item::Request => (Subject::Request, self.body_digest),
            Item::Text => {
                let text: String = self
                    .hold
                    .stretches
                    .iter()
                    .filter(|s| s.place.channel != Channel::ToolArguments)
                    .map(|s| s.seen_from(s.released))
                    .collect();
                let digest = digest::of_text(&text);
                (Subject::Text { text }, digest)
            }
            Item::Call(id) => {
                let stretch = self.hold.call(id);
                let arguments = stretch.as_ref().map(|s| s.seen()).unwrap_or_default();
                let name = stretch
                    .and_then(|s| s.call.as_ref())
                    .map(|call| call.name.clone())
                    .unwrap_or_default();
                let digest = digest::of_tool_call(&name, &arguments);
                (Subject::ToolCall { name, arguments }, digest)
            }
            Item::Result(id) => {
                let (name, text) = self.result_text(id).unwrap_or_default();
                let digest = digest::of_tool_result(&name, &text);
                (Subject::ToolResult { name, text }, digest)
            }
        }
    }

    /// Name and text of a tool's result in this request.
    fn result_text(&self, id: &str) -> Option<(String, String)> {
        let results = self.view.messages.iter().flat_map(|m| &m.tool_results);
        let text = results.rev().find(|r| r.id == id)?.text.clone();
        let calls = self.view.messages.iter().flat_map(|m| &m.tool_calls);
        let name = calls.rev().find(|c| c.id == id).map(|c| c.name.clone());
        Some((name.unwrap_or_default(), text))
    }

    /// Hears what was decided or answered meanwhile, and lets what waited go its way.
    pub(super) fn hear(&mut self) {
        if self.ended {
            return;
        }
        self.hear_answers();
        let at = now();
        let waiting = std::mem::take(&mut self.parked);
        let mut due = Vec::new();
        for parked in waiting {
            let decided = match parked.awaits {
                Awaits::Person(id) => self.app.people.get(id).is_some_and(|a| !a.is_open()),
                Awaits::Ticket(_) => false,
            };
            if decided || parked.until <= at {
                due.push(parked);
            } else {
                self.parked.push(parked);
            }
        }
        for parked in due {
            self.decided(&parked);
        }
    }

    /// Answers to policies' questions: each is told to the policy that asked, and what waited for it goes on unless that
    /// policy says otherwise.
    fn hear_answers(&mut self) {
        let answers = self.session.mailbox.take(&self.bell);
        if answers.is_empty() {
            return;
        }
        let mut answered = Vec::new();
        for answer in answers {
            let Some(entry) = self
                .plan
                .entries
                .iter()
                .position(|g| *g.name == *answer.policy)
            else {
                continue;
            };
            self.log.push_for(
                entry,
                answer.seq,
                answer.at,
                EventKind::Answer,
                answer.detail(),
            );
            if let Some(watcher) = self.watchers.iter_mut().find(|w| w.entry == entry) {
                watcher.woken = true;
            }
            answered.push(Awaits::Ticket(answer.ticket));
        }
        let done: Vec<Parked> = self
            .parked
            .extract_if(.., |parked| answered.contains(&parked.awaits))
            .collect();
        self.checkpoint(Checkpoint::Answer);
        for parked in done {
            self.release(&parked.item);
        }
    }

    /// A person's word, or the deadline's.
    fn decided(&mut self, parked: &Parked) {
        let approval = match parked.awaits {
            Awaits::Person(id) => self.app.people.get(id),
            Awaits::Ticket(_) => None,
        };
        if approval.is_some() {
            self.settled.push(parked.digest);
        }
        let outcome = approval.as_ref().and_then(|a| a.outcome());
        let decision = approval.as_ref().and_then(|a| a.decision());
        let said = decision.map_or_else(
            || "nobody answered in time".to_owned(),
            |d| match d.note.as_str() {
                "" => format!("{} by {}", d.verdict.word(), d.by),
                note => format!("{} by {}: {note}", d.verdict.word(), d.by),
            },
        );
        let blocks = match outcome {
            Some(people::Outcome::Block) => true,
            Some(people::Outcome::Change(text)) => {
                let text = text.to_owned();
                self.edited(&parked.item, &text);
                false
            }
            Some(people::Outcome::Release | people::Outcome::Answer(_)) => false,
            None => parked.on_timeout == OnTimeout::Block,
        };
        let action = match parked.awaits {
            Awaits::Person(_) => "hold-for-person",
            Awaits::Ticket(_) => "pending",
        };
        self.intervened(
            action,
            &parked.policy,
            usize::MAX,
            Outcome::Applied,
            &said,
            json!({ "item": parked.item.name(), "released": !blocks }),
        );
        if blocks {
            self.block(&parked.item, &said);
        } else {
            self.release(&parked.item);
        }
    }

    /// An item goes on, unless somebody else holds it too.
    fn release(&mut self, item: &Item) {
        if self.parked.iter().any(|p| p.item == *item) {
            return;
        }
        let Item::Call(id) = item else { return };
        let index = self
            .hold
            .stretches
            .iter()
            .rposition(|s| s.call.as_ref().is_some_and(|call| call.id == *id));
        let Some(index) = index else { return };
        if let Some(call) = self
            .hold
            .stretches
            .get_mut(index)
            .and_then(|s| s.call.as_mut())
        {
            call.resume();
        }
        self.permit(index);
    }

    fn block(&mut self, item: &Item, said: &str) {
        match item {
            Item::Request | Item::Text => {
                if self.fate.is_none() {
                    self.fate = Some(Fate::Block {
                        mode: BlockMode::Hard,
                        by: String::new(),
                        reason: format!("held for a person: {said}"),
                        fallback: String::new(),
                    });
                }
            }
            Item::Call(id) => {
                let denial = wit::ToolDenial {
                    id: id.clone(),
                    reason: format!("The call was not permitted ({said})."),
                };
                self.deny(&denial);
            }
            Item::Result(id) => {
                let text = format!("The result was withheld ({said}).");
                self.withhold(id, &text);
            }
        }
    }

    /// What a person wrote in place of an item. The policies judge it.
    fn edited(&mut self, item: &Item, text: &str) {
        let by = By::Operator { observed: false };
        match item {
            Item::Call(id) => {
                if let Some(call) = self.hold.call(id).and_then(|s| s.call.as_mut()) {
                    call.resume();
                }
                let rewrite = wit::ToolRewrite {
                    id: id.clone(),
                    arguments: text.to_owned(),
                };
                self.rewrite(by, &rewrite);
                // Who wrote it is not asked about it again; the policies may still deny it.
                let (_, written) = self.subject(item);
                self.settled.push(written);
                self.checkpoint(Checkpoint::ToolCall);
            }
            Item::Result(id) => self.withhold(id, text),
            Item::Request | Item::Text => {}
        }
    }

    /// Gives the model another text as a tool's result, for good.
    fn withhold(&mut self, id: &str, text: &str) {
        let order = wit::ResultSubstitution {
            id: id.to_owned(),
            text: text.to_owned(),
            scope: wit::Scope::Session,
        };
        let by = By::Operator { observed: false };
        let (outcome, reason) = self.substitute_result(by, &order);
        if outcome != Outcome::Applied && self.fate.is_none() {
            self.fate = Some(Fate::Block {
                mode: BlockMode::Hard,
                by: String::new(),
                reason: format!("a tool's result could not be withheld: {reason}"),
                fallback: String::new(),
            });
        }
    }

    /// The client cannot wait any longer. The approval stays: a repetition of the request waits for the same word.
    pub(super) fn unanswered(&mut self, why: &str) {
        let waiting: Vec<String> = self
            .parked
            .iter()
            .map(|p| match p.awaits {
                Awaits::Person(id) => format!("approval {id}"),
                Awaits::Ticket(ticket) => format!("the answer {ticket} to `{}`", p.policy),
            })
            .collect();
        self.parked.clear();
        self.fate = Some(Fate::Unanswered(format!(
            "held, and not decided before {why}: {}. Send the request again to go on waiting{}",
            waiting.join(", "),
            if self.view.streamed {
                ""
            } else {
                ", or ask for a stream"
            },
        )));
    }
}

impl Item {
    fn name(&self) -> String {
        match self {
            Item::Request => "request".to_owned(),
            Item::Text => "text".to_owned(),
            Item::Call(id) => format!("tool-call {id}"),
            Item::Result(id) => format!("tool-result {id}"),
        }
    }
}
