//! Files as people write them.

use std::path::Path;

use crate::config::parse::parse;
use crate::config::{KeyHash, Problems};

pub fn problems(text: &str) -> Problems {
    parse(text, Path::new("/etc/airlock.toml")).expect_err("a bad file was taken")
}

/// A hash that no other key of a test has.
pub fn hash(n: u8) -> String {
    KeyHash::of(&n.to_string()).to_string()
}

pub fn key(n: u8, more: &str) -> String {
    format!("[[key]]\nname = \"k{n}\"\nhash = \"{}\"\n{more}\n", hash(n))
}
