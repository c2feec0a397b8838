//! What no server should send, and what clients would read otherwise.

use super::*;

#[test]
fn text_in_odd_fields_is_text() {
    let line = json!({"model": "a model with a sentence in it", "created_at": "t",
        "remote_host": "https://ollama.com:443",
        "_debug_info": {"rendered_template": "You are"}, "unheard of": {"deep": ["x"]},
        "message": {"role": "assistant", "content": "hi", "tool_name": "two words", "note": "psst",
            "images": ["not a picture", "iVBORw0KGgoAAAANSUhEUgAAAG0AAAB="]},
        "done": false});
    let pieces = read_line(CHAT, &line).unwrap();
    assert_eq!(said(&pieces, OUTPUT), "hi");
    let other = said(&pieces, OTHER);
    for told in [
        "a model with a sentence in it",
        "You are",
        "x",
        "two words",
        "psst",
        "not a picture",
    ] {
        assert!(other.contains(told), "{told}: {other}");
    }
    assert!(
        !other.contains("iVBOR") && !other.contains("https"),
        "{other}"
    );
    // What bears the text of one API is nothing known in the other.
    let line = json!({"response": "hidden", "message": {"role": "assistant", "content": ""}, "done": false});
    assert_eq!(said(&read_line(CHAT, &line).unwrap(), OTHER), "hidden");
    assert_eq!(said(&read_line(GENERATE, &line).unwrap(), OUTPUT), "hidden");
}

#[test]
fn what_go_would_read_and_others_would_not_is_refused() {
    for (dialect, line, place) in [
        (
            CHAT,
            r#"{"Message":{"content":"x"},"done":false}"#,
            "Message",
        ),
        (
            CHAT,
            r#"{"me\u017f\u017fage":{"content":"x"},"done":false}"#,
            "meſſage",
        ),
        (
            CHAT,
            r#"{"message":{"Content":"x"},"done":false}"#,
            "message.Content",
        ),
        (
            CHAT,
            r#"{"message":{"content":"","Tool_Calls":[]},"done":false}"#,
            "message.Tool_Calls",
        ),
        (
            CHAT,
            r#"{"message":{"content":"","tool_calls":[{"Function":{}}]},"done":false}"#,
            "message.tool_calls[0].Function",
        ),
        (
            CHAT,
            r#"{"message":{"content":"","tool_calls":[{"function":{"Name":"x"}}]},"done":false}"#,
            "message.tool_calls[0].function.Name",
        ),
        (
            GENERATE,
            r#"{"thin\u212aing":"x","done":false}"#,
            "thin\u{212a}ing",
        ),
        (GENERATE, r#"{"RESPONSE":"x","done":false}"#, "RESPONSE"),
        (GENERATE, r#"{"response":"x","Done":true}"#, "Done"),
    ] {
        let error = read(dialect, line.as_bytes()).unwrap_err();
        assert_eq!(error.place, place, "{line}");
    }
}

#[test]
fn what_is_not_of_its_type_is_refused() {
    for line in [
        "7",
        "[]",
        "{\"message\":",
        "\u{feff}{}",
        r#"{"message":"x","done":false}"#,
        r#"{"message":{"content":["x"]},"done":false}"#,
        r#"{"message":{"content":7},"done":false}"#,
        r#"{"message":{"content":"","thinking":{}},"done":false}"#,
        r#"{"message":{"content":"","tool_calls":{}},"done":false}"#,
        r#"{"message":{"content":"","tool_calls":[7]},"done":false}"#,
        r#"{"message":{"content":"","tool_calls":[{"function":{"name":"x","arguments":[1]}}]}}"#,
        r#"{"message":{"content":"a","content":"b"},"done":false}"#,
        r#"{"done":false,"done":true}"#,
        r#"{"done":"true"}"#,
        r#"{"done":1}"#,
        r#"{"done":false,"done_reason":{}}"#,
    ] {
        assert!(read(CHAT, line.as_bytes()).is_err(), "{line}");
    }
    assert!(read(CHAT, b"{\"message\":{\"content\":\"\xff\"}}").is_err());
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(99), "]".repeat(99));
    assert!(read(CHAT, deep.as_bytes()).is_err());
}

#[test]
fn log_probabilities_are_inert_where_they_repeat_the_line() {
    let token = |token: &str| {
        json!({"token": token, "logprob": -0.1, "bytes": token.as_bytes(),
        "top_logprobs": [{"token": "other", "logprob": -2.0}]})
    };
    let mut line = part("ab");
    line["logprobs"] = json!([token("a"), token("b")]);
    assert_eq!(read_line(CHAT, &line).unwrap(), [text(OUTPUT, "ab")]);
    line["logprobs"] = json!([token("a"), token("secret")]);
    let pieces = read_line(CHAT, &line).unwrap();
    assert_eq!(said(&pieces, OTHER), "asecret");
    line["logprobs"] = json!({"note": "hidden"});
    let pieces = read_line(CHAT, &line).unwrap();
    assert_eq!(said(&pieces, OTHER), "notehidden");
}

#[test]
fn a_context_is_inert_only_if_it_is_numbers() {
    let line = json!({"response": "", "done": true, "context": [1, "hidden"]});
    let pieces = read_line(GENERATE, &line).unwrap();
    assert_eq!(said(&pieces, OTHER), "hidden");
}

#[test]
fn a_long_finish_reason_is_text_too() {
    let line = json!({"response": "", "done": true, "done_reason": "because of that"});
    let pieces = read_line(GENERATE, &line).unwrap();
    assert_eq!(said(&pieces, OTHER), "because of that");
    assert!(pieces.contains(&finish("because of that")));
}
