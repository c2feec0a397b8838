//! A set of checkpoints.

use airlock_policy::contract::types::Checkpoint;

/// A set of checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Points(u8);

impl Points {
    /// Every checkpoint.
    pub const ALL: Points = Points(u8::MAX);

    /// The set of these.
    pub const fn of(points: &[Checkpoint]) -> Points {
        let (mut set, mut i) = (0, 0);
        while i < points.len() {
            // `get` is not const; the loop's condition bounds the index.
            #[allow(clippy::indexing_slicing)]
            let point = points[i];
            set |= 1 << point as u8;
            i += 1;
        }
        Points(set)
    }

    /// Whether the checkpoint is in the set.
    pub fn has(self, point: Checkpoint) -> bool {
        self.0 & 1 << point as u8 != 0
    }

    /// What is in both.
    pub fn and(self, other: Points) -> Points {
        Points(self.0 & other.0)
    }

    /// What is in either.
    pub fn or(self, other: Points) -> Points {
        Points(self.0 | other.0)
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
