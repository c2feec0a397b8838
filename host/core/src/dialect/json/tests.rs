#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use proptest::prelude::*;

use super::*;

/// What the scanner finds is what `serde_json` reads; what `serde_json` refuses the scanner does not find.
fn holds(text: &str) {
    let known = serde_json::from_str::<Entries<'_>>(text);
    if let Some(found) = entries::<false>(text) {
        let known = known.unwrap_or_else(|error| panic!("{error}: {text}")).0;
        let plain = |entries: &[(Key<'_>, Raw<'_>)]| -> Vec<(String, String)> {
            let plain = |(key, value): &(Key<'_>, Raw<'_>)| {
                (key.as_str().to_owned(), value.get().to_owned())
            };
            entries.iter().map(plain).collect()
        };
        assert_eq!(plain(&found), plain(&known), "{text}");
    }
    let known = serde_json::from_str::<Vec<&RawValue>>(text);
    if let Ok(known) = known
        && let Ok(raw) = Raw::of(text)
    {
        let known: Vec<&str> = known.into_iter().map(RawValue::get).collect();
        let found: Vec<&str> = array(raw).unwrap().into_iter().map(Raw::get).collect();
        assert_eq!(found, known, "{text}");
    }
    // What was found within something good is found again without being judged.
    if let Some(found) = entries::<false>(text) {
        let again = entries::<true>(text.trim_matches([' ', '\n', '\t', '\r'])).unwrap();
        let values = |entries: Vec<(Key<'_>, Raw<'_>)>| -> Vec<String> {
            entries
                .into_iter()
                .map(|(_, value)| value.get().to_owned())
                .collect()
        };
        assert_eq!(values(found), values(again), "{text}");
    }
    if let Some(end) = scan::value::<false>(text.as_bytes(), 0) {
        let value = text.get(..end).unwrap();
        serde_json::from_str::<&RawValue>(value).unwrap_or_else(|error| panic!("{error}: {value}"));
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[ -~\"\\\\\n\t\u{1}é😀]{0,40}".prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec(("[a-z\"\\\\é]{0,20}", inner), 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_document_is_read_at_once_and_as_serde_json_reads_it(value in json(), pretty: bool) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&value).unwrap(),
            false => value.to_string(),
        };
        prop_assert_eq!(scan::value::<false>(text.as_bytes(), 0), Some(text.len()));
        holds(&text);
        if value.is_object() {
            prop_assert!(entries::<false>(&text).is_some());
        }
    }

    #[test]
    fn a_broken_document_is_never_taken_for_a_good_one(value in json(), at in any::<prop::sample::Index>(), with in "[\\[\\]{}\",:\\\\u0-9eE.+ntf\u{1} -]{0,3}") {
        let mut text = value.to_string();
        let at = text.floor_char_boundary(at.index(text.len()));
        let end = text.ceil_char_boundary((at + 1).min(text.len()));
        text.replace_range(at..end, &with);
        holds(&text);
    }

    #[test]
    fn any_text_is_read_as_serde_json_reads_it(text in "[\\[\\]{}\",:\\\\u0-9eE.+ntrufalse\u{1} -]{0,40}") {
        holds(&text);
        holds(&format!("[{text}]"));
        holds(&format!("{{\"a\":{text}}}"));
    }
}

#[test]
fn numbers_strings_and_words_are_those_of_the_standard() {
    for text in [
        "01",
        "1.",
        ".5",
        "-",
        "+1",
        "1e",
        "1e+",
        "0x1",
        "1_0",
        "NaN",
        "Infinity",
        "True",
        "nul",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\u{1f}\"",
        "\"\n\"",
        "\"a",
        "'a'",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "{\"a\":1 \"b\":2}",
        "[1 2]",
        "",
        "\u{feff}{}",
        "{}x",
        "[]]",
        "// c\n{}",
    ] {
        holds(text);
        let alone = scan::value::<false>(text.as_bytes(), 0).filter(|end| *end == text.len());
        assert_eq!(
            alone.is_some(),
            serde_json::from_str::<&RawValue>(text).is_ok(),
            "{text}"
        );
    }
    for text in [
        "0",
        "-0.0e-0",
        "1E5",
        "\"\\ud800\"",
        "\"\\u00e9\\/\"",
        " [ ] ",
        "\t{\r\n}\n",
    ] {
        holds(text);
    }
}

#[test]
fn what_is_nested_beyond_the_scanner_is_read_all_the_same() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(1000), "]".repeat(1000));
    assert!(entries::<false>(&deep).is_none());
    assert_eq!(Object::parse(&deep).unwrap().0.len(), 1);
}

#[test]
fn a_key_twice_is_refused_on_either_way() {
    for text in [
        r#"{"a":1,"A":2}"#.to_owned(),
        format!(
            r#"{{"a":1,"\u0061":{}1{}}}"#,
            "[".repeat(500),
            "]".repeat(500)
        ),
    ] {
        let error = Object::parse(&text).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("stands twice"), "{error}");
    }
}
