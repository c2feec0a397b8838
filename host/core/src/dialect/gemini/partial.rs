//! Arguments of a call that come in parts, each at its path, as the JSON text that they are.
//!
//! A part is `{"jsonPath": "$.recipe.steps[0].text", "stringValue": "Cut", "willContinue": true}`. Servers write an object in
//! its order, so that its text can be written as it comes; one that goes back to what was closed is refused.

use crate::dialect::Undecodable;
use crate::dialect::gemini::fields::Fields;
use crate::dialect::gemini::undecodable::undecodable;
use crate::dialect::json::{self, Raw};

/// Objects and lists that stand in each other.
const MAX_DEPTH: usize = 64;

/// Arguments as far as they are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Arguments {
    /// Objects and lists that are open, from the outermost.
    open: Vec<Open>,
    /// The path of a string that goes on.
    string: Option<Vec<Step>>,
}

#[derive(Clone, Debug)]
enum Open {
    /// Keys that it has; the last one is being written.
    Object(Vec<String>),
    /// Values that it has.
    List(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Arguments {
    /// Writes what a part adds.
    pub fn add(&mut self, part: Raw<'_>, out: &mut String) -> Result<(), Undecodable> {
        let path = || "partialArgs".to_owned();
        let fields = Fields::of(part, &path)?;
        let known = [
            "jsonPath",
            "stringValue",
            "numberValue",
            "boolValue",
            "nullValue",
            "willContinue",
        ];
        if let Some((name, _)) = fields.iter().find(|(name, _)| !known.contains(name)) {
            return Err(undecodable(path(), format!("`{name}` is not known")));
        }
        let stated = fields.text("jsonPath", &path)?.unwrap_or_default();
        let steps = steps(&stated).ok_or_else(|| {
            undecodable("partialArgs.jsonPath", "it is no path of keys and indices")
        })?;
        let goes_on = fields.flag("willContinue", &path)?;
        let (text, plain) = value(&fields, &path)?;
        match &self.string {
            Some(open) if *open == steps && plain.is_none() => {}
            Some(_) => return Err(undecodable(path(), "a string was not ended before it")),
            None => self.go_to(&steps, out)?,
        }
        if let Some(plain) = plain {
            out.push_str(&plain);
            return Ok(());
        }
        if self.string.is_none() {
            out.push('"');
        }
        let quoted = json::quote(&text.unwrap_or_default());
        out.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
        self.string = goes_on.then_some(steps);
        if !goes_on {
            out.push('"');
        }
        Ok(())
    }

    /// Writes what ends them.
    pub fn end(&mut self, out: &mut String) -> Result<(), Undecodable> {
        if self.string.is_some() {
            return Err(undecodable(
                "functionCall",
                "it ended in the middle of a string",
            ));
        }
        if self.open.is_empty() {
            out.push('{');
            self.open.push(Open::Object(Vec::new()));
        }
        while let Some(open) = self.open.pop() {
            out.push(open.bracket());
        }
        Ok(())
    }

    /// Closes what does not lead there, and opens what does.
    fn go_to(&mut self, steps: &[Step], out: &mut String) -> Result<(), Undecodable> {
        let back = || {
            undecodable(
                "partialArgs.jsonPath",
                "it does not follow on those before it",
            )
        };
        let Some((_, containers)) = steps.split_last().filter(|_| steps.len() <= MAX_DEPTH) else {
            return Err(back());
        };
        if self.open.is_empty() {
            out.push('{');
            self.open.push(Open::Object(Vec::new()));
        }
        let inner = self.open.len() - 1;
        let leads = |(open, step): (&Open, &Step)| open.is_at(step);
        // The last step names a value, which is never one that is open.
        let pairs = self.open.iter().zip(containers).take(inner);
        let shared = pairs.take_while(|pair| leads(*pair)).count();
        while self.open.len() > shared + 1 {
            out.extend(self.open.pop().map(|open| open.bracket()));
        }
        for (at, step) in steps.iter().enumerate().skip(shared) {
            let open = self.open.last_mut().ok_or_else(back)?;
            open.enter(step, out).ok_or_else(back)?;
            match steps.get(at + 1) {
                Some(Step::Key(_)) => {
                    out.push('{');
                    self.open.push(Open::Object(Vec::new()));
                }
                Some(Step::Index(_)) => {
                    out.push('[');
                    self.open.push(Open::List(0));
                }
                None => {}
            }
        }
        Ok(())
    }
}

impl Open {
    fn bracket(&self) -> char {
        match self {
            Self::Object(_) => '}',
            Self::List(_) => ']',
        }
    }

    /// Whether what is being written in it stands at this step.
    fn is_at(&self, step: &Step) -> bool {
        match (self, step) {
            (Self::Object(keys), Step::Key(key)) => keys.last() == Some(key),
            (Self::List(count), Step::Index(index)) => index + 1 == *count,
            _ => false,
        }
    }

    /// Begins a value in it; `None` if it has that already, or cannot have it.
    fn enter(&mut self, step: &Step, out: &mut String) -> Option<()> {
        match (self, step) {
            (Self::Object(keys), Step::Key(key))
                if !keys.iter().any(|known| known.eq_ignore_ascii_case(key)) =>
            {
                if !keys.is_empty() {
                    out.push(',');
                }
                out.push_str(&json::quote(key));
                out.push(':');
                keys.push(key.clone());
                Some(())
            }
            (Self::List(count), Step::Index(index)) if index == count => {
                if *count > 0 {
                    out.push(',');
                }
                *count += 1;
                Some(())
            }
            _ => None,
        }
    }
}

/// The text of a string, or another value as it is written. A part without any is an empty string that goes on or ends.
type Value = (Option<String>, Option<String>);

fn value(fields: &Fields<'_>, path: &dyn Fn() -> String) -> Result<Value, Undecodable> {
    let wrong = |what: &str| Err(undecodable(path(), what));
    let text = fields
        .text("stringValue", path)?
        .map(|text| text.into_owned());
    let mut plain = Vec::new();
    if let Some(number) = fields.get("numberValue") {
        if !matches!(json::first_byte(number), b'-' | b'0'..=b'9') {
            return wrong("`numberValue` is no number");
        }
        plain.push(number.get().to_owned());
    }
    if fields.get("boolValue").is_some() {
        plain.push(fields.flag("boolValue", path)?.to_string());
    }
    if let Some(null) = fields.get("nullValue") {
        // Its protocol buffer has a word for it.
        if json::string(null).as_deref() != Some("NULL_VALUE") && null.get() != "0" {
            return wrong("`nullValue` is not null");
        }
        plain.push("null".to_owned());
    }
    match (text.is_some(), plain.len()) {
        (false, 0) | (true, 0) => Ok((text, None)),
        (false, 1) => Ok((None, plain.pop())),
        _ => wrong("it has several values"),
    }
}

/// The steps of a path: `$.a.b[0]['c d']`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (key, after) = after.split_at(end);
            if key.is_empty() || key.contains(['"', '\'', '\\', '*']) {
                return None;
            }
            steps.push(Step::Key(key.to_owned()));
            rest = after;
            continue;
        }
        let inner = rest.strip_prefix('[')?;
        let quote = inner
            .chars()
            .next()
            .filter(|first| matches!(first, '"' | '\''));
        if let Some(quote) = quote {
            let (key, after) = inner.get(1..)?.split_once(quote)?;
            if key.contains('\\') {
                return None;
            }
            steps.push(Step::Key(key.to_owned()));
            rest = after.strip_prefix(']')?;
        } else {
            let (index, after) = inner.split_once(']')?;
            let digits = index.bytes().all(|b| b.is_ascii_digit());
            steps.push(Step::Index(index.parse().ok().filter(|_| digits)?));
            rest = after;
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(parts: &[&str]) -> Option<String> {
        let (mut arguments, mut out) = (Arguments::default(), String::new());
        for part in parts {
            arguments.add(Raw::of(part).unwrap(), &mut out).ok()?;
        }
        arguments.end(&mut out).ok()?;
        serde_json::from_str::<serde_json::Value>(&out).unwrap();
        Some(out)
    }

    #[test]
    fn parts_are_the_text_of_an_object() {
        let parts = [
            r#"{"jsonPath":"$.a.b[0].c","stringValue":"x\"","willContinue":true}"#,
            r#"{"jsonPath":"$.a.b[0].c","stringValue":"y","willContinue":true}"#,
            r#"{"jsonPath":"$.a.b[0].c","stringValue":""}"#,
            r#"{"jsonPath":"$.a.b[0].d","numberValue":0.5}"#,
            r#"{"json_path":"$.a.b[1].c","bool_value":true}"#,
            r#"{"jsonPath":"$['e f'][0]","nullValue":"NULL_VALUE"}"#,
            r#"{"jsonPath":"$['e f'][1]","stringValue":"z"}"#,
        ];
        assert_eq!(
            written(&parts).unwrap(),
            r#"{"a":{"b":[{"c":"x\"y","d":0.5},{"c":true}]},"e f":[null,"z"]}"#
        );
        assert_eq!(written(&[]).unwrap(), "{}");
    }

    #[test]
    fn parts_that_go_back_or_say_two_things_are_refused() {
        let x = r#"{"jsonPath":"$.a","stringValue":"x"}"#;
        let open = r#"{"jsonPath":"$.a","stringValue":"x","willContinue":true}"#;
        for parts in [
            vec![x, x],
            vec![x, r#"{"jsonPath":"$.A","stringValue":"y"}"#],
            vec![open],
            vec![open, r#"{"jsonPath":"$.b","stringValue":"y"}"#],
            vec![open, r#"{"jsonPath":"$.a","numberValue":1}"#],
            vec![r#"{"jsonPath":"$.a.b","stringValue":"x"}"#, x],
            vec![x, r#"{"jsonPath":"$.a.b","stringValue":"x"}"#],
            vec![r#"{"jsonPath":"$.a[1]","stringValue":"x"}"#],
            vec![r#"{"jsonPath":"$","stringValue":"x"}"#],
            vec![r#"{"jsonPath":"$[0]","stringValue":"x"}"#],
            vec![r#"{"jsonPath":"a","stringValue":"x"}"#],
            vec![r#"{"jsonPath":"$.a","stringValue":"x","numberValue":1}"#],
            vec![r#"{"jsonPath":"$.a","numberValue":"1"}"#],
            vec![r#"{"jsonPath":"$.a","structValue":{}}"#],
        ] {
            assert_eq!(written(&parts), None, "{parts:?}");
        }
    }
}
