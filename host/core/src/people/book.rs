//! The desk's memory: approvals that wait, and decisions that are remembered. No clock, no disk: time is given in.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::approval::{Approval, ApprovalId, Decision, State};
use crate::event::Micros;
use crate::event::digest::Digest;
use crate::event::key::SessionId;

/// Decisions remembered at most; past it the oldest are forgotten before their time. A policy whose deadlines are
/// milliseconds makes thousands of timeouts a minute: at a few kilobytes each this is some tens of megabytes.
const MOST_REMEMBERED: usize = 10_000;

/// What the operator allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a decision counts for repetitions of the same item, microseconds.
    pub remember: Micros,
    /// Longest wait, microseconds.
    pub max_wait: Micros,
    /// Approvals that may wait at once.
    pub max_open: usize,
}

/// Approvals by id and by what they are about.
#[derive(Default)]
pub(super) struct Book {
    entries: HashMap<ApprovalId, Entry>,
    by_item: HashMap<(SessionId, Digest), ApprovalId>,
    open: usize,
}

pub(super) struct Entry {
    pub(super) approval: Approval,
    /// Rung when it is decided.
    pub(super) bells: Vec<Arc<Notify>>,
    /// Whether it is on the disk, so that people may see it.
    pub(super) shown: bool,
    /// When its row has to be handed to the store again.
    pub(super) save_at: Option<Micros>,
    /// Whether a person's word about it is on its way to the disk. Time waits for the outcome.
    pub(super) deciding: bool,
}

impl Book {
    /// How many wait.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// The approval about this very item that waits, or was decided so recently that it counts.
    pub(super) fn known(
        &self,
        session: SessionId,
        digest: Digest,
        now: Micros,
        limits: &Limits,
    ) -> Option<&Approval> {
        let approval = &self
            .entries
            .get(self.by_item.get(&(session, digest))?)?
            .approval;
        forgotten_at(approval, limits)
            .is_none_or(|at| now < at)
            .then_some(approval)
    }

    pub(super) fn get(&self, id: ApprovalId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: ApprovalId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    /// Takes in an approval; `shown` if it comes from the disk.
    pub(super) fn insert(&mut self, approval: Approval, shown: bool) {
        self.open += usize::from(approval.is_open());
        self.by_item
            .insert((approval.session, approval.digest), approval.id);
        let entry = Entry {
            approval,
            bells: Vec::new(),
            shown,
            save_at: None,
            deciding: false,
        };
        self.entries.insert(entry.approval.id, entry);
    }

    /// Decides and rings. Nothing for one that is not known, or decided: the first decision counts.
    pub(super) fn decide(&mut self, id: ApprovalId, decision: Decision) -> Option<&Approval> {
        let entry = self.entries.get_mut(&id)?;
        entry.deciding = false;
        if !entry.approval.is_open() {
            return None;
        }
        self.open -= 1;
        entry.approval.state = State::Decided(decision);
        for bell in entry.bells.drain(..) {
            bell.notify_one();
        }
        Some(&entry.approval)
    }

    /// Those whose default has become the decision, in the order of their deadlines.
    pub(super) fn due(&self, now: Micros) -> Vec<ApprovalId> {
        let mut due: Vec<_> = self
            .entries
            .values()
            .filter(|entry| {
                entry.approval.is_open() && !entry.deciding && entry.approval.deadline <= now
            })
            .map(|entry| (entry.approval.deadline, entry.approval.id))
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// Removes and returns those whose decision is no longer remembered.
    pub(super) fn forget(&mut self, now: Micros, limits: &Limits) -> Vec<Approval> {
        let surplus = (self.entries.len() - self.open).saturating_sub(MOST_REMEMBERED);
        let mut past: Vec<_> = self
            .entries
            .values()
            .filter_map(|entry| {
                Some((forgotten_at(&entry.approval, limits)?, entry.approval.id))
                    .filter(|(at, _)| !entry.deciding && (surplus > 0 || *at <= now))
            })
            .collect();
        if surplus > 0 {
            past.sort_unstable();
            let due = past.partition_point(|(at, _)| *at <= now);
            past.truncate(due.max(surplus));
        }
        let gone = past
            .into_iter()
            .filter_map(|(_, id)| self.entries.remove(&id));
        let gone: Vec<_> = gone.map(|entry| entry.approval).collect();
        for approval in &gone {
            let item = (approval.session, approval.digest);
            // A newer approval about the same item may have taken its place.
            if self.by_item.get(&item) == Some(&approval.id) {
                self.by_item.remove(&item);
            }
        }
        gone
    }

    /// Those whose row has to be handed to the store again.
    pub(super) fn unsaved(&mut self, now: Micros) -> Vec<Approval> {
        self.entries
            .values_mut()
            .filter(|entry| !entry.deciding)
            .filter_map(|entry| {
                entry.save_at.take_if(|at| *at <= now)?;
                Some(entry.approval.clone())
            })
            .collect()
    }

    /// When one of the three above will find something next.
    pub(super) fn next(&self, limits: &Limits) -> Option<Micros> {
        self.entries
            .values()
            .filter(|entry| !entry.deciding)
            .flat_map(|entry| {
                let approval = &entry.approval;
                let due = forgotten_at(approval, limits).unwrap_or(approval.deadline);
                [Some(due), entry.save_at]
            })
            .flatten()
            .min()
    }
}

/// When its decision stops to count; `None` while it waits.
fn forgotten_at(approval: &Approval, limits: &Limits) -> Option<Micros> {
    approval
        .decision()
        .map(|decision| decision.at.saturating_add(limits.remember))
}
