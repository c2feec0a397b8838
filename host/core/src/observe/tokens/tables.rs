//! The tables of both encodings, as the build made them (`build.rs`): parts of the program's own file, of which the system
//! loads what is looked at.

use std::sync::OnceLock;

use super::split::Splitter;
use super::vocabulary::Vocabulary;

/// One encoding; 4 to 7 MB of the file.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) splitter: Splitter,
    pub(super) vocabulary: Vocabulary,
}

/// Bytes at an address that numbers of 32 bits may have.
#[repr(C, align(4))]
struct Aligned<T: ?Sized>(T);

macro_rules! table {
    ($name:literal) => {{
        static TABLE: &Aligned<[u8]> =
            &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/", $name)));
        &TABLE.0
    }};
}

/// GPT-4, GPT-3.5, embeddings. `None` only if the tables in this very program are broken.
pub(super) fn cl100k() -> Option<&'static Tables> {
    static CL100K: OnceLock<Option<Tables>> = OnceLock::new();
    CL100K
        .get_or_init(|| {
            Some(Tables {
                splitter: Splitter::of(table!("cl100k.dfa"), true)?,
                vocabulary: Vocabulary {
                    bytes: table!("cl100k.bytes"),
                    ends: table!("cl100k.ends"),
                    slots: table!("cl100k.slots"),
                },
            })
        })
        .as_ref()
}

/// GPT-4o and everything newer. As [`cl100k`].
pub(super) fn o200k() -> Option<&'static Tables> {
    static O200K: OnceLock<Option<Tables>> = OnceLock::new();
    O200K
        .get_or_init(|| {
            Some(Tables {
                splitter: Splitter::of(table!("o200k.dfa"), false)?,
                vocabulary: Vocabulary {
                    bytes: table!("o200k.bytes"),
                    ends: table!("o200k.ends"),
                    slots: table!("o200k.slots"),
                },
            })
        })
        .as_ref()
}
