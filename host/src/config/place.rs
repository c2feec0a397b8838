//! Where in the text of a configuration something stands.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Config, Problem, Problems, Source};

/// Where the value at `path` stands, or the nearest table around it.
pub(super) fn span<'p>(
    root: &DeTable<'_>,
    path: impl IntoIterator<Item = &'p str>,
) -> Range<usize> {
    let mut table = Some(root);
    let mut array: Option<&[Spanned<DeValue<'_>>]> = None;
    let mut span = 0..0;
    for step in path {
        let value = match (table, array) {
            (Some(table), _) => table.get(step),
            (_, Some(array)) => step.parse::<usize>().ok().and_then(|n| array.get(n)),
            _ => None,
        };
        let Some(value) = value else { break };
        span = value.span();
        table = None;
        array = None;
        match value.get_ref() {
            DeValue::Table(inner) => table = Some(inner),
            DeValue::Array(inner) => array = Some(inner),
            _ => {}
        }
    }
    span
}

/// Gives problems that were found after the configuration was read their places in its file, by their keys.
pub fn place(config: &Config, mut problems: Vec<Problem>) -> Problems {
    let file = match &config.source {
        Source::File(file) => Some(file.clone()),
        Source::Environment => None,
    };
    // Whoever changed the file meanwhile gets the problems without their lines.
    let text = file.as_ref().and_then(|f| std::fs::read_to_string(f).ok());
    if let Some(text) = text
        && let Ok(root) = DeTable::parse(&text)
    {
        for problem in problems.iter_mut().filter(|p| p.line == 0) {
            let at = span(root.get_ref(), problem.key.split('.'));
            if at != (0..0) {
                let key = std::mem::take(&mut problem.key);
                let message = std::mem::take(&mut problem.message);
                *problem = Problem::at(&text, &at, &key, message);
            }
        }
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    Problems { file, problems }
}
