//! What every JSON parser reads alike, and what two may read differently.

use super::*;

/// What some JSON parser takes, and two need not read alike.
pub(in crate::reason::rules) fn ambiguous() -> Vec<String> {
    let deep = format!(
        r#"{{"cmd":"rm","x":{}1{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    [
        r#"{"cmd":"ls","cmd":"rm"}"#,
        r#"{"cmd":"rm","cmd":"ls"}"#,
        r#"{"cmd":"ls","c\u006dd":"rm"}"#,
        r#"{"cmd":"rm","x":{"a":[{"b":1,"b":2}]}}"#,
        r#"{"cmd":"rm","x":"\ud800"}"#,
        r#"{"cmd":"rm","x":"\udc00\ud800"}"#,
        r#"{"\ud800":1,"cmd":"rm"}"#,
        r#"{"cmd":"rm","x":NaN}"#,
        r#"{"cmd":"rm","x":Infinity}"#,
        r#"{"cmd":"rm","x":-Infinity}"#,
        r#"{"cmd":"rm","x":1e999}"#,
        r#"{"cmd":"rm","x":18446744073709551616}"#,
        r#"{"cmd":"rm","x":9223372036854775808}"#,
        r#"{"cmd":"rm","x":01}"#,
        r#"{"cmd":"rm","x":+1}"#,
        r#"{"cmd":"rm","x":0x10}"#,
        r#"{"cmd":"rm",}"#,
        r#"{"cmd":"rm" /* a comment */}"#,
        "{\"cmd\":\"rm\"} // a comment",
        "{'cmd':'rm'}",
        r#"{cmd:"rm"}"#,
        "\u{feff}{\"cmd\":\"rm\"}",
        "{\"cmd\":\"rm\n\"}",
        r#"{"cmd":"rm"}{}"#,
        r#"{"cmd":"rm""#,
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([deep])
    .collect()
}

#[test]
fn what_two_parsers_may_read_differently_is_no_json() {
    for arguments in ambiguous() {
        assert!(parse(&arguments).is_none(), "{arguments}");
    }
}

#[test]
fn what_all_parsers_read_alike_is_read() {
    for arguments in [
        "",
        " \n",
        "null",
        r#"{"a":[1,2.5,-3,true,null,"\ud83d\ude00"],"b":{"a":{}}}"#,
        r#"{"n":9007199254740993}"#,
    ] {
        assert!(parse(arguments).is_some(), "{arguments}");
    }
}
