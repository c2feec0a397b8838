//! What keeping a value costs: the bytes of its records, and of what its strings and lists hold.
//!
//! Every field is named here, so that one which is added later does not compile until it is counted.

use super::types::{
    Answer, AnswerValue, Detail, Facts, Failure, Finding, History, Intervention, Message, Part,
    ReportedFinding, Request, Response, Subject, ToolCall, ToolOffer, ToolResult,
};

/// A detail of an event.
pub(crate) fn detail(detail: &Detail) -> usize {
    let held = match detail {
        Detail::Session(facts) => of_facts(facts),
        Detail::History(History {
            at: _,
            known: _,
            cause,
        }) => cause.len(),
        Detail::Message(Message {
            message: _,
            role: _,
            index: _,
            content: _,
            extra,
        }) => named(extra),
        Detail::Part(Part {
            name,
            message: _,
            index: _,
            media_type,
            reference,
            is_signed: _,
            content: _,
            extra,
        }) => name.len() + media_type.len() + reference.len() + named(extra),
        Detail::ToolOffer(ToolOffer {
            name,
            kind: _,
            changed: _,
            content: _,
        }) => name.len(),
        Detail::Request(request) => of_request(request),
        Detail::ToolCall(ToolCall {
            call,
            name,
            kind: _,
            server,
            content: _,
            extra,
        }) => call.len() + name.len() + server.len() + named(extra),
        Detail::ToolResult(ToolResult {
            call,
            name,
            duration: _,
            failed: _,
            message: _,
            content: _,
            extra,
        }) => call.len() + name.len() + named(extra),
        Detail::Response(response) => of_response(response),
        Detail::Failure(Failure {
            kind: _,
            status: _,
            retryable: _,
            extra,
        }) => named(extra),
        Detail::Vitals(vitals) => size_of_val(vitals.as_slice()),
        Detail::Answer(Answer {
            ticket: _,
            subject,
            value,
        }) => of_subject(subject) + of_value(value),
        Detail::Intervention(Intervention {
            action,
            policy,
            exchange: _,
            outcome: _,
            reason,
        }) => action.len() + policy.len() + reason.len(),
        Detail::Finding(found) => of_reported(found),
        Detail::Other((name, value)) => name.len() + value.len(),
    };
    size_of::<Detail>() + held
}

/// A finding as an actuator is told it.
pub(crate) fn reported(found: &ReportedFinding) -> usize {
    size_of::<ReportedFinding>() + of_reported(found)
}

fn of_reported(found: &ReportedFinding) -> usize {
    let ReportedFinding {
        policy,
        is_own: _,
        session,
        exchange: _,
        finding,
    } = found;
    let Finding {
        kind,
        severity: _,
        confidence: _,
        subject,
        summary,
        evidence,
        data,
    } = finding;
    let words = policy.len() + session.len() + kind.len() + summary.len() + data.len();
    words + of_subject(subject) + size_of_val(evidence.as_slice())
}

fn of_facts(facts: &Facts) -> usize {
    let Facts {
        tenant,
        principal,
        session,
        parent,
        seed: _,
        started: _,
        extra,
    } = facts;
    tenant.len() + principal.len() + session.len() + parent.len() + named(extra)
}

fn of_request(request: &Request) -> usize {
    let Request {
        model,
        upstream,
        dialect,
        streamed: _,
        messages: _,
        conversation: _,
        parent: _,
        tools,
        input_tokens: _,
        max_output_tokens: _,
        retry: _,
        attempt: _,
        leg: _,
        cause,
        extra,
    } = request;
    let tools: usize = tools.iter().map(|t| size_of::<String>() + t.len()).sum();
    model.len() + upstream.len() + dialect.len() + cause.len() + tools + named(extra)
}

fn of_response(response: &Response) -> usize {
    let Response {
        finish,
        model,
        input_tokens: _,
        output_tokens: _,
        cached_tokens: _,
        reasoning_tokens: _,
        exact: _,
        cost: _,
        status,
        extra,
    } = response;
    finish.len() + model.len() + status.len() + named(extra)
}

fn of_subject(subject: &Subject) -> usize {
    match subject {
        Subject::Session
        | Subject::Request
        | Subject::Message(_)
        | Subject::Response
        | Subject::Text(_) => 0,
        Subject::ToolCall(call) | Subject::ToolResult(call) => call.len(),
        Subject::Other((name, value)) => name.len() + value.len(),
    }
}

fn of_value(value: &AnswerValue) -> usize {
    match value {
        AnswerValue::Denied(text) | AnswerValue::Failed(text) | AnswerValue::Text(text) => {
            text.len()
        }
        AnswerValue::Labels(labels) => {
            let names: usize = labels.iter().map(|(name, _)| name.len()).sum();
            size_of_val(labels.as_slice()) + names
        }
        AnswerValue::Vectors(vectors) => {
            let numbers: usize = vectors.iter().map(|v| size_of_val(v.as_slice())).sum();
            size_of_val(vectors.as_slice()) + numbers
        }
        AnswerValue::Other((name, value)) => name.len() + value.len(),
    }
}

fn named(facts: &[(String, String)]) -> usize {
    let words: usize = facts.iter().map(|(n, v)| n.len() + v.len()).sum();
    size_of_val(facts) + words
}
