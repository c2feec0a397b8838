//! Ranges of text that overlap become one.

use airlock_sdk::prelude::*;

/// Joins ranges that overlap. Of two replacements that overlap the host applies one, which would leave a part of the
/// other's forbidden text.
pub fn join<'a>(ranges: impl Iterator<Item = &'a Span>) -> Vec<Span> {
    let mut ranges: Vec<_> = ranges.copied().collect();
    ranges.sort_by_key(|range| (range.place, range.offset));
    let mut joined = Vec::<Span>::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.overlaps(&range) => {
                last.length = last.end().max(range.end()) - last.offset;
            }
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(offset: u32, length: u32) -> Span {
        Place::new(Channel::Output).span(offset, length)
    }

    #[test]
    fn overlapping_ranges_become_one() {
        assert_eq!(join([range(8, 4), range(2, 8)].iter()), [range(2, 10)]);
        assert_eq!(join([range(2, 8), range(4, 2)].iter()), [range(2, 8)]);
    }

    #[test]
    fn neighbours_and_other_texts_stay_apart() {
        let apart = [
            range(0, 4),
            range(4, 4),
            Place::new(Channel::Output).item(1).span(2, 4),
            Place::new(Channel::Reasoning).span(2, 4),
        ];
        assert_eq!(join(apart.iter()), apart);
    }
}
