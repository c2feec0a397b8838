//! A policy's seat as the store keeps it.

use crate::store;
use airlock_policy::services::SavedState;

/// A session's memory of one policy.
pub(super) fn to_row(policy: &str, digest: &str, saved: &SavedState) -> store::Seat {
    store::Seat {
        policy: policy.to_owned(),
        digest: digest.to_owned(),
        schema: saved.schema,
        state: saved.memory.clone(),
        kv: saved.values.clone().into_iter().collect(),
    }
}

/// What [`to_row`] wrote.
pub(super) fn from_row(row: &store::Seat) -> SavedState {
    SavedState {
        schema: row.schema,
        memory: row.state.clone(),
        values: row.kv.iter().cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_survives_the_store() {
        let saved = SavedState {
            schema: 3,
            memory: vec![1, 2, 3],
            values: [("k".to_owned(), vec![9])].into_iter().collect(),
        };
        assert_eq!(from_row(&to_row("p", "d", &saved)), saved);
    }
}
