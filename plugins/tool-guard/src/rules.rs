//! Which rule a tool call falls under, and what it says.

use airlock_sdk::{glob, prelude::*};
use serde_json::Value;

use crate::condition::Condition;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub rules: Vec<Rule>,
    pub default: Do,
    pub ask_from: Risk,
    pub wait_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            // A guard that lets through what nobody thought of guards little; one that denies it all stops an agent at
            // its first call. A person can tell.
            default: Do::Ask,
            ask_from: Risk::High,
            wait_seconds: 300,
        }
    }
}

/// The first rule whose tools and conditions fit decides.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names of tools, with wildcards.
    pub tools: Vec<String>,
    #[serde(default)]
    pub when: Vec<Condition>,
    #[serde(rename = "do")]
    pub verdict: Do,
    #[serde(default)]
    pub risk: Risk,
    /// For the model and for people.
    #[serde(default)]
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Do {
    Allow,
    Deny,
    Ask,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    #[default]
    Low,
    Medium,
    High,
    Critical,
}

/// What is to become of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Allow,
    /// Why, for the model.
    Deny(String),
    /// Why, for the person.
    Ask(String),
}

/// Longest wait for a person: a day, as the contract has it.
const MAX_WAIT_SECONDS: u32 = 86_400;

/// Bytes of the list of what is allowed in a denial. It goes into the conversation, and is paid for with every request.
const MAX_ALLOWED: usize = 1_000;

impl Settings {
    pub fn check(&self) -> Result<(), String> {
        if !(1..=MAX_WAIT_SECONDS).contains(&self.wait_seconds) {
            return Err(format!(
                "wait_seconds is {}: it must be 1 to {MAX_WAIT_SECONDS}",
                self.wait_seconds
            ));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let place = format!("rules[{index}]");
            if rule.tools.is_empty() {
                return Err(format!("{place}: tools is empty: name one, or `*` for all"));
            }
            for condition in &rule.when {
                condition
                    .check()
                    .map_err(|error| format!("{place}: {error}"))?;
            }
        }
        Ok(())
    }

    /// What becomes of a call of this tool. Arguments that could not be read are denied whatever the rules say: a tool
    /// may read them after all, in its own way.
    pub fn judge(&self, tool: &str, arguments: &Result<Value, String>) -> Verdict {
        let arguments = match arguments {
            Ok(arguments) => arguments,
            Err(error) => {
                return Verdict::Deny(format!(
                    "`{tool}` was not called: its arguments are not valid JSON ({error}). Call it with valid arguments."
                ));
            }
        };
        let fits = |rule: &&Rule| {
            rule.tools.iter().any(|pattern| glob(pattern, tool))
                && rule.when.iter().all(|condition| condition.holds(arguments))
        };
        let (verdict, reason) = match self.rules.iter().find(fits) {
            Some(rule) if rule.verdict == Do::Allow && rule.risk >= self.ask_from => {
                (Do::Ask, &rule.reason)
            }
            Some(rule) => (rule.verdict, &rule.reason),
            None => (self.default, &String::new()),
        };
        match verdict {
            Do::Allow => Verdict::Allow,
            Do::Deny => Verdict::Deny(self.denial(tool, reason)),
            Do::Ask if reason.is_empty() => {
                Verdict::Ask(format!("no rule lets `{tool}` through without a person"))
            }
            Do::Ask => Verdict::Ask(reason.clone()),
        }
    }

    /// The reason, and what may be called instead: a model that is only told no tries the same in other words.
    fn denial(&self, tool: &str, reason: &str) -> String {
        let reason = if reason.is_empty() {
            "the rules for tools do not permit this call"
        } else {
            reason.trim_end_matches('.')
        };
        let allowed = |rule: &Rule| {
            let when: Vec<String> = rule.when.iter().map(Condition::words).collect();
            let when = if when.is_empty() {
                String::new()
            } else {
                format!(" with {}", when.join(" and "))
            };
            let person = if rule.verdict == Do::Ask || rule.risk >= self.ask_from {
                " after a person's approval"
            } else {
                ""
            };
            format!("`{}`{when}{person}", rule.tools.join("`, `"))
        };
        let mut list = String::new();
        for rule in self.rules.iter().filter(|rule| rule.verdict != Do::Deny) {
            let item = allowed(rule);
            if list.len() + item.len() > MAX_ALLOWED {
                list.push_str("; and more");
                break;
            }
            if !list.is_empty() {
                list.push_str("; ");
            }
            list.push_str(&item);
        }
        let rest = match self.default {
            Do::Allow => "Other tools may be called.",
            Do::Ask => "Other tools wait for a person's approval.",
            Do::Deny => "No other tool may be called.",
        };
        let list = if list.is_empty() {
            String::new()
        } else {
            format!(" Allowed: {list}.")
        };
        format!("`{tool}` was not called: {reason}.{list} {rest}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::json;

    use super::*;

    fn settings(settings: Value) -> Settings {
        let settings: Settings = serde_json::from_value(settings).unwrap();
        settings.check().unwrap();
        settings
    }

    fn bank(default: &str) -> Settings {
        settings(json!({
            "default": default,
            "rules": [
                { "tools": ["get_*", "search"], "do": "allow" },
                { "tools": ["transfer"], "when": [{ "pointer": "/to", "prefix": "CH93", "not": true }], "do": "deny",
                  "reason": "transfers go to our own accounts only." },
                { "tools": ["transfer"], "when": [{ "pointer": "/amount", "max": 100 }], "do": "allow" },
                { "tools": ["transfer"], "do": "allow", "risk": "high", "reason": "more than 100" },
            ],
        }))
    }

    fn judge(settings: &Settings, tool: &str, arguments: Value) -> Verdict {
        settings.judge(tool, &Ok(arguments))
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let bank = bank("deny");
        assert_eq!(judge(&bank, "get_balance", json!({})), Verdict::Allow);
        let ours = |amount: f64| json!({ "to": "CH93 1", "amount": amount });
        assert_eq!(judge(&bank, "transfer", ours(100.0)), Verdict::Allow);
        assert_eq!(
            judge(&bank, "transfer", ours(100.5)),
            Verdict::Ask("more than 100".into())
        );
        for foreign in [
            json!({ "to": "GB29", "amount": 1 }),
            json!({ "amount": 1 }),
            json!("CH93"),
        ] {
            assert!(matches!(
                judge(&bank, "transfer", foreign),
                Verdict::Deny(_)
            ));
        }
        // An amount that is no number is not at most 100.
        let text = json!({ "to": "CH93 1", "amount": "1" });
        assert!(matches!(judge(&bank, "transfer", text), Verdict::Ask(_)));
    }

    #[test]
    fn a_denial_says_why_and_what_is_allowed() {
        let Verdict::Deny(reason) = judge(&bank("deny"), "transfer", json!({ "to": "GB29" }))
        else {
            panic!("it was not denied");
        };
        assert_eq!(
            reason,
            "`transfer` was not called: transfers go to our own accounts only. Allowed: `get_*`, `search`; `transfer` \
             with /amount at most 100; `transfer` after a person's approval. No other tool may be called."
        );
    }

    #[test]
    fn tools_that_no_rule_names_go_the_default_way() {
        assert_eq!(judge(&bank("allow"), "rm", json!({})), Verdict::Allow);
        assert!(matches!(
            judge(&bank("deny"), "rm", json!({})),
            Verdict::Deny(_)
        ));
        let Verdict::Ask(why) = judge(&bank("ask"), "rm", json!({})) else {
            panic!("nobody was asked");
        };
        assert!(why.contains("`rm`"));
        assert!(matches!(
            judge(&Settings::default(), "rm", json!({})),
            Verdict::Ask(_)
        ));
    }

    #[test]
    fn unreadable_arguments_are_denied_even_where_all_is_allowed() {
        let open =
            settings(json!({ "default": "allow", "rules": [{ "tools": ["*"], "do": "allow" }] }));
        let Verdict::Deny(reason) = open.judge("search", &Err("EOF".into())) else {
            panic!("it was not denied");
        };
        assert!(reason.contains("not valid JSON (EOF)"));
    }

    #[test]
    fn the_list_of_what_is_allowed_is_bounded() {
        let rules: Vec<Value> = (0..200)
            .map(|n| json!({ "tools": [format!("tool_number_{n}")], "do": "allow" }))
            .collect();
        let many = settings(json!({ "default": "deny", "rules": rules }));
        let Verdict::Deny(reason) = judge(&many, "x", json!({})) else {
            panic!("it was not denied");
        };
        assert!(
            reason.len() < 1_300 && reason.contains("and more"),
            "{reason}"
        );
    }

    #[test]
    fn a_broken_rule_is_refused_with_its_place() {
        let refused = |rules: Value| {
            serde_json::from_value::<Settings>(json!({ "rules": rules }))
                .unwrap()
                .check()
                .unwrap_err()
        };
        assert!(
            refused(json!([{ "tools": [], "do": "deny" }])).contains("rules[0]: tools is empty")
        );
        let second = json!([
            { "tools": ["a"], "do": "allow" },
            { "tools": ["b"], "do": "deny", "when": [{ "pointer": "/x" }] },
        ]);
        assert!(refused(second).contains("rules[1]: the condition on `/x` states 0 tests"));
    }
}
