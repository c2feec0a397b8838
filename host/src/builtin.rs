//! The first-party policies inside this binary.
//!
//! They run like any other policy, in the same sandbox under the same limits. One serves only if an entry
//! `[policy.<name>]` names it, and an entry with `file` replaces it. Built without `make policies`, there are none.

use std::borrow::Cow;

/// The built-in policies, as the registry takes them.
pub fn all() -> Vec<(String, Cow<'static, [u8]>)> {
    let named = ALL.iter();
    named
        .map(|(name, bytes)| ((*name).to_owned(), Cow::Borrowed(*bytes)))
        .collect()
}

/// Name and component of each.
const ALL: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/builtin.rs"));
