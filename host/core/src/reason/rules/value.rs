//! The names that a compiled condition looks up, and the host's values as CEL takes them.

use std::collections::HashMap;

use cel::common::types::{CelBool, CelDouble, CelInt, CelMap, CelMapKey, CelString};
use cel::common::value::{CowVal, Val};

/// The names that `compile` makes: a mark and an index.
pub(super) fn split(name: &str) -> Option<(char, usize)> {
    let mark = name.chars().next().filter(char::is_ascii)?;
    Some((mark, name.get(1..)?.parse().ok()?))
}

pub(super) fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Box<dyn Val>)>) -> Box<dyn Val> {
    let entries: HashMap<CelMapKey<'static>, Box<dyn Val>> = entries
        .into_iter()
        .map(|(name, value)| (CelMapKey::from(name.to_owned()), value))
        .collect();
    Box::new(CelMap::from(entries))
}

pub(super) fn number<'b, 'v>(value: f64) -> CowVal<'b, 'v> {
    CowVal::owned(CelDouble::from(value))
}

pub(super) fn whole<'b, 'v>(value: impl Into<i64>) -> CowVal<'b, 'v> {
    CowVal::owned(CelInt::from(value.into()))
}

pub(super) fn text<'b, 'v>(value: &'v str) -> CowVal<'b, 'v> {
    CowVal::owned(CelString::from(value))
}

pub(super) fn truth<'b, 'v>(value: bool) -> CowVal<'b, 'v> {
    CowVal::owned(CelBool::from(value))
}
