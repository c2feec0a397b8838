//! Requests of Chat Completions from and to those of other APIs.

use crate::dialect::{NotPortable, Portable};

pub(super) fn read(_: &[u8]) -> Result<Portable, NotPortable> {
    Err(NotPortable::field(
        "messages",
        "routes across APIs come with the next commits",
    ))
}

pub(super) fn write(_: &Portable) -> Result<Vec<u8>, NotPortable> {
    Err(NotPortable::field(
        "messages",
        "routes across APIs come with the next commits",
    ))
}
