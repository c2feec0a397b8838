//! The simulated models and how each behaves when no script says otherwise.

use super::error::ScriptedError;
use super::request::{self, ChatRequest, Tool};
use super::script::{Script, ScriptedCall};

/// A model of the list.
pub struct Model {
    pub name: &'static str,
    /// What it does, for people.
    pub behaviour: &'static str,
}

/// Every model, in the order of `GET /v1/models`.
pub const MODELS: &[Model] = &[
    Model {
        name: "sim-echo",
        behaviour: "repeats the newest user message",
    },
    Model {
        name: "sim-fast",
        behaviour: "answers at once",
    },
    Model {
        name: "sim-slow",
        behaviour: "answers one word every 150 ms",
    },
    Model {
        name: "sim-reasoning",
        behaviour: "reasons before it answers",
    },
    Model {
        name: "sim-leak",
        behaviour: "says ACME-INTERNAL-7731, split over three chunks",
    },
    Model {
        name: "sim-runaway",
        behaviour: "talks until it is cut, one word every 10 ms",
    },
    Model {
        name: "sim-tools",
        behaviour: "calls the first tool until it works or a message tells it not to, then answers",
    },
    Model {
        name: "sim-flaky",
        behaviour: "fails twice with 503 and retry-after-ms, then answers",
    },
    Model {
        name: "sim-silent",
        behaviour: "takes a request and says nothing for ten minutes",
    },
];

/// What `sim-leak` must not say. Nothing real.
pub const FORBIDDEN: &str = "ACME-INTERNAL-7731";

/// What the model of the request does. The error is the vendor's, for a model that there is not.
pub fn behaviour(request: &ChatRequest) -> Result<Script, ScriptedError> {
    let script = match request.model.as_str() {
        "sim-echo" => says(&request.last_user_text()),
        "sim-fast" => says("This is the fast model: a short answer, given at once."),
        "sim-slow" => Script {
            first_delay_ms: Some(150),
            delay_ms: Some(150),
            ..says(
                "This is the slow model. It considers every side of the question with great care, word after word, \
                 and takes far longer over each of them than anybody who waits for the answer would like it to.",
            )
        },
        "sim-reasoning" => Script {
            reasoning: Some(words("The question is simple, so the answer can be short.")),
            ..says("The answer is 42.")
        },
        "sim-leak" => Script {
            chunks: Some(
                [
                    "The", " build", " key", " is ", "ACME-IN", "TERNAL-", "7731", ",", " keep",
                    " it", " safe", ".",
                ]
                .map(str::to_owned)
                .to_vec(),
            ),
            delay_ms: Some(20),
            ..Script::default()
        },
        "sim-runaway" => Script {
            endless: Some(true),
            delay_ms: Some(10),
            ..says("and then there is one more thing to say about it, ")
        },
        "sim-tools" => tools(request),
        "sim-flaky" => Script {
            status: Some(503),
            fail_times: Some(2),
            error: Some(ScriptedError {
                status: 503,
                message: "The simulated engine is overloaded, try again".into(),
                kind: "server_error".into(),
                code: Some("overloaded".into()),
            }),
            headers: [("retry-after", "1"), ("retry-after-ms", "20")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            ..says("It works now.")
        },
        "sim-silent" => Script {
            first_delay_ms: Some(600_000),
            ..says("Sorry, I was thinking.")
        },
        other => return Err(unknown(other)),
    };
    Ok(script)
}

/// The vendor's answer to a model name that it does not know.
pub fn unknown(name: &str) -> ScriptedError {
    ScriptedError {
        status: 404,
        message: format!(
            "The model `{name}` does not exist: the simulator has sim-* models, see /v1/models"
        ),
        kind: "invalid_request_error".into(),
        code: Some("model_not_found".into()),
    }
}

/// A stubborn agent's model: it repeats a failing call until a message that came after the failure tells it otherwise, as
/// models do that read their own failures as bad luck. Then it tries the next tool, or answers without.
fn tools(request: &ChatRequest) -> Script {
    let Some(first) = request.tools.first() else {
        return says("No tool was offered, so I answer without one.");
    };
    let results: Vec<usize> = indexes(request, "tool");
    let Some(&last) = results.last() else {
        return calls(first);
    };
    if !failed(&request::text(&request.messages[last])) {
        return says("The tool gave me what I need. The task is done.");
    }
    // Told off: anybody but the model and the tools spoke after the first failure.
    let told = request
        .messages
        .iter()
        .skip(results[0])
        .any(|message| matches!(request::role(message), "system" | "developer" | "user"))
        || request.messages.iter().take(results[0]).any(|message| {
            request::role(message) != "user"
                && request::text(message)
                    .to_lowercase()
                    .contains("keeps failing")
        });
    match (told, request.tools.get(1)) {
        (false, _) => calls(first),
        (true, Some(second)) => calls(second),
        (true, None) => says(
            "The tool does not work, so I answer from what I know and say that it is not verified.",
        ),
    }
}

fn indexes(request: &ChatRequest, role: &str) -> Vec<usize> {
    let of_role = |(index, message): (usize, &serde_json::Value)| {
        (request::role(message) == role).then_some(index)
    };
    request
        .messages
        .iter()
        .enumerate()
        .filter_map(of_role)
        .collect()
}

fn failed(result: &str) -> bool {
    let result = result.to_lowercase();
    ["error", "failed", "timed out", "exception"]
        .iter()
        .any(|word| result.contains(word))
}

fn calls(tool: &Tool) -> Script {
    let (name, arguments) = (tool.name.clone(), tool.arguments.clone());
    Script {
        tool_calls: Some(vec![ScriptedCall {
            name,
            arguments,
            chunks: None,
            id: None,
        }]),
        delay_ms: Some(10),
        ..Script::default()
    }
}

fn says(text: &str) -> Script {
    Script {
        text: Some(text.to_owned()),
        ..Script::default()
    }
}

/// Words with the space before each, as models cut text.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut start = 0;
    for (index, pair) in text.as_bytes().windows(2).enumerate() {
        if !pair[0].is_ascii_whitespace() && pair[1].is_ascii_whitespace() {
            words.push(text[start..=index].to_owned());
            start = index + 1;
        }
    }
    if start < text.len() {
        words.push(text[start..].to_owned());
    }
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn request(messages: serde_json::Value) -> ChatRequest {
        let tools = json!([{"type": "function", "function": {"name": "search"}}, {"type": "function", "function": {"name": "cache"}}]);
        let body = json!({"model": "sim-tools", "messages": messages, "tools": tools});
        ChatRequest::parse(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn words_lose_nothing() {
        for text in ["", " ", "one", " a  b\n\nc ", "Grüße, Welt — ja"] {
            assert_eq!(words(text).concat(), text);
        }
        assert_eq!(words("a bc d"), ["a", " bc", " d"]);
    }

    #[test]
    fn a_failing_tool_is_repeated_until_a_message_says_otherwise() {
        let call = json!({"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "search", "arguments": "{}"}}]});
        let failure =
            json!({"role": "tool", "tool_call_id": "c", "content": "Error: connection refused"});
        let user = json!({"role": "user", "content": "find it"});
        let name = |messages| {
            behaviour(&request(messages)).unwrap().tool_calls.unwrap()[0]
                .name
                .clone()
        };
        assert_eq!(name(json!([user])), "search");
        assert_eq!(name(json!([user, call, failure])), "search");
        let told = json!({"role": "system", "content": "The tool keeps failing: use another way."});
        assert_eq!(name(json!([user, call, failure, told])), "cache");
        assert_eq!(name(json!([told, user, call, failure])), "cache");
        let result = json!({"role": "tool", "tool_call_id": "c", "content": "42"});
        assert!(
            behaviour(&request(json!([user, call, failure, call, result])))
                .unwrap()
                .tool_calls
                .is_none()
        );
    }
}
