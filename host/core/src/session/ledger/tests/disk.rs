//! A store that holds one ledger's row as a disk would: committed at once, when told to, or never.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::event::Event;
use crate::store::notes::{Note, Notes};
use crate::store::{
    ApprovalFilter, ApprovalRow, Done, LedgerRow, Seat, SessionFilter, SessionHead, SessionRow,
    Stats, StoreError,
};

/// The disk.
#[derive(Default)]
pub(super) struct Disk {
    durable: Mutex<LedgerRow>,
    pub(super) commits: AtomicU64,
    pub(super) fails: AtomicBool,
    held: Mutex<Option<Vec<(LedgerRow, Done)>>>,
    notes: Option<(tempfile::TempDir, Arc<Notes>)>,
}

impl Disk {
    /// One that answers when it is told to, and takes no notes.
    pub(super) fn slow() -> Self {
        Self {
            held: Mutex::new(Some(Vec::new())),
            ..Self::default()
        }
    }

    /// The same with room for notes.
    pub(super) fn with_notes(self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (notes, _) = Notes::open(&dir.path().join("notes")).unwrap();
        Self {
            notes: Some((dir, notes)),
            ..self
        }
    }

    /// What survives a power cut.
    pub(super) fn row(&self) -> LedgerRow {
        *self.durable.lock().unwrap()
    }

    /// What survives the death of the process, as the next one finds it.
    pub(super) fn with_note(&self) -> LedgerRow {
        let path: Option<PathBuf> = self.notes.as_ref().map(|(dir, _)| dir.path().join("notes"));
        let left = path.map_or_else(Vec::new, |path| Notes::open(&path).unwrap().1);
        // Looked at last: a note is cleared only once the row is there.
        left.into_iter()
            .fold(self.row(), |row, (_, note)| LedgerRow {
                max_tokens: row.max_tokens.into_iter().chain(note.max_tokens).min(),
                settled_tokens: row.settled_tokens.max(note.settled_tokens),
                reserved_tokens: row.reserved_tokens.max(note.reserved_tokens),
                ..row
            })
    }

    /// Commits what waits.
    pub(super) fn turn(&self) -> usize {
        self.answer(|row, done| {
            *self.durable.lock().unwrap() = row;
            done(Ok(()));
        })
    }

    /// Fails to commit what waits.
    pub(super) fn fail(&self) -> usize {
        self.answer(|_, done| done(Err(StoreError::Commit("disk full".into()))))
    }

    /// The machine, or the process, is gone, and nobody hears of what waits. What survived is on the disk when the next
    /// process begins to serve.
    pub(super) fn restart(&self, survived: LedgerRow) {
        self.answer(|_, _| ());
        *self.durable.lock().unwrap() = survived;
        if let Some((_, notes)) = &self.notes {
            notes.wipe().unwrap();
        }
    }

    fn answer(&self, answer: impl Fn(LedgerRow, Done)) -> usize {
        let held = std::mem::take(self.held.lock().unwrap().as_mut().unwrap());
        let count = held.len();
        for (row, done) in held {
            answer(row, done);
        }
        count
    }
}

pub(super) struct Account1(pub(super) Arc<Disk>);

impl Store for Account1 {
    fn commit_ledger(&self, _: SessionId, row: LedgerRow, done: Done) {
        let disk = &self.0;
        disk.commits.fetch_add(1, Ordering::Relaxed);
        if let Some(held) = disk.held.lock().unwrap().as_mut() {
            return held.push((row, done));
        }
        // As the real writer does: elsewhere, later.
        let disk = Arc::clone(disk);
        if disk.fails.load(Ordering::Relaxed) {
            std::thread::spawn(move || done(Err(StoreError::Commit("disk full".into()))));
        } else {
            *disk.durable.lock().unwrap() = row;
            std::thread::spawn(move || done(Ok(())));
        }
    }

    fn note_ledger(&self, session: SessionId, row: &LedgerRow) -> Option<Note> {
        let (_, notes) = self.0.notes.as_ref()?;
        notes.note(session, row)
    }
    fn commit_approval(&self, _: ApprovalRow, done: Done) {
        done(Ok(()));
    }
    fn approvals(&self, _: &ApprovalFilter, _: usize) -> Result<Vec<ApprovalRow>, StoreError> {
        Ok(Vec::new())
    }
    fn open_session(&self, _: SessionId, _: SessionHead) {}
    fn append(&self, _: SessionId, _: Arc<Event>) {}
    fn save_state(&self, _: SessionId, _: Vec<u8>) {}
    fn save_seat(&self, _: SessionId, _: Seat) {}
    fn load_session(&self, _: SessionId) -> Result<Option<SavedSession>, StoreError> {
        Ok(None)
    }
    fn sessions(&self, _: &SessionFilter, _: usize) -> Result<Vec<SessionRow>, StoreError> {
        Ok(Vec::new())
    }
    fn timeline(&self, _: SessionId, _: u64, _: usize) -> Result<Vec<Event>, StoreError> {
        Ok(Vec::new())
    }
    fn resolve(&self, prefix: &str) -> Result<SessionId, StoreError> {
        Err(StoreError::Unknown(prefix.into()))
    }
    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn stats(&self) -> Stats {
        Stats::default()
    }
}
