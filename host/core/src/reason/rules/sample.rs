//! Values of the right kinds, to try a condition with before anything relies on it.

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelNull, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use super::inputs::{FINDING, INPUTS};
use super::kind::Kind;
use super::pattern::Pattern;
use super::value::{map, split, truth};

/// Values of the right kinds, to try a condition with.
pub struct Sample<'a> {
    /// Whether everything is known, or as little as possible.
    pub full: bool,
    /// Compiled patterns.
    pub patterns: &'a [Pattern],
}

impl VariableResolver for Sample<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        match split(name)? {
            ('#', index) => {
                let input = INPUTS.get(index)?;
                (self.full || !input.maybe)
                    .then(|| CowVal::Owned(sample(&(input.kind)(), self.full)))
            }
            ('?', index) => Some(truth(self.full || !INPUTS.get(index)?.maybe)),
            ('~', index) => Some(CowVal::Borrowed(self.patterns.get(index)?)),
            _ => None,
        }
    }
}

fn sample(kind: &Kind, full: bool) -> Box<dyn Val> {
    match kind {
        Kind::Bool => Box::new(CelBool::from(true)),
        Kind::Int => Box::new(CelInt::from(1)),
        Kind::Double => Box::new(CelDouble::from(1.0)),
        Kind::Text => Box::new(CelString::from("sample".to_owned())),
        Kind::List(kind) if full => Box::new(CelList::from(vec![sample(kind, full)])),
        Kind::List(_) => Box::new(CelList::from(Vec::new())),
        Kind::Finding => map(FINDING
            .iter()
            .map(|(name, kind)| (*name, sample(&kind(), full)))),
        Kind::Json => map(std::iter::empty()),
        Kind::Null => Box::new(CelNull),
    }
}
