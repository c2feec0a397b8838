//! Notes of what sessions may have spent, ahead of their ledgers' rows: a small file of fixed slots beside the database.
//!
//! A row that survives a power cut takes milliseconds. A note takes microseconds: it is written over in place, in a file
//! that has all its blocks already, and nobody waits for the disk. Once written, it is with the operating system and
//! outlives this process, however that ends. At the next start what is left in the slots goes into the database, before
//! anybody is served.
//!
//! Not guaranteed: that a note survives the end of the machine.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::LedgerRow;
use crate::event::key::SessionId;

/// Sessions that may wait for the disk at once; those beyond wait for it. A slot is taken for milliseconds.
const SLOTS: u16 = 1024;
/// A slot never crosses a page of memory, so that it is written whole.
const SLOT: usize = 128;
/// Version of the slots, the session, six numbers.
const VERSION: &[u8; 8] = b"ALCKn001";
const ID: usize = 32;
const RECORD: usize = VERSION.len() + ID + 6 * 8;
const CHECK: usize = 8;
/// In place of a limit that is not set.
const NO_LIMIT: u64 = u64::MAX;

/// The file.
#[derive(Debug)]
pub struct Notes {
    file: File,
    free: Mutex<Vec<u16>>,
}

/// One session's note. Dropping it leaves it in the file: only [`Note::clear`] takes it out.
#[derive(Debug)]
pub struct Note {
    notes: Arc<Notes>,
    session: SessionId,
    slot: u16,
}

/// What an earlier process left: the mark of each session.
pub type Left = Vec<(SessionId, LedgerRow)>;

/// The file of notes beside a database.
pub(super) fn beside(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".notes");
    path.into()
}

impl Notes {
    /// Opens or creates the file, readable by its owner only, and gives what was noted before: the highest mark of each
    /// session. The slots stay as they are until [`Notes::wipe`].
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<(Arc<Self>, Left)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        // A file from elsewhere (a copy, a restored backup) may be readable by others.
        file.set_permissions(Permissions::from_mode(0o600))?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut &file, &mut bytes)?;
        let left = bytes.chunks_exact(SLOT).filter_map(read).collect();
        let notes = Self {
            file,
            free: Mutex::new((0..SLOTS).rev().collect()),
        };
        Ok((Arc::new(notes), left))
    }

    /// Empties all slots and gives the file its full length, so that no note ever needs a new block of the disk.
    ///
    /// # Errors
    /// The system's.
    pub fn wipe(&self) -> io::Result<()> {
        self.file
            .write_all_at(&vec![0; SLOT * usize::from(SLOTS)], 0)?;
        self.file.sync_all()
    }

    /// Notes a session's row. `None` when no slot is free, or the file cannot be written.
    pub fn note(self: &Arc<Self>, session: SessionId, row: &LedgerRow) -> Option<Note> {
        let slot = self.free().pop()?;
        let note = Note {
            notes: Arc::clone(self),
            session,
            slot,
        };
        note.rewrite(row).then_some(note)
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<u16>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, slot: u16, record: &[u8; SLOT]) -> bool {
        let at = u64::from(slot) * SLOT as u64;
        let put = self.file.write_all_at(record, at);
        put.inspect_err(|error| tracing::error!(%error, "a ledger's note cannot be written"))
            .is_ok()
    }
}

impl Note {
    /// Another row in place of the present one. `false`: it could not be written, and must not be relied on.
    pub fn rewrite(&self, row: &LedgerRow) -> bool {
        self.notes.put(self.slot, &write(self.session, row))
    }

    /// The row is in the database: the note is of no use any more.
    pub fn clear(&self) {
        if self.notes.put(self.slot, &[0; SLOT]) {
            self.notes.free().push(self.slot);
        }
    }
}

fn write(session: SessionId, row: &LedgerRow) -> [u8; SLOT] {
    let numbers = [
        row.max_tokens.unwrap_or(NO_LIMIT),
        row.max_cost.unwrap_or(NO_LIMIT),
        row.settled_tokens,
        row.settled_cost,
        row.reserved_tokens,
        row.reserved_cost,
    ];
    let mut bytes = Vec::with_capacity(SLOT);
    bytes.extend_from_slice(VERSION);
    bytes.extend_from_slice(session.to_string().as_bytes());
    for number in numbers {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let check = Sha256::digest(&bytes);
    bytes.extend_from_slice(&check[..CHECK]);
    let mut slot = [0; SLOT];
    slot[..bytes.len()].copy_from_slice(&bytes);
    slot
}

/// What a slot holds; `None` for one that is empty or was not written whole.
fn read(slot: &[u8]) -> Option<(SessionId, LedgerRow)> {
    let (record, rest) = slot.split_at_checked(RECORD)?;
    let whole = record.starts_with(VERSION) && rest.starts_with(&Sha256::digest(record)[..CHECK]);
    let (id, numbers) = record.get(VERSION.len()..)?.split_at_checked(ID)?;
    let session = std::str::from_utf8(id).ok()?.parse().ok()?;
    let number = |index: usize| {
        let bytes = numbers.get(index * 8..index * 8 + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let limit = |index: usize| Some(Some(number(index)?).filter(|limit| *limit != NO_LIMIT));
    let row = LedgerRow {
        max_tokens: limit(0)?,
        max_cost: limit(1)?,
        settled_tokens: number(2)?,
        settled_cost: number(3)?,
        reserved_tokens: number(4)?,
        reserved_cost: number(5)?,
    };
    whole.then_some((session, row))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn session(n: u8) -> SessionId {
        format!("{n:032x}").parse().unwrap()
    }

    fn row(reserved: u64) -> LedgerRow {
        LedgerRow {
            max_tokens: Some(1_000),
            max_cost: None,
            settled_tokens: 7,
            settled_cost: 0,
            reserved_tokens: reserved,
            reserved_cost: 3,
        }
    }

    #[test]
    fn a_note_is_found_again_as_it_was_written_last_until_it_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("airlock.db.notes");
        let (notes, left) = Notes::open(&path).unwrap();
        assert_eq!(left, []);
        notes.wipe().unwrap();
        let kept = notes.note(session(1), &row(100)).unwrap();
        assert!(kept.rewrite(&row(356)));
        let cleared = notes.note(session(2), &row(9)).unwrap();
        cleared.clear();
        // As after a kill: nothing is told to anybody, and the file is read by the next process.
        let (_, left) = Notes::open(&path).unwrap();
        assert_eq!(left, [(session(1), row(356))]);
        notes.wipe().unwrap();
        assert_eq!(Notes::open(&path).unwrap().1, []);
    }

    #[test]
    fn slots_are_bounded_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let (notes, _) = Notes::open(&dir.path().join("notes")).unwrap();
        let all: Vec<Note> = std::iter::from_fn(|| notes.note(session(1), &row(1))).collect();
        assert_eq!(all.len(), usize::from(SLOTS));
        all[17].clear();
        assert!(notes.note(session(2), &row(2)).is_some());
        assert!(notes.note(session(3), &row(3)).is_none());
    }

    #[test]
    fn what_is_no_whole_note_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes");
        let mut good = write(session(1), &row(5));
        for at in [0, 9, 41, RECORD] {
            good[at] ^= 1;
            std::fs::write(&path, good).unwrap();
            assert_eq!(Notes::open(&path).unwrap().1, [], "byte {at}");
            good[at] ^= 1;
        }
        std::fs::write(&path, &good[..RECORD]).unwrap();
        assert_eq!(Notes::open(&path).unwrap().1, []);
        std::fs::write(&path, good).unwrap();
        assert_eq!(Notes::open(&path).unwrap().1.len(), 1);
    }
}
