//! Compiled plans, shared by all exchanges under the same policies.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::RuntimeFlavor;

use super::patterns::PatternError;
use super::plan::Plan;
use super::rules::Rules;
use airlock_policy::generation::Generation;

/// Plans kept: the present set, and those of sessions that are pinned to earlier generations.
const KEPT: usize = 16;

/// Compiled plans, newest first.
#[derive(Default)]
pub struct Plans {
    kept: Mutex<Vec<Arc<Plan>>>,
    /// Held by whoever compiles: when a set changes, every open stream asks for the same plan at once.
    compiling: Mutex<()>,
}

impl Plans {
    /// The plan of these generations and rules, compiled now if nobody needed it before. That takes half a second for 400
    /// expressions: meanwhile the thread's other tasks run elsewhere, so that no other call and no probe waits for it.
    ///
    /// # Errors
    /// See [`Plan::compile`].
    pub fn get(
        &self,
        entries: &[Arc<Generation>],
        rules: &Arc<Rules>,
    ) -> Result<Arc<Plan>, PatternError> {
        match self.known(entries, rules) {
            Some(plan) => Ok(plan),
            None => elsewhere(|| self.compile(entries, rules)),
        }
    }

    fn known(&self, entries: &[Arc<Generation>], rules: &Arc<Rules>) -> Option<Arc<Plan>> {
        let kept = lock(&self.kept);
        let known = kept.iter().find(|plan| plan.is_of(entries, rules));
        known.map(Arc::clone)
    }

    fn compile(
        &self,
        entries: &[Arc<Generation>],
        rules: &Arc<Rules>,
    ) -> Result<Arc<Plan>, PatternError> {
        let _one = lock(&self.compiling);
        if let Some(plan) = self.known(entries, rules) {
            return Ok(plan);
        }
        let plan = Arc::new(Plan::compile(entries.to_vec(), Arc::clone(rules))?);
        let mut kept = lock(&self.kept);
        kept.insert(0, Arc::clone(&plan));
        kept.truncate(KEPT);
        Ok(plan)
    }
}

/// Runs what takes long on a thread that has nothing else to do, where there is a runtime that can see to it.
fn elsewhere<T>(run: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(run)
        }
        _ => run(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Plans are put in whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn what_takes_long_keeps_no_other_task_waiting() {
        let one = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let ran = Arc::new(AtomicBool::new(false));
        let other = Arc::clone(&ran);
        let done = one.spawn(async move {
            tokio::spawn(async move { other.store(true, Ordering::Relaxed) });
            // With the one thread taken, the other task runs only if it is seen to elsewhere.
            elsewhere(|| {
                while !ran.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
            });
        });
        one.block_on(done).unwrap();
    }
}
