//! The text of `airlock.toml` as sections.
//!
//! Each section, entry and row is read by itself, so that one bad value does not hide the next: all problems of a file are
//! told at once, each at its place.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::inside::inside;
use super::problem::{Problem, Problems};
use crate::config::{Config, Source, place, profile, validate};
use airlock_core::reason::rules::MAX_RULES;
use airlock_policy::advice;

const SECTIONS: &[&str] = &[
    "gateway",
    "admin",
    "data",
    "key",
    "tenant",
    "upstream",
    "route",
    "ask",
    "policies",
    "policy",
    "limits",
    "on_finding",
    "rule",
    "profile",
    "webhook",
    "people",
    "session",
    "machine",
    "price",
];

/// A file of which nothing but its first words makes sense should not fill the screen.
const MOST_PROBLEMS: usize = 20;

type Value<'i> = Spanned<DeValue<'i>>;

/// Reads and judges a configuration. `file` names it in messages, and its directory is where relative paths begin.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str, file: &Path) -> Result<Config, Problems> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        text,
        root: root.get_ref(),
        problems: Vec::new(),
    };
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        reader.problems.push(Problem::at(
            text,
            &span,
            "",
            format!("this is not TOML: {}", error.message().trim()),
        ));
    }
    // What follows a broken line is read as something else: judging it would only mislead.
    let config = if reader.problems.is_empty() {
        reader.config(file)
    } else {
        None
    };
    let mut problems = reader.problems;
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => {
            problems.sort_by_key(|problem| (problem.line, problem.column));
            problems.truncate(MOST_PROBLEMS);
            Err(Problems {
                file: Some(file.to_owned()),
                problems,
            })
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    root: &'a DeTable<'a>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn config(&mut self, file: &Path) -> Option<Config> {
        let names: Vec<_> = self
            .root
            .keys()
            .map(|key| (key.get_ref().to_string(), key.span()))
            .collect();
        for (name, span) in names {
            if !SECTIONS.contains(&name.as_str()) {
                let message = advice::unknown("section", &name, SECTIONS.iter().copied());
                self.problems
                    .push(Problem::at(self.text, &span, "", message));
            }
        }
        let base = file.parent().unwrap_or(Path::new("."));
        let mut config = Config::empty(Source::File(file.to_owned()));
        config.gateway = self.section("gateway").unwrap_or_default();
        config.admin = self.section("admin").unwrap_or_default();
        config.data = self.section("data").unwrap_or_default();
        config.policies = self.section("policies").unwrap_or_default();
        config.limits = self.section("limits").unwrap_or_default();
        config.people = self.section("people").unwrap_or_default();
        config.session = self.section("session").unwrap_or_default();
        config.machine = self.section("machine").unwrap_or_default();
        config.keys = self.rows("key");
        config.tenants = self.entries("tenant");
        config.upstreams = self.entries("upstream");
        config.webhooks = self.entries("webhook");
        config.asks = self.entries("ask");
        config.prices = self.entries("price");
        config.policy = self.entries("policy").into_iter().collect();
        config.routes = self.rows("route");
        config.on_finding = self.rows("on_finding");
        config.profile = self.section("profile").unwrap_or_default();
        config.rules = self.rows("rule");
        for (n, rule) in config.rules.iter_mut().enumerate() {
            rule.number(n + 1);
        }

        config.data.dir = absolute(base, &config.data.dir);
        config.policies.dir = absolute(base, &config.policies.dir);
        for path in [
            &mut config.machine.agent_pid_file,
            &mut config.machine.agent_cgroup,
        ] {
            *path = path.take().map(|path| absolute(base, &path));
        }
        for (_, upstream) in &mut config.upstreams {
            for path in [
                &mut upstream.ca_file,
                &mut upstream.client_cert_file,
                &mut upstream.client_key_file,
            ] {
                *path = path.take().map(|path| absolute(base, &path));
            }
        }
        for policy in config.policy.values_mut() {
            policy.file = policy.file.take().map(|file| absolute(base, &file));
        }
        for (path, message) in validate::check(&config, !self.problems.is_empty()) {
            let span = self.span(&path);
            let key = shown(&path);
            self.problems
                .push(Problem::at(self.text, &span, &key, message));
        }
        // Places are counted: with a row that could not be read, those behind it would be blamed for each other.
        let whole = matches!(self.root.get("rule").map(|rows| rows.get_ref()), Some(DeValue::Array(rows)) if rows.len() == config.rules.len());
        let judged = if whole {
            validate::rules::judge(&config.rules)
        } else {
            Ok(())
        };
        for error in judged.err().unwrap_or_default() {
            let mut path = vec!["rule".to_owned(), error.rule.to_string()];
            path.extend((!error.key.is_empty()).then(|| error.key.to_owned()));
            let span = self.span(&path);
            let raw = self.text.get(span.clone()).unwrap_or_default();
            let start = match error.offset {
                0 => span.start,
                offset => span.start + inside(raw, offset),
            };
            let at = start..span.end;
            self.problems
                .push(Problem::at(self.text, &at, &shown(&path), error.message));
        }
        let profile = config.profile.clone();
        if let Err(wrong) = profile::apply(&profile, &mut config) {
            for (path, message) in wrong {
                let span = self.span(&path);
                self.problems
                    .push(Problem::at(self.text, &span, &shown(&path), message));
            }
        } else if self.problems.is_empty() && config.rules.len() > MAX_RULES {
            let span = self.span(&["profile".to_owned()]);
            let message = format!(
                "with those that this becomes there are {} rules: at most {MAX_RULES}",
                config.rules.len()
            );
            self.problems
                .push(Problem::at(self.text, &span, "profile", message));
        }
        Some(config)
    }

    /// A table `[name]`.
    fn section<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.root.get(name)?.clone();
        self.read(value, name)
    }

    /// Tables `[name.<entry>]`, in the order of the file.
    fn entries<T: DeserializeOwned>(&mut self, name: &str) -> Vec<(String, T)> {
        let Some(value) = self.root.get(name) else {
            return Vec::new();
        };
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_shape(value.span(), name, &format!("write [{name}.<name>]"));
            return Vec::new();
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let read = |(key, value): (&Spanned<_>, &Value<'_>)| {
            let key: &std::borrow::Cow<'_, str> = key.get_ref();
            Some((
                key.to_string(),
                self.read(value.clone(), &format!("{name}.{}", quoted(key)))?,
            ))
        };
        entries.into_iter().filter_map(read).collect()
    }

    /// Tables `[[name]]`.
    fn rows<T: DeserializeOwned>(&mut self, name: &str) -> Vec<T> {
        let Some(value) = self.root.get(name) else {
            return Vec::new();
        };
        let DeValue::Array(rows) = value.get_ref() else {
            self.wrong_shape(
                value.span(),
                name,
                &format!("write [[{name}]], with two brackets, once for each"),
            );
            return Vec::new();
        };
        rows.iter()
            .enumerate()
            .filter_map(|(n, row)| self.read(row.clone(), &format!("{name}[{n}]")))
            .collect()
    }

    fn read<T: DeserializeOwned>(&mut self, value: Value<'_>, key: &str) -> Option<T> {
        let whole = value.span();
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(read) => Some(read),
            Err(error) => {
                let span = error.span().unwrap_or(whole);
                self.problems.push(Problem::at(
                    self.text,
                    &span,
                    key,
                    advice::improve(error.message()),
                ));
                None
            }
        }
    }

    fn wrong_shape(&mut self, span: Range<usize>, key: &str, advice: &str) {
        self.problems.push(Problem::at(
            self.text,
            &span,
            key,
            format!("this has another shape: {advice}"),
        ));
    }

    /// Where the value at `path` stands, or the nearest table around it.
    fn span(&self, path: &[String]) -> Range<usize> {
        place::span(self.root, path.iter().map(String::as_str))
    }
}

/// A path as people write it: `upstream.openai.key`, `route[1].upstream`.
fn shown(path: &[String]) -> String {
    let mut out = String::new();
    for step in path {
        if step.bytes().all(|b| b.is_ascii_digit()) && !out.is_empty() {
            out.push_str(&format!("[{step}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&quoted(step));
        }
    }
    out
}

fn quoted(key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare {
        key.to_owned()
    } else {
        format!("{key:?}")
    }
}

/// A path of the configuration: relative ones begin at the file, `~/` at the home.
fn absolute(base: &Path, path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => base.join(path),
    }
}
