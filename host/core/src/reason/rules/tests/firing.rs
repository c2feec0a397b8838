//! When rules fire, on what, and what an evaluation costs.

use std::time::Duration;

use super::super::points::Points;
use super::super::{Rules, Standing};
use super::stage::{Stage, call, result, row, rows, rules, told};
use airlock_policy::contract::types::{Action, Checkpoint, Severity};

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
    assert_eq!((denial.call.as_str(), denial.reason.as_str()), ("c1", "no"));
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
        matches!(&second.action, Action::SubstituteToolResult(r) if r.call == "c1" && r.text == "gone")
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
