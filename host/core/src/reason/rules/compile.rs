//! From the text of a condition to what is evaluated.
//!
//! Guarantees: a condition that compiles names only what there is, has a bounded size and depth, and was evaluated once
//! with everything known and once with as little as possible; nothing that an operator writes ends the process.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::common::types::CelBool;
use cel::{Context, Env, Program, Value};
use std::sync::Arc;

use super::check;
use super::check::known::{input_of, presence_of};
use super::inputs::INPUTS;
use super::kind::Kind;
use super::pattern::{FUNCTION, Pattern};
use super::sample::Sample;

/// Longest condition.
pub const MAX_BYTES: usize = 2048;

/// Deepest nesting. Evaluation takes stack by depth, of which a worker thread has 2 MiB in all.
const MAX_DEPTH: usize = 48;

/// The parser recurses once for each sign in a row of them, before anybody can count: 2 KiB of `!` need about 10 MiB
/// in an unoptimised build. Only address space until it is used.
const PARSER_STACK: usize = 256 << 20;

/// A sound condition.
#[derive(Debug)]
pub struct Condition {
    /// What is evaluated.
    pub expr: IdedExpr,
    /// Indexes of the inputs that it asks for.
    pub inputs: Vec<usize>,
}

/// What is wrong with a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Mistake {
    /// Where, in bytes of its text.
    pub offset: usize,
    /// What, and what to do.
    pub message: String,
}

/// Compiles a condition; its patterns go behind those in `patterns`.
///
/// # Errors
/// The first mistake.
pub fn compile(
    text: &str,
    patterns: &mut Vec<Pattern>,
    env: &Arc<Env>,
) -> Result<Condition, Mistake> {
    let whole = |message: &str| Mistake {
        offset: 0,
        message: message.to_owned(),
    };
    if text.trim().is_empty() {
        return Err(whole(
            "there is no condition: write one like \"vitals.elapsed > 5000000\"",
        ));
    }
    if text.len() > MAX_BYTES {
        return Err(whole("a condition has at most 2048 bytes: split the rule"));
    }
    // On a thread of its own for its stack, and so that a panic in the parser is a mistake in the file, not the end.
    std::thread::scope(|scope| {
        let parsing = std::thread::Builder::new()
            .name("rule-parser".to_owned())
            .stack_size(PARSER_STACK)
            .spawn_scoped(scope, || compile_here(text, patterns, env));
        match parsing.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(whole("this condition cannot be read: simplify it")),
            Err(error) => Err(whole(&format!("cannot start the parser: {error}"))),
        }
    })
}

fn compile_here(
    text: &str,
    patterns: &mut Vec<Pattern>,
    env: &Arc<Env>,
) -> Result<Condition, Mistake> {
    let program = Program::compile(text).map_err(|errors| {
        let first = errors.errors.first();
        Mistake {
            offset: first.map_or(0, |error| offset_of(text, error.pos)),
            message: first.map_or_else(String::new, |error| plain(&error.msg)),
        }
    })?;
    let at = |node: u64| {
        let (start, _) = program.source_info().offset_for(node).unwrap_or_default();
        text.char_indices()
            .nth(start as usize)
            .map_or(text.len(), |(i, _)| i)
    };
    if depth(program.expression()) > MAX_DEPTH {
        return Err(Mistake {
            offset: 0,
            message: format!("this is nested deeper than {MAX_DEPTH}: split the rule"),
        });
    }
    let asked = check::check(program.expression()).map_err(|flaw| Mistake {
        offset: at(flaw.node),
        message: flaw.message,
    })?;
    let mut expr = program.expression().clone();
    lower(&mut expr, patterns).map_err(|(node, message)| Mistake {
        offset: at(node),
        message,
    })?;
    let condition = Condition {
        expr,
        inputs: asked.inputs,
    };
    rehearse(&condition, patterns, env).map_err(|message| Mistake { offset: 0, message })?;
    Ok(condition)
}

/// Evaluates it once with everything known and once with as little as possible.
fn rehearse(condition: &Condition, patterns: &[Pattern], env: &Arc<Env>) -> Result<(), String> {
    // What JSON holds is known only when it is there.
    let json = condition
        .inputs
        .iter()
        .filter_map(|input| INPUTS.get(*input))
        .any(|input| (input.kind)() == Kind::Json);
    for full in [true, false] {
        let sample = Sample { full, patterns };
        let mut context = Context::with_env(Arc::clone(env));
        context.set_variable_resolver(&sample);
        let value = Value::resolve_val(&condition.expr, &context);
        let problem = match &value {
            Ok(value) if value.downcast_ref::<CelBool>().is_some() => None,
            Ok(_) => Some("a condition is true or false, and this is not".to_owned()),
            // These depend on the values: they are told on the timeline when they happen.
            Err(
                cel::ExecutionError::DivisionByZero(_)
                | cel::ExecutionError::RemainderByZero(_)
                | cel::ExecutionError::Overflow(..)
                | cel::ExecutionError::IndexOutOfBounds(_)
                | cel::ExecutionError::FunctionError { .. },
            ) => None,
            Err(error) => Some(format!("this cannot be evaluated: {error}")),
        };
        if let Some(problem) = problem.filter(|_| !json) {
            return Err(problem);
        }
    }
    Ok(())
}

/// Puts what is cheap to look up in the place of names: `vitals.elapsed` becomes `#0`, `has(vitals.first_token)` `?1`,
/// and the pattern of `matches` a compiled one, `~0`. No condition can spell these.
fn lower(expr: &mut IdedExpr, patterns: &mut Vec<Pattern>) -> Result<(), (u64, String)> {
    if let Some(input) = presence_of(expr) {
        expr.expr = Expr::Ident(format!("?{input}"));
        return Ok(());
    }
    if let Some(input) = input_of(expr) {
        expr.expr = Expr::Ident(format!("#{input}"));
        return Ok(());
    }
    if let Expr::Call(call) = &mut expr.expr
        && call.func_name == "matches"
    {
        let mut args: Vec<IdedExpr> = call
            .target
            .take()
            .map(|target| *target)
            .into_iter()
            .chain(std::mem::take(&mut call.args))
            .collect();
        if let Some(pattern) = args.get_mut(1)
            && let Expr::Literal(LiteralValue::String(text)) = &pattern.expr
        {
            let compiled = Pattern::compile(text.inner()).map_err(|why| (pattern.id, why))?;
            pattern.expr = Expr::Ident(format!("~{}", patterns.len()));
            patterns.push(compiled);
        }
        *call = CallExpr {
            func_name: FUNCTION.to_owned(),
            target: None,
            args,
        };
    }
    for child in children_mut(expr) {
        lower(child, patterns)?;
    }
    Ok(())
}

fn depth(expr: &IdedExpr) -> usize {
    1 + children(expr).into_iter().map(depth).max().unwrap_or(0)
}

fn children(expr: &IdedExpr) -> Vec<&IdedExpr> {
    match &expr.expr {
        Expr::Call(call) => call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect(),
        Expr::Comprehension(c) => vec![
            &c.iter_range,
            &c.accu_init,
            &c.loop_cond,
            &c.loop_step,
            &c.result,
        ],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Map(map) => map.entries.iter().flat_map(|e| entry(&e.expr)).collect(),
        Expr::Struct(s) => s.entries.iter().flat_map(|e| entry(&e.expr)).collect(),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn entry(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(pair) => vec![&pair.key, &pair.value],
    }
}

/// As [`children`], of what a sound condition can hold.
fn children_mut(expr: &mut IdedExpr) -> Vec<&mut IdedExpr> {
    match &mut expr.expr {
        Expr::Call(call) => call
            .target
            .as_deref_mut()
            .into_iter()
            .chain(&mut call.args)
            .collect(),
        Expr::Comprehension(c) => vec![&mut c.iter_range, &mut c.loop_cond, &mut c.loop_step],
        Expr::List(list) => list.elements.iter_mut().collect(),
        Expr::Select(select) => vec![&mut select.operand],
        _ => Vec::new(),
    }
}

/// Line from 1 and column from 1, as the parser counts them, as bytes of the text.
fn offset_of(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line.max(1) - 1).unwrap_or_default();
    let column = usize::try_from(column.max(1) - 1).unwrap_or_default();
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    start
        + rest
            .char_indices()
            .nth(column)
            .map_or(rest.len(), |(i, _)| i)
}

/// The parser's message without the list of all tokens that could have stood there.
fn plain(message: &str) -> String {
    let message = message.trim_start_matches("Syntax error: ");
    let message = message.split(" expecting").next().unwrap_or(message);
    let message = message.replace("'<EOF>'", "the end");
    format!("this is no CEL: {message}")
}
