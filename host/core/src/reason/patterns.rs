//! All policies' patterns, searched together in text that arrives in pieces.
//!
//! A [`PatternSet`] is compiled once for a set of policies and shared by every stream. A [`Scanner`] reads the text of one
//! place (channel, choice, block) of one generation and says two things: which patterns matched, and up to where the text
//! cannot be part of a match that is still to come ([`Scanner::safe`]), so that it may be released.
//!
//! Guarantees:
//! - The answer does not depend on how the text was cut into pieces.
//! - Per pattern: leftmost, and of those the longest match; matches of one pattern do not overlap. Patterns do not
//!   influence each other. Laziness (`a+?`) means nothing here, for the whole match is wanted.
//! - A match is reported with the byte that makes it final: a literal with its last byte, `a+` with the byte after it.
//! - Until then no byte of it was ever before [`Scanner::safe`], if its policy holds text.
//!
//! Not guaranteed: matches of more than [`MAX_MATCH`] bytes are not seen.
//!
//! How: the patterns are determinised *anchored* ([`table`]) and the scanner follows every start that is still alive
//! ([`scanner`]). One unanchored automaton would need no list of starts, but the product of patterns that live long
//! (an e-mail address, a card number) grows exponentially, and it cannot say where a match began.

mod scanner;
mod table;
#[cfg(test)]
mod tests;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Literal, Look, Repetition};

pub use scanner::Scanner;
use table::{BuildError, Pairs, Table};

/// Longest match in bytes. It bounds how much text one pattern can hold back (`BEGIN.*` would hold everything), and with it
/// the memory and the starts to follow per stream. Long enough for keys, addresses, URLs and sentences.
pub const MAX_MATCH: usize = 1024;

/// Memory of one automaton and of the steps that build it. Patterns come from policies, which are not trusted: a counted
/// repetition in a few characters could otherwise ask for gigabytes.
const TABLE_LIMIT: usize = 4 << 20;

/// Memory of all automata of one set.
const SET_LIMIT: usize = 64 << 20;

/// How [`PatternSpec::text`] is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// The text itself.
    Literal,
    /// A regular expression in the syntax of Rust's `regex`. `^` and `$` are the two ends of the place's text (of a line,
    /// with `(?m)`), `\b` is a border of ASCII words. Other look-around is refused.
    Regex,
}

/// One pattern of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternSpec {
    /// Which policy, in the caller's numbering.
    pub owner: u32,
    /// Which of the policy's patterns.
    pub index: u32,
    /// How `text` is to be read.
    pub syntax: Syntax,
    /// The pattern.
    pub text: String,
    /// Upper and lower case are the same, by Unicode's simple folding.
    pub ignore_case: bool,
    /// The owner enforces: text that may belong to a match is not [safe](Scanner::safe).
    pub holds: bool,
}

/// A match in a place's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    /// [`PatternSpec::owner`].
    pub owner: u32,
    /// [`PatternSpec::index`].
    pub index: u32,
    /// First byte, counted from the first byte fed.
    pub offset: u32,
    /// Bytes; 1 to [`MAX_MATCH`].
    pub len: u32,
}

/// Why a pattern was not taken.
#[derive(Debug, thiserror::Error)]
#[error("pattern {index} `{text}`: {reason}")]
pub struct PatternError {
    /// [`PatternSpec::owner`] of the pattern.
    pub owner: u32,
    /// [`PatternSpec::index`] of the pattern.
    pub index: u32,
    /// The pattern, shortened.
    pub text: String,
    /// What is wrong with it.
    #[source]
    pub reason: Reason,
}

/// What is wrong with a pattern.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// Not a regular expression.
    #[error("{0}")]
    Syntax(String),
    /// It would match everywhere.
    #[error("matches the empty text; write it so that it needs at least one character")]
    MatchesEmpty,
    /// No text fulfils it.
    #[error("can never match")]
    MatchesNothing,
    /// Longer than what is searched for.
    #[error("needs at least {0} bytes; matches of more than {MAX_MATCH} bytes are not seen")]
    TooLong(usize),
    /// Look-around that a stream cannot have, or that costs too much.
    #[error("uses {0}; of look-around, only `^`, `$` and `\\b` (ASCII) can be used")]
    LookAround(&'static str),
    /// Too many states.
    #[error(
        "needs more than {} MiB as an automaton; shorten its counted repetitions, or use ASCII classes such as `[0-9]` for `\\d`",
        TABLE_LIMIT >> 20
    )]
    TooBig,
    /// Fine by itself, but together with those before it too much.
    #[error(
        "all patterns together need more than {} MiB; use fewer or simpler ones",
        SET_LIMIT >> 20
    )]
    SetTooBig,
}

/// Patterns compiled together. Immutable; share it in an `Arc`.
#[derive(Debug)]
pub struct PatternSet {
    specs: Vec<PatternSpec>,
    tables: Vec<Table>,
    pairs: Pairs,
}

impl PatternSet {
    /// Compiles `specs`. Takes milliseconds to seconds: not for the path of a request.
    ///
    /// # Errors
    /// Names the first pattern that cannot be used, and why; leave out its policy, and compile the others.
    pub fn compile(specs: Vec<PatternSpec>) -> Result<Self, PatternError> {
        let mut hirs = Vec::with_capacity(specs.len());
        for spec in &specs {
            hirs.push(parse(spec).map_err(|reason| refuse(spec, reason))?);
        }
        let numbers: Vec<u32> = (0..).take(specs.len()).collect();
        let mut tables = Vec::new();
        build(&specs, &hirs, &numbers, &mut tables)?;
        let pairs = Pairs::of(&tables);
        Ok(Self {
            specs,
            tables,
            pairs,
        })
    }

    /// Whether there is nothing to search for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    /// Memory of the automata, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.tables.iter().map(Table::memory).sum()
    }
}

/// Puts patterns into one automaton, or, where their product gets too big, into two halves.
fn build(
    specs: &[PatternSpec],
    hirs: &[Hir],
    numbers: &[u32],
    tables: &mut Vec<Table>,
) -> Result<(), PatternError> {
    let Some(spec) = numbers.first().and_then(|&first| specs.get(first as usize)) else {
        return Ok(());
    };
    match Table::build(hirs, numbers, TABLE_LIMIT) {
        Ok(table) => {
            tables.push(table);
            if tables.iter().map(Table::memory).sum::<usize>() > SET_LIMIT {
                return Err(refuse(spec, Reason::SetTooBig));
            }
            Ok(())
        }
        Err(BuildError::TooBig) if numbers.len() > 1 => {
            let (left, right) = numbers.split_at(numbers.len() / 2);
            build(specs, hirs, left, tables)?;
            build(specs, hirs, right, tables)
        }
        Err(BuildError::TooBig) => Err(refuse(spec, Reason::TooBig)),
        Err(BuildError::Other(message)) => Err(refuse(spec, Reason::Syntax(message))),
    }
}

fn refuse(spec: &PatternSpec, reason: Reason) -> PatternError {
    const SHOWN: usize = 60;
    let mut text: String = spec.text.chars().take(SHOWN).collect();
    if text.len() < spec.text.len() {
        text.push('…');
    }
    PatternError {
        owner: spec.owner,
        index: spec.index,
        text,
        reason,
    }
}

fn parse(spec: &PatternSpec) -> Result<Hir, Reason> {
    let mut parser = ParserBuilder::new()
        .case_insensitive(spec.ignore_case)
        .build();
    let parsed = match spec.syntax {
        Syntax::Literal => parser.parse(&regex_syntax::escape(&spec.text)),
        Syntax::Regex => parser.parse(&spec.text),
    };
    let hir = ascii_words(parsed.map_err(|e| Reason::Syntax(syntax_message(&e)))?);
    for look in hir.properties().look_set().iter() {
        if let Some(name) = refused_look(look) {
            return Err(Reason::LookAround(name));
        }
    }
    match hir.properties().minimum_len() {
        None => Err(Reason::MatchesNothing),
        Some(0) => Err(Reason::MatchesEmpty),
        Some(len) if len > MAX_MATCH => Err(Reason::TooLong(len)),
        Some(_) => Ok(hir),
    }
}

/// The parser's own words in one line; its usual form is a drawing of several.
fn syntax_message(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(e) => {
            format!("{} at character {}", e.kind(), e.span().start.column)
        }
        regex_syntax::Error::Translate(e) => {
            format!("{} at character {}", e.kind(), e.span().start.column)
        }
        other => other.to_string(),
    }
}

/// `\b` is Unicode's by default, which no DFA can decide; what pattern authors mean by it is nearly always ASCII's.
fn ascii_words(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Look(Look::WordUnicode) => Hir::look(Look::WordAscii),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(Literal(bytes)) => Hir::literal(bytes),
        HirKind::Class(class) => Hir::class(class),
        HirKind::Repetition(Repetition {
            min,
            max,
            greedy,
            sub,
        }) => Hir::repetition(Repetition {
            min,
            max,
            greedy,
            sub: Box::new(ascii_words(*sub)),
        }),
        HirKind::Capture(capture) => ascii_words(*capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(ascii_words).collect()),
        HirKind::Alternation(parts) => {
            Hir::alternation(parts.into_iter().map(ascii_words).collect())
        }
    }
}

fn refused_look(look: Look) -> Option<&'static str> {
    match look {
        Look::Start | Look::End | Look::StartLF | Look::EndLF | Look::WordAscii => None,
        Look::StartCRLF | Look::EndCRLF => Some("`(?R)`"),
        Look::WordAsciiNegate | Look::WordUnicodeNegate => Some("`\\B`"),
        _ => Some("`\\b{start}`, `\\b{end}` or one of their halves"),
    }
}
