//! Mistakes in a condition are told by name and place, and nothing that is written breaks the compiler.

use proptest::prelude::*;

use super::super::Rules;
use super::stage::{Stage, call, mistake, row, rows};
use airlock_policy::contract::types::Checkpoint;

#[test]
fn mistakes_are_told_by_name_and_place() {
    // The place is that of the text after `§`.
    for (written, message) in [
        (
            "§vitls.elapsed > 5",
            "unknown variable `vitls`: did you mean `vitals`?",
        ),
        (
            "§vitals.elapsd > 5",
            "unknown field of vitals `elapsd`: did you mean `elapsed`?",
        ),
        ("true && §request.modell == 'a'", "did you mean `model`?"),
        (
            "§vitals == 1",
            "`vitals` is a group of values: name one, such as vitals.elapsed",
        ),
        ("§vitals['elapsed'] > 1.0", "named with a dot"),
        (
            "findings.exists(f, §f.kid == 'a')",
            "unknown field of a finding `kid`: did you mean `kind`?",
        ),
        ("§vitals.elapsed", "this is a number with a fraction"),
        ("§'text'", "true or false"),
        (
            "§vitals.context_share > 0.8",
            "write has(vitals.context_share) && ...",
        ),
        (
            "has(vitals.context_share) || §vitals.context_share > 0.8",
            "write has(vitals.context_share)",
        ),
        (
            "§request.messages == 'many'",
            "a whole number never equals text",
        ),
        ("§request.streamed > 1", "cannot be compared with >"),
        ("§vitals.elapsed / 1000 > 1.0", "write 2.0 for 2"),
        ("§size(vitals.elapsed) > 1", "`size` is used like this"),
        (
            "request.model.§startWith('a')",
            "unknown function `startWith`: did you mean `startsWith`?",
        ),
        ("§now() > 5", "unknown function `now`"),
        (
            "request.model.§matches(session.id)",
            "one pattern, in quotes",
        ),
        (
            "request.model.matches(§'(')",
            "this is no pattern: unclosed group",
        ),
        (
            "request.model.matches(§'(a{999}){999}')",
            "this pattern is too big",
        ),
        ("§session.exchanges in request.tools", "is never in"),
        (
            "§request.tools.map(t, t + 'x') == ['a']",
            "`map` is not for conditions",
        ),
        (
            "request.tools.exists(a, §request.tools.exists(b, a == b))",
            "split the rule",
        ),
        (
            "§request.tools.exists(tool, tool == 'a')",
            "`tool` is taken",
        ),
        ("1 §+ 'a' == 2", "does not take a whole number and text"),
        ("§{'a': 1} == {'a': 1}", "makes no tables"),
        ("§1u == 1u", "without the u"),
        ("§!vitals.elapsed", "must be true or false"),
        (
            "§tool.arguments.x == 1 && failure.retryable",
            "never known together",
        ),
        ("§", "there is no condition"),
    ] {
        let offset = written.find('§').unwrap();
        let error = mistake(&written.replacen('§', "", 1));
        assert!(
            error.message.contains(message),
            "{written}: {}",
            error.message
        );
        assert_eq!(error.key, "when", "{written}");
        let near = written.contains("_/_")
            || error.offset == offset
            || error.offset == 0
            || close(written, offset, error.offset);
        assert!(near, "{written}: {} is not {offset}", error.offset);
    }
}

/// A call and an operator stand where their sign does, which is not where their first operand begins.
fn close(written: &str, expected: usize, found: usize) -> bool {
    let text = written.replacen('§', "", 1);
    found > expected && found < text.len() && !text[expected..found].contains("&&")
}

#[test]
fn what_is_no_cel_is_told_with_its_place() {
    for (when, offset) in [
        ("vitals.elapsed > ", 17),
        ("vitals.elapsed >> 5", 16),
        ("vitals.elapsed > 5 &&", 21),
        ("(vitals.elapsed > 5", 19),
        ("'é' == 'é' && ~", 16),
    ] {
        let error = mistake(when);
        assert!(
            error.message.starts_with("this is no CEL"),
            "{}",
            error.message
        );
        assert!(!error.message.contains('{'), "{}", error.message);
        assert_eq!(error.offset, offset, "{when}: {}", error.message);
    }
}

#[test]
fn size_depth_and_number_are_bounded() {
    assert!(
        mistake(&format!("'{}' == ''", "x".repeat(2048)))
            .message
            .contains("2048 bytes")
    );
    for deep in [
        "!".repeat(2039) + "1",
        "-".repeat(1001) + "'a' == 1",
        "(".repeat(1000) + "true" + &")".repeat(1000),
        "[".repeat(1000) + &"]".repeat(1000) + " == []",
        vec!["1"; 900].join("+") + " == 2",
        "tool.arguments".to_owned() + &".a".repeat(1000) + " == 1",
        "tool.arguments".to_owned() + &"[0]".repeat(600) + " == 1",
        "true ? ".repeat(250) + "true" + &" : true".repeat(30),
        "size(".repeat(350) + "'a'" + &")".repeat(350) + " == 1",
    ] {
        assert!(!mistake(&deep).message.is_empty(), "{deep}");
    }
    // What a person would write on a long line is not deep.
    let wide = vec!["vitals.elapsed > 1"; 80].join(" && ");
    assert!(Rules::compile(&rows(&row(&wide, "do = \"annotate\""))).is_ok());
    let many = row("true", "do = \"annotate\"").repeat(65);
    let errors = Rules::compile(&rows(&many)).unwrap_err();
    assert!(errors[0].message.contains("65 rules: at most 64"));
}

/// Pieces from which conditions are made, right and wrong ones.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "vitals.elapsed",
        "vitals.context_share",
        "has(",
        "tool.arguments",
        ".x",
        "findings",
        ".exists(f, ",
        ".all(f, ",
        ".filter(f, ",
        ".map(f, ",
        "f.kind",
        ")",
        "(",
        "[",
        "]",
        "{",
        "}",
        "!",
        "-",
        "&&",
        "||",
        "==",
        "!=",
        "<",
        ">",
        "+",
        "/",
        "%",
        "?",
        ":",
        ".",
        ",",
        "1",
        "1.5",
        "0",
        "1u",
        "'a'",
        "\"",
        "'",
        "b'x'",
        "r'\\'",
        "\\",
        "true",
        "null",
        "in",
        "size(",
        ".matches('a+')",
        "é",
        "\u{1F600}",
        "`x`",
        "?.",
        "[?",
        "9223372036854775808",
        "0xFF",
        "1e999",
        "//",
        "\n",
        "\0",
        "Msg{a: 1}",
        "@result",
        "#0",
        "?0",
        "~0",
        "f",
        "__",
        "'''",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever is written: a rule, or a mistake within the text. A panic of the parser is such a mistake too, so this
    /// looks for that one's words: the library has none that is known.
    #[test]
    fn nothing_that_is_written_breaks_the_compiler(pieces in prop::collection::vec(piece(), 1..24)) {
        let when = pieces.join(if pieces.len() % 2 == 0 { " " } else { "" });
        let compiled = Rules::compile(&rows(&row(&when, "do = \"annotate\"")));
        match compiled {
            Err(errors) => {
                prop_assert!(errors[0].offset <= when.len());
                prop_assert!(when.is_char_boundary(errors[0].offset));
                prop_assert!(!errors[0].message.contains("cannot be read"), "{when}");
            }
            Ok(rules) => {
                let mut stage = Stage::new();
                for at in [Checkpoint::Request, Checkpoint::Stream, Checkpoint::ToolCall, Checkpoint::Response] {
                    stage.judge(&rules, at, &[call("{\"x\": [1, {}]}")]);
                }
            }
        }
    }
}
