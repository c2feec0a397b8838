//! The scanner against a slow oracle that sees the whole text, for every way to cut it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use proptest::prelude::*;
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::{Anchored, Input, MatchKind};

use super::*;

fn regex(text: &str) -> PatternSpec {
    PatternSpec {
        owner: 7,
        index: 0,
        syntax: Syntax::Regex,
        text: text.to_owned(),
        ignore_case: false,
        holds: true,
    }
}

fn literal(text: &str) -> PatternSpec {
    PatternSpec {
        syntax: Syntax::Literal,
        ..regex(text)
    }
}

fn set(specs: Vec<PatternSpec>) -> Arc<PatternSet> {
    let numbered = (0..).zip(specs);
    let specs = numbered.map(|(index, spec)| PatternSpec { index, ..spec });
    Arc::new(PatternSet::compile(specs.collect()).unwrap())
}

fn refusal(spec: PatternSpec) -> String {
    PatternSet::compile(vec![spec]).unwrap_err().to_string()
}

/// What a search of pieces gave.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    matches: Vec<Match>,
    /// `safe` after each length of text at which a piece ended.
    safe: Vec<(usize, u32)>,
}

/// Feeds the pieces, and checks what must hold after each of them.
fn scan(set: &Arc<PatternSet>, pieces: &[&str]) -> Seen {
    let mut scanner = Scanner::new(Arc::clone(set));
    let mut seen = Seen::default();
    let mut fed = 0;
    let mut found = Vec::new();
    for piece in pieces.iter().map(Some).chain([None]) {
        let safe = scanner.safe();
        match piece {
            Some(piece) => scanner.feed(piece, &mut found),
            None => scanner.finish(&mut found),
        }
        fed += piece.map_or(0, |piece| piece.len());
        for found in found.drain(..) {
            let spec = &set.specs[found.index as usize];
            assert!(
                !spec.holds || found.offset >= safe,
                "{found:?} was already safe up to {safe}"
            );
            assert!((found.offset + found.len) as usize <= fed);
            seen.matches.push(found);
        }
        assert!(scanner.safe() >= safe, "safe moved backwards");
        assert!(scanner.safe() as usize <= fed);
        seen.safe.push((fed, scanner.safe()));
    }
    seen.matches.sort();
    seen
}

/// Offsets and lengths of a single pattern's matches in a text fed at once.
fn spans(spec: PatternSpec, text: &str) -> Vec<(u32, u32)> {
    let seen = scan(&set(vec![spec]), &[text]);
    seen.matches.iter().map(|m| (m.offset, m.len)).collect()
}

/// Leftmost-longest by definition: from each start in turn, another engine looks for the longest match.
fn oracle(set: &PatternSet, text: &str) -> Vec<Match> {
    let mut matches = Vec::new();
    for spec in &set.specs {
        let nfa = regex_automata::nfa::thompson::Compiler::new()
            .build_from_hir(&parse(spec).unwrap())
            .unwrap();
        let vm = PikeVM::builder()
            .configure(PikeVM::config().match_kind(MatchKind::All))
            .build_from_nfa(nfa)
            .unwrap();
        let mut cache = vm.create_cache();
        let mut start = 0;
        while start < text.len() {
            let limit = text.len().min(start + MAX_MATCH);
            let input = Input::new(text).range(start..limit).anchored(Anchored::Yes);
            let mut end = [None; 2];
            vm.search_slots(&mut cache, &input, &mut end);
            let Some(end) = end[1].map(|end| end.get()) else {
                start += 1;
                continue;
            };
            matches.push(Match {
                owner: spec.owner,
                index: spec.index,
                offset: start as u32,
                len: (end - start) as u32,
            });
            start = end;
        }
    }
    matches.sort();
    matches
}

/// Cuts a text after every character.
fn characters(text: &str) -> Vec<&str> {
    text.split_inclusive(|_| true).collect()
}

#[test]
fn a_literal_is_reported_with_its_last_byte_and_held_until_then() {
    let set = set(vec![literal("secret")]);
    let mut scanner = Scanner::new(set);
    let mut found = Vec::new();
    for piece in ["no sec", "re"] {
        scanner.feed(piece, &mut found);
        assert_eq!((scanner.safe(), found.len()), (3, 0), "after {piece}");
    }
    scanner.feed("ts", &mut found);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].offset, found[0].len), (3, 6));
    // The `s` after the match may begin another.
    assert_eq!(scanner.safe(), 9);
}

#[test]
fn text_that_cannot_begin_a_match_is_safe_at_once() {
    let set = set(vec![literal("secret"), regex(r"\b[0-9]{4}\b")]);
    let mut scanner = Scanner::new(set);
    let mut found = Vec::new();
    for (piece, safe) in [
        ("all is well", 11),
        (" se", 12),
        ("e", 15),
        (" 123", 16),
        ("45", 21),
        (" 1234", 22),
    ] {
        scanner.feed(piece, &mut found);
        assert_eq!(scanner.safe(), safe, "after {piece:?}");
    }
    assert!(found.is_empty(), "the border of the word is not known yet");
    scanner.finish(&mut found);
    assert_eq!((found.len(), scanner.safe()), (1, 26));
}

#[test]
fn an_extendable_match_waits_for_the_byte_that_ends_it() {
    let mut scanner = Scanner::new(set(vec![regex("a+")]));
    let mut found = Vec::new();
    scanner.feed("xaaa", &mut found);
    assert_eq!((found.len(), scanner.safe()), (0, 1));
    scanner.feed("aa", &mut found);
    assert_eq!((found.len(), scanner.safe()), (0, 1));
    scanner.feed("b", &mut found);
    assert_eq!((found[0].offset, found[0].len), (1, 5));
    assert_eq!(scanner.safe(), 7);
}

#[test]
fn a_policy_that_only_observes_holds_nothing() {
    let watching = PatternSpec {
        holds: false,
        ..literal("secret")
    };
    let seen = scan(&set(vec![watching]), &["a secr", "et"]);
    assert_eq!(seen.matches.len(), 1);
    assert_eq!(seen.safe, [(6, 6), (8, 8), (8, 8)]);
}

#[test]
fn matches_are_leftmost_and_longest_and_patterns_independent() {
    assert_eq!(spans(regex("abcd|bc"), "abce abcd"), [(1, 2), (5, 4)]);
    assert_eq!(spans(regex("a|ab|abc"), "abcab"), [(0, 3), (3, 2)]);
    assert_eq!(spans(regex("a+?b?"), "aaab"), [(0, 4)]);
    assert_eq!(spans(literal("aa"), "aaaaa"), [(0, 2), (2, 2)]);
    let both = scan(&set(vec![literal("bcd"), literal("abcde")]), &["abcde"]);
    assert_eq!(both.matches.len(), 2);
}

#[test]
fn a_match_that_an_earlier_start_gives_up_is_still_found() {
    // `axxx…` is alive from 0 and swallows every `b` if a `z` comes; none does.
    assert_eq!(spans(regex("a[^z]*z|b+"), "axbbxb"), [(2, 2), (5, 1)]);
    assert_eq!(spans(regex("a[^z]*z|b+"), "axbbxbz"), [(0, 7)]);
}

#[test]
fn ends_of_the_text_and_words_are_seen() {
    assert_eq!(spans(regex("^ab"), "abab"), [(0, 2)]);
    assert_eq!(spans(regex("ab$"), "abab"), [(2, 2)]);
    assert_eq!(spans(regex("(?m)^ab$"), "ab\nabc\nab"), [(0, 2), (7, 2)]);
    assert_eq!(
        spans(regex(r"\bkill\b"), "kill skill kill"),
        [(0, 4), (11, 4)]
    );
}

#[test]
fn case_is_folded_by_unicode() {
    let folded = |text| PatternSpec {
        ignore_case: true,
        ..literal(text)
    };
    assert_eq!(spans(folded("straße"), "STRAßE"), [(0, 7)]);
    assert_eq!(spans(folded("ÉTÉ"), "été"), [(0, 5)]);
    assert_eq!(spans(folded("k"), "\u{212A}"), [(0, 3)], "the Kelvin sign");
    assert_eq!(spans(folded("a.c"), "abc A.C"), [(4, 3)]);
}

#[test]
fn a_candidate_that_gets_too_long_is_given_up() {
    let set = set(vec![regex("<[^>]*>")]);
    let fits = format!("<{}>", "x".repeat(MAX_MATCH - 2));
    let too_long = format!("<{}>", "x".repeat(MAX_MATCH - 1));
    assert_eq!(scan(&set, &[&fits]).matches.len(), 1);
    assert_eq!(scan(&set, &[&too_long]).matches.len(), 0);
    assert_eq!(scan(&set, &characters(&fits)).matches.len(), 1);

    let mut scanner = Scanner::new(set);
    let mut found = Vec::new();
    scanner.feed("<", &mut found);
    scanner.feed(&"x".repeat(MAX_MATCH - 2), &mut found);
    assert_eq!(scanner.safe(), 0);
    scanner.feed("x", &mut found);
    assert_eq!(scanner.safe() as usize, MAX_MATCH);
}

#[test]
fn a_match_of_full_length_may_wait_for_the_byte_that_decides_it() {
    let text = |after| format!("<{}>{after}", "x".repeat(MAX_MATCH - 2));
    let full = [(0, MAX_MATCH as u32)];
    assert_eq!(spans(regex(r"<[a-z]*>\b"), &text("w")), full);
    assert_eq!(spans(regex(r"<[a-z]*>\b"), &text(" ")), []);
    assert_eq!(spans(regex(r"<[a-z]*>$"), &text("")), full);
    assert_eq!(spans(regex(r"<[a-z>]*\bw?"), &text("w")), full);
}

#[test]
fn an_endless_match_is_reported_at_the_limit() {
    let mut scanner = Scanner::new(set(vec![regex("a+")]));
    let mut found = Vec::new();
    scanner.feed(&"a".repeat(MAX_MATCH - 1), &mut found);
    assert!(found.is_empty());
    scanner.feed("a", &mut found);
    assert_eq!((found.len(), found[0].len as usize), (1, MAX_MATCH));
}

#[test]
fn every_cut_of_a_text_gives_the_same() {
    let set = set(vec![
        literal("naïve"),
        regex(r"[a-z0-9.]+@[a-z0-9]+\.[a-z]{2,}"),
        regex(r"\b(?:\d[ -]?){13,16}\b"),
        regex("(?i)sk-[a-z0-9]{8,}"),
        literal("日本語"),
        regex("日本?"),
        regex(r"\p{Greek}+$"),
    ]);
    let text = "A naïve mail to jo.doe@example.com, card 4111 1111 1111 1111: 日本 and 日本語; \
                key SK-abcdef0123456 naïv naïve αβγ d@e.f αβγ";
    let whole = oracle(&set, text);
    assert_eq!(whole.len(), 9, "{whole:#?}");
    let bytewise = scan(&set, &characters(text));
    assert_eq!(bytewise.matches, whole);
    let borders: Vec<usize> = (0..=text.len())
        .filter(|&i| text.is_char_boundary(i))
        .collect();
    for &first in &borders {
        for &second in borders.iter().filter(|&&second| second >= first) {
            let pieces = [&text[..first], &text[first..second], &text[second..]];
            let seen = scan(&set, &pieces);
            assert_eq!(seen.matches, whole, "cut at {first} and {second}");
        }
    }
}

#[test]
fn many_patterns_in_one_set() {
    let words: Vec<String> = (0..2000).map(|i| format!("word{i}x")).collect();
    let set = set(words.iter().map(|word| literal(word)).collect());
    for (i, word) in words.iter().enumerate().step_by(97) {
        let text = format!("some {word} here");
        let seen = scan(&set, &characters(&text));
        assert_eq!(seen.matches.len(), 1);
        assert_eq!(seen.matches[0].index as usize, i);
    }
}

#[test]
fn patterns_whose_product_is_too_big_are_split() {
    // Each is small; together they would remember thirty counters at once.
    let specs: Vec<PatternSpec> = (0..30)
        .map(|i| regex(&format!("[a-z0-9]{{{}}}[{}-9]*x{i}", i + 20, i % 9)))
        .collect();
    let set = set(specs);
    let text = format!("{}x3 and {}x29", "q".repeat(23), "q".repeat(49));
    assert_eq!(scan(&set, &characters(&text)).matches, oracle(&set, &text));
}

#[test]
fn refusals_name_the_pattern_and_the_reason() {
    let cases = [
        (literal(""), "pattern 0 ``: matches the empty text"),
        (regex("a*"), "pattern 0 `a*`: matches the empty text"),
        (regex("a(b"), "unclosed group at character 2"),
        (regex("[a&&b]"), "can never match"),
        (regex(r"a\B"), r"uses `\B`"),
        (regex(r"\b{start}a"), "of look-around, only"),
        (regex("(?mR)a$"), "uses `(?R)`"),
        (regex("a{2000}"), "needs at least 2000 bytes"),
        (regex(r"[a-z]?(\w{0,900}x){3}"), "as an automaton"),
        (regex("(?=a)b"), "look-around"),
    ];
    for (spec, expected) in cases {
        let message = refusal(spec);
        assert!(message.contains(expected), "{message}");
    }
    assert!(refusal(literal(&"é".repeat(600))).len() < 300);
}

#[test]
fn a_set_without_patterns_lets_everything_pass() {
    let set = set(vec![]);
    assert!(set.is_empty());
    assert_eq!(scan(&set, &["abc"]).safe, [(3, 3), (3, 3)]);
}

/// Small expressions over few letters, so that matches, near misses and overlaps are frequent.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "c", "é", "日", " "]).prop_map(str::to_owned),
        1 => Just("[ab]".to_owned()),
        1 => Just("[^a]".to_owned()),
        1 => Just(".".to_owned()),
        // Unicode's would now and then make a pattern too big.
        1 => Just(r"(?-u:\w)".to_owned()),
        1 => Just(r"\b".to_owned()),
        1 => Just("^".to_owned()),
        1 => Just("$".to_owned()),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            4 => prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| parts.concat()),
            2 => prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("(?:{})", parts.join("|"))),
            1 => inner.clone().prop_map(|e| format!("(?:{e})*")),
            1 => inner.clone().prop_map(|e| format!("(?:{e})+")),
            1 => inner.clone().prop_map(|e| format!("(?:{e})?")),
            1 => inner.prop_map(|e| format!("(?:{e}){{1,3}}")),
        ]
    })
}

fn spec() -> impl Strategy<Value = PatternSpec> {
    let spec = (expression(), any::<bool>(), any::<bool>(), 0..4_u32);
    let spec = spec.prop_map(|(text, ignore_case, holds, kind)| PatternSpec {
        syntax: if kind == 0 {
            Syntax::Literal
        } else {
            Syntax::Regex
        },
        ignore_case,
        holds,
        ..regex(&text)
    });
    spec.prop_filter("must compile", |spec| parse(spec).is_ok())
}

fn text() -> impl Strategy<Value = String> {
    let character = prop::sample::select(vec!['a', 'b', 'c', 'B', 'é', 'É', '日', ' ', '\n']);
    prop::collection::vec(character, 0..40).prop_map(String::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn finds_what_the_oracle_finds_however_the_text_is_cut(
        specs in prop::collection::vec(spec(), 1..5),
        text in text(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let set = set(specs);
        let mut borders: Vec<usize> = cuts
            .iter()
            .map(|cut| cut.index(text.len() + 1))
            .filter(|&at| text.is_char_boundary(at))
            .chain([0, text.len()])
            .collect();
        borders.sort_unstable();
        let pieces: Vec<&str> = borders.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        let cut = scan(&set, &pieces);
        prop_assert_eq!(&cut.matches, &oracle(&set, &text));

        // What is safe after so much text does not depend on the cuts either.
        let fine = scan(&set, &characters(&text));
        for (length, safe) in cut.safe.iter().take(pieces.len()).filter(|(length, _)| *length > 0) {
            prop_assert!(text.is_char_boundary(*safe as usize));
            prop_assert!(fine.safe.contains(&(*length, *safe)), "{:?} {:?}", cut.safe, fine.safe);
        }
    }
}

/// Run with `--ignored --no-capture` to see nanoseconds a byte.
#[test]
#[ignore = "a measurement"]
fn throughput() {
    let prose = "The quick brown fox jumps over the lazy dog; then 42 engineers wrote to their friends, and nothing came of it. "
        .repeat(1000);
    let words: Vec<PatternSpec> = (0..500u32)
        .map(|i| PatternSpec {
            ignore_case: true,
            ..literal(&format!("{}orbidden{i}", char::from(b'a' + (i % 26) as u8)))
        })
        .collect();
    let personal = || {
        vec![
            regex(r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}"),
            regex(r"\b(?:\d[ -]?){13,16}\b"),
            regex(r"\b\d{3}-\d{2}-\d{4}\b"),
            regex(r"AKIA[0-9A-Z]{16}"),
            regex(r"sk-[A-Za-z0-9_-]{20,}"),
            regex(r"-----BEGIN [A-Z ]+-----"),
        ]
    };
    let sets = [
        (
            "3 literals",
            vec![literal("forbidden"), literal("sk-live"), literal("Zebra")],
        ),
        ("500 words, any case", words.clone()),
        ("6 of personal data", personal()),
        ("both", words.into_iter().chain(personal()).collect()),
        ("worst: every byte a start", vec![regex("(?s).{1000}\u{1}")]),
    ];
    for (name, specs) in sets {
        let begun = std::time::Instant::now();
        let set = set(specs);
        let compiled = begun.elapsed();
        for chunk in [prose.len(), 20] {
            let text = &prose[..prose.len().min(if name.starts_with("worst") {
                5000
            } else {
                usize::MAX
            })];
            let mut scanner = Scanner::new(Arc::clone(&set));
            let mut found = Vec::new();
            let begun = std::time::Instant::now();
            let mut rest = text;
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(chunk.min(rest.len()));
                scanner.feed(piece, &mut found);
                rest = tail;
            }
            let took = begun.elapsed();
            println!(
                "{name:26} chunk {chunk:6}: {:6.2} ns/byte, {} tables, {} KiB, compiled in {compiled:?}",
                took.as_nanos() as f64 / text.len() as f64,
                set.tables.len(),
                set.memory() / 1024,
            );
        }
    }
}
