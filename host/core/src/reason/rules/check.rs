//! Judges a parsed condition before anything relies on it: names, types, and that nothing unknown is read unasked.
//!
//! CEL finds such mistakes when it meets them, which for `a && b` may be never in a test and at three in the morning in
//! production. So every branch is looked at here, whatever its neighbours evaluate to.

mod flaw;
mod functions;
pub mod known;
mod operators;

use cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators as op};

pub use self::flaw::Flaw;
use self::flaw::flaw;
use self::known::{known, selected};
use super::inputs::{FINDING, GROUPS, INPUTS, index_of};
use super::kind::Kind;
use airlock_policy::advice;

/// What a sound condition asks for.
#[derive(Debug, Default, PartialEq)]
pub struct Asked {
    /// Indexes in the table of inputs.
    pub inputs: Vec<usize>,
}

/// Judges a condition.
///
/// # Errors
/// The first flaw, in the order of the text.
pub fn check(condition: &IdedExpr) -> Result<Asked, Flaw> {
    let mut checker = Checker {
        asked: Vec::new(),
        bound: Vec::new(),
        known: Vec::new(),
        loops: 0,
    };
    match checker.kind(condition)? {
        Kind::Bool => {}
        other => {
            return Err(flaw(
                condition,
                format!(
                    "a condition is true or false, and this is {}: compare it with something",
                    other.told()
                ),
            ));
        }
    }
    checker.asked.sort_unstable();
    checker.asked.dedup();
    Ok(Asked {
        inputs: checker.asked,
    })
}

struct Checker {
    asked: Vec<usize>,
    /// Names that a macro has bound, innermost last.
    bound: Vec<(String, Kind)>,
    known: Vec<usize>,
    loops: u32,
}

impl Checker {
    fn kind(&mut self, expr: &IdedExpr) -> Result<Kind, Flaw> {
        match &expr.expr {
            Expr::Literal(literal) => literal_kind(expr, literal),
            Expr::Ident(name) => self.name(expr, name),
            Expr::Select(select) => {
                let at = |message| flaw(expr, message);
                if let Some(input) = selected(&select.operand, &select.field) {
                    return if select.test {
                        self.asked.push(input);
                        Ok(Kind::Bool)
                    } else {
                        self.input(expr, input)
                    };
                }
                if let Expr::Ident(group) = &select.operand.expr
                    && GROUPS.contains(&group.as_str())
                    && !self.is_bound(group)
                {
                    return Err(at(advice::unknown(
                        &format!("field of {group}"),
                        &select.field,
                        fields_of(group),
                    )));
                }
                let field = match self.kind(&select.operand)? {
                    Kind::Json => Kind::Json,
                    Kind::Finding => match FINDING.iter().find(|(n, _)| *n == select.field) {
                        Some((_, kind)) => kind(),
                        None => {
                            let names = FINDING.iter().map(|(n, _)| *n);
                            return Err(at(advice::unknown(
                                "field of a finding",
                                &select.field,
                                names,
                            )));
                        }
                    },
                    other => {
                        return Err(at(format!(
                            "{} has no field `{}`",
                            other.told(),
                            select.field
                        )));
                    }
                };
                Ok(if select.test { Kind::Bool } else { field })
            }
            Expr::List(list) => {
                let mut kind = None;
                for element in &list.elements {
                    let next = self.kind(element)?;
                    kind = Some(match kind {
                        None => next,
                        Some(kind) => operators::same(element, kind, next)?,
                    });
                }
                Ok(Kind::List(Box::new(kind.unwrap_or(Kind::Json))))
            }
            Expr::Comprehension(comprehension) => self.macros(expr, comprehension),
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                match (&call.target, call.args.as_slice()) {
                    (None, args) if !name.starts_with(|c: char| c.is_alphabetic()) => {
                        self.operator(expr, name, args)
                    }
                    (None, args) => self.function(expr, name, &args.iter().collect::<Vec<_>>()),
                    (Some(target), args) => {
                        let all: Vec<&IdedExpr> = std::iter::once(&**target).chain(args).collect();
                        self.function(expr, name, &all)
                    }
                }
            }
            Expr::Map(_) | Expr::Struct(_) => Err(flaw(
                expr,
                "a condition compares values and makes no tables: remove the { }",
            )),
            Expr::Unspecified => Err(flaw(expr, "something is missing here")),
        }
    }

    fn name(&mut self, expr: &IdedExpr, name: &str) -> Result<Kind, Flaw> {
        if let Some((_, kind)) = self.bound.iter().rev().find(|(bound, _)| bound == name) {
            return Ok(kind.clone());
        }
        if let Some(input) = index_of(name) {
            return self.input(expr, input);
        }
        if GROUPS.contains(&name) {
            return Err(flaw(
                expr,
                format!(
                    "`{name}` is a group of values: name one, such as {name}.{}",
                    fields_of(name).next().unwrap_or_default()
                ),
            ));
        }
        let bound = self.bound.iter().map(|(name, _)| name.as_str());
        let names = GROUPS.into_iter().chain(["findings", "checkpoint"]);
        Err(flaw(
            expr,
            advice::unknown(
                "variable",
                name,
                names.chain(bound.filter(|name| !name.starts_with('@'))),
            ),
        ))
    }

    fn input(&mut self, expr: &IdedExpr, index: usize) -> Result<Kind, Flaw> {
        self.asked.push(index);
        let Some(input) = INPUTS.get(index) else {
            return Err(flaw(expr, "this is not known"));
        };
        if input.maybe && !self.known.contains(&index) {
            return Err(flaw(
                expr,
                format!(
                    "`{0}` is not always known: write has({0}) && ...",
                    input.name
                ),
            ));
        }
        Ok((input.kind)())
    }

    fn is_bound(&self, name: &str) -> bool {
        self.bound.iter().any(|(bound, _)| bound == name)
    }

    /// Judges `expr` where these are known besides.
    fn knowing(&mut self, expr: &IdedExpr, more: Vec<usize>) -> Result<Kind, Flaw> {
        let before = self.known.len();
        self.known.extend(more);
        let kind = self.kind(expr);
        self.known.truncate(before);
        kind
    }

    fn truth(&mut self, expr: &IdedExpr, more: Vec<usize>) -> Result<(), Flaw> {
        match self.knowing(expr, more)? {
            Kind::Bool | Kind::Json => Ok(()),
            other => Err(flaw(
                expr,
                format!("this must be true or false, and is {}", other.told()),
            )),
        }
    }

    fn operator(&mut self, expr: &IdedExpr, name: &str, args: &[IdedExpr]) -> Result<Kind, Flaw> {
        match (name, args) {
            // CEL judges both sides of these, in either order: what one side makes sure of holds for the other.
            (op::LOGICAL_AND | op::LOGICAL_OR, [a, b]) => {
                let truth = name == op::LOGICAL_AND;
                self.truth(a, known(b, truth))?;
                self.truth(b, known(a, truth))?;
                Ok(Kind::Bool)
            }
            (op::LOGICAL_NOT, [a]) => {
                self.truth(a, Vec::new())?;
                Ok(Kind::Bool)
            }
            // Not written by people: macros put it around their own condition.
            (op::NOT_STRICTLY_FALSE, [a]) => self.kind(a),
            (op::CONDITIONAL, [condition, yes, no]) => {
                self.truth(condition, Vec::new())?;
                let yes_kind = self.knowing(yes, known(condition, true))?;
                let no_kind = self.knowing(no, known(condition, false))?;
                operators::same(no, yes_kind, no_kind)
            }
            (op::INDEX, [a, b]) => {
                if let Expr::Ident(group) = &a.expr
                    && GROUPS.contains(&group.as_str())
                    && !self.is_bound(group)
                {
                    return Err(flaw(
                        a,
                        format!("a value of `{group}` is named with a dot: {group}.<name>"),
                    ));
                }
                match (self.kind(a)?, self.kind(b)?) {
                    (Kind::List(kind), Kind::Int | Kind::Json) => Ok(*kind),
                    (Kind::Json, Kind::Int | Kind::Text | Kind::Json) => Ok(Kind::Json),
                    (a, b) => Err(flaw(
                        expr,
                        format!("{} has no place named by {}", a.told(), b.told()),
                    )),
                }
            }
            (op::NEGATE, [a]) => operators::negated(expr, self.kind(a)?),
            (
                op::EQUALS
                | op::NOT_EQUALS
                | op::LESS
                | op::LESS_EQUALS
                | op::GREATER
                | op::GREATER_EQUALS
                | op::IN
                | op::ADD
                | op::SUBSTRACT
                | op::MULTIPLY
                | op::DIVIDE
                | op::MODULO,
                [a, b],
            ) => {
                let (a, b) = (self.kind(a)?, self.kind(b)?);
                operators::of_two(expr, name, a, b)
            }
            _ => Err(operators::unknown(expr, name)),
        }
    }

    fn function(&mut self, expr: &IdedExpr, name: &str, args: &[&IdedExpr]) -> Result<Kind, Flaw> {
        functions::admit(expr, name, args)?;
        let kinds = args
            .iter()
            .map(|arg| self.kind(arg))
            .collect::<Result<Vec<_>, _>>()?;
        functions::kind(expr, name, &kinds)
    }

    /// What the parser made of `exists`, `all`, `exists_one` and `filter`.
    fn macros(&mut self, expr: &IdedExpr, loops: &ComprehensionExpr) -> Result<Kind, Flaw> {
        let element = match self.kind(&loops.iter_range)? {
            Kind::List(kind) => *kind,
            Kind::Json => Kind::Json,
            other => {
                return Err(flaw(
                    &loops.iter_range,
                    format!("{} has no elements to look at", other.told()),
                ));
            }
        };
        if loops.iter_var2.is_some() {
            return Err(flaw(expr, "name one variable for the elements"));
        }
        if GROUPS.contains(&loops.iter_var.as_str())
            || index_of(&loops.iter_var).is_some()
            || self.is_bound(&loops.iter_var)
        {
            return Err(flaw(
                expr,
                format!("`{}` is taken: name the elements otherwise", loops.iter_var),
            ));
        }
        // The elements come from the model: one pass over them is bounded by their number, a pass within a pass is not.
        if self.loops > 0 {
            return Err(flaw(
                expr,
                "a list is not looked through once for each element of another: split the rule",
            ));
        }
        let filters = matches!(&loops.accu_init.expr, Expr::List(_));
        if filters && !keeps_elements(loops) {
            return Err(flaw(
                expr,
                "`map` is not for conditions: use exists, exists_one, all or filter",
            ));
        }
        self.bound.push((loops.iter_var.clone(), element.clone()));
        self.bound.push((loops.accu_var.clone(), Kind::Json));
        self.loops += 1;
        let step = self.kind(&loops.loop_step);
        self.loops -= 1;
        self.bound.truncate(self.bound.len().saturating_sub(2));
        step?;
        Ok(if filters {
            Kind::List(Box::new(element))
        } else {
            Kind::Bool
        })
    }
}

/// Whether a loop that makes a list keeps elements as they are (`filter`), and does not make others (`map`).
fn keeps_elements(loops: &ComprehensionExpr) -> bool {
    let Expr::Call(step) = &loops.loop_step.expr else {
        return false;
    };
    let (op::CONDITIONAL, [_, appended, _]) = (step.func_name.as_str(), step.args.as_slice())
    else {
        return false;
    };
    let Expr::Call(append) = &appended.expr else {
        return false;
    };
    let [
        _,
        IdedExpr {
            expr: Expr::List(list),
            ..
        },
    ] = append.args.as_slice()
    else {
        return false;
    };
    matches!(list.elements.as_slice(), [IdedExpr { expr: Expr::Ident(name), .. }] if *name == loops.iter_var)
}

fn literal_kind(expr: &IdedExpr, literal: &LiteralValue) -> Result<Kind, Flaw> {
    Ok(match literal {
        LiteralValue::Boolean(_) => Kind::Bool,
        LiteralValue::Double(_) => Kind::Double,
        LiteralValue::Int(_) => Kind::Int,
        LiteralValue::String(_) => Kind::Text,
        LiteralValue::Null => Kind::Null,
        LiteralValue::UInt(_) => {
            return Err(flaw(expr, "write a whole number without the u"));
        }
        LiteralValue::Bytes(_) => return Err(flaw(expr, "write text without the b")),
    })
}

fn fields_of(group: &str) -> impl Iterator<Item = &'static str> {
    let group = group.to_owned();
    INPUTS
        .iter()
        .filter_map(move |input| input.name.strip_prefix(group.as_str())?.strip_prefix('.'))
}
