//! Tells an agent that it repeats itself, and stops it if it goes on.
//!
//! First a message in the next request, which names the repetition; only then, and only if the agent goes on all the same,
//! the end: some runs come out of a repetition by themselves, and succeed (measured: see README).

mod fingerprint;
mod tail;

use airlock_sdk::{export_policy, prelude::*};

use crate::{
    fingerprint::Fingerprint,
    tail::{Repetition, Settings, Step, Tail},
};

const REPEATED: &str = "loop.repeated";
const STUCK: &str = "loop.stuck";

/// Longest arguments and results that are compared as a whole, in bytes; of longer ones, the first 4,096 and the length.
const MAX_COMPARED: u32 = 262_144;

struct Loop {
    settings: Settings,
    state: State,
}

#[derive(Default, Serialize, Deserialize)]
struct State {
    tail: Tail,
    /// The exchange in which a tool was called last: its text is not a turn of its own.
    called_in: u32,
    /// The latest exchange whose messages were taken in.
    exchange: u32,
    /// What the user said last.
    asked: Option<u64>,
}

impl Policy for Loop {
    type Settings = Settings;
    type State = State;

    fn describe() -> Description {
        airlock_sdk::description!()
            .settings_schema(include_str!("../settings.schema.json"))
            .action("inject")
            .action("stop")
            .addresses("owasp-llm:2026/LLM06")
    }

    fn configure(settings: &Settings) -> Result<Subscription, String> {
        settings.check()?;
        let subscription = Subscription::new()
            .wake_on(EventKind::ToolResult)
            .wake_on(EventKind::Request)
            .wake_on(EventKind::ToolCall)
            .sees(EventKind::Message)
            .sees(EventKind::Request)
            .sees(EventKind::ToolCall)
            .sees(EventKind::ToolResult)
            .finding(REPEATED)
            .finding(STUCK);
        Ok(if settings.texts {
            subscription
                .wake_on(EventKind::ResponseEnd)
                .sees(EventKind::ResponseEnd)
                .sees(EventKind::Text)
        } else {
            subscription
        })
    }

    fn start(_: Facts, settings: Settings, state: State) -> Result<Self, String> {
        Ok(Self { settings, state })
    }

    fn state(&self) -> &State {
        &self.state
    }
}

impl Loop {
    fn take(&mut self, batch: &Batch) {
        // All that the client sent is in an exchange's first batch. Messages that come later are those of policies.
        let from_client = batch.exchange() > self.state.exchange;
        self.state.exchange = self.state.exchange.max(batch.exchange());
        let mut text = String::new();
        for event in batch.events() {
            match event.detail {
                Some(Detail::Message(message)) if from_client && message.role == Role::User => {
                    let asked = Some(whole(&message.content, event.text, Fingerprint::of_text));
                    // Who is told something new may well do the same again.
                    if self.state.asked != asked {
                        self.state.asked = asked;
                        self.state.tail.clear();
                    }
                }
                Some(Detail::ToolCall(call)) => {
                    self.state.called_in = batch.exchange();
                    if !self.settings.ignores(&call.name) {
                        self.state.tail.push(Step {
                            act: whole(&call.content, event.text, |arguments| {
                                Fingerprint::of_call(&call.name, arguments)
                            }),
                            result: None,
                            tool: call.name.clone(),
                            call: call.call.clone(),
                        });
                    }
                }
                Some(Detail::ToolResult(result)) => {
                    let of = whole(&result.content, event.text, Fingerprint::of_text);
                    self.state.tail.result(&result.call, of);
                }
                // A turn without a call wakes only at its end, so its text is here as a whole.
                Some(Detail::Response(_))
                    if self.state.called_in != batch.exchange() && !text.trim().is_empty() =>
                {
                    self.state.tail.push(Step {
                        act: Fingerprint::of_text(&text),
                        result: None,
                        tool: String::new(),
                        call: String::new(),
                    });
                }
                _ if event.place.channel == Channel::Output && event.place.choice == 0 => {
                    text.push_str(event.text)
                }
                _ => {}
            }
        }
    }
}

/// The fingerprint of all of a text, of which the event has the beginning.
fn whole(content: &ContentRef, inline: &str, of: impl Fn(&str) -> u64) -> u64 {
    match host::read_whole(content, inline, MAX_COMPARED) {
        Ok(whole) => of(&whole),
        Err(_) => of(&format!("{inline}{}", content.length)),
    }
}

impl Reasoner for Loop {
    fn observe(&mut self, batch: &Batch) -> Result<Assessment, String> {
        self.take(batch);
        let (settings, tail) = (&self.settings, &mut self.state.tail);
        // The call, and the next request after a repeated text, must not go out once more.
        let subject = match batch.checkpoint() {
            Checkpoint::ToolCall => tail
                .waiting_call()
                .map_or(Subject::Session, Subject::ToolCall),
            Checkpoint::Request => Subject::Request,
            _ => return Ok(Assessment::none()),
        };
        let found = |kind, severity, repetition: Repetition| {
            let confidence = 1.0 - 1.0 / repetition.times as f32;
            Finding::new(kind, severity, repetition.what)
                .confidence(confidence)
                .about(subject)
        };
        if let Some(repetition) = tail.stop(settings) {
            return Ok(found(STUCK, Severity::High, repetition).into());
        }
        if batch.checkpoint() != Checkpoint::Request {
            return Ok(Assessment::none());
        }
        let nudge = tail.nudge(settings);
        Ok(nudge
            .map(|repetition| found(REPEATED, Severity::Medium, repetition))
            .into_iter()
            .collect())
    }
}

impl Actuator for Loop {
    fn decide(&mut self, situation: &Situation) -> Result<Decision, String> {
        if let Some(found) = situation.own_of_kind(STUCK).next() {
            let reason = format!("The agent repeats itself: {}.", found.finding.summary);
            let stop = Stop::new(reason).confidence(self.settings.confidence);
            return Ok(Decision::none().order(stop));
        }
        let nudges = situation.own_of_kind(REPEATED).map(|found| {
            let what = &found.finding.summary;
            Injection::new(Role::System, self.settings.message.replace("{what}", what))
        });
        Ok(nudges.collect())
    }
}

export_policy!(Loop);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use airlock_sdk::testing::{self, Session};
    use serde_json::{Value, json};

    use super::Loop;

    #[test]
    fn golden() {
        testing::golden_policy::<Loop>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    }

    fn call(exchange: u32, content: u64) -> Value {
        json!({
            "checkpoint": "tool-call",
            "exchange": exchange,
            "events": [{ "kind": "tool-call", "text": "{", "detail": { "tool-call": {
                "call": format!("call_{exchange}"), "name": "write", "content": { "content": content, "length": 300_000 } } } }],
        })
    }

    #[test]
    fn a_restart_goes_on_counting() {
        let request =
            json!({ "checkpoint": "request", "exchange": 9, "events": [{ "kind": "request" }] });
        let mut session = Session::<Loop>::start(&json!({ "nudge_at": 2 })).unwrap();
        session.observe(&call(1, 0)).unwrap();
        let mut session = session.restart().unwrap();
        session.observe(&call(2, 0)).unwrap();
        assert_eq!(session.observe(&request).unwrap().findings.len(), 1);
        let mut session = session.restart().unwrap();
        assert!(session.observe(&request).unwrap().findings.is_empty());
    }
}
