//! Calls of tools that OpenAI describes and the client runs.

use serde_json::{Value, json};

use super::{calls, events, frame, frames, read, said, try_read, well_formed, write, writer};
use crate::dialect::openai_responses::OpenAiResponses;
use crate::dialect::sse::Frame;
use crate::dialect::turn::Item;
use crate::dialect::{CallEdit, Dialect as _, Edits, Outbound as _, ToolCallView, Turn};
use crate::event::Channel;

const RM: &str = r#"{"commands":["rm -rf /"],"timeout_ms":null}"#;

fn shell(commands: Value, environment: Option<&str>) -> Value {
    let mut item = json!({"id": "sh_1", "type": "shell_call", "status": "completed", "call_id": "call_1",
        "action": {"commands": commands, "timeout_ms": null}});
    if let Some(environment) = environment {
        item["environment"] = json!({"type": environment, "container_id": "c_1"});
    }
    item
}

fn stream(environment: Option<&str>) -> Vec<Frame> {
    let of = |name: &str, more: Value| {
        let mut event =
            json!({"type": format!("response.{name}"), "output_index": 0, "command_index": 0});
        for (key, value) in more.as_object().unwrap() {
            event[key] = value.clone();
        }
        event
    };
    let done = shell(json!(["rm -rf /"]), environment);
    let events = [
        json!({"type": "response.created", "response": {"id": "r", "output": []}}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": shell(json!([]), environment)}),
        of("shell_call_command.added", json!({"command": ""})),
        of("shell_call_command.delta", json!({"delta": "rm -rf"})),
        of("shell_call_command.delta", json!({"delta": " /"})),
        of("shell_call_command.done", json!({"command": "rm -rf /"})),
        json!({"type": "response.output_item.done", "output_index": 0, "item": done}),
        json!({"type": "response.completed", "response": {"id": "r", "output": [done]}}),
    ];
    let numbered = events.into_iter().enumerate().map(|(n, mut event)| {
        event["sequence_number"] = n.into();
        frame(event)
    });
    numbered.collect()
}

#[test]
fn a_shell_at_the_client_is_a_call_and_one_in_a_container_is_not() {
    let pieces = read(&stream(None));
    assert_eq!(calls(&pieces), [["shell", "call_1", RM].map(str::to_owned)]);
    assert_eq!(
        said(&pieces, Channel::Other),
        "rm -rf /",
        "its parts are judged as they come"
    );
    let pieces = read(&stream(Some("local")));
    assert_eq!(calls(&pieces).len(), 1);
    let pieces = read(&stream(Some("container_auto")));
    assert!(calls(&pieces).is_empty());
    assert_eq!(said(&pieces, Channel::Other), "rm -rf /");
}

#[test]
fn what_was_foretold_has_to_come_true() {
    let with = |n: usize, event: Value| {
        let mut all = stream(None);
        all[n] = frame(event);
        try_read(&all)
    };
    let done =
        |item: Value| json!({"type": "response.output_item.done", "output_index": 0, "item": item});
    assert!(with(6, done(shell(json!(["ls"]), None))).is_err());
    let mut shorter = stream(None);
    shorter[6] = frame(done(shell(json!([]), None)));
    assert!(try_read(&shorter[..7]).is_err());
    assert!(
        with(6, done(shell(json!(["rm -rf /"]), Some("container_auto")))).is_err(),
        "who runs it changes"
    );
    let other = json!({"type": "response.completed", "response": {"output": [shell(json!(["rm -rf /", "ls"]), None)]}});
    assert!(with(7, other).is_err());
    // It has no end at all.
    let cut: Vec<Frame> = stream(None).into_iter().take(6).collect();
    let end = frame(json!({"type": "response.completed", "response": {"output": []}}));
    assert!(try_read(&[cut, vec![end]].concat()).is_err());
}

fn edits(n: usize, edit: &CallEdit) -> Edits<'static> {
    Edits {
        calls: if matches!(n, 1 | 6) {
            vec![edit.clone()]
        } else {
            Vec::new()
        },
        ..Edits::default()
    }
}

#[test]
fn such_a_call_is_denied_and_rewritten_like_others() {
    let out = write(&mut *writer(), &stream(None), |n, _| {
        edits(n, &CallEdit::Drop)
    })
    .unwrap();
    assert!(!String::from_utf8(out.clone()).unwrap().contains("rm"));
    well_formed(&out, "denied");
    let change = |arguments: &str| CallEdit::Change {
        index: 0,
        arguments: Some(arguments.to_owned()),
        id_said: false,
        name_said: false,
    };
    let out = write(&mut *writer(), &stream(None), |n, _| match n {
        1 => edits(n, &change(r#"{"commands":["ls"]}"#)),
        n => edits(n, &change("")),
    })
    .unwrap();
    assert!(!String::from_utf8(out.clone()).unwrap().contains("rm"));
    well_formed(&out, "rewritten");
    assert_eq!(calls(&read(&frames(&out)))[0][2], r#"{"commands":["ls"]}"#);
    let told = events(&out);
    assert_eq!(
        told.last().unwrap()["response"]["output"][0]["action"]["commands"][0],
        "ls"
    );
    let text = write(&mut *writer(), &stream(None), |n, _| {
        edits(n, &change("no json"))
    });
    assert!(text.is_err());
}

#[test]
fn its_result_has_its_own_form() {
    let of = |item: Value| {
        let call = ToolCallView {
            id: "call_1".into(),
            name: "x".into(),
            arguments: item["action"].to_string(),
            own: Some(item.to_string()),
            at: None,
        };
        let turn = Turn {
            items: vec![
                Item::Call(call),
                Item::Result {
                    call: "call_1".into(),
                    text: "no".into(),
                },
            ],
        };
        let body = OpenAiResponses.continue_request(br#"{"input":[]}"#, &turn);
        body.map(|body| serde_json::from_slice::<Value>(&body).unwrap()["input"].clone())
    };
    let input = of(shell(json!(["ls"]), None)).unwrap();
    assert_eq!(input[0], shell(json!(["ls"]), None));
    assert_eq!(input[1]["type"], "shell_call_output");
    assert_eq!(input[1]["output"][0]["stderr"], "no");
    let local = json!({"type": "local_shell_call", "call_id": "call_1", "action": {"type": "exec", "command": ["ls"]}});
    assert_eq!(
        of(local).unwrap()[1],
        json!({"type": "local_shell_call_output", "call_id": "call_1", "output": "no"})
    );
    let computer =
        json!({"type": "computer_call", "call_id": "call_1", "action": {"type": "click", "x": 1}});
    assert!(of(computer).is_err());
    assert!(
        OpenAiResponses
            .inbound()
            .stream_type()
            .contains("event-stream")
    );
}
