//! The embedded store: SQLite in WAL mode, one writer on its own thread, readers beside it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::notes::{self, Note, Notes};
use super::queue::{Bounds, Queue};
use super::reader::Reader;
use super::retention::Retention;
use super::writer::{self, Progress, Writer};
use super::{
    ApprovalFilter, ApprovalRow, Done, LedgerRow, SavedSession, Seat, SessionFilter, SessionHead,
    SessionRow, Stats, Store, StoreError, schema,
};
use crate::event::key::SessionId;
use crate::event::marks::Kept;
use crate::event::{Event, Micros};

/// How long a blocking call waits for the writer.
const WAIT: Duration = Duration::from_secs(10);
/// Connections kept for reading.
const READERS: usize = 4;

/// Where the database is, and how much it holds.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file. Its directory is created with mode 0700 if there is none.
    pub path: PathBuf,
    /// Days after which events are removed; 0: never.
    pub retention_days: u32,
    /// Events that may wait for the disk; more are dropped and counted.
    pub queue_events: usize,
    /// Bytes of text that may wait for the disk.
    pub queue_bytes: usize,
}

impl Options {
    /// The database of a data directory, with room for 16,384 events and 64 MiB in the queue: at 1000 events a second a disk may
    /// stand still for 16 seconds.
    pub fn in_directory(dir: &Path, retention_days: u32) -> Self {
        Self {
            path: database(dir),
            retention_days,
            queue_events: 16_384,
            queue_bytes: 64 << 20,
        }
    }
}

/// The database file in a data directory.
pub fn database(dir: &Path) -> PathBuf {
    dir.join("airlock.db")
}

/// The store. Dropping it writes what is queued, then ends the writer.
pub struct SqliteStore {
    path: PathBuf,
    queue: Arc<Queue>,
    notes: Arc<Notes>,
    progress: Arc<Progress>,
    readers: Mutex<Vec<Reader>>,
    writer: Option<JoinHandle<()>>,
    /// Keeps a second writer away.
    _lock: File,
}

impl SqliteStore {
    /// Opens or creates the database and starts the writer.
    ///
    /// # Errors
    /// When the file cannot be opened, is in use, is not ours, or was written by a newer version.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        let (mut connection, lock) = schema::open(&options.path)?;
        let unopened = |source| StoreError::Open {
            path: notes::beside(&options.path),
            source,
        };
        let (notes, left) = Notes::open(&notes::beside(&options.path)).map_err(unopened)?;
        writer::restore(&mut connection, &left)?;
        notes.wipe().map_err(unopened)?;
        let bounds = Bounds {
            events: options.queue_events,
            bytes: options.queue_bytes,
        };
        let queue = Arc::new(Queue::new(bounds));
        let progress = Arc::<Progress>::default();
        let writer = Writer {
            connection,
            queue: Arc::clone(&queue),
            progress: Arc::clone(&progress),
            retention: Retention::new(options.retention_days),
        };
        let writer = thread::Builder::new()
            .name("airlock-store".into())
            .spawn(move || writer.run())
            .map_err(|source| StoreError::Open {
                path: options.path.clone(),
                source,
            })?;
        Ok(Self {
            path: options.path,
            queue,
            notes,
            progress,
            readers: Mutex::default(),
            writer: Some(writer),
            _lock: lock,
        })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let pooled = self
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let reader = match pooled {
            Some(reader) => reader,
            None => Reader::open(&self.path)?,
        };
        let result = read(&reader);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS {
            readers.push(reader);
        }
        result
    }
}

impl Store for SqliteStore {
    fn open_session(&self, session: SessionId, head: SessionHead) {
        self.queue.put(session, |batch| batch.head = Some(head));
    }

    fn append(&self, session: SessionId, event: Arc<Event>) {
        self.queue.event(session, event);
    }

    fn save_state(&self, session: SessionId, state: Vec<u8>) {
        self.queue.put(session, |batch| batch.state = Some(state));
    }

    fn save_seat(&self, session: SessionId, seat: Seat) {
        self.queue.put(session, |batch| {
            batch.seats.insert(seat.policy.clone(), seat);
        });
    }

    fn keep_mark(&self, session: SessionId, kept: Kept) {
        self.queue.put(session, |batch| {
            batch.marks.insert(kept.mark, kept.meaning);
        });
    }

    fn marks(&self, since: Micros, limit: usize) -> Result<Vec<Kept>, StoreError> {
        self.read(|reader| reader.marks(since, limit))
    }

    fn commit_ledger(&self, session: SessionId, row: LedgerRow, done: Done) {
        self.queue
            .urgent(session, done, |batch| batch.ledger = Some(row));
    }

    fn commit_noted_ledger(&self, session: SessionId, row: LedgerRow, done: Done) {
        self.queue
            .soon(session, done, |batch| batch.ledger = Some(row));
    }

    fn settle_ledger(&self, session: SessionId, row: LedgerRow, done: Done) {
        self.queue
            .along(session, done, |batch| batch.ledger = Some(row));
    }

    fn note_ledger(&self, session: SessionId, row: &LedgerRow) -> Option<Note> {
        let failing = self.progress.failing.load(Ordering::Relaxed);
        (!failing).then(|| self.notes.note(session, row)).flatten()
    }

    fn commit_approval(&self, row: ApprovalRow, done: Done) {
        self.queue.urgent(row.session, done, |batch| {
            batch.approvals.insert(row.id.clone(), row);
        });
    }

    fn approvals(
        &self,
        filter: &ApprovalFilter,
        limit: usize,
    ) -> Result<Vec<ApprovalRow>, StoreError> {
        self.read(|reader| reader.approvals(filter, limit))
    }

    fn load_session(&self, session: SessionId) -> Result<Option<SavedSession>, StoreError> {
        if self.queue.concerns(session) {
            self.flush()?;
        }
        self.read(|reader| reader.load(session))
    }

    fn sessions(
        &self,
        filter: &SessionFilter,
        limit: usize,
    ) -> Result<Vec<SessionRow>, StoreError> {
        self.read(|reader| reader.sessions(filter, limit))
    }

    fn timeline(
        &self,
        session: SessionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        self.read(|reader| reader.timeline(session, after, limit))
    }

    fn resolve(&self, prefix: &str) -> Result<SessionId, StoreError> {
        self.read(|reader| reader.resolve(prefix))
    }

    fn flush(&self) -> Result<(), StoreError> {
        let (done, wait) = mpsc::channel();
        self.queue.flush(Box::new(move |result| {
            // Nobody listens any more when the wait below was too long.
            let _ = done.send(result);
        }));
        wait.recv_timeout(WAIT).unwrap_or_else(|_| {
            Err(StoreError::Commit(format!(
                "no answer from the disk in {WAIT:?}"
            )))
        })
    }

    fn stats(&self) -> Stats {
        let (events, bytes, dropped) = self.queue.levels();
        Stats {
            queued: events as u64,
            queued_bytes: bytes as u64,
            written: self.progress.written.load(Ordering::Relaxed),
            dropped,
            retried: self.progress.retried.load(Ordering::Relaxed),
            failing: self.progress.failing.load(Ordering::Relaxed),
        }
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.queue.close();
        // The last owner may be a ledger that the writer itself is telling of a commit; it cannot wait for itself.
        if let Some(writer) = self.writer.take()
            && writer.thread().id() != thread::current().id()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer died; the last events may be missing");
        }
    }
}

#[cfg(test)]
mod tests;
