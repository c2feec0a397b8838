//! Patterns of `matches`, compiled once. CEL's own would compile each at every evaluation, unbounded in size.

use std::any::Any;
use std::sync::Arc;

use cel::common::types::{CelBool, CelString, STRING_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{Env, ExecutionError};
use regex_automata::meta::{Config, Regex};

/// Name of the function that the host puts in the place of `matches`. No condition can spell it.
pub const FUNCTION: &str = "@matches";

/// Most memory that one compiled pattern may use: 256 KiB hold every pattern that a person would write down, and
/// `(a{999}){999}` would take gigabytes.
const MAX_COMPILED: usize = 256 * 1024;

/// The DFA that is built while searching is dropped and begun anew beyond this.
const MAX_CACHE: usize = 256 * 1024;

static PATTERN: Type = Type::new_unspecified_type("pattern");

/// A compiled pattern, as a value that CEL can pass on.
#[derive(Clone, Debug)]
pub struct Pattern(Arc<Regex>);

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(pattern: &str) -> Result<Self, String> {
        let config = Config::new()
            .nfa_size_limit(Some(MAX_COMPILED))
            .hybrid_cache_capacity(MAX_CACHE);
        Regex::builder()
            .configure(config)
            .build(pattern)
            .map(|regex| Self(Arc::new(regex)))
            .map_err(|error| match (error.size_limit(), error.syntax_error()) {
                (Some(_), _) => "this pattern is too big: repeat less".to_owned(),
                (_, Some(regex_syntax::Error::Parse(e))) => {
                    format!("this is no pattern: {}", e.kind())
                }
                (_, Some(regex_syntax::Error::Translate(e))) => {
                    format!("this is no pattern: {}", e.kind())
                }
                _ => "this is no pattern".to_owned(),
            })
    }
}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN
    }

    fn cel_type() -> &'static Type {
        &PATTERN
    }

    fn equals(&self, _: &dyn Val) -> bool {
        false
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

/// The standard functions, and the host's own.
///
/// # Errors
/// The CEL library knows a function of that name already.
pub fn environment() -> Result<Env, cel::DeclarationError> {
    let mut env = Env::stdlib();
    env.add_overload(
        FUNCTION,
        "matches_pattern",
        vec![STRING_TYPE.to_owned(), PATTERN.to_owned()],
        |args| {
            let found = match args.as_slice() {
                [text, pattern] => text
                    .downcast_ref::<CelString<'_>>()
                    .zip(pattern.downcast_ref::<Pattern>())
                    .map(|(text, pattern)| pattern.0.is_match(text.inner())),
                _ => None,
            };
            found
                .map(|found| CowVal::owned(CelBool::from(found)))
                .ok_or_else(|| ExecutionError::function_error("matches", "takes text"))
        },
    )?;
    Ok(env)
}
