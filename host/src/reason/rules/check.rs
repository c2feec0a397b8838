//! Judges a parsed condition before anything relies on it: names, types, and that nothing unknown is read unasked.
//!
//! CEL finds such mistakes when it meets them, which for `a && b` may be never in a test and at three in the morning in
//! production. So every branch is looked at here, whatever its neighbours evaluate to.

use cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators as op};

use super::inputs::{FINDING, GROUPS, INPUTS, Kind, index_of};
use airlock_policy::advice;

/// What is wrong, and with which node.
#[derive(Debug, PartialEq)]
pub struct Flaw {
    /// Id of the node.
    pub node: u64,
    /// What is wrong and what to do.
    pub message: String,
}

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

fn selected(operand: &IdedExpr, field: &str) -> Option<usize> {
    match &operand.expr {
        Expr::Ident(group) => index_of(&format!("{group}.{field}")),
        _ => None,
    }
}

/// Inputs that are known for sure where `expr` is `truth`.
fn known(expr: &IdedExpr, truth: bool) -> Vec<usize> {
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
                        Some(kind) => self.same(element, kind, next)?,
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
        let sign = name.trim_matches(['_', '@']);
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
                self.same(no, yes_kind, no_kind)
            }
            (op::EQUALS | op::NOT_EQUALS, [a, b]) => {
                let (a, b) = (self.kind(a)?, self.kind(b)?);
                if a.comparable(&b) {
                    Ok(Kind::Bool)
                } else {
                    Err(flaw(
                        expr,
                        format!("{} never equals {}", a.told(), b.told()),
                    ))
                }
            }
            (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, [a, b]) => {
                let (a, b) = (self.kind(a)?, self.kind(b)?);
                let ordered = |kind: &Kind| {
                    matches!(kind, Kind::Int | Kind::Double | Kind::Text | Kind::Json)
                };
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
            (op::IN, [a, b]) => {
                let element = self.kind(a)?;
                match self.kind(b)? {
                    Kind::Json => Ok(Kind::Bool),
                    Kind::List(kind) if element.comparable(&kind) => Ok(Kind::Bool),
                    other => Err(flaw(
                        expr,
                        format!("{} is never in {}", element.told(), other.told()),
                    )),
                }
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
            (op::NEGATE, [a]) => match self.kind(a)? {
                kind @ (Kind::Int | Kind::Double | Kind::Json) => Ok(kind),
                other => Err(flaw(expr, format!("{} cannot be negated", other.told()))),
            },
            (op::ADD | op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO, [a, b]) => {
                let (a, b) = (self.kind(a)?, self.kind(b)?);
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
            _ => Err(flaw(expr, format!("`{sign}` is not for conditions"))),
        }
    }

    fn function(&mut self, expr: &IdedExpr, name: &str, args: &[&IdedExpr]) -> Result<Kind, Flaw> {
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
        let kinds = args
            .iter()
            .map(|arg| self.kind(arg))
            .collect::<Result<Vec<_>, _>>()?;
        let scalar =
            |kind: &Kind| matches!(kind, Kind::Int | Kind::Double | Kind::Text | Kind::Json);
        let textual = |kind: &Kind| matches!(kind, Kind::Text | Kind::Json);
        match (name, kinds.as_slice()) {
            ("size", [Kind::Text | Kind::List(_) | Kind::Json]) => Ok(Kind::Int),
            ("contains" | "startsWith" | "endsWith", [a, b])
                if textual(a) && textual(b) && is_member(expr) =>
            {
                Ok(Kind::Bool)
            }
            ("matches", [a, _]) if textual(a) => Ok(Kind::Bool),
            ("int", [a]) if scalar(a) && !is_member(expr) => Ok(Kind::Int),
            ("double", [a]) if scalar(a) && !is_member(expr) => Ok(Kind::Double),
            ("string", [a]) if (scalar(a) || *a == Kind::Bool) && !is_member(expr) => {
                Ok(Kind::Text)
            }
            _ => Err(flaw(expr, usage(name))),
        }
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

    fn same(&self, at: &IdedExpr, a: Kind, b: Kind) -> Result<Kind, Flaw> {
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
}

impl Kind {
    fn comparable(&self, other: &Kind) -> bool {
        let numeric = |kind: &Kind| matches!(kind, Kind::Int | Kind::Double);
        match (self, other) {
            (Kind::Json | Kind::Null, _) | (_, Kind::Json | Kind::Null) => true,
            (Kind::List(a), Kind::List(b)) => a.comparable(b),
            (a, b) => a == b || (numeric(a) && numeric(b)),
        }
    }

    /// For people.
    fn told(&self) -> &'static str {
        match self {
            Kind::Bool => "true or false",
            Kind::Int => "a whole number",
            Kind::Double => "a number with a fraction",
            Kind::Text => "text",
            Kind::List(_) => "a list",
            Kind::Finding => "a finding",
            Kind::Json => "JSON",
            Kind::Null => "null",
        }
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

fn fields_of(group: &str) -> impl Iterator<Item = &'static str> {
    let group = group.to_owned();
    INPUTS
        .iter()
        .filter_map(move |input| input.name.strip_prefix(group.as_str())?.strip_prefix('.'))
}

fn flaw(at: &IdedExpr, message: impl Into<String>) -> Flaw {
    Flaw {
        node: at.id,
        message: message.into(),
    }
}
