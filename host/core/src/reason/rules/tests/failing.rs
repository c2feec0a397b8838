//! What becomes of what a rule cannot judge.

use super::super::json;
use super::super::moment::Subject;
use super::stage::{Stage, call, row, rules};
use crate::reason::order::Order;
use airlock_policy::contract::types::{Action, Checkpoint};

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
        for arguments in json::tests::ambiguous() {
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
    assert!(withheld.call == "r1" && withheld.text.contains("withheld"));
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
