//! A new text in place of several that are read joined: those at the beginning and at the end which it has in common with the
//! old ones stay as they are, and what differs stands in one of the others.

/// What becomes of each part; `None`: it stays. Parts are joined by `between`. Of those that differ, `bearer` says which
/// bears the new text; the others become empty.
pub(super) fn spread(
    parts: &[&str],
    between: &str,
    new: &str,
    bearer: impl Fn(&[usize]) -> usize,
) -> Vec<Option<String>> {
    let mut out = vec![None; parts.len()];
    let mut rest = new;
    let (mut first, mut end) = (0, parts.len());
    // The last part that differs has at least the separator before it to lose.
    while let Some(part) = parts.get(first).filter(|_| first + 1 < end) {
        let after = rest
            .strip_prefix(part)
            .and_then(|rest| rest.strip_prefix(between));
        let Some(after) = after else { break };
        (rest, first) = (after, first + 1);
    }
    while let Some(part) = parts.get(end.wrapping_sub(1)).filter(|_| first + 1 < end) {
        let before = rest
            .strip_suffix(part)
            .and_then(|rest| rest.strip_suffix(between));
        let Some(before) = before else { break };
        (rest, end) = (before, end - 1);
    }
    if parts
        .get(first)
        .is_some_and(|part| end == first + 1 && *part == rest)
    {
        return out;
    }
    let middle: Vec<usize> = (first..end).collect();
    let bearer = bearer(&middle);
    for index in middle {
        if let Some(slot) = out.get_mut(index) {
            *slot = Some(if index == bearer { rest } else { "" }.to_owned());
        }
    }
    out
}

/// The first.
pub(super) fn first(middle: &[usize]) -> usize {
    middle.first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(parts: &[&str], between: &str, new: &str) -> Vec<Option<String>> {
        spread(parts, between, new, first)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn what_stays_the_same_is_not_touched() {
        assert_eq!(joined(&["a", "b"], "", "ab"), [None, None]);
        assert_eq!(joined(&["a", "b", "c"], "", "aXc"), [None, some("X"), None]);
        assert_eq!(joined(&["a", "b"], "\n", "a\nX"), [None, some("X")]);
        assert_eq!(joined(&["a", "b"], "\n", "X\nb"), [some("X"), None]);
        assert_eq!(joined(&["a", "b"], "\n", "X"), [some("X"), some("")]);
        assert_eq!(joined(&["I tidy. ", "No."], "", "No."), [some(""), None]);
        assert_eq!(joined(&["a", "a"], "", "a"), [None, some("")]);
        assert_eq!(joined(&["a"], "", ""), [some("")]);
        assert_eq!(
            joined(&["a", "b", "c", "d"], "", "aXd"),
            [None, some("X"), some(""), None]
        );
    }
}
