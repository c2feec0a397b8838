//! The first-party policies inside this binary.
//!
//! They run like any other policy, in the same sandbox under the same limits. One serves only if an entry
//! `[policy.<name>]` names it, and an entry with `file` replaces it. Built without `make policies`, there are none.

/// Name and component of each built-in policy.
pub const ALL: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/builtin.rs"));
