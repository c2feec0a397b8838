//! The signs that a condition may use, and the kinds of values that each takes and gives.

use cel::common::ast::{IdedExpr, operators as op};

use super::super::kind::Kind;
use super::flaw::{Flaw, flaw};

/// The kind of what a sign makes of two values.
///
/// # Errors
/// It does not take them.
pub(super) fn of_two(expr: &IdedExpr, name: &str, a: Kind, b: Kind) -> Result<Kind, Flaw> {
    let sign = sign(name);
    match name {
        op::EQUALS | op::NOT_EQUALS => {
            if a.comparable(&b) {
                Ok(Kind::Bool)
            } else {
                Err(flaw(
                    expr,
                    format!("{} never equals {}", a.told(), b.told()),
                ))
            }
        }
        op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS => {
            let ordered =
                |kind: &Kind| matches!(kind, Kind::Int | Kind::Double | Kind::Text | Kind::Json);
            if a.comparable(&b) && ordered(&a) && ordered(&b) {
                Ok(Kind::Bool)
            } else {
                Err(flaw(
                    expr,
                    format!(
                        "{} and {} cannot be compared with {sign}",
                        a.told(),
                        b.told()
                    ),
                ))
            }
        }
        op::IN => match b {
            Kind::Json => Ok(Kind::Bool),
            Kind::List(kind) if a.comparable(&kind) => Ok(Kind::Bool),
            other => Err(flaw(
                expr,
                format!("{} is never in {}", a.told(), other.told()),
            )),
        },
        op::ADD | op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO => {
            let whole = name == op::MODULO;
            match (a, b) {
                (Kind::Json, _) | (_, Kind::Json) => Ok(Kind::Json),
                (Kind::Int, Kind::Int) => Ok(Kind::Int),
                (Kind::Double, Kind::Double) if !whole => Ok(Kind::Double),
                (Kind::Text, Kind::Text) if name == op::ADD => Ok(Kind::Text),
                (a @ Kind::List(_), b) if name == op::ADD && a == b => Ok(a),
                (Kind::Int, Kind::Double) | (Kind::Double, Kind::Int) if !whole => Err(flaw(
                    expr,
                    format!(
                        "{sign} takes two whole numbers or two with a fraction: write 2.0 for 2, or double(x) for x"
                    ),
                )),
                (a, b) => Err(flaw(
                    expr,
                    format!("{sign} does not take {} and {}", a.told(), b.told()),
                )),
            }
        }
        _ => Err(unknown(expr, name)),
    }
}

/// The kind of a negated value.
///
/// # Errors
/// It cannot be negated.
pub(super) fn negated(expr: &IdedExpr, kind: Kind) -> Result<Kind, Flaw> {
    match kind {
        kind @ (Kind::Int | Kind::Double | Kind::Json) => Ok(kind),
        other => Err(flaw(expr, format!("{} cannot be negated", other.told()))),
    }
}

/// The kind of what is one of two things.
///
/// # Errors
/// They are of different kinds.
pub(super) fn same(at: &IdedExpr, a: Kind, b: Kind) -> Result<Kind, Flaw> {
    match (a, b) {
        (a, b) if a == b => Ok(a),
        (Kind::Json, _) | (_, Kind::Json) => Ok(Kind::Json),
        (a, b) => Err(flaw(
            at,
            format!(
                "this is {}, and what stands before it {}",
                b.told(),
                a.told()
            ),
        )),
    }
}

/// A sign that no condition may use.
pub(super) fn unknown(expr: &IdedExpr, name: &str) -> Flaw {
    flaw(expr, format!("`{}` is not for conditions", sign(name)))
}

fn sign(name: &str) -> &str {
    name.trim_matches(['_', '@'])
}
