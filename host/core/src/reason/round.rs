//! One checkpoint: the reasoners that are due are called, then the actuators that subscribe to what was found.
//!
//! Guarantees: a policy is told only what it was granted to see; findings of a policy in `observe` mode reach only
//! actuators in `observe` mode; a failed call leaves the others untouched, and is reported with what its failure means.

use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::plan::Plan;
use super::rules::view::Told;
use super::watch::Watcher;
use crate::event::{Body, Channel, Micros, Place, Span};
use crate::observe::log::{Item as LogItem, Kinds, Log};
use crate::reason::on_finding::OnFinding;
use crate::reason::order::{By, Order, checkpoint_name, matches_glob, severity_name};
use crate::reason::rules::reaction::Occasion;
use crate::session::timeline::Timeline;
use airlock_policy::contract::types::{
    self as wit, Action, Assessment, Attachments, Checkpoint, Decision, Detail, Finding,
    PatternMatch, Pending, RemoteAction, ReportedFinding, Situation, Subject,
};
use airlock_policy::fault::Fault;
use airlock_policy::seat::Seat;
use airlock_policy::spec::OnFailure;

/// What a checkpoint brought.
#[derive(Debug, Default)]
pub struct Heard {
    /// Actions, in the order of the policies.
    pub orders: Vec<Order>,
    /// Policies that failed, enforce, and are closed: what they were to judge must not pass.
    pub closed: Vec<(usize, Fault)>,
    /// Policies that failed and are open: what they were to judge goes on without their word.
    pub excused: Vec<usize>,
    /// What was found, for rules.
    pub findings: Vec<Told>,
    /// Actions that a policy aims at other exchanges, with the policy.
    pub elsewhere: Vec<(usize, RemoteAction)>,
    /// Items that a policy wants to park, with the policy.
    pub pending: Vec<(usize, Pending)>,
    /// Tickets of the questions that were asked, with the policy.
    pub tickets: Vec<(usize, u64)>,
}

impl Heard {
    fn asked(&mut self, entry: usize, seat: &Seat) {
        let tickets = seat.last_tickets().iter();
        self.tickets.extend(tickets.map(|ticket| (entry, *ticket)));
    }
}

/// What a reasoner found, and in which part of the log.
struct Found {
    entry: usize,
    cursor: usize,
    matches: Vec<PatternMatch>,
    findings: Vec<Finding>,
}

/// Everything that a checkpoint needs of its exchange.
pub struct Round<'a> {
    /// The policies.
    pub plan: &'a Plan,
    /// Their seats in the session; same indexes.
    pub seats: &'a [Arc<Mutex<Seat>>],
    /// The reasoners' places.
    pub watchers: &'a mut [Watcher],
    /// What happened.
    pub log: &'a Log,
    /// Where it is recorded.
    pub timeline: &'a Timeline,
    /// Id of the session.
    pub session: &'a str,
    /// Number of the exchange.
    pub exchange: u32,
    /// The operator's table.
    pub on_finding: &'a [OnFinding],
}

impl Round<'_> {
    /// Asks whoever is due.
    pub fn run(&mut self, checkpoint: Checkpoint, now: Micros) -> Heard {
        let mut heard = Heard::default();
        let mut found = Vec::new();
        for index in 0..self.watchers.len() {
            if self.watchers.get(index).is_some_and(|w| w.woken) {
                found.extend(self.observe(index, checkpoint, now, &mut heard));
            }
        }
        found.retain(|f| !f.findings.is_empty());
        for f in &found {
            let policy = self.plan.entries.get(f.entry).map(|g| g.name.to_string());
            heard.findings.extend(f.findings.iter().map(|finding| Told {
                policy: policy.clone().unwrap_or_default(),
                observed: !self.enforces(f.entry),
                finding: finding.clone(),
            }));
        }
        if !found.is_empty() {
            self.act(checkpoint, &found, &mut heard);
        }
        heard
    }

    fn observe(
        &mut self,
        index: usize,
        checkpoint: Checkpoint,
        now: Micros,
        heard: &mut Heard,
    ) -> Option<Found> {
        let watcher = self.watchers.get_mut(index)?;
        let (entry, cursor) = (watcher.entry, watcher.cursor);
        let (generation, wants) = (self.plan.entries.get(entry)?, self.plan.wants.get(entry)?);
        let matches = watcher.told(self.log.len(), now);
        let (batch, range) = self.log.batch(
            entry,
            cursor,
            wants.sees,
            checkpoint,
            self.exchange,
            matches,
        );
        let batch = Arc::new(batch);
        let called = std::time::Instant::now();
        let answer = {
            let mut seat = lock(self.seats.get(entry)?);
            let answer = seat.observe(&batch);
            heard.asked(entry, &seat);
            answer
        };
        self.called(
            entry,
            "observe",
            checkpoint,
            range,
            called,
            answer.as_ref().ok().map(digest_of_assessment),
        );
        let assessment = match answer {
            Ok(assessment) => assessment,
            Err(fault) => {
                self.failed(entry, fault, heard);
                return None;
            }
        };
        if let Some(watcher) = self.watchers.get_mut(index) {
            watcher.mark(wants, &assessment.marks);
        }
        heard
            .pending
            .extend(assessment.pending.into_iter().map(|p| (entry, p)));
        for finding in &assessment.findings {
            let evidence = finding.evidence.iter().copied();
            self.timeline.append(
                self.exchange,
                Body::Finding {
                    policy: generation.name.to_string(),
                    generation: generation.number,
                    finding: finding.kind.clone(),
                    severity: severity_name(finding.severity).to_owned(),
                    confidence: finding.confidence,
                    summary: finding.summary.clone(),
                    subject: (&finding.subject).into(),
                    evidence: evidence.filter_map(Span::from_wit).collect(),
                    data: finding.data.clone(),
                },
            );
        }
        Some(Found {
            entry,
            cursor,
            matches: matches_of(&batch.attached),
            findings: assessment.findings,
        })
    }

    fn act(&mut self, checkpoint: Checkpoint, found: &[Found], heard: &mut Heard) {
        for (entry, generation) in self.plan.entries.iter().enumerate().filter(|(_, g)| g.acts) {
            let hears = |f: &&Found| {
                generation.mode == airlock_policy::spec::Mode::Observe || self.enforces(f.entry)
            };
            let wanted = |kind: &str| {
                generation
                    .subscription
                    .findings
                    .iter()
                    .any(|glob| matches_glob(glob, kind))
            };
            let mut findings = Vec::new();
            let (mut cursor, mut matches) = (usize::MAX, Vec::new());
            for f in found.iter().filter(hears) {
                let policy = self
                    .plan
                    .entries
                    .get(f.entry)
                    .map(|g| g.name.to_string())
                    .unwrap_or_default();
                let before = findings.len();
                findings.extend(
                    f.findings
                        .iter()
                        .filter(|x| wanted(&x.kind))
                        .map(|finding| ReportedFinding {
                            policy: policy.clone(),
                            is_own: f.entry == entry,
                            session: self.session.to_owned(),
                            exchange: self.exchange,
                            finding: finding.clone(),
                        }),
                );
                if findings.len() > before {
                    cursor = cursor.min(f.cursor);
                    if f.entry == entry {
                        matches.clone_from(&f.matches);
                    }
                }
            }
            if findings.is_empty() {
                continue;
            }
            let sees = if generation.reasons {
                self.plan
                    .wants
                    .get(entry)
                    .map_or(Kinds::default(), |w| w.sees)
            } else {
                Kinds::ALL
            };
            let sees = airlock_policy::spec::EVENT_KINDS
                .iter()
                .filter(|(kind, _)| sees.has(*kind) && generation.sees(*kind))
                .fold(Kinds::default(), |set, (kind, _)| set.with(*kind));
            let (batch, range) =
                self.log
                    .batch(entry, cursor, sees, checkpoint, self.exchange, matches);
            let situation = Situation { findings, batch };
            let called = std::time::Instant::now();
            let Some(seat) = self.seats.get(entry) else {
                continue;
            };
            let answer = {
                let mut seat = lock(seat);
                let answer = seat.decide(&situation);
                heard.asked(entry, &seat);
                answer
            };
            self.called(
                entry,
                "decide",
                checkpoint,
                range,
                called,
                answer.as_ref().ok().map(digest_of_decision),
            );
            match answer {
                Ok(decision) => {
                    heard
                        .pending
                        .extend(decision.pending.into_iter().map(|p| (entry, p)));
                    let by = By::Policy(entry);
                    let (aimed_here, there): (Vec<_>, Vec<_>) =
                        decision.elsewhere.into_iter().partition(|order| {
                            (order.session.is_empty() || order.session == self.session)
                                && order.exchange == self.exchange
                        });
                    let aimed_here = aimed_here.into_iter().map(|order| order.action);
                    let here = decision.actions.into_iter().chain(aimed_here);
                    heard.orders.extend(here.map(|action| Order { by, action }));
                    heard
                        .elsewhere
                        .extend(there.into_iter().map(|order| (entry, order)));
                }
                Err(fault) => self.failed(entry, fault, heard),
            }
        }
        for f in found {
            let observed = !self.enforces(f.entry);
            for finding in &f.findings {
                let rows = || self.on_finding.iter().filter(|row| row.matches(finding));
                if rows().next().is_none() {
                    continue;
                }
                let at_hand = self.at_hand(checkpoint, f.cursor, &finding.subject);
                for row in rows() {
                    let mut actions: Vec<Action> = Vec::new();
                    for (item, tool) in &at_hand {
                        let action = row.reaction.action(&Occasion {
                            title: &finding.kind,
                            summary: &finding.summary,
                            severity: finding.severity,
                            at_hand: item.clone(),
                            tool,
                        });
                        // What is not about one item is ordered once.
                        if !actions.contains(&action) {
                            actions.push(action);
                        }
                    }
                    heard.orders.extend(actions.into_iter().map(|action| Order {
                        by: By::Operator { observed },
                        action,
                    }));
                }
            }
        }
    }

    /// What an action of the operator's table without an id means: what the finding is about. If it does not say so
    /// exactly, then at the checkpoints of calls and results all that the policy was told of now, since it can have meant any;
    /// elsewhere the request or the response. Never empty.
    fn at_hand(
        &self,
        checkpoint: Checkpoint,
        cursor: usize,
        subject: &Subject,
    ) -> Vec<(Subject, &str)> {
        let named = |is: &dyn Fn(&Subject) -> bool, from: usize| -> Vec<(Subject, &str)> {
            let told = self.log.since(from).iter();
            told.filter_map(about).filter(|(s, _)| is(s)).collect()
        };
        let subject = match subject {
            Subject::Text(span) => self.call_at(span).unwrap_or_else(|| subject.clone()),
            other => other.clone(),
        };
        if let Subject::ToolCall(_) | Subject::ToolResult(_) = subject {
            let mut found = named(&|s| *s == subject, 0);
            // Told twice, if it was rewritten.
            found.truncate(1);
            if found.is_empty() {
                found.push((subject, ""));
            }
            return found;
        }
        let is = match checkpoint {
            Checkpoint::ToolCall => |s: &Subject| matches!(s, Subject::ToolCall(_)),
            Checkpoint::ToolResult => |s: &Subject| matches!(s, Subject::ToolResult(_)),
            _ => {
                let exactly = matches!(
                    subject,
                    Subject::Request | Subject::Response | Subject::Text(_)
                );
                let usual = match checkpoint {
                    Checkpoint::Request => Subject::Request,
                    _ => Subject::Response,
                };
                return vec![(if exactly { subject } else { usual }, "")];
            }
        };
        let all = named(&is, cursor);
        match all.is_empty() {
            false => all,
            true => {
                let newest = named(&is, 0).pop();
                vec![newest.unwrap_or((Subject::Response, ""))]
            }
        }
    }

    /// The call whose arguments a text is a part of, if it is complete.
    fn call_at(&self, span: &wit::Span) -> Option<Subject> {
        let place = Place::from_wit(span.place).filter(|p| p.channel == Channel::ToolArguments)?;
        let calls = self.log.since(0).iter().rev();
        let mut calls = calls.filter(|item| item.place == Some(place));
        calls.find_map(|item| Some(about(item)?.0))
    }

    fn enforces(&self, entry: usize) -> bool {
        self.plan.entries.get(entry).is_some_and(|g| g.enforces())
    }

    fn called(
        &self,
        entry: usize,
        role: &str,
        checkpoint: Checkpoint,
        events: (u64, u64),
        since: std::time::Instant,
        result: Option<String>,
    ) {
        let Some(generation) = self.plan.entries.get(entry) else {
            return;
        };
        self.timeline.append(
            self.exchange,
            Body::PolicyCall {
                policy: generation.name.to_string(),
                generation: generation.number,
                role: role.to_owned(),
                checkpoint: checkpoint_name(checkpoint).to_owned(),
                events,
                took_us: since.elapsed().as_micros().min(u32::MAX.into()) as u32,
                result: result.unwrap_or_else(|| "fault".to_owned()),
            },
        );
    }

    fn failed(&self, entry: usize, fault: Fault, heard: &mut Heard) {
        let Some(generation) = self.plan.entries.get(entry) else {
            return;
        };
        let closed = generation.enforces() && generation.on_failure == OnFailure::Closed;
        tracing::warn!(policy = %generation.name, generation = generation.number, fault = ?fault.to_string(), closed, "policy failed");
        self.timeline.append(
            self.exchange,
            Body::PolicyFault {
                policy: generation.name.to_string(),
                generation: generation.number,
                fault: fault.kind.as_str().to_owned(),
                text: fault.message.clone(),
                on_failure: if generation.on_failure == OnFailure::Closed {
                    "closed"
                } else {
                    "open"
                }
                .to_owned(),
            },
        );
        if closed {
            heard.closed.push((entry, fault));
        } else {
            heard.excused.push(entry);
        }
    }
}

/// The call or result that a fact is about, and its tool.
fn about(item: &LogItem) -> Option<(Subject, &str)> {
    match item.detail()? {
        Detail::ToolCall(call) => Some((Subject::ToolCall(call.call.clone()), &*call.name)),
        Detail::ToolResult(result) => {
            Some((Subject::ToolResult(result.call.clone()), &*result.name))
        }
        _ => None,
    }
}

fn matches_of(attached: &Option<Attachments>) -> Vec<PatternMatch> {
    attached
        .as_ref()
        .map_or_else(Vec::new, |a| a.matches.clone())
}

fn lock(seat: &Mutex<Seat>) -> std::sync::MutexGuard<'_, Seat> {
    // A seat drops its instance before anything that could panic; its state is sound.
    seat.lock().unwrap_or_else(PoisonError::into_inner)
}

fn digest_of_assessment(a: &Assessment) -> String {
    if a.findings.is_empty() && a.marks.is_empty() && a.pending.is_empty() {
        String::new()
    } else {
        digest(a)
    }
}

fn digest_of_decision(d: &Decision) -> String {
    if d.actions.is_empty() && d.elsewhere.is_empty() && d.pending.is_empty() {
        String::new()
    } else {
        digest(d)
    }
}

/// First 16 hexadecimal digits of the SHA-256 of a result's JSON: replays compare it.
fn digest(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_vec(value).unwrap_or_default();
    let digest = Sha256::digest(&json);
    let first = digest.first_chunk().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(first))
}
