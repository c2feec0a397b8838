//! What people can see of the desk: lists, and one approval by the beginning of its id.
//!
//! Read from the disk, so that nobody is shown what a crash would take back; what is in memory of the same approval goes
//! before it, because a timeout counts before it is on the disk.

use super::Desk;
use crate::event::key::SessionId;
use crate::people::approval::Approval;
use crate::people::row;
use crate::store::{ApprovalFilter, ApprovalRow, StoreError};

/// Which approvals to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this session.
    pub session: Option<SessionId>,
    /// Only decided ones (`true`), or only those that wait.
    pub decided: Option<bool>,
}

impl Desk {
    /// Approvals that people can see, newest first, at most `limit`. Reads the disk: call it from a blocking thread.
    ///
    /// # Errors
    /// The store's.
    pub fn list(&self, filter: Filter, limit: usize) -> Result<Vec<Approval>, StoreError> {
        let rows = self.store.approvals(
            &ApprovalFilter {
                session: filter.session,
                decided: filter.decided,
                ..ApprovalFilter::default()
            },
            limit,
        )?;
        let mut approvals = self.present(&rows);
        // A timeout counts before it is on the disk.
        approvals.retain(|a| filter.decided.is_none_or(|decided| decided != a.is_open()));
        Ok(approvals)
    }

    /// The approval whose id begins with `prefix`; among several, the one that waits. `last`: the newest that waits, or if none
    /// does, the newest. Reads the disk: call it from a blocking thread.
    ///
    /// # Errors
    /// None fits, or several do.
    pub fn find(&self, prefix: &str) -> Result<Approval, FindError> {
        let unknown = || FindError::Unknown(prefix.to_owned());
        let last = prefix == "last";
        let digits = if last {
            String::new()
        } else {
            prefix.to_ascii_lowercase()
        };
        if !last && (digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Err(unknown());
        }
        for waits in [true, false] {
            let rows = self.store.approvals(
                &ApprovalFilter {
                    decided: Some(!waits),
                    prefix: digits.clone(),
                    ..ApprovalFilter::default()
                },
                if last { 1 } else { 100 },
            )?;
            let mut found = self.present(&rows);
            match found.len() {
                0 => {}
                1 => return found.pop().ok_or_else(unknown),
                count => {
                    return Err(FindError::Ambiguous {
                        prefix: prefix.to_owned(),
                        count,
                    });
                }
            }
        }
        Err(unknown())
    }

    /// Rows as they stand now: what is in memory goes before what is on the disk.
    fn present(&self, rows: &[ApprovalRow]) -> Vec<Approval> {
        let read: Vec<_> = rows.iter().filter_map(row::read).collect();
        read.into_iter()
            .map(|approval| self.get(approval.id).unwrap_or(approval))
            .collect()
    }
}

/// Why there is no such approval.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// None fits.
    #[error("no approval begins with `{0}`: `airlock approvals --all` lists them")]
    Unknown(String),
    /// Several fit.
    #[error("`{prefix}` fits {count} approvals: give more digits")]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// How many fit.
        count: usize,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
