//! Requests are carried to other APIs, and from them.

use super::*;
use crate::dialect::portable::{Format, Part, Said, Tool, ToolChoice};
use crate::dialect::{NotPortable, Portable};
use crate::event::Role;

fn carried(dialect: &dyn Dialect, body: &Value) -> Result<Portable, NotPortable> {
    dialect.inbound().to_portable(Received {
        path: "/api/chat",
        query: None,
        body: body.to_string().as_bytes(),
    })
}

fn written(portable: &Portable) -> Result<Value, NotPortable> {
    let body = CHAT.outbound().of_portable(portable)?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn field<T: std::fmt::Debug>(result: Result<T, NotPortable>) -> String {
    result.unwrap_err().field
}

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAG0AAABmCAYAAADBPx";

fn asks() -> Value {
    json!({"model": "llama3.2", "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is this?", "images": [PNG]},
        {"role": "assistant", "content": "I look.", "thinking": "Hm.", "tool_calls": [
            {"function": {"name": "ls", "arguments": {"path": "/"}}}]},
        {"role": "tool", "tool_name": "ls", "content": "files"}],
        "tools": [{"type": "function", "function": {"name": "ls", "description": "Lists.",
            "parameters": {"type": "object", "properties": {}}}}],
        "options": {"num_predict": 100, "temperature": 0.5, "top_p": 0.9, "top_k": 20, "seed": 7,
            "presence_penalty": 1.5, "frequency_penalty": 1.0, "stop": ["\n"], "num_gpu": 1},
        "format": {"type": "object"}, "think": "low", "stream": false, "keep_alive": "5m"})
}

#[test]
fn a_conversation_goes_there_and_back() {
    let portable = carried(CHAT, &asks()).unwrap();
    assert_eq!((&*portable.model, portable.streamed), ("llama3.2", false));
    assert_eq!(
        portable.turns[1].parts,
        [
            Part::Text("What is this?".into()),
            Part::Image {
                media_type: "image/png".into(),
                data: PNG.into()
            },
        ]
    );
    assert_eq!(
        portable.turns[2].parts,
        [
            Part::Reasoning("Hm.".into()),
            Part::Text("I look.".into()),
            Part::Call {
                id: "call_2_0".into(),
                name: "ls".into(),
                arguments: r#"{"path":"/"}"#.into()
            },
        ]
    );
    assert_eq!(
        portable.turns[3].parts,
        [Part::Result {
            id: "call_2_0".into(),
            name: "ls".into(),
            text: "files".into(),
            failed: false,
        }]
    );
    assert_eq!(portable.tools[0].description.as_deref(), Some("Lists."));
    assert_eq!(portable.max_output_tokens, Some(100));
    assert_eq!(portable.stop, ["\n"]);
    assert_eq!(portable.effort.as_deref(), Some("low"));
    assert_eq!(portable.sampling.top_k, Some(20.into()));
    assert!(matches!(portable.format, Some(Format::Schema { .. })));
    assert_eq!(portable.left, ["options.num_gpu", "keep_alive"]);
    let back = written(&portable).unwrap();
    let mut expected = asks();
    expected.as_object_mut().unwrap().remove("keep_alive");
    expected["options"]
        .as_object_mut()
        .unwrap()
        .remove("num_gpu");
    expected["messages"][2]["tool_calls"][0]["id"] = json!("call_2_0");
    expected["messages"][3]["tool_call_id"] = json!("call_2_0");
    assert_eq!(back, expected);
    let again = carried(CHAT, &back).unwrap();
    assert_eq!(
        again,
        Portable {
            left: Vec::new(),
            ..portable
        }
    );
}

#[test]
fn levels_of_thought_are_carried_where_they_mean_the_same() {
    for (think, effort) in [
        (json!(true), "medium"),
        (json!(false), "none"),
        (json!("high"), "high"),
    ] {
        let portable = carried(CHAT, &json!({"model": "m", "think": think})).unwrap();
        assert_eq!(portable.effort.as_deref(), Some(effort));
    }
    let of = |effort: &str| {
        written(&Portable {
            effort: Some(effort.into()),
            ..Portable::default()
        })
    };
    assert_eq!(of("none").unwrap()["think"], false);
    assert_eq!(of("high").unwrap()["think"], "high");
    for effort in ["minimal", "xhigh"] {
        assert_eq!(field(of(effort)), "effort");
    }
    assert_eq!(
        field(carried(CHAT, &json!({"model": "m", "think": "max"}))),
        "think"
    );
}

#[test]
fn what_no_other_api_has_is_named() {
    let with = |path: &str, value: Value| {
        let mut body = asks();
        *body.pointer_mut(path).unwrap() = value;
        carried(CHAT, &body)
    };
    for (path, value, named) in [
        ("/options", json!({"num_ctx": 4096}), "options.num_ctx"),
        ("/options", json!({"mirostat": 1}), "options.mirostat"),
        ("/options", json!({"stop": 7}), "options.stop"),
        (
            "/options",
            json!({"temperature": "hot"}),
            "options.temperature",
        ),
        ("/format", json!("yaml"), "format"),
        (
            "/messages/1/images",
            json!(["aGVsbG8="]),
            "messages[1].images[0]",
        ),
        ("/messages/0/role", json!("narrator"), "messages[0].role"),
        (
            "/messages/2",
            json!({"role": "user", "content": "no call"}),
            "messages[3]",
        ),
        (
            "/messages/0",
            json!({"role": "user", "content": "x", "unheard_of": 1}),
            "messages[0].unheard_of",
        ),
        ("/tools/0/type", json!("browser"), "tools[0].type"),
        (
            "/tools/0/function",
            json!({"description": "x"}),
            "tools[0].function.name",
        ),
        (
            "/tools/0/function",
            json!({"name": "x", "strict": true}),
            "tools[0].function.strict",
        ),
    ] {
        assert_eq!(field(with(path, value)), named);
    }
    for (name, value) in [
        ("truncate", json!(false)),
        ("logprobs", json!(true)),
        ("top_logprobs", json!(3)),
        ("_debug_render_only", json!(true)),
        ("unheard_of", json!("x")),
    ] {
        assert_eq!(
            field(carried(CHAT, &json!({"model": "m", name: value}))),
            name
        );
    }
    let usual =
        json!({"model": "m", "truncate": true, "logprobs": false, "top_logprobs": 0, "format": ""});
    assert_eq!(carried(CHAT, &usual).unwrap().left, ["truncate"]);
}

fn saying(role: Role, parts: Vec<Part>) -> Portable {
    Portable {
        turns: vec![Said { role, parts }],
        ..Portable::default()
    }
}

#[test]
fn what_this_api_cannot_be_asked_is_named() {
    let url = Part::ImageUrl("https://x.test/a.png".into());
    let call = |arguments: &str| Part::Call {
        id: "1".into(),
        name: "x".into(),
        arguments: arguments.into(),
    };
    for (portable, named) in [
        (
            Portable {
                choices: 2,
                ..Portable::default()
            },
            "n",
        ),
        (
            Portable {
                end_user: Some("u".into()),
                ..Portable::default()
            },
            "user",
        ),
        (
            Portable {
                parallel_calls: Some(false),
                ..Portable::default()
            },
            "parallel_tool_calls",
        ),
        (
            Portable {
                tool_choice: Some(ToolChoice::Required),
                ..Portable::default()
            },
            "tool_choice",
        ),
        (saying(Role::User, vec![url]), "messages[0][0]"),
        (
            saying(Role::User, vec![Part::Reasoning("x".into())]),
            "messages[0][0]",
        ),
        (saying(Role::User, vec![call("{}")]), "messages[0][0]"),
        (
            saying(Role::Assistant, vec![call("text")]),
            "messages[0][0]",
        ),
        (
            saying(Role::Tool, vec![Part::Text("x".into())]),
            "messages[0]",
        ),
        (saying(Role::Other, Vec::new()), "messages[0]"),
    ] {
        assert_eq!(field(written(&portable)), named);
    }
    let strict = Tool {
        name: "x".into(),
        description: None,
        parameters: None,
        strict: Some(true),
    };
    let with_tool = |tool| Portable {
        tools: vec![tool],
        ..Portable::default()
    };
    assert_eq!(
        field(written(&with_tool(strict.clone()))),
        "tools[0].strict"
    );
    let lax = with_tool(Tool {
        strict: Some(false),
        ..strict
    });
    assert_eq!(
        written(&lax).unwrap()["tools"][0]["function"]["parameters"]["type"],
        "object"
    );
    assert_eq!(
        field(GENERATE.outbound().of_portable(&Portable::default())),
        "messages"
    );
}

#[test]
fn turns_of_other_apis_are_spelled_as_messages() {
    let result = |text: &str, failed| Part::Result {
        id: "1".into(),
        name: "ls".into(),
        text: text.into(),
        failed,
    };
    let parts = vec![
        result("gone", true),
        result("Error: 1", true),
        Part::Text("and now?".into()),
    ];
    let body = written(&saying(Role::User, parts)).unwrap();
    let contents: Vec<_> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| {
            (
                message["role"].as_str().unwrap(),
                message["content"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        contents,
        [
            ("tool", "Error: gone"),
            ("tool", "Error: 1"),
            ("user", "and now?")
        ]
    );
    let parts = vec![Part::Text("a".into()), Part::Text("b".into())];
    let body = written(&saying(Role::Developer, parts)).unwrap();
    assert_eq!(
        body["messages"][0],
        json!({"role": "system", "content": "a\nb"})
    );
    let format = Format::Schema {
        name: "city".into(),
        schema: json!({"type": "object"}),
        strict: Some(true),
    };
    let body = written(&Portable {
        format: Some(format),
        ..Portable::default()
    })
    .unwrap();
    assert_eq!(body["format"], json!({"type": "object", "title": "city"}));
}

#[test]
fn a_prompt_is_one_turn() {
    let body = json!({"model": "m", "system": "Be brief.", "prompt": "What?", "images": [PNG], "raw": false,
        "options": {"num_predict": -1}});
    let portable = carried(GENERATE, &body).unwrap();
    assert_eq!(portable.turns.len(), 2);
    assert_eq!(
        portable.turns[0],
        Said {
            role: Role::System,
            parts: vec![Part::Text("Be brief.".into())]
        }
    );
    assert_eq!(portable.turns[1].parts.len(), 2);
    assert_eq!(
        (portable.streamed, portable.max_output_tokens),
        (true, None)
    );
    for (name, value) in [
        ("suffix", json!("x")),
        ("template", json!("x")),
        ("raw", json!(true)),
        ("context", json!([1])),
        ("width", json!(512)),
    ] {
        let mut with = body.clone();
        with[name] = value;
        assert_eq!(field(carried(GENERATE, &with)), name);
    }
}
