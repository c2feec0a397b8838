//! Conditions as people write them, right and wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use proptest::prelude::*;
use serde::Deserialize;

use super::view::{Moment, Subject, Told};
use super::*;
use crate::event::declared::{Declared, Risk};
use crate::observe::vitals::{SessionVitals, Vitals};
use airlock_policy::contract::types::{Facts, Failure, FailureKind, Finding};

#[derive(Deserialize)]
struct File {
    rule: Vec<RuleConfig>,
}

/// Rules as they stand in a file.
fn rows(text: &str) -> Vec<RuleConfig> {
    let mut rows = toml::from_str::<File>(text).unwrap().rule;
    for (n, row) in rows.iter_mut().enumerate() {
        row.number(n + 1);
    }
    rows
}

fn row(when: &str, rest: &str) -> String {
    format!("[[rule]]\nwhen = {}\n{rest}\n", toml::Value::from(when))
}

fn rules(text: &str) -> Rules {
    Rules::compile(&rows(text)).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

fn mistake(when: &str) -> RuleError {
    match Rules::compile(&rows(&row(when, "do = \"annotate\""))) {
        Ok(_) => panic!("`{when}` was taken"),
        Err(errors) => errors.into_iter().next().unwrap(),
    }
}

/// A world in which rules are evaluated.
struct Stage {
    vitals: Vitals,
    facts: Facts,
    declared: Declared,
    findings: Vec<Told>,
    tools: Vec<String>,
    standing: Standing,
    session: std::collections::HashMap<Arc<str>, bool>,
    now: Micros,
}

impl Stage {
    fn new() -> Self {
        let session = SessionVitals {
            exchanges: 2,
            tokens: 700,
            tools: (5, 3, 2),
            ..SessionVitals::default()
        };
        Self {
            vitals: Vitals::new(1_000_000, session),
            facts: Facts {
                tenant: "acme".into(),
                principal: "ci".into(),
                session: "00".repeat(16),
                seed: 7,
                started: 0,
                extra: vec![],
            },
            declared: Declared {
                subtask: Some("search".into()),
                risk: Some(Risk::High),
                deadline: Some(Duration::from_millis(1500)),
                ..Declared::default()
            },
            findings: vec![],
            tools: vec!["shell".into(), "web".into()],
            standing: Standing::default(),
            session: Default::default(),
            now: 3_000_000,
        }
    }

    fn judge(&mut self, rules: &Rules, checkpoint: Checkpoint, subjects: &[Subject]) -> Judged {
        let moment = Moment {
            checkpoint,
            now: self.now,
            vitals: &self.vitals,
            facts: &self.facts,
            declared: &self.declared,
            model: "sim-1",
            upstream: "sim",
            streamed: true,
            tools: &self.tools,
            messages: 4,
            input_tokens: 120,
            findings: &self.findings,
        };
        let session = &mut self.session;
        rules.judge(&mut self.standing, &moment, subjects, |name, holds| {
            let before = session.insert(Arc::clone(name), holds);
            holds && before != Some(true)
        })
    }

    /// Names of the actions that are ordered.
    fn ordered(
        &mut self,
        rules: &Rules,
        checkpoint: Checkpoint,
        subjects: &[Subject],
    ) -> Vec<String> {
        let judged = self.judge(rules, checkpoint, subjects);
        assert!(judged.faults.is_empty(), "{:?}", judged.faults);
        judged
            .orders
            .iter()
            .map(|order| crate::act::name::name(&order.action).to_owned())
            .collect()
    }
}

fn call(arguments: &str) -> Subject {
    Subject::Call {
        id: "c1".into(),
        name: "shell".into(),
        arguments: Some(arguments.into()),
    }
}

fn result(failed: bool) -> Subject {
    Subject::Result {
        id: "c1".into(),
        name: "shell".into(),
        failed,
        duration: 20_000,
    }
}

fn told(severity: Severity, observed: bool) -> Told {
    Told {
        policy: "pii".into(),
        observed,
        finding: Finding {
            kind: "pii.email".into(),
            severity,
            confidence: 0.9,
            summary: "an address".into(),
            evidence: vec![],
            data: String::new(),
        },
    }
}

/// The condition at the checkpoint at which what it is about is known.
fn holds(when: &str) -> bool {
    let rules = rules(&row(when, "do = \"annotate\""));
    let mut stage = Stage::new();
    stage.findings = vec![told(Severity::High, false)];
    let at = rules.rules[0].at;
    let subjects = [
        call(r#"{"cmd": "rm -rf /", "n": 3, "list": ["a", "b"], "deep": {"x": 1.5}}"#),
        result(true),
        Subject::Failure(Failure {
            kind: FailureKind::RateLimit,
            status: 429,
            retryable: true,
        }),
    ];
    let checkpoint = [
        Checkpoint::Request,
        Checkpoint::ToolCall,
        Checkpoint::ToolResult,
        Checkpoint::Response,
    ]
    .into_iter()
    .find(|point| at.has(*point))
    .unwrap();
    !stage.ordered(&rules, checkpoint, &subjects).is_empty()
}

#[test]
fn conditions_mean_what_they_say() {
    for when in [
        "vitals.elapsed > 1500000",
        "vitals.elapsed / 1000000.0 == 2.0",
        "vitals.tool_failures == 3 && vitals.session_tokens >= 700",
        "session.tenant == 'acme' && session.principal in ['ci', 'cd']",
        "session.exchanges == 2",
        "has(session.risk) && session.risk == 'high' && session.risk_rank >= 2 && has(session.risk_rank)",
        "has(session.deadline_ms) && session.deadline_ms < 2000",
        "!has(session.task)",
        "!has(session.task) || session.task == 'x'",
        "has(session.subtask) ? session.subtask == 'search' : false",
        "request.model.startsWith('sim-') && request.upstream == 'sim' && request.streamed",
        "'web' in request.tools && size(request.tools) == 2 && request.tools[0] == 'shell'",
        "request.messages == 4 && request.input_tokens > 100",
        "findings.exists(f, f.kind.startsWith('pii.') && f.severity_rank >= 3)",
        "findings.all(f, f.policy == 'pii' && f.severity == 'high' && f.confidence > 0.8)",
        "size(findings.filter(f, f.summary.contains('address'))) == 1",
        "findings.exists_one(f, f.severity == 'high')",
        "tool.name == 'shell' && has(tool.arguments.cmd) && tool.arguments.cmd.contains('rm -rf')",
        "tool.arguments.cmd.matches('^rm\\\\s+-[rf]+')",
        "matches(tool.arguments.cmd, '^rm')",
        "tool.arguments.n > 2.5 && tool.arguments.list.exists(x, x == 'b')",
        "tool.arguments.deep.x == 1.5 && tool.arguments['deep']['x'] < 2",
        "tool.failed && tool.duration_us > 10000",
        "failure.kind == 'rate-limit' && failure.status == 429 && failure.retryable",
        "checkpoint == 'request'",
        "string(vitals.tool_failures) != '' && int('4') == 4 && double(2) == 2.0",
        "true",
    ] {
        assert!(holds(when), "{when}");
    }
    for when in [
        "vitals.elapsed > 2500000",
        "has(vitals.context_share) && vitals.context_share > 0.85",
        "findings.exists(f, f.severity_rank == 4)",
        "tool.arguments.cmd.matches('^ls')",
        "has(tool.arguments.nothing)",
        "failure.status == 500",
        "false",
    ] {
        assert!(!holds(when), "{when}");
    }
}

#[test]
fn mistakes_are_told_by_name_and_place() {
    // The place is that of the text after `§`.
    for (written, message) in [
        (
            "§vitls.elapsed > 5",
            "unknown variable `vitls`: did you mean `vitals`?",
        ),
        (
            "§vitals.elapsd > 5",
            "unknown field of vitals `elapsd`: did you mean `elapsed`?",
        ),
        ("true && §request.modell == 'a'", "did you mean `model`?"),
        (
            "§vitals == 1",
            "`vitals` is a group of values: name one, such as vitals.elapsed",
        ),
        ("§vitals['elapsed'] > 1.0", "named with a dot"),
        (
            "findings.exists(f, §f.kid == 'a')",
            "unknown field of a finding `kid`: did you mean `kind`?",
        ),
        ("§vitals.elapsed", "this is a number with a fraction"),
        ("§'text'", "true or false"),
        (
            "§vitals.context_share > 0.8",
            "write has(vitals.context_share) && ...",
        ),
        (
            "has(vitals.context_share) || §vitals.context_share > 0.8",
            "write has(vitals.context_share)",
        ),
        (
            "§request.messages == 'many'",
            "a whole number never equals text",
        ),
        ("§request.streamed > 1", "cannot be compared with >"),
        ("§vitals.elapsed / 1000 > 1.0", "write 2.0 for 2"),
        ("§size(vitals.elapsed) > 1", "`size` is used like this"),
        (
            "request.model.§startWith('a')",
            "unknown function `startWith`: did you mean `startsWith`?",
        ),
        ("§now() > 5", "unknown function `now`"),
        (
            "request.model.§matches(session.id)",
            "one pattern, in quotes",
        ),
        (
            "request.model.matches(§'(')",
            "this is no pattern: unclosed group",
        ),
        (
            "request.model.matches(§'(a{999}){999}')",
            "this pattern is too big",
        ),
        ("§session.exchanges in request.tools", "is never in"),
        (
            "§request.tools.map(t, t + 'x') == ['a']",
            "`map` is not for conditions",
        ),
        (
            "request.tools.exists(a, §request.tools.exists(b, a == b))",
            "split the rule",
        ),
        (
            "§request.tools.exists(tool, tool == 'a')",
            "`tool` is taken",
        ),
        ("1 §+ 'a' == 2", "does not take a whole number and text"),
        ("§{'a': 1} == {'a': 1}", "makes no tables"),
        ("§1u == 1u", "without the u"),
        ("§!vitals.elapsed", "must be true or false"),
        (
            "§tool.arguments.x == 1 && failure.retryable",
            "never known together",
        ),
        ("§", "there is no condition"),
    ] {
        let offset = written.find('§').unwrap();
        let error = mistake(&written.replacen('§', "", 1));
        assert!(
            error.message.contains(message),
            "{written}: {}",
            error.message
        );
        assert_eq!(error.key, "when", "{written}");
        let near = written.contains("_/_")
            || error.offset == offset
            || error.offset == 0
            || close(written, offset, error.offset);
        assert!(near, "{written}: {} is not {offset}", error.offset);
    }
}

/// A call and an operator stand where their sign does, which is not where their first operand begins.
fn close(written: &str, expected: usize, found: usize) -> bool {
    let text = written.replacen('§', "", 1);
    found > expected && found < text.len() && !text[expected..found].contains("&&")
}

#[test]
fn what_is_no_cel_is_told_with_its_place() {
    for (when, offset) in [
        ("vitals.elapsed > ", 17),
        ("vitals.elapsed >> 5", 16),
        ("vitals.elapsed > 5 &&", 21),
        ("(vitals.elapsed > 5", 19),
        ("'é' == 'é' && ~", 16),
    ] {
        let error = mistake(when);
        assert!(
            error.message.starts_with("this is no CEL"),
            "{}",
            error.message
        );
        assert!(!error.message.contains('{'), "{}", error.message);
        assert_eq!(error.offset, offset, "{when}: {}", error.message);
    }
}

#[test]
fn size_depth_and_number_are_bounded() {
    assert!(
        mistake(&format!("'{}' == ''", "x".repeat(2048)))
            .message
            .contains("2048 bytes")
    );
    for deep in [
        "!".repeat(2039) + "1",
        "-".repeat(1001) + "'a' == 1",
        "(".repeat(1000) + "true" + &")".repeat(1000),
        "[".repeat(1000) + &"]".repeat(1000) + " == []",
        vec!["1"; 900].join("+") + " == 2",
        "tool.arguments".to_owned() + &".a".repeat(1000) + " == 1",
        "tool.arguments".to_owned() + &"[0]".repeat(600) + " == 1",
        "true ? ".repeat(250) + "true" + &" : true".repeat(30),
        "size(".repeat(350) + "'a'" + &")".repeat(350) + " == 1",
    ] {
        assert!(!mistake(&deep).message.is_empty(), "{deep}");
    }
    // What a person would write on a long line is not deep.
    let wide = vec!["vitals.elapsed > 1"; 80].join(" && ");
    assert!(Rules::compile(&rows(&row(&wide, "do = \"annotate\""))).is_ok());
    let many = row("true", "do = \"annotate\"").repeat(65);
    let errors = Rules::compile(&rows(&many)).unwrap_err();
    assert!(errors[0].message.contains("65 rules: at most 64"));
}

#[test]
fn a_rule_fires_when_its_condition_begins_to_hold() {
    let rules = rules(&row("vitals.output_tokens > 10", "do = \"stop\""));
    let mut stage = Stage::new();
    let at = Checkpoint::Stream;
    assert!(stage.ordered(&rules, at, &[]).is_empty());
    stage.vitals.tokens(11, 2_000_000);
    assert_eq!(stage.ordered(&rules, at, &[]), ["stop"]);
    assert!(stage.ordered(&rules, at, &[]).is_empty(), "it holds still");
    stage.vitals.output_tokens = 0;
    assert!(stage.ordered(&rules, at, &[]).is_empty());
    stage.vitals.output_tokens = 50;
    assert_eq!(stage.ordered(&rules, at, &[]), ["stop"]);
}

#[test]
fn what_lasts_is_ordered_once_in_a_session_and_what_does_not_in_each_exchange() {
    let both = row("vitals.session_tokens > 500", "do = \"alert\"")
        + &row("vitals.session_tokens > 500", "do = \"block\"");
    let rules = rules(&both);
    let mut stage = Stage::new();
    assert_eq!(
        stage.ordered(&rules, Checkpoint::Request, &[]),
        ["alert", "block"]
    );
    stage.standing = Standing::default();
    assert_eq!(stage.ordered(&rules, Checkpoint::Request, &[]), ["block"]);
}

#[test]
fn a_rule_about_an_event_fires_for_each_and_names_it() {
    let rules = rules(
        &(row(
            "tool.arguments.cmd.contains('rm')",
            "do = \"deny-tool-call\"\nmessage = \"no\"",
        ) + &row("tool.failed", "do = \"open-circuit\"")
            + &row(
                "tool.failed",
                "do = \"substitute-tool-result\"\nmessage = \"gone\"",
            )),
    );
    let mut stage = Stage::new();
    let subjects = [
        call(r#"{"cmd": "rm"}"#),
        call(r#"{"cmd": "ls"}"#),
        call(r#"{"cmd": "rm x"}"#),
    ];
    let judged = stage.judge(&rules, Checkpoint::ToolCall, &subjects);
    assert_eq!(judged.orders.len(), 2);
    let Action::DenyToolCall(denial) = &judged.orders[0].action else {
        panic!("{:?}", judged.orders)
    };
    assert_eq!((denial.id.as_str(), denial.reason.as_str()), ("c1", "no"));
    let judged = stage.judge(
        &rules,
        Checkpoint::ToolResult,
        &[result(true), result(false)],
    );
    let [first, second] = judged.orders.as_slice() else {
        panic!("{:?}", judged.orders)
    };
    assert!(
        matches!(&first.action, Action::OpenCircuit(c) if c.tool == "shell" && c.cooldown_ms == 60_000)
    );
    assert!(
        matches!(&second.action, Action::SubstituteToolResult(r) if r.id == "c1" && r.text == "gone")
    );
    assert!(
        stage
            .ordered(&rules, Checkpoint::ToolResult, &[])
            .is_empty()
    );
}

#[test]
fn observed_findings_reach_only_rules_that_observe() {
    let text = row("findings.exists(f, f.severity_rank > 1)", "do = \"block\"")
        + &row(
            "findings.exists(f, f.severity_rank > 1)",
            "do = \"stop\"\nmode = \"observe\"",
        );
    let rules = rules(&text);
    let mut stage = Stage::new();
    stage.findings = vec![told(Severity::High, true)];
    assert_eq!(stage.ordered(&rules, Checkpoint::Stream, &[]), ["stop"]);
    stage.findings = vec![told(Severity::High, false)];
    assert_eq!(
        stage.ordered(&rules, Checkpoint::Stream, &[]),
        ["block", "stop"]
    );
    stage.findings = vec![told(Severity::Low, false)];
    assert!(stage.ordered(&rules, Checkpoint::Stream, &[]).is_empty());
}

#[test]
fn a_failing_evaluation_is_told_and_closed_rules_block() {
    for (arguments, why) in [
        ("{}", "there is no `cmd`"),
        ("not json", "not JSON"),
        (r#"{"cmd": 5}"#, "does not take"),
    ] {
        let when = "tool.arguments.cmd.contains('rm')";
        let open = rules(&row(when, "do = \"deny-tool-call\"\non_failure = \"open\""));
        let judged = Stage::new().judge(&open, Checkpoint::ToolCall, &[call(arguments)]);
        assert!(judged.orders.is_empty());
        assert!(
            judged.faults[0].1.contains(why),
            "{arguments}: {}",
            judged.faults[0].1
        );
        let unstated = rules(&row(when, "do = \"annotate\""));
        let judged = Stage::new().judge(&unstated, Checkpoint::ToolCall, &[call(arguments)]);
        assert!(judged.orders.is_empty() && !judged.faults[0].2);
    }
    let divides = rules(&row("1 / (request.messages - 4) > 1", "do = \"annotate\""));
    let mut stage = Stage::new();
    assert_eq!(
        stage.judge(&divides, Checkpoint::Request, &[]).faults.len(),
        1
    );
    assert!(
        stage
            .judge(&divides, Checkpoint::Request, &[])
            .faults
            .is_empty(),
        "told once"
    );
}

#[test]
fn what_a_forbidding_rule_cannot_judge_does_not_pass_and_nothing_else_is_touched() {
    let forbidding = [
        "do = \"block\"",
        "do = \"stop\"",
        "do = \"deny-tool-call\"",
        "do = \"hold-for-person\"",
    ];
    for forbids in forbidding {
        let rules = rules(&row(
            "tool.name == 'shell' && has(tool.arguments.cmd) && tool.arguments.cmd.contains('rm')",
            forbids,
        ));
        assert!(rules.holds_tool_calls() && rules.enforcing().is_some());
        for arguments in super::json::tests::ambiguous() {
            let subjects = [call("{\"cmd\":\"ls\"}"), call(&arguments)];
            let judged = Stage::new().judge(&rules, Checkpoint::ToolCall, &subjects);
            let [
                Order {
                    action: Action::DenyToolCall(denial),
                    ..
                },
            ] = &judged.orders[..]
            else {
                panic!("{forbids}: {arguments}: {:?}", judged.orders);
            };
            assert!(denial.reason.contains("not JSON"), "{}", denial.reason);
            assert!(judged.faults[0].2, "{arguments}");
        }
        // What was too much to be kept is not judged by nobody either.
        let Subject::Call { id, name, .. } = call("") else {
            unreachable!()
        };
        let lost = Subject::Call {
            id,
            name,
            arguments: None,
        };
        let judged = Stage::new().judge(&rules, Checkpoint::ToolCall, &[lost]);
        assert!(matches!(
            &judged.orders[..],
            [Order {
                action: Action::DenyToolCall(_),
                ..
            }]
        ));
    }
}

#[test]
fn a_result_that_a_forbidding_rule_cannot_judge_is_withheld() {
    let rules = rules(&row(
        "tool.failed && 1 / (request.messages - 4) > 1",
        "do = \"substitute-tool-result\"\nmessage = \"no\"",
    ));
    let result = Subject::Result {
        id: "r1".into(),
        name: "shell".into(),
        failed: true,
        duration: 1,
    };
    let judged = Stage::new().judge(&rules, Checkpoint::ToolResult, &[result]);
    let [
        Order {
            action: Action::SubstituteToolResult(withheld),
            ..
        },
    ] = &judged.orders[..]
    else {
        panic!("{:?}", judged.orders);
    };
    assert!(withheld.id == "r1" && withheld.text.contains("withheld"));
}

#[test]
fn arguments_too_big_to_look_into_are_a_failure_and_not_silence() {
    let rules = rules(&row("tool.arguments.size() > 0", "do = \"annotate\""));
    let many = format!("[{}1]", "1,".repeat(10_000));
    let long = format!("\"{}\"", "x".repeat(256 * 1024));
    for arguments in [many, long] {
        let judged = Stage::new().judge(&rules, Checkpoint::ToolCall, &[call(&arguments)]);
        assert_eq!(judged.faults.len(), 1);
    }
}

#[test]
fn a_rule_is_evaluated_where_what_it_asks_for_can_have_changed() {
    let at = |when: &str, rest: &str| rules(&row(when, &format!("do = {rest}"))).rules[0].at;
    assert_eq!(
        at("request.model == 'a'", "\"annotate\""),
        Points::of(&[Checkpoint::Request])
    );
    assert!(at("vitals.elapsed > 1", "\"annotate\"").has(Checkpoint::Tick));
    assert_eq!(
        at("vitals.tool_calls > 1", "\"deny-tool-call\""),
        Points::of(&[Checkpoint::ToolCall])
    );
    assert_eq!(
        at("vitals.elapsed > 1", "\"stop\"\nat = [\"stream\"]"),
        Points::of(&[Checkpoint::Stream])
    );
    assert!(
        rules(&row("vitals.elapsed > 1", "do = \"stop\""))
            .next_due(&Standing::default())
            .is_some()
    );
    assert!(
        rules(&row("request.messages > 1", "do = \"block\""))
            .next_due(&Standing::default())
            .is_none()
    );
    let wrong = row("tool.failed", "do = \"annotate\"\nat = [\"request\"]");
    let errors = Rules::compile(&rows(&wrong)).unwrap_err();
    assert_eq!(errors[0].key, "at");
    assert!(rules(&row("tool.name == 'a'", "do = \"deny-tool-call\"")).holds_tool_calls());
    assert!(!rules(&row("tool.name == 'a'", "do = \"alert\"")).holds_tool_calls());
    assert!(!rules(&row("vitals.elapsed > 1", "do = \"stop\"")).holds_tool_calls());
}

/// Pieces from which conditions are made, right and wrong ones.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "vitals.elapsed",
        "vitals.context_share",
        "has(",
        "tool.arguments",
        ".x",
        "findings",
        ".exists(f, ",
        ".all(f, ",
        ".filter(f, ",
        ".map(f, ",
        "f.kind",
        ")",
        "(",
        "[",
        "]",
        "{",
        "}",
        "!",
        "-",
        "&&",
        "||",
        "==",
        "!=",
        "<",
        ">",
        "+",
        "/",
        "%",
        "?",
        ":",
        ".",
        ",",
        "1",
        "1.5",
        "0",
        "1u",
        "'a'",
        "\"",
        "'",
        "b'x'",
        "r'\\'",
        "\\",
        "true",
        "null",
        "in",
        "size(",
        ".matches('a+')",
        "é",
        "\u{1F600}",
        "`x`",
        "?.",
        "[?",
        "9223372036854775808",
        "0xFF",
        "1e999",
        "//",
        "\n",
        "\0",
        "Msg{a: 1}",
        "@result",
        "#0",
        "?0",
        "~0",
        "f",
        "__",
        "'''",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever is written: a rule, or a mistake within the text. A panic of the parser is such a mistake too, so this
    /// looks for that one's words: the library has none that is known.
    #[test]
    fn nothing_that_is_written_breaks_the_compiler(pieces in prop::collection::vec(piece(), 1..24)) {
        let when = pieces.join(if pieces.len() % 2 == 0 { " " } else { "" });
        let compiled = Rules::compile(&rows(&row(&when, "do = \"annotate\"")));
        match compiled {
            Err(errors) => {
                prop_assert!(errors[0].offset <= when.len());
                prop_assert!(when.is_char_boundary(errors[0].offset));
                prop_assert!(!errors[0].message.contains("cannot be read"), "{when}");
            }
            Ok(rules) => {
                let mut stage = Stage::new();
                for at in [Checkpoint::Request, Checkpoint::Stream, Checkpoint::ToolCall, Checkpoint::Response] {
                    stage.judge(&rules, at, &[call("{\"x\": [1, {}]}")]);
                }
            }
        }
    }
}

/// What a condition costs: printed, and bounded far above what it takes, so that only a blunder fails it.
#[test]
fn an_evaluation_takes_microseconds() {
    for when in [
        "vitals.elapsed > 90000000",
        "has(vitals.context_share) && vitals.context_share > 0.85 && request.model.startsWith('gpt-')",
        "vitals.output_tokens > 5000 || vitals.session_tokens > 100000 || session.tenant == 'x'",
    ] {
        let rules = rules(&row(when, "do = \"annotate\"\nat = [\"stream\"]"));
        let mut stage = Stage::new();
        let rounds = 20_000;
        let since = std::time::Instant::now();
        for _ in 0..rounds {
            std::hint::black_box(stage.judge(&rules, Checkpoint::Stream, &[]));
        }
        let each = since.elapsed() / rounds;
        println!("{each:?}: {when}");
        assert!(each < Duration::from_millis(1), "{when}: {each:?}");
    }
}
