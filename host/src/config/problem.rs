//! What is wrong with a configuration, where, and what to do.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Config, Source};
use crate::upstream::Unusable;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; 0 if it has no place there.
    pub line: usize,
    /// Column in characters, from 1; 0 if it has no place there.
    pub column: usize,
    /// The key, such as `upstream.openai.base_url`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// All that is wrong with one file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file; absent for the environment.
    pub file: Option<PathBuf>,
    /// In the order of the file; never empty.
    pub problems: Vec<Problem>,
}

impl Problem {
    /// A problem without a place in a file.
    pub fn global(key: &str, message: impl Into<String>) -> Self {
        Self {
            line: 0,
            column: 0,
            key: key.to_owned(),
            message: message.into(),
        }
    }

    /// A problem at a range of bytes of `text`.
    pub fn at(text: &str, span: &Range<usize>, key: &str, message: impl Into<String>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            key: key.to_owned(),
            message: message.into(),
        }
    }
}

impl Problems {
    /// Upstreams of a configuration cannot be called as it has them.
    pub fn of_upstreams(config: &Config, unusable: Vec<Unusable>) -> Self {
        let file = match &config.source {
            Source::File(path) => Some(path.clone()),
            Source::Environment => None,
        };
        let problems = unusable
            .into_iter()
            .map(|wrong| Problem::global(&wrong.key, wrong.message))
            .collect();
        Self { file, problems }
    }

    /// One problem that has no place in a file.
    pub fn one(file: Option<&Path>, key: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.map(Path::to_owned),
            problems: vec![Problem::global(key, message)],
        }
    }
}

impl fmt::Display for Problems {
    /// `file:line:column: key: message`, one problem a line, as compilers do, so that editors can jump there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            match &self.file {
                Some(file) => write!(f, "{}", file.display())?,
                None => f.write_str("environment")?,
            }
            if problem.line > 0 {
                write!(f, ":{}:{}", problem.line, problem.column)?;
            }
            f.write_str(": ")?;
            if !problem.key.is_empty() {
                write!(f, "{}: ", problem.key)?;
            }
            f.write_str(&problem.message)?;
        }
        Ok(())
    }
}
