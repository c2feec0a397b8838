//! Requests from and to other APIs.

use serde_json::{Number, Value, json};

use crate::dialect::openai_responses::OpenAiResponses;
use crate::dialect::portable::{Format, Part, Said, Tool, ToolChoice};
use crate::dialect::{Inbound as _, NotPortable, Outbound as _, Portable, Received};
use crate::event::Role;

fn ported(body: Value) -> Result<Portable, NotPortable> {
    OpenAiResponses.to_portable(Received {
        path: "/v1/responses",
        query: None,
        body: body.to_string().as_bytes(),
    })
}

fn written(portable: &Portable) -> Value {
    serde_json::from_slice(&OpenAiResponses.of_portable(portable).unwrap()).unwrap()
}

fn request() -> Value {
    json!({
        "model": "m", "stream": true, "store": true, "metadata": {"a": "b"}, "include": ["x"], "service_tier": "auto",
        "prompt_cache_key": "k", "truncation": "disabled", "background": false, "user": "u",
        "instructions": "be kind", "max_output_tokens": 9, "temperature": 0.5, "top_p": 1, "parallel_tool_calls": false,
        "tool_choice": {"type": "function", "name": "f"},
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}, "verbosity": "medium"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}]},
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gAAA"},
            {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "ok", "annotations": [], "logprobs": []}]},
            {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"},
            {"type": "function_call_output", "call_id": "c", "output": "42"},
        ],
    })
}

#[test]
fn all_of_a_request_is_carried() {
    let portable = ported(request()).unwrap();
    let said = |role, parts| Said { role, parts };
    let expected = Portable {
        model: "m".into(),
        streamed: true,
        turns: vec![
            said(Role::System, vec![Part::Text("be kind".into())]),
            said(
                Role::User,
                vec![
                    Part::Text("look".into()),
                    Part::Image {
                        media_type: "image/png".into(),
                        data: "AAAA".into(),
                    },
                ],
            ),
            said(Role::Assistant, vec![Part::Reasoning("hm".into())]),
            said(Role::Assistant, vec![Part::Text("ok".into())]),
            said(
                Role::Assistant,
                vec![Part::Call {
                    id: "c".into(),
                    name: "f".into(),
                    arguments: "{}".into(),
                }],
            ),
            said(
                Role::Tool,
                vec![Part::Result {
                    id: "c".into(),
                    name: "f".into(),
                    text: "42".into(),
                    failed: false,
                }],
            ),
        ],
        tools: vec![Tool {
            name: "f".into(),
            description: Some("d".into()),
            parameters: Some(json!({"type": "object"})),
            strict: Some(true),
        }],
        tool_choice: Some(ToolChoice::Named("f".into())),
        parallel_calls: Some(false),
        max_output_tokens: Some(9),
        sampling: crate::dialect::portable::Sampling {
            temperature: Number::from_f64(0.5),
            top_p: Some(1.into()),
            ..Default::default()
        },
        format: Some(Format::Schema {
            name: "n".into(),
            schema: json!({"type": "object"}),
            strict: Some(true),
        }),
        effort: Some("low".into()),
        choices: 1,
        end_user: Some("u".into()),
        left: portable.left.clone(),
        ..Portable::default()
    };
    assert_eq!(portable, expected);
    let left = [
        "store",
        "metadata",
        "include",
        "service_tier",
        "prompt_cache_key",
        "truncation",
        "background",
        "text.verbosity",
        "reasoning.summary",
    ];
    assert_eq!(portable.left, left);
}

#[test]
fn there_and_back_it_asks_the_same() {
    let mut first = ported(request()).unwrap();
    let body = written(&first);
    assert_eq!(body["store"], false);
    assert_eq!(body["instructions"], "be kind");
    assert_eq!(
        body["input"][0]["content"][1]["image_url"],
        "data:image/png;base64,AAAA"
    );
    let mut again = ported(body).unwrap();
    first.left.clear();
    again.left.clear();
    // Thoughts are not given back.
    first
        .turns
        .retain(|turn| !matches!(turn.parts[..], [Part::Reasoning(_)]));
    assert_eq!(again, first);
}

#[test]
fn what_no_other_api_has_is_refused_by_its_name() {
    for (key, value, field) in [
        ("previous_response_id", json!("r"), "previous_response_id"),
        ("conversation", json!({"id": "c"}), "conversation"),
        ("background", json!(true), "background"),
        ("prompt", json!({"id": "p"}), "prompt"),
        ("truncation", json!("auto"), "truncation"),
        (
            "context_management",
            json!([{"type": "compaction"}]),
            "context_management",
        ),
        ("top_logprobs", json!(3), "top_logprobs"),
        ("whatever", json!(1), "whatever"),
        ("text", json!({"verbosity": "low"}), "text.verbosity"),
        (
            "text",
            json!({"format": {"type": "grammar"}}),
            "text.format.type",
        ),
        ("reasoning", json!({"effort": "max"}), "reasoning.effort"),
        ("reasoning", json!({"mode": "pro"}), "reasoning.mode"),
        (
            "tool_choice",
            json!({"type": "web_search"}),
            "tool_choice.type",
        ),
        ("tools", json!([{"type": "web_search"}]), "tools[0].type"),
        (
            "tools",
            json!([{"type": "custom", "name": "x"}]),
            "tools[0].type",
        ),
        (
            "tools",
            json!([{"type": "function", "name": "x", "defer_loading": true}]),
            "tools[0].defer_loading",
        ),
        (
            "input",
            json!([{"type": "item_reference", "id": "x"}]),
            "input[0].type",
        ),
        (
            "input",
            json!([{"type": "local_shell_call", "call_id": "x"}]),
            "input[0].type",
        ),
        (
            "input",
            json!([{"role": "user", "content": [{"type": "input_file", "file_id": "x"}]}]),
            "input[0].content[0].type",
        ),
        (
            "input",
            json!([{"role": "user", "content": [{"type": "input_image", "file_id": "x"}]}]),
            "input[0].content[0].file_id",
        ),
        (
            "input",
            json!([{"type": "function_call", "namespace": "n", "call_id": "c", "name": "f"}]),
            "input[0].namespace",
        ),
    ] {
        let mut request = request();
        request[key] = value;
        assert_eq!(
            ported(request.clone()).unwrap_err().field,
            field,
            "{}",
            request[key]
        );
    }
}

#[test]
fn what_this_api_cannot_be_asked_is_refused() {
    let base = ported(request()).unwrap();
    let mut asked = Vec::new();
    for field in [
        "top_k",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "stop",
        "n",
    ] {
        let mut portable = base.clone();
        match field {
            "top_k" => portable.sampling.top_k = Some(1.into()),
            "seed" => portable.sampling.seed = Some(1.into()),
            "presence_penalty" => portable.sampling.presence_penalty = Some(1.into()),
            "frequency_penalty" => portable.sampling.frequency_penalty = Some(1.into()),
            "stop" => portable.stop = vec!["x".into()],
            _ => portable.choices = 2,
        }
        asked.push((field, portable));
    }
    for (field, portable) in asked {
        assert_eq!(
            OpenAiResponses.of_portable(&portable).unwrap_err().field,
            field
        );
    }
}

#[test]
fn an_airlock_question_is_a_request() {
    let body: Value =
        serde_json::from_slice(&OpenAiResponses.ask("m", "judge", "text", 5)).unwrap();
    assert_eq!(
        body,
        json!({"model": "m", "instructions": "judge", "input": "text", "max_output_tokens": 5, "store": false})
    );
    assert_eq!(OpenAiResponses.path("m", true), "/responses");
}
