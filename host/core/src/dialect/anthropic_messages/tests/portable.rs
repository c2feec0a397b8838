//! Requests from and to those of other APIs.

use super::*;
use crate::dialect::portable::{Format, Part, Said, Sampling, Tool, ToolChoice};
use crate::dialect::{NotPortable, Portable};
use crate::event::Role;

fn to(body: &Value) -> Result<Portable, NotPortable> {
    DIALECT.inbound().to_portable(Received {
        path: "/v1/messages",
        query: None,
        body: body.to_string().as_bytes(),
    })
}

fn from(portable: &Portable) -> Result<Value, NotPortable> {
    let body = DIALECT.outbound().of_portable(portable)?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn whole() -> Value {
    json!({
        "model": "claude-x", "max_tokens": 100, "stream": true, "temperature": 0.5, "top_p": 0.9, "top_k": 5,
        "system": "Be brief.", "stop_sequences": ["END"], "metadata": {"user_id": "alice"},
        "tools": [{"name": "ls", "input_schema": {"type": "object", "properties": {}}, "description": "lists", "strict": true}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}]},
            {"role": "assistant", "content": [{"type": "text", "text": "I do."},
                {"type": "tool_use", "id": "t1", "name": "ls", "input": {"p": 1}}, {"type": "tool_use", "id": "t2", "name": "ls", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "a", "is_error": true},
                {"type": "tool_result", "tool_use_id": "t2", "content": "b"}, {"type": "text", "text": "go on"}]}]
    })
}

#[test]
fn a_request_there_and_back_says_the_same() {
    let portable = to(&whole()).unwrap();
    assert_eq!(portable.choices, 1);
    assert_eq!(portable.max_output_tokens, Some(100));
    assert_eq!(portable.effort.as_deref(), Some("high"));
    assert_eq!(portable.tool_choice, Some(ToolChoice::Required));
    assert_eq!(portable.parallel_calls, Some(false));
    assert_eq!(portable.end_user.as_deref(), Some("alice"));
    assert!(portable.left.is_empty(), "{:?}", portable.left);
    let roles: Vec<Role> = portable.turns.iter().map(|turn| turn.role).collect();
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
    let result = |id: &str, text: &str, failed| Part::Result {
        id: id.to_owned(),
        name: "ls".to_owned(),
        text: text.to_owned(),
        failed,
    };
    assert_eq!(
        portable.turns[3].parts,
        [result("t1", "a", true), result("t2", "b", false)]
    );
    assert_eq!(from(&portable).unwrap(), whole());
}

#[test]
fn what_no_model_reads_is_left_and_named() {
    let body = json!({"model": "m", "max_tokens": 1, "service_tier": "auto", "metadata": {"trace": "x"},
        "system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}],
        "thinking": {"type": "adaptive", "display": "omitted"},
        "messages": [{"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": SIGNED}, {"type": "redacted_thinking", "data": SIGNED},
            {"type": "text", "text": "b", "citations": []}]}]});
    let portable = to(&body).unwrap();
    assert_eq!(
        portable.turns[1].parts,
        [
            Part::Reasoning("Hm.".to_owned()),
            Part::Text("b".to_owned())
        ]
    );
    let expected = [
        "cache_control",
        "service_tier",
        "metadata.trace",
        "signature",
        "redacted_thinking",
        "citations",
        "thinking.display",
    ];
    let mut left = portable.left.clone();
    left.sort();
    let mut expected = expected.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn what_others_do_not_have_is_refused_by_name() {
    let with = |key: &str, value: Value| {
        let mut body = json!({"model": "m", "max_tokens": 1, "messages": []});
        body[key] = value;
        to(&body).unwrap_err().field
    };
    assert_eq!(with("container", json!("c")), "container");
    assert_eq!(with("mcp_servers", json!([])), "mcp_servers");
    assert_eq!(with("inference_geo", json!("us")), "inference_geo");
    assert_eq!(with("novelty", json!(1)), "novelty");
    assert_eq!(
        with(
            "tools",
            json!([{"type": "web_search_20250305", "name": "web_search"}])
        ),
        "tools[0]"
    );
    assert_eq!(
        with("tools", json!([{"name": "a", "defer_loading": true}])),
        "tools[0].defer_loading"
    );
    let content = |block: Value| with("messages", json!([{"role": "user", "content": [block]}]));
    assert_eq!(
        content(json!({"type": "document", "source": {}})),
        "messages[0].content[0]"
    );
    assert_eq!(
        content(json!({"type": "image", "source": {"type": "file", "file_id": "f"}})),
        "messages[0].content[0].source"
    );
    assert_eq!(
        content(
            json!({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}]})
        ),
        "messages[0].content[0].content[0]"
    );
    assert_eq!(with("max_tokens", json!(1.5)), "max_tokens");
    let stated = json!({"model": "m", "max_tokens": 1, "messages": [], "output_config": {"effort": "max"}, "thinking": {"type": "enabled", "budget_tokens": 2000}});
    let stated = to(&stated).unwrap();
    assert_eq!(stated.effort.as_deref(), Some("xhigh"));
    assert_eq!(stated.left, ["thinking.budget_tokens"]);
    let off =
        json!({"model": "m", "max_tokens": 1, "messages": [], "thinking": {"type": "disabled"}});
    assert_eq!(to(&off).unwrap().effort.as_deref(), Some("none"));
}

fn said(role: Role, parts: &[Part]) -> Said {
    Said {
        role,
        parts: parts.to_vec(),
    }
}

fn text_part(text: &str) -> Part {
    Part::Text(text.to_owned())
}

#[test]
fn another_apis_request_is_spelled_as_this_one_takes_it() {
    let call = |id: &str| Part::Call {
        id: id.to_owned(),
        name: "ls".to_owned(),
        arguments: " {\"p\":1}".to_owned(),
    };
    let result = |id: &str| Part::Result {
        id: id.to_owned(),
        name: "ls".to_owned(),
        text: "a".to_owned(),
        failed: false,
    };
    let portable = Portable {
        model: "m".to_owned(),
        choices: 1,
        turns: vec![
            said(Role::System, &[text_part("One.")]),
            said(
                Role::User,
                &[
                    text_part("hi"),
                    Part::ImageUrl("data:image/png;base64,AAAA".to_owned()),
                ],
            ),
            said(Role::User, &[text_part("there"), text_part("")]),
            said(
                Role::Assistant,
                &[Part::Reasoning("Hm.".to_owned()), call("c:1"), call("c2")],
            ),
            said(Role::Developer, &[text_part("Two.")]),
            said(Role::Tool, &[result("c:1")]),
            said(Role::Tool, &[result("c2")]),
            said(Role::User, &[text_part("go on")]),
        ],
        tools: vec![Tool {
            name: "ls".to_owned(),
            description: None,
            parameters: None,
            strict: None,
        }],
        parallel_calls: Some(false),
        effort: Some("minimal".to_owned()),
        ..Portable::default()
    };
    let body = from(&portable).unwrap();
    let expected = json!({
        "model": "m", "max_tokens": 4096, "system": "One.\n\nTwo.",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}, {"type": "text", "text": "there"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c_1", "name": "ls", "input": {"p": 1}},
                {"type": "tool_use", "id": "c2", "name": "ls", "input": {"p": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c_1", "content": "a"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "a"}, {"type": "text", "text": "go on"}]}],
        "tools": [{"name": "ls", "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "output_config": {"effort": "low"}});
    assert_eq!(body, expected);
    assert!(view(&body.to_string()).is_ok());
}

#[test]
fn what_this_api_does_not_have_is_refused_by_name() {
    let number = |n: f64| serde_json::Number::from_f64(n);
    let of = |sampling: Sampling| {
        from(&Portable {
            sampling,
            choices: 1,
            ..Portable::default()
        })
    };
    let seed = of(Sampling {
        seed: number(0.0),
        ..Sampling::default()
    });
    assert_eq!(seed.unwrap_err().field, "seed");
    let penalty = of(Sampling {
        presence_penalty: number(0.5),
        ..Sampling::default()
    });
    assert_eq!(penalty.unwrap_err().field, "presence_penalty");
    let hot = of(Sampling {
        temperature: number(1.5),
        ..Sampling::default()
    });
    assert_eq!(hot.unwrap_err().field, "temperature");
    let none = of(Sampling {
        frequency_penalty: number(0.0),
        temperature: number(1.0),
        ..Sampling::default()
    });
    assert_eq!(none.unwrap()["temperature"], 1.0);
    let many = from(&Portable {
        choices: 2,
        ..Portable::default()
    });
    assert_eq!(many.unwrap_err().field, "n");
    let json_mode = from(&Portable {
        choices: 1,
        format: Some(Format::Json),
        ..Portable::default()
    });
    assert_eq!(json_mode.unwrap_err().field, "response_format");
    let bad = Part::Call {
        id: "c".to_owned(),
        name: "ls".to_owned(),
        arguments: "x".to_owned(),
    };
    let bad = from(&Portable {
        choices: 1,
        turns: vec![said(Role::Assistant, &[bad])],
        ..Portable::default()
    });
    assert_eq!(bad.unwrap_err().field, "messages[0]");
    let off = from(&Portable {
        choices: 1,
        effort: Some("none".to_owned()),
        ..Portable::default()
    })
    .unwrap();
    assert_eq!(off["thinking"]["type"], "disabled");
}
