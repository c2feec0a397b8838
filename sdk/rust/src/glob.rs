//! Patterns with wildcards, for settings that name tools, models or paths.

/// Whether all of `text` fits `pattern`: `*` stands for any characters or none, `?` for one; all others for themselves.
/// Takes time in proportion to the product of the two lengths at worst, whoever wrote the pattern.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // The latest star, and where the text went on after what it swallowed so far. Only the latest one needs another try.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, swallowed)) = star else {
                    return false;
                };
                star = Some((at, swallowed + 1));
                (p, t) = (at + 1, swallowed + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn wildcards() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "anything"),
            ("get_*", "get_"),
            ("get_*", "get_user"),
            ("*_user", "get_user"),
            ("g?t_*er", "get_user"),
            ("*a*b", "xaxbxb"),
            ("é?", "éü"),
            ("/srv/*/x", "/srv/a/b/x"),
        ] {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("get_*", "forget_user"),
            ("get_?", "get_"),
            ("*_user", "get_user_"),
            ("*a*b", "xaxbxc"),
            ("GET", "get"),
            ("a.c", "abc"),
        ] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_do_not_blow_up() {
        assert!(!glob(&"*a".repeat(50), &"a".repeat(49)));
        assert!(!glob(&format!("{}b", "a*".repeat(200)), &"a".repeat(2_000)));
    }
}
