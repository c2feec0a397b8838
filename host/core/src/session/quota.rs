//! How often the policies of a session have asked.
//!
//! Counts per session outlive the process; the last minute does not, so after a restart a policy has a fresh minute.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::event::Micros;
use airlock_policy::spec::AskQuota;

const MINUTE_US: Micros = 60_000_000;

/// What was asked so far, by policy.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    by_policy: HashMap<String, Used>,
}

#[derive(Debug, Default)]
struct Used {
    /// In all.
    session: u32,
    /// When, within the last minute, oldest first.
    minute: VecDeque<Micros>,
}

/// A policy asked too often. For its author and its operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverQuota {
    /// In the last minute.
    #[error("over quota: {0} questions in a minute (`ask_quota.per_minute` of the policy)")]
    Minute(u32),
    /// In the session.
    #[error("over quota: {0} questions in this session (`ask_quota.per_session` of the policy)")]
    Session(u32),
}

impl Quotas {
    /// Counts a question that is sent at `at`.
    ///
    /// # Errors
    /// It is one too many, and is not counted.
    pub(super) fn take(
        &mut self,
        policy: &str,
        quota: AskQuota,
        at: Micros,
    ) -> Result<(), OverQuota> {
        let used = self.by_policy.entry(policy.to_owned()).or_default();
        if used.session >= quota.per_session {
            return Err(OverQuota::Session(quota.per_session));
        }
        while used
            .minute
            .front()
            .is_some_and(|then| then + MINUTE_US <= at)
        {
            used.minute.pop_front();
        }
        if used.minute.len() >= quota.per_minute as usize {
            return Err(OverQuota::Minute(quota.per_minute));
        }
        used.session += 1;
        used.minute.push_back(at);
        Ok(())
    }

    pub(super) fn save(&self) -> BTreeMap<String, u32> {
        let counts = self.by_policy.iter();
        counts
            .map(|(policy, used)| (policy.clone(), used.session))
            .collect()
    }

    pub(super) fn resume(counts: BTreeMap<String, u32>) -> Self {
        let used = |session| Used {
            session,
            minute: VecDeque::new(),
        };
        let counts = counts.into_iter();
        Self {
            by_policy: counts.map(|(policy, n)| (policy, used(n))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: AskQuota = AskQuota {
        per_minute: 2,
        per_session: 3,
    };

    #[test]
    fn a_minute_slides_and_a_session_does_not() {
        let mut quotas = Quotas::default();
        let mut ask = |at| quotas.take("p", QUOTA, at);
        assert_eq!(ask(0), Ok(()));
        assert_eq!(ask(30_000_000), Ok(()));
        assert_eq!(ask(59_999_999), Err(OverQuota::Minute(2)));
        assert_eq!(ask(60_000_000), Ok(()), "the first one is a minute ago");
        assert_eq!(ask(600_000_000), Err(OverQuota::Session(3)));
    }

    #[test]
    fn each_policy_has_its_own_and_none_means_none() {
        let mut quotas = Quotas::default();
        for at in 0..2 {
            assert_eq!(quotas.take("p", QUOTA, at), Ok(()));
        }
        assert_eq!(quotas.take("p", QUOTA, 2), Err(OverQuota::Minute(2)));
        assert_eq!(quotas.take("q", QUOTA, 2), Ok(()));
        let none = AskQuota {
            per_minute: 0,
            per_session: 9,
        };
        assert_eq!(quotas.take("r", none, 2), Err(OverQuota::Minute(0)));
    }

    #[test]
    fn a_session_goes_on_counting_after_a_restart() {
        let mut quotas = Quotas::default();
        assert_eq!(quotas.take("p", QUOTA, 1), Ok(()));
        let mut after = Quotas::resume(quotas.save());
        assert_eq!(after.take("p", QUOTA, 2), Ok(()));
        assert_eq!(after.take("p", QUOTA, 3), Ok(()), "a fresh minute");
        assert_eq!(after.take("p", QUOTA, 4), Err(OverQuota::Session(3)));
    }
}
