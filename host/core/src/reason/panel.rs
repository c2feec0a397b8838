//! Who judges one exchange: its plan, the reasoners' places in it, and where the operator's rules stand.
//!
//! The log wakes the reasoners: each fact that was told since the last look, but to whoever caused it.

use std::sync::{Arc, Mutex};

use super::order::{By, Order};
use super::patterns::{Match, Scanner};
use super::plan::Plan;
use super::round::{Heard, Round};
use super::rules::Standing;
use super::rules::view::{Moment, Subject};
use super::watch::Watcher;
use crate::event::{Body, Channel, Micros, Place};
use crate::observe::log::{Item, Log};
use crate::observe::vitals::{Vitals, id};
use crate::reason::on_finding::OnFinding;
use crate::session::facts::Facts;
use crate::session::record::Record;
use crate::session::state::Session;
use airlock_policy::contract::types::{Checkpoint, Detail, EventKind, ReleaseMark};
use airlock_policy::seat::Seat;

/// Who judges an exchange.
#[derive(Default)]
pub struct Panel {
    /// Version of the set of policies that was looked at last.
    pub set_version: Option<u64>,
    /// The policies and rules.
    pub plan: Arc<Plan>,
    /// The policies' seats in the session; same indexes as in the plan.
    pub seats: Vec<Arc<Mutex<Seat>>>,
    /// The reasoners' places.
    pub watchers: Vec<Watcher>,
    /// Whether a tool of the session has a circuit that is not closed.
    pub circuits_open: bool,
    /// Where the rules stand.
    standing: Standing,
    /// First item of the log that rules were not shown.
    shown: usize,
    /// First item of the log that has not woken anybody.
    heard: usize,
}

impl Panel {
    /// Nobody judges yet. `circuits_open` says whether a tool of the session has a circuit that is not closed.
    pub fn new(circuits_open: bool) -> Self {
        Self {
            circuits_open,
            ..Self::default()
        }
    }

    /// Whether nobody judges: no policy, no rule.
    pub fn is_empty(&self) -> bool {
        self.plan.entries.is_empty() && self.plan.rules.is_empty()
    }

    /// Whether somebody could object to what is generated, so that it may not pass unread.
    pub fn guards(&self) -> bool {
        self.plan.enforcing || self.plan.holds_tool_calls || self.circuits_open
    }

    /// Facts were told: whoever waits for one of them is woken.
    pub fn hear(&mut self, log: &Log) {
        for item in log.since(self.heard) {
            let silent = matches!(
                item.kind,
                EventKind::Text | EventKind::Vitals | EventKind::Answer
            );
            if silent {
                continue;
            }
            let others = |w: &&mut Watcher| Some(w.entry) != item.cause;
            for watcher in self.watchers.iter_mut().filter(others) {
                if let Some(wants) = self.plan.wants.get(watcher.entry) {
                    watcher.event(wants, item.kind);
                }
            }
        }
        self.heard = log.len();
    }

    /// Whether a reasoner is due.
    pub fn is_woken(&self) -> bool {
        self.watchers.iter().any(|w| w.woken)
    }

    /// Whether a reasoner that is due wants to see vitals.
    pub fn wants_vitals(&self) -> bool {
        self.watchers.iter().any(|w| {
            let wants = self.plan.wants.get(w.entry);
            w.woken && wants.is_some_and(|wants| wants.sees.has(EventKind::Vitals))
        })
    }

    /// Wakes the reasoner of one policy, for what concerns it alone.
    pub fn wake(&mut self, entry: usize) {
        if let Some(watcher) = self.watchers.iter_mut().find(|w| w.entry == entry) {
            watcher.woken = true;
        }
    }

    /// Looks at thresholds and clocks.
    pub fn measure(
        &mut self,
        vitals: &mut Vitals,
        session: &Session,
        generating: bool,
        now: Micros,
    ) {
        if self.watchers.iter().any(|w| !w.fired.is_empty()) {
            vitals.session = session.vitals();
        }
        for watcher in &mut self.watchers {
            if let Some(wants) = self.plan.wants.get(watcher.entry) {
                watcher.measure(wants, vitals, generating, now);
            }
        }
    }

    /// When a reasoner or a rule has to be looked at though nothing happens.
    pub fn due(&self, vitals: &Vitals, generating: bool) -> Option<Micros> {
        let rules = generating.then(|| self.plan.rules.next_due(&self.standing));
        self.watchers
            .iter()
            .filter_map(|w| w.due(self.plan.wants.get(w.entry)?, vitals, generating))
            .chain(rules.flatten())
            .min()
    }

    /// Text of the generation arrived.
    pub fn text(&mut self, place: Place, tokens: u32, at: Micros) {
        for watcher in &mut self.watchers {
            if let Some(wants) = self.plan.wants.get(watcher.entry) {
                watcher.text(wants, place.channel, tokens, at);
            }
        }
    }

    /// Patterns matched at a place.
    pub fn matched(&mut self, place: Place, found: &[Match]) {
        for m in found {
            let owner = |w: &&mut Watcher| w.entry == m.owner as usize;
            if let Some(watcher) = self.watchers.iter_mut().find(owner) {
                watcher.matched(place, m);
            }
        }
    }

    /// No more text comes: who waits for more is due.
    pub fn ended(&mut self) {
        for watcher in &mut self.watchers {
            if let Some(wants) = self.plan.wants.get(watcher.entry) {
                watcher.ended(wants);
            }
        }
    }

    /// The generation begins anew: nothing of the former one counts.
    pub fn start_over(&mut self) {
        self.watchers.iter_mut().for_each(Watcher::start_over);
    }

    /// A policy's word is not waited for any longer up to these marks.
    pub fn excuse(&mut self, entry: usize, marks: &[ReleaseMark]) {
        for watcher in self.watchers.iter_mut().filter(|w| w.entry == entry) {
            if let Some(wants) = self.plan.wants.get(entry) {
                watcher.mark(wants, marks);
            }
        }
    }

    /// Up to where nobody who may object waits with a text at `place`, of which `safe` bytes belong to no open match.
    pub fn limit(&self, place: Place, safe: u32) -> u32 {
        self.watchers
            .iter()
            .filter(|w| self.enforces(w.entry))
            .filter_map(|w| Some(w.limit(self.plan.wants.get(w.entry)?, place)))
            .fold(safe, u32::min)
    }

    /// Policies that hold one of these texts back: places, and the length of each.
    pub fn holders(&self, texts: &[(Place, u32)]) -> Vec<usize> {
        let holds = |w: &&Watcher| {
            let wants = self.plan.wants.get(w.entry);
            wants.is_some_and(|wants| {
                let mut texts = texts.iter();
                texts.any(|(place, len)| w.limit(wants, *place) < *len)
            })
        };
        self.watchers
            .iter()
            .filter(holds)
            .map(|w| w.entry)
            .collect()
    }

    /// Whether a policy's word is law.
    pub fn enforces(&self, entry: usize) -> bool {
        self.plan.entries.get(entry).is_some_and(|g| g.enforces())
    }

    /// Number of a policy's generation; 0 if there is none.
    pub fn generation(&self, entry: usize) -> u32 {
        self.plan.entries.get(entry).map_or(0, |g| g.number)
    }

    /// Name of another enforcing policy whose pattern the text matches.
    pub fn offends(&self, by: By, channel: Channel, text: &str) -> Option<String> {
        self.matches(channel, text)
            .into_iter()
            .filter(|owner| by != By::Policy(*owner))
            .filter_map(|owner| self.plan.entries.get(owner))
            .find(|g| g.enforces())
            .map(|g| g.name.to_string())
    }

    /// The same for a text that became another one: what matched before is no offence.
    pub fn offends_anew(
        &self,
        by: By,
        channel: Channel,
        before: &str,
        after: &str,
    ) -> Option<String> {
        let mut known = self.matches(channel, before);
        let owners = self.matches(channel, after).into_iter();
        let mut new = owners.filter(|owner| match known.iter().position(|k| k == owner) {
            Some(at) => {
                known.swap_remove(at);
                false
            }
            None => by != By::Policy(*owner),
        });
        let entries = &self.plan.entries;
        let enforcing = new.find_map(|owner| entries.get(owner).filter(|g| g.enforces()));
        enforcing.map(|g| g.name.to_string())
    }

    /// Policies of which a pattern matches the text, as text of this channel.
    pub fn matches(&self, channel: Channel, text: &str) -> Vec<usize> {
        let patterns = self.plan.patterns.get(channel as usize);
        let Some(patterns) = patterns.and_then(Option::as_ref) else {
            return Vec::new();
        };
        let mut scanner = Scanner::new(Arc::clone(patterns));
        let mut found = Vec::new();
        scanner.feed(text, &mut found);
        scanner.finish(&mut found);
        found.iter().map(|m| m.owner as usize).collect()
    }

    /// Whether rules have to be looked at: at this checkpoint, or, `again`, because of something that they were not shown.
    pub fn rules_due(&self, checkpoint: Checkpoint, log: &Log, again: bool) -> bool {
        let shown = again && self.shown >= log.len();
        !shown && self.plan.rules.due(checkpoint)
    }

    /// Asks the policies that are due.
    pub fn ask(
        &mut self,
        facts: &Facts,
        record: &Record,
        on_finding: &[OnFinding],
        checkpoint: Checkpoint,
        now: Micros,
    ) -> Heard {
        Round {
            plan: &self.plan,
            seats: &self.seats,
            watchers: &mut self.watchers,
            log: record.log(),
            timeline: &facts.session.timeline,
            session: &facts.session.facts.session,
            exchange: facts.number,
            on_finding,
        }
        .run(checkpoint, now)
    }

    /// Evaluates the rules that are due, and gives what they order.
    pub fn judge_rules(
        &mut self,
        moment: &Moment<'_>,
        facts: &Facts,
        record: &mut Record,
    ) -> Vec<Order> {
        let rules = Arc::clone(&self.plan.rules);
        let session = &facts.session;
        let news = record.log().since(self.shown).iter();
        let subjects: Vec<Subject> = news.filter_map(|item| subject(item, session)).collect();
        self.shown = record.log().len();
        let judged = rules.judge(&mut self.standing, moment, &subjects, |name, holds| {
            session.rises(name, holds)
        });
        // What was generated before stands before it on the timeline.
        if !judged.orders.is_empty() || !judged.faults.is_empty() {
            record.flush();
        }
        for (rule, why, closed) in judged.faults {
            tracing::warn!(%rule, why, closed, session = %session.id, "a rule could not be evaluated");
            record.note(Body::PolicyFault {
                policy: rule.to_string(),
                generation: 0,
                fault: "evaluation".to_owned(),
                text: why,
                on_failure: if closed { "closed" } else { "open" }.to_owned(),
            });
        }
        judged.orders
    }

    /// Thresholds of the session's vitals stay crossed from one exchange to the next; those of an exchange do not.
    pub fn keep_fired(&self, session: &Session) {
        let mut state = session.state();
        for watcher in self.watchers.iter().filter(|w| !w.fired.is_empty()) {
            let (Some(generation), Some(wants)) = (
                self.plan.entries.get(watcher.entry),
                self.plan.wants.get(watcher.entry),
            ) else {
                continue;
            };
            let thresholds = wants.thresholds.iter().zip(&watcher.fired);
            let fired = thresholds
                .map(|((vital, _), fired)| *fired && *vital >= id::SESSION_ELAPSED)
                .collect();
            state.fired.insert(Arc::clone(&generation.name), fired);
        }
    }
}

/// What rules are told of an event, if they are told of its kind.
fn subject(item: &Item, session: &Session) -> Option<Subject> {
    Some(match item.detail()? {
        Detail::ToolCall(call) => Subject::Call {
            id: call.call.clone(),
            name: call.name.clone(),
            arguments: session.contents.whole(call.content.content),
        },
        Detail::ToolResult(result) => Subject::Result {
            id: result.call.clone(),
            name: result.name.clone(),
            failed: result.failed,
            duration: result.duration,
        },
        Detail::Failure(failure) => Subject::Failure(failure.clone()),
        _ => return None,
    })
}
