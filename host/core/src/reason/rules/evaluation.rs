//! Evaluates one condition, and says what went wrong in it.

use std::sync::Arc;

use cel::common::ast::IdedExpr;
use cel::common::types::CelBool;
use cel::{Context, Env, ExecutionError, Value};

use super::inputs::INPUTS;
use super::view::View;

/// Whether a condition holds.
pub(super) fn evaluate(expr: &IdedExpr, env: &Arc<Env>, view: &View<'_>) -> Result<bool, String> {
    let mut context = Context::with_env(Arc::clone(env));
    context.set_variable_resolver(view);
    match Value::resolve_val(expr, &context) {
        Ok(value) => value
            .downcast_ref::<CelBool>()
            .map(|truth| *truth.inner())
            .ok_or_else(|| "its condition is neither true nor false".to_owned()),
        Err(error) => Err(told(&error)),
    }
}

/// What went wrong, for people, without the values: they may be personal.
fn told(error: &ExecutionError) -> String {
    let input = |name: &str| {
        let index = name.strip_prefix('#')?.parse::<usize>().ok()?;
        INPUTS.get(index).map(|input| input.name)
    };
    match error {
        ExecutionError::UndeclaredReference(name) => match input(name) {
            Some("tool.arguments") => {
                "tool.arguments are not JSON that every program reads alike (no key twice, no NaN, no half characters, \
                 numbers of 64 bits, 128 deep), or bigger than 256 KiB or 10,000 values: write them as plain JSON"
                    .to_owned()
            }
            Some(name) => format!("`{name}` is not known"),
            None => "something in its condition is not known".to_owned(),
        },
        ExecutionError::NoSuchKey(key) => {
            format!("there is no `{key}`: ask with has(...) before")
        }
        ExecutionError::NoSuchOverload(overload) => format!(
            "{} does not take {}",
            overload.function().trim_matches(['_', '@']),
            overload.argument_types().join(" and ")
        ),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "it divides by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "a number becomes too big".to_owned(),
        ExecutionError::IndexOutOfBounds(_) => {
            "a list is shorter than the condition takes it to be".to_owned()
        }
        ExecutionError::FunctionError { function, .. } => {
            format!("`{function}` does not take such a value")
        }
        _ => "a value is of another type than its condition takes it to be".to_owned(),
    }
}
