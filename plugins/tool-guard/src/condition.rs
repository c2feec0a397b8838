//! What a rule may demand of an argument.

use airlock_sdk::{glob, prelude::*};
use serde_json::Value;

/// One demand: a place in the arguments, and what must be there. Exactly one of the tests is stated.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Condition {
    /// JSON pointer (RFC 6901); empty: the arguments as a whole.
    pub pointer: String,
    pub equals: Option<Value>,
    pub one_of: Option<Vec<Value>>,
    pub prefix: Option<String>,
    pub glob: Option<String>,
    pub max: Option<f64>,
    pub min: Option<f64>,
    pub exists: Option<bool>,
    /// Turns the demand round.
    pub not: bool,
}

impl Condition {
    /// What is wrong with it, if something is.
    pub fn check(&self) -> Result<(), String> {
        if !self.pointer.is_empty() && !self.pointer.starts_with('/') {
            return Err(format!(
                "pointer `{}` must begin with `/`, as in `/amount` or `/items/0/id`",
                self.pointer
            ));
        }
        let stated = [
            self.equals.is_some(),
            self.one_of.is_some(),
            self.prefix.is_some(),
            self.glob.is_some(),
            self.max.is_some(),
            self.min.is_some(),
            self.exists.is_some(),
        ];
        match stated.iter().filter(|stated| **stated).count() {
            1 => Ok(()),
            count => Err(format!(
                "the condition on `{}` states {count} tests: state exactly one of equals, one_of, prefix, glob, max, \
                 min, exists",
                self.pointer
            )),
        }
    }

    /// Whether it holds. An argument that is not there, or of another type, fulfils no test but `exists = false`; `not`
    /// turns that round too.
    pub fn holds(&self, arguments: &Value) -> bool {
        let value = arguments.pointer(&self.pointer);
        let text = || value.and_then(Value::as_str);
        let number = || value.and_then(Value::as_f64);
        let fulfilled = if let Some(wanted) = &self.equals {
            value.is_some_and(|value| same(value, wanted))
        } else if let Some(any) = &self.one_of {
            value.is_some_and(|value| any.iter().any(|wanted| same(value, wanted)))
        } else if let Some(prefix) = &self.prefix {
            text().is_some_and(|text| text.starts_with(prefix))
        } else if let Some(pattern) = &self.glob {
            text().is_some_and(|text| glob(pattern, text))
        } else if let Some(max) = self.max {
            number().is_some_and(|number| number <= max)
        } else if let Some(min) = self.min {
            number().is_some_and(|number| number >= min)
        } else {
            self.exists == Some(value.is_some())
        };
        fulfilled != self.not
    }

    /// In words, for the model.
    pub fn words(&self) -> String {
        let what = if self.pointer.is_empty() {
            "the arguments"
        } else {
            &self.pointer
        };
        let not = if self.not { "not " } else { "" };
        let list = |any: &[Value]| {
            let any: Vec<String> = any.iter().map(Value::to_string).collect();
            any.join(", ")
        };
        if let Some(wanted) = &self.equals {
            format!("{what} {not}equal to {wanted}")
        } else if let Some(any) = &self.one_of {
            format!("{what} {not}one of {}", list(any))
        } else if let Some(prefix) = &self.prefix {
            format!("{what} {not}beginning with {prefix:?}")
        } else if let Some(pattern) = &self.glob {
            format!("{what} {not}like {pattern:?}")
        } else if let Some(max) = self.max {
            format!("{what} {not}at most {max}")
        } else if let Some(min) = self.min {
            format!("{what} {not}at least {min}")
        } else if (self.exists == Some(true)) != self.not {
            format!("{what} given")
        } else {
            format!("{what} not given")
        }
    }
}

/// Whether two values are the same; 5 and 5.0 are.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        // As integers where both are, since 2^53 and its successor are the same float.
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::json;

    use super::*;

    fn holds(condition: Value, arguments: &Value) -> bool {
        let condition: Condition = serde_json::from_value(condition).unwrap();
        condition.check().unwrap();
        condition.holds(arguments)
    }

    #[test]
    fn each_test_does_what_it_says() {
        let arguments =
            json!({ "to": "ops@acme.test", "amount": 99.5, "items": [{ "id": 7 }], "none": null });
        for (condition, expected) in [
            (json!({ "pointer": "/to", "equals": "ops@acme.test" }), true),
            (
                json!({ "pointer": "/to", "equals": "OPS@acme.test" }),
                false,
            ),
            (json!({ "pointer": "/items/0/id", "equals": 7.0 }), true),
            (
                json!({ "pointer": "/items", "equals": [{ "id": 7.0 }] }),
                true,
            ),
            (
                json!({ "pointer": "/to", "one_of": ["x", "ops@acme.test"] }),
                true,
            ),
            (json!({ "pointer": "/to", "one_of": [] }), false),
            (json!({ "pointer": "/to", "prefix": "ops@" }), true),
            (json!({ "pointer": "/to", "glob": "*@acme.test" }), true),
            (json!({ "pointer": "/to", "glob": "*@acme" }), false),
            (json!({ "pointer": "/amount", "max": 100 }), true),
            (json!({ "pointer": "/amount", "max": 99 }), false),
            (json!({ "pointer": "/amount", "min": 99.5 }), true),
            (json!({ "pointer": "/none", "exists": true }), true),
            (json!({ "pointer": "/gone", "exists": false }), true),
            (
                json!({ "pointer": "/to", "prefix": "ops@", "not": true }),
                false,
            ),
        ] {
            assert_eq!(
                holds(condition.clone(), &arguments),
                expected,
                "{condition}"
            );
        }
    }

    #[test]
    fn an_argument_that_is_missing_or_of_another_type_fulfils_nothing() {
        let arguments = json!({ "amount": "5", "to": 5 });
        for condition in [
            json!({ "pointer": "/amount", "max": 100 }),
            json!({ "pointer": "/amount", "min": 0 }),
            json!({ "pointer": "/to", "glob": "*" }),
            json!({ "pointer": "/to", "prefix": "" }),
            json!({ "pointer": "/amount/x", "exists": true }),
        ] {
            assert!(!holds(condition.clone(), &arguments), "{condition}");
        }
        assert!(holds(
            json!({ "pointer": "/gone", "prefix": "/tmp/", "not": true }),
            &arguments
        ));
    }

    #[test]
    fn big_integers_are_compared_as_integers() {
        let (a, b) = (9_007_199_254_740_993_u64, 9_007_199_254_740_992_u64);
        assert!(!same(&json!(a), &json!(b)));
        assert!(same(&json!(a), &json!(a)));
        assert!(same(&json!(5), &json!(5.0)));
    }

    #[test]
    fn a_condition_must_state_one_test() {
        for (condition, says) in [
            (json!({ "pointer": "/a" }), "states 0 tests"),
            (
                json!({ "pointer": "/a", "min": 1, "max": 2 }),
                "states 2 tests",
            ),
            (json!({ "pointer": "a", "min": 1 }), "must begin with `/`"),
        ] {
            let condition: Condition = serde_json::from_value(condition).unwrap();
            assert!(condition.check().unwrap_err().contains(says));
        }
    }
}
