//! Ranges of text, and how those that overlap become one.

use airlock_sdk::prelude::*;

/// Where a match lies. Goes from the reasoner to the actuator as data of the finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    pub channel: String,
    choice: u16,
    block: u16,
    offset: u32,
    len: u32,
}

/// Channels under the names of the contract.
const CHANNELS: [(Channel, &str); 6] = [
    (Channel::None, "none"),
    (Channel::Output, "output"),
    (Channel::Reasoning, "reasoning"),
    (Channel::Refusal, "refusal"),
    (Channel::ToolArguments, "tool-arguments"),
    (Channel::Other, "other"),
];

impl Range {
    pub fn of(found: &PatternMatch) -> Self {
        let channel = CHANNELS
            .iter()
            .find(|(channel, _)| *channel == found.channel)
            .map_or("other", |(_, name)| name);
        Self {
            channel: channel.into(),
            choice: found.choice,
            block: found.block,
            offset: found.offset,
            len: found.len,
        }
    }

    pub fn replaced_by(self, text: &str) -> Replacement {
        let channel = CHANNELS
            .iter()
            .find(|(_, name)| *name == self.channel)
            .map_or(Channel::Other, |(channel, _)| *channel);
        Replacement {
            channel,
            choice: self.choice,
            block: self.block,
            offset: self.offset,
            len: self.len,
            text: text.into(),
        }
    }

    fn place(&self) -> (&str, u16, u16) {
        (&self.channel, self.choice, self.block)
    }

    fn end(&self) -> u32 {
        self.offset.saturating_add(self.len)
    }
}

/// Joins ranges that overlap. Of two replacements that overlap the host applies one, which would leave a part of the
/// other's forbidden text.
pub fn join(ranges: impl Iterator<Item = Range>) -> Vec<Range> {
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_by(|a, b| (a.place(), a.offset).cmp(&(b.place(), b.offset)));
    let mut joined = Vec::<Range>::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.place() == range.place() && range.offset < last.end() => {
                last.len = last.end().max(range.end()) - last.offset;
            }
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(channel: &str, offset: u32, len: u32) -> Range {
        Range {
            channel: channel.into(),
            choice: 0,
            block: 0,
            offset,
            len,
        }
    }

    fn joined(ranges: &[Range]) -> Vec<Range> {
        join(ranges.iter().cloned())
    }

    #[test]
    fn overlapping_ranges_become_one() {
        assert_eq!(
            joined(&[range("output", 8, 4), range("output", 2, 8)]),
            [range("output", 2, 10)]
        );
        assert_eq!(
            joined(&[range("output", 2, 8), range("output", 4, 2)]),
            [range("output", 2, 8)]
        );
    }

    #[test]
    fn neighbours_and_other_channels_stay_apart() {
        let apart = [
            range("output", 0, 4),
            range("output", 4, 4),
            range("reasoning", 2, 4),
        ];
        assert_eq!(joined(&apart), apart);
    }
}
