//! The functions that a condition may call, and the kinds of values that each takes and gives.

use cel::common::ast::{Expr, IdedExpr, LiteralValue};

use super::super::kind::Kind;
use super::flaw::{Flaw, flaw};
use airlock_policy::advice;

/// Functions that a condition may call.
const FUNCTIONS: [&str; 13] = [
    "has",
    "exists",
    "exists_one",
    "all",
    "filter",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "double",
    "string",
];

/// Judges what is called, before its arguments are.
///
/// # Errors
/// No such function, or a pattern that is not written down.
pub(super) fn admit(expr: &IdedExpr, name: &str, args: &[&IdedExpr]) -> Result<(), Flaw> {
    if !FUNCTIONS.contains(&name) {
        return Err(flaw(expr, advice::unknown("function", name, FUNCTIONS)));
    }
    if name == "matches" {
        // Compiled once, at load, where its size is bounded: a pattern that a model could write would not be.
        let literal = matches!(
            args,
            [
                _,
                IdedExpr {
                    expr: Expr::Literal(LiteralValue::String(_)),
                    ..
                }
            ]
        );
        if !literal {
            return Err(flaw(
                expr,
                "`matches` takes one pattern, in quotes: x.matches(\"^a.*\")",
            ));
        }
    }
    Ok(())
}

/// The kind of what a function gives for arguments of these kinds.
///
/// # Errors
/// The function does not take them.
pub(super) fn kind(expr: &IdedExpr, name: &str, kinds: &[Kind]) -> Result<Kind, Flaw> {
    let scalar = |kind: &Kind| matches!(kind, Kind::Int | Kind::Double | Kind::Text | Kind::Json);
    let textual = |kind: &Kind| matches!(kind, Kind::Text | Kind::Json);
    match (name, kinds) {
        ("size", [Kind::Text | Kind::List(_) | Kind::Json]) => Ok(Kind::Int),
        ("contains" | "startsWith" | "endsWith", [a, b])
            if textual(a) && textual(b) && is_member(expr) =>
        {
            Ok(Kind::Bool)
        }
        ("matches", [a, _]) if textual(a) => Ok(Kind::Bool),
        ("int", [a]) if scalar(a) && !is_member(expr) => Ok(Kind::Int),
        ("double", [a]) if scalar(a) && !is_member(expr) => Ok(Kind::Double),
        ("string", [a]) if (scalar(a) || *a == Kind::Bool) && !is_member(expr) => Ok(Kind::Text),
        _ => Err(flaw(expr, usage(name))),
    }
}

fn is_member(expr: &IdedExpr) -> bool {
    matches!(&expr.expr, Expr::Call(call) if call.target.is_some())
}

fn usage(name: &str) -> String {
    let how = match name {
        "size" => "size(x), of text or a list",
        "contains" => "x.contains(\"a\"), of text",
        "startsWith" => "x.startsWith(\"a\"), of text",
        "endsWith" => "x.endsWith(\"a\"), of text",
        "matches" => "x.matches(\"^a.*\"), of text",
        "int" => "int(x), of a number or text",
        "double" => "double(x), of a number or text",
        "string" => "string(x), of a number, text, true or false",
        "has" => "has(vitals.context_share)",
        _ => "findings.exists(f, f.severity == \"high\"), of a list",
    };
    format!("`{name}` is used like this: {how}")
}
