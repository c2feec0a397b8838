//! Against `tiktoken-rs` itself, on whole texts, for many ways to cut them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::LazyLock;

use proptest::prelude::*;
use tiktoken_rs::CoreBPE;

use super::*;

static REFERENCES: LazyLock<[(TokenCounter, CoreBPE); 2]> = LazyLock::new(|| {
    [
        (
            TokenCounter::for_model("gpt-4o"),
            tiktoken_rs::o200k_base().unwrap(),
        ),
        (
            TokenCounter::for_model("gpt-4"),
            tiktoken_rs::cl100k_base().unwrap(),
        ),
    ]
});

fn streamed(counter: TokenCounter, pieces: &[&str]) -> u32 {
    let mut stream = counter.stream();
    let told: u32 = pieces.iter().map(|piece| stream.push(piece)).sum();
    assert!(told >= stream.total(), "fewer told than there are");
    stream.total()
}

/// Pieces of `len` characters.
fn cut(text: &str, len: usize) -> Vec<&str> {
    let mut borders: Vec<usize> = text.char_indices().map(|(at, _)| at).step_by(len).collect();
    borders.push(text.len());
    borders
        .windows(2)
        .map(|pair| &text[pair[0]..pair[1]])
        .collect()
}

const TEXTS: &[&str] = &[
    "",
    " ",
    "Hello, world! It's 2026; they'll pay $1,234.56 for it, won't they?",
    "fn main() {\n    let x = 1;\n\n        if x > 0 {\n\t\treturn;  \n    }\n}   \n\n  ",
    "Grüße aus Österreich — naïve façade, ÉCOLE, Straße.\r\n\r\n  Ende \u{a0}\u{2003} x",
    "日本語のテキストと中文文本，以及한국어 텍스트。مرحبا بالعالم नमस्ते दुनिया",
    "👩‍👩‍👧‍👦 emoji 🎉🎉 and e\u{301} combining, ﬁ ligature, ⅷ ²³ ١٢٣٤",
    "   leading and    inner   blanks\n \n  \n\n word\n   ",
    "HTTPServer camelCaseWord SHOUTING'S I'VE i'm 'tis ſ'ſ https://example.com/a/b//c\n/x",
    "====================================== -------- ........ !!!???",
    "{\"name\":\"get_weather\",\"arguments\":{\"city\":\"Zürich\",\"days\":[1,2,3]}}",
];

#[test]
fn any_cut_gives_what_the_tokeniser_gives_for_the_whole() {
    for (counter, reference) in REFERENCES.iter() {
        for text in TEXTS {
            let whole = reference.count_ordinary(text) as u32;
            assert_eq!(counter.count_text(text), whole, "{text:?}");
            for len in [1, 2, 3, 5, 20] {
                let pieces = cut(text, len);
                assert_eq!(streamed(*counter, &pieces), whole, "by {len}: {text:?}");
            }
        }
    }
}

#[test]
fn every_prefix_of_a_stream_has_its_own_total() {
    for (counter, reference) in REFERENCES.iter() {
        for text in TEXTS {
            let mut stream = counter.stream();
            for (at, character) in text.char_indices() {
                let end = at + character.len_utf8();
                stream.push(&text[at..end]);
                assert_eq!(
                    stream.total(),
                    reference.count_ordinary(&text[..end]) as u32,
                    "{:?}",
                    &text[..end]
                );
            }
        }
    }
}

#[test]
fn pieces_that_are_too_long_are_counted_nearly_right_and_the_same_for_any_cut() {
    let texts = [
        "a".repeat(10_000),
        "=".repeat(10_000),
        format!("x{}y", " ".repeat(10_000)),
        "ab".repeat(3_000),
        "語".repeat(2_000),
        "\n".repeat(5_000),
    ];
    for (counter, reference) in REFERENCES.iter() {
        for text in &texts {
            let whole = reference.count_ordinary(text) as u32;
            let count = counter.count_text(text);
            let parts = text.len().div_ceil(MAX_PIECE) as u32;
            assert!(
                count.abs_diff(whole) <= 2 * parts,
                "{count} for {whole}: {:.10}",
                text
            );
            assert_eq!(streamed(*counter, &cut(text, 7)), count);
        }
    }
}

#[test]
fn a_token_is_told_once() {
    let counter = TokenCounter::for_model("gpt-4o");
    let mut stream = counter.stream();
    let mut told = 0;
    for piece in ["un", "belie", "vab", "le", " things", "."] {
        told += stream.push(piece);
    }
    assert_eq!(stream.push(""), 0);
    assert!(told >= stream.total());
    assert!(told <= stream.total() + 3, "{told} for {}", stream.total());
}

#[test]
fn models_have_their_encodings() {
    let of = |model| {
        let counter = TokenCounter::for_model(model);
        (counter.encoding, counter.is_own())
    };
    assert_eq!(of("gpt-4o-mini-2024-07-18"), (Encoding::O200k, true));
    assert_eq!(of("gpt-4-0613"), (Encoding::Cl100k, true));
    assert_eq!(of("openai/gpt-5-mini"), (Encoding::O200k, true));
    assert_eq!(of("ft:gpt-4o:acme::abc"), (Encoding::O200k, true));
    assert_eq!(of("claude-sonnet-4-5"), (Encoding::O200k, false));
    assert_eq!(of("meta-llama/Llama-3.1-8B"), (Encoding::O200k, false));
    assert_eq!(of(""), (Encoding::O200k, false));
}

fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(vec![
            " ", "  ", "\n", "\r\n", "\t", "\u{a0}", "'s", "'LL", "'", "a", "The", "the", "ß", "É", "é", "e\u{301}", "1", "²",
            "/", "!", "…", "日", "語", "🎉", "\u{200d}", "ǅ", "ʰ", "ſ",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
        1 => "[a-zA-Z]{1,12}",
        1 => "\\s{0,6}",
    ];
    prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_texts_and_cuts_agree(text in text(), len in 1..12_usize) {
        for (counter, reference) in REFERENCES.iter() {
            let whole = reference.count_ordinary(&text) as u32;
            prop_assert_eq!(counter.count_text(&text), whole);
            prop_assert_eq!(streamed(*counter, &cut(&text, len)), whole);
        }
    }
}

/// Run with `--ignored --no-capture`.
#[test]
#[ignore = "a measurement"]
fn throughput() {
    let prose = "The quick brown fox jumps over the lazy dog; then 42 engineers wrote to their friends about unbelievably \
                 idiosyncratic tokenisers, and nothing came of it.\n"
        .repeat(3000);
    for model in ["gpt-4o", "gpt-4"] {
        let begun = std::time::Instant::now();
        let counter = TokenCounter::for_model(model);
        assert_eq!(counter.count_text("x"), 1);
        println!("{model}: ready in {:?}", begun.elapsed());
        let begun = std::time::Instant::now();
        let tokens = counter.count_text(&prose);
        println!(
            "  {} bytes, {tokens} tokens in {:?}",
            prose.len(),
            begun.elapsed()
        );
        let pieces = cut(&prose, 20);
        let mut stream = counter.stream();
        let begun = std::time::Instant::now();
        for piece in &pieces {
            stream.push(piece);
        }
        let took = begun.elapsed();
        println!(
            "  chunks of 20 bytes: {:.0} ns each",
            took.as_nanos() as f64 / pieces.len() as f64
        );
        assert_eq!(stream.total(), tokens);
    }
}

#[test]
fn a_picture_in_text_is_never_tokenised_however_it_arrives() {
    let url = format!(
        "Here: ![x](data:image/png;base64,{}) as you asked.",
        "iVBORw0KGgo".repeat(100_000)
    );
    let counter = TokenCounter::for_model("gpt-4o");
    let whole = counter.count_text(&url);
    assert!((1_000..1_600).contains(&whole), "{whole}");
    let mut stream = counter.stream();
    let told: u32 = url
        .as_bytes()
        .chunks(700)
        .map(|piece| stream.push(std::str::from_utf8(piece).unwrap()))
        .sum();
    assert!(told.abs_diff(whole) < 40, "{told} and {whole}");
    assert!(estimate(&url) < 1_600);
}
