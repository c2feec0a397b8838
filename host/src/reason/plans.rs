//! Compiled plans, shared by all exchanges under the same policies.

use std::sync::{Arc, Mutex, PoisonError};

use super::patterns::PatternError;
use super::plan::Plan;
use super::rules::Rules;
use crate::policy::generation::Generation;

/// Plans kept: the present set, and those of sessions that are pinned to earlier generations.
const KEPT: usize = 16;

/// Compiled plans, newest first.
#[derive(Default)]
pub struct Plans {
    kept: Mutex<Vec<Arc<Plan>>>,
}

impl Plans {
    /// The plan of these generations and rules, compiled now if nobody needed it before.
    ///
    /// # Errors
    /// See [`Plan::compile`].
    pub fn get(
        &self,
        entries: &[Arc<Generation>],
        rules: &Arc<Rules>,
    ) -> Result<Arc<Plan>, PatternError> {
        // Compiled under the lock: when a set changes, every open stream asks for the same plan at once.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = kept.iter().find(|plan| plan.is_of(entries, rules)) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(Plan::compile(entries.to_vec(), Arc::clone(rules))?);
        kept.insert(0, Arc::clone(&plan));
        kept.truncate(KEPT);
        Ok(plan)
    }
}
