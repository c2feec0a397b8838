//! Names and arguments of actions, as grants and the timeline have them.

use airlock_policy::contract::types::Action;

/// The name of the case in the contract; for an unknown action the name that the policy gave.
pub fn name(action: &Action) -> &str {
    match action {
        Action::Annotate(_) => "annotate",
        Action::Alert(_) => "alert",
        Action::Inject(_) => "inject",
        Action::EditMessage(_) => "edit-message",
        Action::EvictMessage(_) => "evict-message",
        Action::ReplaceMessages(_) => "replace-messages",
        Action::SetParameters(_) => "set-parameters",
        Action::Route(_) => "route",
        Action::AnswerLocally(_) => "answer-locally",
        Action::Block(_) => "block",
        Action::ReplaceRange(_) => "replace-range",
        Action::Stop(_) => "stop",
        Action::Retry(_) => "retry",
        Action::DenyToolCall(_) => "deny-tool-call",
        Action::RewriteToolCall(_) => "rewrite-tool-call",
        Action::SubstituteToolResult(_) => "substitute-tool-result",
        Action::HoldForPerson(_) => "hold-for-person",
        Action::OpenCircuit(_) => "open-circuit",
        Action::Steer(_) => "steer",
        Action::SwitchModel(_) => "switch-model",
        Action::FallbackAgent(_) => "fallback-agent",
        Action::Savepoint(_) => "savepoint",
        Action::Rollback(_) => "rollback",
        Action::Allocate(_) => "allocate",
        Action::Other((name, _)) => name,
    }
}

/// The arguments as JSON in the contract's words, for the timeline.
pub fn arguments(action: &Action) -> serde_json::Value {
    // The derived form is {"Case": arguments}: the case is the name, which stands beside it.
    match airlock_golden::wit_json::to_value(action) {
        Ok(serde_json::Value::Object(case)) => {
            case.into_iter().next().map(|(_, v)| v).unwrap_or_default()
        }
        Ok(other) => other,
        Err(_) => serde_json::Value::Null,
    }
}
