//! Which input an expression names or asks for, and what is known for sure beside it.

use cel::common::ast::{Expr, IdedExpr, operators as op};

use super::super::inputs::index_of;

/// The input that an expression names: `vitals.elapsed`, `findings`.
pub fn input_of(expr: &IdedExpr) -> Option<usize> {
    match &expr.expr {
        Expr::Ident(name) => index_of(name),
        Expr::Select(select) if !select.test => selected(&select.operand, &select.field),
        _ => None,
    }
}

/// The input for whose presence an expression asks: `has(vitals.context_share)`.
pub fn presence_of(expr: &IdedExpr) -> Option<usize> {
    match &expr.expr {
        Expr::Select(select) if select.test => selected(&select.operand, &select.field),
        _ => None,
    }
}

pub(super) fn selected(operand: &IdedExpr, field: &str) -> Option<usize> {
    match &operand.expr {
        Expr::Ident(group) => index_of(&format!("{group}.{field}")),
        _ => None,
    }
}

/// Inputs that are known for sure where `expr` is `truth`.
pub(super) fn known(expr: &IdedExpr, truth: bool) -> Vec<usize> {
    if let Some(input) = presence_of(expr) {
        return if truth { vec![input] } else { Vec::new() };
    }
    let Expr::Call(call) = &expr.expr else {
        return Vec::new();
    };
    match (call.func_name.as_str(), call.args.as_slice()) {
        (op::LOGICAL_NOT, [inner]) => known(inner, !truth),
        (op::LOGICAL_AND, [a, b]) | (op::LOGICAL_OR, [a, b]) => {
            let (mut a, b) = (known(a, truth), known(b, truth));
            // Both are so for a true `&&` and a false `||`; else it may be either of the two.
            if (call.func_name == op::LOGICAL_AND) == truth {
                a.extend(b);
            } else {
                a.retain(|input| b.contains(input));
            }
            a
        }
        _ => Vec::new(),
    }
}
