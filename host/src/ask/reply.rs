//! What a model server says to a question, taken apart without trust: what is not exactly an answer is a failure that says
//! what was wrong. Tokens that were billed are found all the same.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::call::Call;
use airlock_core::dialect::{Dialect, Finish, Piece, usage};
use airlock_core::event::{Channel, Usage};
use airlock_policy::contract::types::AnswerValue;

/// Longest text that a policy is told; it has to fit into one call of the policy with everything else.
const TEXT_BYTES: usize = 64 * 1024;
/// Most numbers of all vectors together: 256 KiB.
const NUMBERS: usize = 64 * 1024;

/// A body taken apart.
#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    /// The answer, or what is wrong with it.
    pub value: Result<AnswerValue, String>,
    /// Model by the server's own word; empty if it does not say.
    pub model: String,
    /// Tokens as the server counted them.
    pub usage: Option<Usage>,
    /// Text that was generated, whatever became of it: to count when the server did not.
    pub text: String,
}

/// Takes the body of a successful answer apart.
pub(super) fn read(body: &[u8], call: &Call, dialect: &dyn Dialect) -> Reply {
    match call {
        Call::Chat { labels, .. } => answered(body, labels.as_deref(), dialect),
        Call::Embed(texts) => embedded(body, texts.len()),
    }
}

fn answered(body: &[u8], labels: Option<&[String]>, dialect: &dyn Dialect) -> Reply {
    let (mut reader, mut pieces) = (dialect.reader(), Vec::new());
    let read = reader.body(body, &mut pieces);
    let said = Said::of(pieces, dialect);
    let text = read
        .map_err(|error| format!("its answer cannot be read: {error}"))
        .and_then(|()| said.text());
    Reply {
        value: text.and_then(|text| match labels {
            None => Ok(AnswerValue::Text(text.to_owned())),
            Some(labels) => scores(text, labels).map(AnswerValue::Labels),
        }),
        model: reader.identity().model.clone(),
        usage: said.usage,
        text: said.text.clone(),
    }
}

fn embedded(body: &[u8], texts: usize) -> Reply {
    let read = serde_json::from_slice(body);
    let body: Value = read.as_ref().cloned().unwrap_or_default();
    Reply {
        value: match read {
            Ok(_) => vectors(&body, texts).map(AnswerValue::Vectors),
            Err(error) => Err(format!("its answer is not JSON: {error}")),
        },
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        usage: usage::read(&body["usage"]),
        text: String::new(),
    }
}

/// What the first choice of an answer says.
#[derive(Default)]
struct Said {
    text: String,
    refusal: String,
    finish: Option<Finish>,
    usage: Option<Usage>,
}

impl Said {
    fn of(pieces: Vec<Piece>, dialect: &dyn Dialect) -> Self {
        let mut said = Self::default();
        for piece in pieces {
            match piece {
                Piece::Text { place, text, .. } if place.choice == 0 => match place.channel {
                    Channel::Output => said.text.push_str(&text),
                    Channel::Refusal => said.refusal.push_str(&text),
                    _ => {}
                },
                Piece::Finish { choice: 0, reason } => {
                    said.finish = Some(dialect.outbound().meaning(&reason));
                }
                Piece::Usage(usage) => said.usage = Some(usage),
                _ => {}
            }
        }
        said
    }

    /// The text, if it is an answer.
    fn text(&self) -> Result<&str, String> {
        if !self.refusal.is_empty() {
            let end = self.refusal.floor_char_boundary(200);
            return Err(format!("the model refused: {}", &self.refusal[..end]));
        }
        if self.finish == Some(Finish::Filtered) {
            return Err("the upstream's content filter kept the answer back".to_owned());
        }
        match self.text.trim() {
            "" if self.finish == Some(Finish::Length) => {
                Err("no text within the target's `max_tokens`".to_owned())
            }
            "" => Err("its answer has no text".to_owned()),
            text if text.len() > TEXT_BYTES => Err(format!(
                "its answer has {} bytes: at most {TEXT_BYTES} are passed on",
                text.len()
            )),
            text => Ok(text),
        }
    }
}

/// What went wrong, in the words of a server that refused: at most 200 bytes of them.
pub(super) fn error(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = [&body["error"]["message"], &body["error"], &body["message"]];
    let message = message
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_default();
    message[..message.floor_char_boundary(200)].to_owned()
}

/// Scores for every label, best first; equal ones in the order in which they were asked for.
///
/// A label that the model left out, made up or said twice makes the answer void: a guess at what it meant would be a verdict
/// that nobody gave.
fn scores(text: &str, labels: &[String]) -> Result<Vec<(String, f64)>, String> {
    let Pairs(pairs) = serde_json::from_str(unfenced(text))
        .map_err(|error| format!("its answer is not an object of scores: {error}"))?;
    let mut scores = Vec::with_capacity(labels.len());
    for label in labels {
        let mut found = pairs.iter().filter(|(name, _)| name == label);
        match (found.next(), found.next()) {
            (Some((_, score)), None) if (0.0..=1.0).contains(score) => {
                scores.push((label.clone(), *score));
            }
            (Some((_, score)), None) => {
                return Err(format!("its score for `{label}` is {score}: not 0 to 1"));
            }
            (None, _) => return Err(format!("its answer has no score for `{label}`")),
            (Some(_), Some(_)) => return Err(format!("its answer has two scores for `{label}`")),
        }
    }
    if pairs.len() > labels.len() {
        return Err("its answer has labels that nobody asked for".to_owned());
    }
    scores.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    Ok(scores)
}

/// Without the fence in which many models put JSON whatever they are told.
fn unfenced(text: &str) -> &str {
    let inner = text
        .strip_prefix("```json")
        .or_else(|| text.strip_prefix("```"));
    let inner = inner.and_then(|inner| inner.strip_suffix("```"));
    inner.map_or(text, str::trim)
}

/// Names and numbers of an object, each as often as it stands there.
struct Pairs(Vec<(String, f64)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Each)
    }
}

/// One vector for each text, in the order of the texts.
fn vectors(body: &Value, texts: usize) -> Result<Vec<Vec<f32>>, String> {
    #[derive(Deserialize)]
    struct One {
        index: usize,
        embedding: Vec<f32>,
    }
    let mut list: Vec<One> = Vec::<One>::deserialize(&body["data"])
        .map_err(|error| format!("its answer is not a list of vectors: {error}"))?;
    list.sort_by_key(|one| one.index);
    if list.len() != texts || list.iter().enumerate().any(|(n, one)| one.index != n) {
        return Err(format!(
            "its answer has {} vectors for {texts} texts",
            list.len()
        ));
    }
    let numbers: usize = list.iter().map(|one| one.embedding.len()).sum();
    if numbers > NUMBERS {
        return Err(format!(
            "its vectors have {numbers} numbers: at most {NUMBERS} are passed on; ask for fewer texts"
        ));
    }
    if list
        .iter()
        .any(|one| one.embedding.iter().any(|number| !number.is_finite()))
    {
        return Err("its vectors are not finite".to_owned());
    }
    Ok(list.into_iter().map(|one| one.embedding).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use airlock_core::dialect::openai_chat::OpenAiChat;
    use serde_json::json;

    fn chat(labels: Option<&[&str]>) -> Call {
        Call::Chat {
            system: String::new(),
            user: String::new(),
            max_tokens: 9,
            labels: labels.map(|l| l.iter().map(|l| (*l).to_owned()).collect()),
        }
    }

    fn spoken(message: Value, finish: &str) -> Vec<u8> {
        json!({"model": "m-1", "choices": [{"message": message, "finish_reason": finish}],
               "usage": {"prompt_tokens": 7, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 2}}})
        .to_string()
        .into_bytes()
    }

    fn judged(text: &str) -> Result<AnswerValue, String> {
        let body = spoken(json!({"content": text}), "stop");
        read(&body, &chat(Some(&["good", "bad"])), &OpenAiChat).value
    }

    #[test]
    fn a_text_comes_with_its_bill() {
        let reply = read(
            &spoken(json!({"content": " done "}), "stop"),
            &chat(None),
            &OpenAiChat,
        );
        assert_eq!(reply.value, Ok(AnswerValue::Text("done".into())));
        assert_eq!(reply.model, "m-1");
        let usage = reply.usage.unwrap();
        assert_eq!(
            (usage.input, usage.output, usage.reasoning, usage.exact),
            (7, 3, 2, true)
        );
    }

    #[test]
    fn what_is_no_answer_says_why_and_is_billed_all_the_same() {
        for (message, finish, words) in [
            (
                json!({"content": null, "refusal": "no way"}),
                "stop",
                "refused: no way",
            ),
            (
                json!({"content": "half"}),
                "content_filter",
                "content filter",
            ),
            (json!({"content": ""}), "length", "max_tokens"),
            (json!({"content": []}), "stop", "no text"),
            (
                json!({"content": "x".repeat(TEXT_BYTES + 1)}),
                "stop",
                "65537 bytes",
            ),
        ] {
            let reply = read(&spoken(message, finish), &chat(None), &OpenAiChat);
            let why = reply.value.unwrap_err();
            assert!(why.contains(words), "{why}");
            assert_eq!(reply.usage.unwrap().input, 7);
        }
        for broken in ["", "<html>", "[]", "{\"choices\":[]}", "null"] {
            let reply = read(broken.as_bytes(), &chat(None), &OpenAiChat);
            assert!(reply.value.is_err() && reply.usage.is_none(), "{broken}");
        }
    }

    #[test]
    fn scores_are_taken_best_first() {
        let best = |a: &str, x, b: &str, y| {
            Ok(AnswerValue::Labels(vec![
                (a.to_owned(), x),
                (b.to_owned(), y),
            ]))
        };
        assert_eq!(
            judged(r#"{"bad": 0.9, "good": 0.1}"#),
            best("bad", 0.9, "good", 0.1)
        );
        assert_eq!(
            judged(r#"{"bad": 1, "good": 1}"#),
            best("good", 1.0, "bad", 1.0)
        );
        assert_eq!(
            judged("```json\n{\"good\": 0.5, \"bad\": 0}\n```"),
            best("good", 0.5, "bad", 0.0)
        );
    }

    #[test]
    fn a_verdict_that_nobody_gave_is_a_failure() {
        for (text, words) in [
            (r#"{"good": 1}"#, "no score for `bad`"),
            (r#"{"good": 1, "bad": 0, "bad": 1}"#, "two scores for `bad`"),
            (r#"{"good": 1, "bad": 1.01}"#, "not 0 to 1"),
            (r#"{"good": 1, "bad": -0.5}"#, "not 0 to 1"),
            (r#"{"good": 1, "bad": 0, "ugly": 0}"#, "nobody asked for"),
            (r#"{"good": "1", "bad": 0}"#, "not an object of scores"),
            (
                r#"{"good": 1, "bad": 0} and more"#,
                "not an object of scores",
            ),
            (r#"{"good": 1e999, "bad": 0}"#, "not an object of scores"),
            ("[1, 0]", "an object of numbers"),
            ("good", "not an object of scores"),
            ("{", "not an object of scores"),
        ] {
            let why = judged(text).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    #[test]
    fn vectors_keep_the_order_of_their_texts() {
        let call = Call::Embed(vec!["a".into(), "b".into()]);
        let reply = |data: Value| {
            read(
                json!({"data": data}).to_string().as_bytes(),
                &call,
                &OpenAiChat,
            )
            .value
        };
        assert_eq!(
            reply(json!([{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}])),
            Ok(AnswerValue::Vectors(vec![vec![1.0], vec![2.0]]))
        );
        for data in [
            json!([{"index": 0, "embedding": [1.0]}]),
            json!([{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]),
            json!([{"index": 0, "embedding": [1e300]}, {"index": 1, "embedding": [1.0]}]),
            json!([{"index": 0, "embedding": "AAAA"}, {"index": 1, "embedding": [1.0]}]),
            json!(null),
        ] {
            assert!(reply(data.clone()).is_err(), "{data}");
        }
    }

    #[test]
    fn an_error_is_told_in_the_servers_words_shortly() {
        assert_eq!(
            error(br#"{"error": {"message": "no such model"}}"#),
            "no such model"
        );
        assert_eq!(error(br#"{"error": "busy"}"#), "busy");
        assert_eq!(error(b"<html>"), "");
        let long = json!({"error": {"message": "é".repeat(200)}}).to_string();
        assert_eq!(error(long.as_bytes()).len(), 200);
    }
}
