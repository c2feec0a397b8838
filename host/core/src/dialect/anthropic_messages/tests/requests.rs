//! Requests as policies see them.

use super::*;
use crate::dialect::{MediaView, ToolCallView, ToolResultView};
use crate::event::Role;

pub(super) const REQUEST: &str = r#"{
  "model": "claude-x", "max_tokens": 100.0, "stream": true,
  "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
  "tools": [{"name": "ls", "input_schema": {"type": "object"}}, {"type": "web_search_20250305", "name": "web_search"}, {"type": "mcp_toolset"}],
  "output_config": {"format": {"type": "json_schema", "schema": {}}},
  "metadata": {"user_id": "user_1_account_2_session_0a-1b"},
  "messages": [
    {"role": "user", "content": "list"},
    {"role": "assistant", "content": [
      {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
      {"type": "text", "text": "I look. "}, {"type": "text", "text": "Now."},
      {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
      {"type": "tool_use", "id": "t1", "name": "ls", "input": {"p": 1}},
      {"type": "tool_use", "id": "t2", "name": "ls", "input": {}}]},
    {"role": "user", "content": [
      {"type": "tool_result", "tool_use_id": "t1", "content": "a\nb", "is_error": true},
      {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "c"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}, {"type": "text", "text": "d"}]}]},
    {"role": "user", "content": [
      {"type": "tool_result", "tool_use_id": "t3"},
      {"type": "text", "text": "and"},
      {"type": "document", "title": "x", "source": {"type": "text", "media_type": "text/plain", "data": "read me"}},
      {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}}]}
  ]
}"#;

#[test]
fn a_request_is_read() {
    let view = view(REQUEST).unwrap();
    assert_eq!(
        (view.model.as_str(), view.streamed, view.choices),
        ("claude-x", true, 1)
    );
    assert_eq!(view.max_output_tokens, Some(100));
    assert_eq!(view.tools, ["ls", "web_search", "mcp_toolset"]);
    assert!(view.structured_output && view.include_usage);
    assert_eq!(
        view.session_hints,
        [("metadata.user_id", "0a-1b".to_owned())]
    );
    assert_eq!(view.end_user, None);
    let roles: Vec<Role> = view.messages.iter().map(|m| m.role).collect();
    assert_eq!(
        roles,
        [
            Role::System,
            Role::User,
            Role::Assistant,
            Role::Tool,
            Role::User
        ]
    );
    let texts: Vec<&str> = view.messages.iter().map(|m| m.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "Be brief.\nBe kind.",
            "list",
            "I look. Now.",
            "",
            "and\nread me"
        ]
    );
    let system = &view.messages[0];
    assert!(
        REQUEST[system.span.clone()].starts_with("[{\"type\": \"text\", \"text\": \"Be brief.\"}")
    );
    assert!(REQUEST[view.messages[1].span.clone()].starts_with("{\"role\": \"user\""));
    let call = |id: &str, arguments: &str| ToolCallView {
        id: id.to_owned(),
        name: "ls".to_owned(),
        arguments: arguments.to_owned(),
        ..ToolCallView::default()
    };
    assert_eq!(
        view.messages[2].tool_calls,
        [call("t1", "{\"p\": 1}"), call("t2", "{}")]
    );
    let result = |id: &str, text: &str, failed| ToolResultView {
        id: id.to_owned(),
        text: text.to_owned(),
        failed,
    };
    let expected = [result("t1", "a\nb", Some(true)), result("t2", "c\nd", None)];
    assert_eq!(view.messages[3].tool_results, expected);
    let picture = MediaView {
        name: "image".to_owned(),
        index: 1,
        media_type: "image/png".to_owned(),
        reference: String::new(),
        bytes: 5,
    };
    assert_eq!(view.messages[3].media, [picture]);
    assert_eq!(view.messages[4].tool_results, [result("t3", "", None)]);
    assert_eq!(view.messages[4].media[0].reference, "https://x.test/a.pdf");
    assert_eq!(view.messages[4].media[0].index, 3);
}

#[test]
fn absent_instructions_are_no_message() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"system":null}"#;
    let view = view(body).unwrap();
    assert_eq!(view.messages.len(), 1);
    assert_eq!(view.max_output_tokens, None);
    assert!(!view.streamed && !view.structured_output);
}

#[test]
fn metadata_names_the_session_or_the_user() {
    for (user, session, end_user) in [
        ("user_a_account_b_session_c", Some("c"), None),
        (
            "{\\\"device_id\\\":\\\"d\\\",\\\"session_id\\\":\\\"e\\\"}",
            Some("e"),
            None,
        ),
        (
            "{\\\"device_id\\\":\\\"d\\\"}",
            None,
            Some("{\"device_id\":\"d\"}"),
        ),
        ("alice", None, Some("alice")),
    ] {
        let body = format!(r#"{{"messages":[],"metadata":{{"user_id":"{user}"}}}}"#);
        let view = view(&body).unwrap();
        let hints: Vec<&str> = view
            .session_hints
            .iter()
            .map(|(_, id)| id.as_str())
            .collect();
        assert_eq!(hints, session.into_iter().collect::<Vec<_>>(), "{user}");
        assert_eq!(view.end_user.as_deref(), end_user, "{user}");
    }
    let body = r#"{"messages":[],"metadata":{"user_id":"u_session_3","session_id":"1","thread_id":"2"},"session_id":"4"}"#;
    let names: Vec<&str> = view(body)
        .unwrap()
        .session_hints
        .iter()
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(
        names,
        [
            "metadata.session_id",
            "metadata.thread_id",
            "metadata.user_id",
            "session_id"
        ]
    );
}

#[test]
fn a_turn_has_one_digest_however_it_is_sent_back() {
    let digest = |content: &str| {
        let body = format!(r#"{{"messages":[{{"role":"assistant","content":{content}}}]}}"#);
        view(&body).unwrap().messages[0].digest()
    };
    let plain = digest("\"I look. Now.\"");
    for content in [
        r#"[{"type":"text","text":"I look. "},{"type":"text","text":"Now.","cache_control":{"type":"ephemeral"}}]"#,
        r#"[{"type":"thinking","thinking":"Hm.","signature":"s"},{"type":"text","text":"I look. Now."}]"#,
        r#"[{"type":"server_tool_use","id":"s","name":"w","input":{}},{"type":"text","text":"I look. Now."}]"#,
    ] {
        assert_eq!(digest(content), plain, "{content}");
    }
    assert_ne!(digest("\"I look.\""), plain);
    let picture = |data: &str, mark: &str| {
        let body = format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"image",{mark}"source":{{"type":"base64","data":"{data}"}}}}]}}]}}"#
        );
        view(&body).unwrap().messages[0].digest()
    };
    assert_eq!(
        picture("AAAA", ""),
        picture("AAAA", r#""cache_control":{"type":"ephemeral"},"#)
    );
    assert_ne!(picture("AAAA", ""), picture("BBBB", ""));
}

#[test]
fn what_is_not_as_the_api_has_it_is_named() {
    for (body, place) in [
        (r#"{"model":"m"}"#, "messages"),
        (r#"{"messages":{}}"#, "messages"),
        (r#"{"messages":[{"content":"x"}]}"#, "messages[0].role"),
        (
            r#"{"messages":[{"role":"user","content":7}]}"#,
            "messages[0].content",
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
            "messages[0].content[0].text",
        ),
        (r#"{"messages":[],"system":7}"#, "system"),
        (r#"{"messages":[],"model":7}"#, "model"),
        (r#"{"messages":[],"stream":"yes"}"#, "stream"),
        (r#"{"messages":[],"messages":[]}"#, "the request"),
    ] {
        let error = view(body).unwrap_err();
        assert_eq!(
            (error.dialect, error.place.as_str()),
            ("anthropic-messages", place),
            "{body}"
        );
    }
}
