//! Requests from and to those of other APIs.

use serde_json::{Value, json};

use super::{asked, gemini, parsed};
use crate::dialect::portable::{Format, Part, Said, Sampling, Tool, ToolChoice};
use crate::dialect::{Inbound as _, NotPortable, Outbound as _, Portable};
use crate::event::Role;

fn portable(body: &Value) -> Result<Portable, NotPortable> {
    gemini().to_portable(asked(&body.to_string()))
}

fn whole() -> Value {
    json!({
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "look"}, {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
                {"fileData": {"mimeType": "image/png", "fileUri": "https://x.test/a.png"}}]},
            {"role": "model", "parts": [{"text": "hm", "thought": true}, {"text": "I try"},
                {"functionCall": {"name": "rm", "args": {"path": "/"}}, "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "rm", "id": "own"}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "rm", "response": {"output": "done"}}},
                {"functionResponse": {"name": "rm", "id": "own", "response": {"error": "no"}}}, {"text": "and?"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "rm", "args": {}}}]},
            {"role": "function", "parts": [{"functionResponse": {"name": "rm", "response": {"n": 1}}}]},
        ],
        "tools": [{"functionDeclarations": [
            {"name": "rm", "description": "removes", "parameters": {"type": "OBJECT", "properties": {"path": {"type": "STRING"}}}},
            {"name": "ls", "parametersJsonSchema": {"type": "object"}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["rm"]}},
        "generationConfig": {"temperature": 0.5, "topP": 0.9, "topK": 40, "seed": 7, "presencePenalty": 0.1, "frequencyPenalty": 0.2,
            "stopSequences": ["END"], "maxOutputTokens": 99, "candidateCount": 2, "responseMimeType": "application/json",
            "responseSchema": {"type": "ARRAY", "items": {"type": "STRING"}}, "responseModalities": ["TEXT"],
            "thinkingConfig": {"includeThoughts": true, "thinkingLevel": "LOW"}},
        "labels": {"team": "a"},
    })
}

#[test]
fn a_request_is_carried_whole() {
    let portable = portable(&whole()).unwrap();
    assert_eq!(
        (portable.model.as_str(), portable.streamed, portable.choices),
        ("gemini-3", true, 2)
    );
    let text = |text: &str| Part::Text(text.to_owned());
    let call = |id: &str, arguments: &str| Part::Call {
        id: id.to_owned(),
        name: "rm".to_owned(),
        arguments: arguments.to_owned(),
    };
    let result = |id: &str, text: &str, failed| Part::Result {
        id: id.to_owned(),
        name: "rm".to_owned(),
        text: text.to_owned(),
        failed,
    };
    let image = Part::Image {
        media_type: "image/png".to_owned(),
        data: "aGk=".to_owned(),
    };
    let said = |role, parts| Said { role, parts };
    let link = Part::ImageUrl("https://x.test/a.png".to_owned());
    assert_eq!(
        portable.turns,
        [
            said(Role::System, vec![text("Be brief.")]),
            said(Role::User, vec![text("look"), image, link]),
            said(
                Role::Assistant,
                vec![
                    Part::Reasoning("hm".to_owned()),
                    text("I try"),
                    call("call_1", r#"{"path":"/"}"#),
                    call("own", "{}")
                ]
            ),
            said(
                Role::Tool,
                vec![result("call_1", "done", false), result("own", "no", true)]
            ),
            said(Role::User, vec![text("and?")]),
            said(Role::Assistant, vec![call("call_3", "{}")]),
            said(Role::Tool, vec![result("call_3", r#"{"n":1}"#, false)]),
        ]
    );
    assert_eq!(
        portable.tools[0].parameters,
        Some(json!({"type": "object", "properties": {"path": {"type": "string"}}}))
    );
    assert_eq!(
        portable.tool_choice,
        Some(ToolChoice::Named("rm".to_owned()))
    );
    let Some(Format::Schema { schema, .. }) = &portable.format else {
        panic!("{:?}", portable.format);
    };
    assert_eq!(
        *schema,
        json!({"type": "array", "items": {"type": "string"}})
    );
    assert_eq!(
        (portable.effort.as_deref(), portable.max_output_tokens),
        (Some("low"), Some(99))
    );
    assert_eq!(portable.sampling.top_k, Some(40.into()));
    assert_eq!(portable.stop, ["END"]);
    for left in [
        "labels",
        "generationConfig.thinkingConfig.includeThoughts",
        "thoughtSignature",
    ] {
        assert!(
            portable.left.iter().any(|name| name == left),
            "{left} in {:?}",
            portable.left
        );
    }
}

#[test]
fn what_no_other_api_has_is_refused_by_name() {
    let with = |pointer: &str, value: Value| {
        let mut body = json!({"contents": [{"parts": [{"text": "hi"}]}], "tools": [{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}],
            "toolConfig": {"functionCallingConfig": {}}, "generationConfig": {"thinkingConfig": {}}});
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[key] = value;
        body
    };
    for (pointer, value, field) in [
        (
            "/safetySettings",
            json!([{"category": "HARM_CATEGORY_HARASSMENT"}]),
            "safetySettings",
        ),
        ("/cachedContent", json!("c"), "cachedContent"),
        ("/unheardOf", json!(1), "unheardOf"),
        (
            "/tools",
            json!([{"googleSearch": {}}]),
            "tools[0].googleSearch",
        ),
        (
            "/tools",
            json!([{"code_execution": {}}]),
            "tools[0].codeExecution",
        ),
        (
            "/tools",
            json!([{"functionDeclarations": [{"name": "a", "behavior": "NON_BLOCKING"}]}]),
            "tools[0].functionDeclarations[0].behavior",
        ),
        (
            "/tools",
            json!([{"functionDeclarations": [{"name": "a", "response": {}}]}]),
            "tools[0].functionDeclarations[0].response",
        ),
        (
            "/toolConfig/retrievalConfig",
            json!({}),
            "toolConfig.retrievalConfig",
        ),
        (
            "/toolConfig/functionCallingConfig",
            json!({"mode": "ANY", "allowedFunctionNames": ["a", "c"]}),
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
        (
            "/toolConfig/functionCallingConfig",
            json!({"mode": "SOME"}),
            "toolConfig.functionCallingConfig.mode",
        ),
        (
            "/generationConfig/speechConfig",
            json!({}),
            "generationConfig.speechConfig",
        ),
        (
            "/generationConfig/responseModalities",
            json!(["TEXT", "IMAGE"]),
            "generationConfig.responseModalities",
        ),
        (
            "/generationConfig/responseMimeType",
            json!("text/x.enum"),
            "generationConfig.responseMimeType",
        ),
        (
            "/generationConfig/thinkingConfig",
            json!({"thinkingBudget": 512}),
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        (
            "/generationConfig/responseSchema",
            json!({"unheardOf": 1}),
            "generationConfig.responseSchema.unheardOf",
        ),
        (
            "/contents/0/parts",
            json!([{"executableCode": {"code": "x"}}]),
            "contents[0].parts[0].executableCode",
        ),
        (
            "/contents/0/parts",
            json!([{"inlineData": {"mimeType": "application/pdf", "data": "x"}}]),
            "contents[0].parts[0].inlineData",
        ),
        (
            "/contents/0/parts",
            json!([{"inlineData": {"mimeType": "image/png", "data": "x"}, "videoMetadata": {}}]),
            "contents[0].parts[0].videoMetadata",
        ),
        (
            "/contents/0/parts",
            json!([{"fileData": {"fileUri": "gs://x"}}]),
            "contents[0].parts[0].fileData",
        ),
        (
            "/contents/0/parts",
            json!([{"functionResponse": {"name": "a"}}]),
            "contents[0].parts[0].functionResponse",
        ),
        ("/contents/0/unheardOf", json!(1), "contents[0].unheardOf"),
        (
            "/contents/0/parts",
            json!([{"text": "a", "partMetadata": {}}]),
            "contents[0].parts[0].partMetadata",
        ),
        (
            "/contents/0/parts",
            json!([{"functionResponse": {"name": "a", "scheduling": "SILENT"}}]),
            "contents[0].parts[0].functionResponse.scheduling",
        ),
        (
            "/contents/0/role",
            json!("oracle"),
            "contents[0].parts[0].role",
        ),
    ] {
        let error = portable(&with(pointer, value.clone())).unwrap_err();
        assert_eq!(error.field, field, "{value}: {error}");
    }
    let effort = |value| {
        portable(&with("/generationConfig/thinkingConfig", value))
            .unwrap()
            .effort
    };
    assert_eq!(
        effort(json!({"thinkingBudget": 0})).as_deref(),
        Some("none")
    );
    assert_eq!(effort(json!({"thinkingBudget": -1})), None);
    let both = with(
        "/toolConfig/functionCallingConfig",
        json!({"mode": "ANY", "allowedFunctionNames": ["b", "a"]}),
    );
    assert_eq!(
        portable(&both).unwrap().tool_choice,
        Some(ToolChoice::Required)
    );
    let strict = portable(&with(
        "/toolConfig/functionCallingConfig",
        json!({"mode": "VALIDATED"}),
    ))
    .unwrap();
    assert!(strict.tools.iter().all(|tool| tool.strict == Some(true)));
}

#[test]
fn what_was_carried_away_comes_back_the_same() {
    let mut body = whole();
    // Pictures that lie elsewhere cannot be asked of Google.
    body["contents"][0]["parts"].as_array_mut().unwrap().pop();
    let first = portable(&body).unwrap();
    let written = parsed(&gemini().of_portable(&first).unwrap());
    let mut again = portable(&written).unwrap();
    again.left.clone_from(&first.left);
    assert_eq!(again, first);
    let calls = &written["contents"][1]["parts"];
    assert_eq!(
        calls[2]["thoughtSignature"], "skip_thought_signature_validator",
        "{calls}"
    );
    assert_eq!(calls[3].get("thoughtSignature"), None);
    let older = Portable {
        model: "gemini-2.5-pro".to_owned(),
        ..first
    };
    let written = gemini().of_portable(&older).unwrap();
    assert!(!String::from_utf8(written).unwrap().contains("skip_thought"));
}

fn asks(text: &str) -> Portable {
    Portable {
        turns: vec![Said {
            role: Role::User,
            parts: vec![Part::Text(text.to_owned())],
        }],
        choices: 1,
        ..Portable::default()
    }
}

#[test]
fn a_request_of_another_api_is_asked_in_the_fields_of_this_one() {
    let bare = parsed(&gemini().of_portable(&asks("hi")).unwrap());
    assert_eq!(
        bare,
        json!({"contents": [{"parts": [{"text": "hi"}], "role": "user"}]})
    );
    let tool = Tool {
        name: "rm".to_owned(),
        description: None,
        parameters: Some(json!({"type": "object"})),
        strict: Some(true),
    };
    let mut portable = Portable {
        tools: vec![tool],
        parallel_calls: Some(true),
        effort: Some("none".to_owned()),
        format: Some(Format::Json),
        sampling: Sampling {
            temperature: Some(1.into()),
            ..Sampling::default()
        },
        ..asks("hi")
    };
    let result = |text: &str| Part::Result {
        id: "t1".to_owned(),
        name: "rm".to_owned(),
        text: text.to_owned(),
        failed: false,
    };
    let call = Part::Call {
        id: "t1".to_owned(),
        name: "rm".to_owned(),
        arguments: "{\"a\":1}".to_owned(),
    };
    portable.turns.extend([
        Said {
            role: Role::Developer,
            parts: vec![Part::Text("late".to_owned())],
        },
        Said {
            role: Role::Assistant,
            parts: vec![call],
        },
        Said {
            role: Role::Tool,
            parts: vec![result("plain")],
        },
        Said {
            role: Role::Tool,
            parts: vec![result("{\"b\":2}")],
        },
    ]);
    let body = parsed(&gemini().of_portable(&portable).unwrap());
    assert_eq!(
        body["systemInstruction"]["parts"],
        json!([{"text": "late"}])
    );
    assert_eq!(
        body["toolConfig"]["functionCallingConfig"],
        json!({"mode": "VALIDATED"})
    );
    assert_eq!(
        body["contents"][2],
        json!({"parts": [{"functionResponse": {"id": "t1", "name": "rm", "response": {"output": "plain"}}},
            {"functionResponse": {"id": "t1", "name": "rm", "response": {"b": 2}}}], "role": "user"})
    );
    assert_eq!(
        body["generationConfig"],
        json!({"temperature": 1, "responseMimeType": "application/json", "thinkingConfig": {"thinkingBudget": 0}})
    );
}

#[test]
fn what_this_api_cannot_be_asked_is_refused_by_name() {
    let alone = Portable {
        turns: vec![Said {
            role: Role::System,
            parts: vec![Part::Text("Be brief.".to_owned())],
        }],
        ..Portable::default()
    };
    let one_by_one = Portable {
        parallel_calls: Some(false),
        ..asks("hi")
    };
    let harder = Portable {
        effort: Some("xhigh".to_owned()),
        ..asks("hi")
    };
    let mut linked = asks("hi");
    linked.turns[0]
        .parts
        .push(Part::ImageUrl("https://x.test/a".to_owned()));
    let mut unnamed = asks("hi");
    unnamed.turns[0].parts.push(Part::Result {
        id: "t1".to_owned(),
        name: String::new(),
        text: String::new(),
        failed: false,
    });
    for (portable, field) in [
        (alone, "messages"),
        (one_by_one, "parallel_tool_calls"),
        (harder, "reasoning_effort"),
        (linked, "image_url"),
        (unnamed, "tool_call_id"),
    ] {
        let error = gemini().of_portable(&portable).unwrap_err();
        assert_eq!((error.field.as_str(), error.to), (field, "gemini"));
    }
}
