//! What conditions mean.

use super::super::moment::Subject;
use super::stage::{Stage, call, result, row, rules, told};
use airlock_policy::contract::types::{Checkpoint, Failure, FailureKind, Severity};

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
            extra: vec![],
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
