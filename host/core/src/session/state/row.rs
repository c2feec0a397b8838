//! A policy's seat as the store keeps it.

use crate::store;
use airlock_policy::services::SavedState;

/// Both halves in one: length of the first, first, second.
pub(super) fn to_row(policy: &str, digest: &str, saved: &SavedState) -> store::Seat {
    let mut state = (saved.reasoning.len() as u32).to_le_bytes().to_vec();
    state.extend_from_slice(&saved.reasoning);
    state.extend_from_slice(&saved.acting);
    store::Seat {
        policy: policy.to_owned(),
        digest: digest.to_owned(),
        schema: saved.schema,
        state,
        kv: saved.values.clone().into_iter().collect(),
    }
}

/// What [`to_row`] wrote; `None` if it cannot be read.
pub(super) fn from_row(row: &store::Seat) -> Option<SavedState> {
    let (len, rest) = row.state.split_first_chunk::<4>()?;
    let (reasoning, acting) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    Some(SavedState {
        schema: row.schema,
        reasoning: reasoning.to_vec(),
        acting: acting.to_vec(),
        values: row.kv.iter().cloned().collect(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_seat_survives_the_store() {
        let saved = SavedState {
            schema: 3,
            reasoning: vec![1, 2, 3],
            acting: vec![],
            values: [("k".to_owned(), vec![9])].into_iter().collect(),
        };
        assert_eq!(from_row(&to_row("p", "d", &saved)).unwrap(), saved);
        assert_eq!(
            from_row(&store::Seat {
                state: vec![9, 0, 0, 0, 1],
                ..to_row("p", "d", &saved)
            }),
            None
        );
    }
}
