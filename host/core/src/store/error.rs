//! Why durable state could not be read or written.

use std::path::PathBuf;

/// Why durable state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be created or opened.
    #[error("cannot open the database {path}: {source}")]
    Open {
        /// The database.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Another process writes to it.
    #[error("{path} is in use by another airlock: stop it, or choose another data directory")]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// No database yet.
    #[error("there is no database at {path}: no session has been recorded there yet")]
    Absent {
        /// The database.
        path: PathBuf,
    },
    /// Written by a newer version.
    #[error(
        "{path} was written by a newer airlock (schema {found}, this one knows up to {known}): \
         run that version, or move the file away to begin a new one"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that this version knows.
        known: i64,
    },
    /// A database of some other program.
    #[error("{path} is not a database of airlock: choose another data directory")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("the database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A commit failed, or did not come in time.
    #[error("not on disk: {0}")]
    Commit(String),
    /// No session has this id.
    #[error("no session begins with `{0}`: `airlock sessions` lists them")]
    Unknown(String),
    /// More than one session has ids that begin like this.
    #[error("`{prefix}` fits {count} sessions: give more digits")]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// How many fit.
        count: usize,
    },
}
