//! The database file: how it is created, who may read it, and how it grows from version to version.
//!
//! The file and its `-wal` and `-shm` are readable by their owner only, from the first moment: the file is created with mode 0600
//! before SQLite opens it, and SQLite gives the other two the mode of the first. A schema that is newer than this program is
//! refused, never guessed at.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::StoreError;

/// "ALCK": marks the file as ours.
const APPLICATION_ID: i64 = 0x414c_434b;

/// One script a version; a script that was released is never edited. The schema's version is their number.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE sessions (
        n             INTEGER PRIMARY KEY,
        id            TEXT    NOT NULL UNIQUE,
        tenant        TEXT    NOT NULL,
        principal     TEXT    NOT NULL,
        source        TEXT    NOT NULL,
        value         TEXT    NOT NULL,
        parent        TEXT,
        seed          INTEGER NOT NULL,
        opened        INTEGER NOT NULL,
        last_seen     INTEGER NOT NULL,
        oldest        INTEGER NOT NULL, -- time of the oldest event that retention has left
        next_seq      INTEGER NOT NULL DEFAULT 1,
        replayable    INTEGER NOT NULL,
        model         TEXT    NOT NULL DEFAULT '',
        events        INTEGER NOT NULL DEFAULT 0,
        exchanges     INTEGER NOT NULL DEFAULT 0,
        input_tokens  INTEGER NOT NULL DEFAULT 0,
        output_tokens INTEGER NOT NULL DEFAULT 0,
        cost          INTEGER NOT NULL DEFAULT 0,
        tool_calls    INTEGER NOT NULL DEFAULT 0,
        tool_failures INTEGER NOT NULL DEFAULT 0,
        findings      INTEGER NOT NULL DEFAULT 0,
        applied       INTEGER NOT NULL DEFAULT 0,
        faults        INTEGER NOT NULL DEFAULT 0,
        dropped       INTEGER NOT NULL DEFAULT 0,
        state         BLOB
    ) STRICT;
    CREATE INDEX sessions_by_last_seen ON sessions (last_seen);
    CREATE INDEX sessions_by_oldest ON sessions (oldest);

    CREATE TABLE events (
        session  INTEGER NOT NULL REFERENCES sessions (n) ON DELETE CASCADE,
        seq      INTEGER NOT NULL,
        exchange INTEGER NOT NULL,
        at       INTEGER NOT NULL,
        body     TEXT    NOT NULL,
        PRIMARY KEY (session, seq)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE seats (
        session INTEGER NOT NULL REFERENCES sessions (n) ON DELETE CASCADE,
        policy  TEXT    NOT NULL,
        digest  TEXT    NOT NULL,
        schema  INTEGER NOT NULL,
        state   BLOB    NOT NULL,
        kv      TEXT    NOT NULL,
        PRIMARY KEY (session, policy)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE ledgers (
        session         INTEGER PRIMARY KEY REFERENCES sessions (n) ON DELETE CASCADE,
        max_tokens      INTEGER,
        max_cost        INTEGER,
        settled_tokens  INTEGER NOT NULL,
        settled_cost    INTEGER NOT NULL,
        reserved_tokens INTEGER NOT NULL,
        reserved_cost   INTEGER NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE approvals (
        id      TEXT    NOT NULL PRIMARY KEY,
        session INTEGER NOT NULL REFERENCES sessions (n) ON DELETE CASCADE,
        opened  INTEGER NOT NULL,
        decided INTEGER NOT NULL,
        live    INTEGER NOT NULL,
        value   TEXT    NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX approvals_by_session ON approvals (session, opened);
    CREATE INDEX approvals_by_opened ON approvals (opened);
    CREATE INDEX approvals_live ON approvals (opened) WHERE live;
",
    "
    CREATE TABLE marks (
        mark    BLOB    NOT NULL,
        session INTEGER NOT NULL REFERENCES sessions (n) ON DELETE CASCADE,
        at      INTEGER NOT NULL,
        meaning TEXT    NOT NULL,
        PRIMARY KEY (mark, session)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX marks_by_at ON marks (at);
    CREATE INDEX marks_by_session ON marks (session);
",
    // Contract 0.2: a policy's two halves have one memory, which neither of the old ones is; places and evidence are told
    // otherwise.
    "
    DELETE FROM seats;
    UPDATE events SET body = json_set(json_remove(body, '$.block'), '$.item', json_extract(body, '$.block'))
        WHERE json_extract(body, '$.kind') IN ('text', 'tool-call') AND json_type(body, '$.block') IS NOT NULL;
    UPDATE events SET body = json_set(body, '$.evidence', json('[]'), '$.subject', json('{\"of\":\"session\"}'))
        WHERE json_extract(body, '$.kind') = 'finding' AND json_type(body, '$.subject') IS NULL;
",
    // Marks are looked up in memory and read here once, at the start: appended in the order of time, they share their pages.
    // By mark, by time and by session they were 8 of the 12 writes that a call cost. The session by its id, which is never
    // given to another one.
    "
    ALTER TABLE marks RENAME TO old_marks;
    CREATE TABLE marks (
        n       INTEGER PRIMARY KEY,
        session TEXT    NOT NULL,
        at      INTEGER NOT NULL,
        mark    BLOB    NOT NULL,
        meaning TEXT    NOT NULL
    ) STRICT;
    INSERT INTO marks (session, at, mark, meaning)
        SELECT id, old_marks.at, mark, meaning FROM old_marks JOIN sessions ON sessions.n = old_marks.session ORDER BY old_marks.at;
    DROP TABLE old_marks;
",
    // Events that came together are one row: see `runs`.
    "
    ALTER TABLE events RENAME TO old_events;
    CREATE TABLE events (
        session INTEGER NOT NULL REFERENCES sessions (n) ON DELETE CASCADE,
        seq     INTEGER NOT NULL, -- of the first
        last    INTEGER NOT NULL, -- of the last
        at      INTEGER NOT NULL, -- of the last
        run     TEXT    NOT NULL,
        PRIMARY KEY (session, seq)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO events SELECT session, seq, seq, at, '[[' || seq || ',' || at || ',' || exchange || ',' || body || ']]' FROM old_events;
    DROP TABLE old_events;
",
];

/// Opens the database for the one writer, creates it if there is none, and brings it to the present schema. The file that is
/// returned is the lock that keeps a second writer away; it must live as long as the connection.
pub(super) fn open(path: &Path) -> Result<(Connection, File), StoreError> {
    let lock = prepare(path).map_err(|source| StoreError::Open {
        path: path.into(),
        source,
    })?;
    lock.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => StoreError::InUse { path: path.into() },
        std::fs::TryLockError::Error(source) => StoreError::Open {
            path: path.into(),
            source,
        },
    })?;
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    let version = check(&connection, path)?;
    // A reader never blocks the writer in WAL mode; another program that opened the file by hand may.
    connection.busy_timeout(Duration::from_secs(5))?;
    if version == 0 {
        // Has to be set before the first table exists.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // After a burst the log is cut back to 64 MiB.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.set_prepared_statement_cache_capacity(32);
    for (index, script) in MIGRATIONS.iter().enumerate().skip(version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(script)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1)?;
        transaction.commit()?;
    }
    Ok((connection, lock))
}

/// Opens the database for reading. Works while a server writes to it, and after it ended.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Absent { path: path.into() });
    }
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(Duration::from_secs(5))?;
    if check(&connection, path)? < MIGRATIONS.len() {
        // An older server has it open, or it was never served since the update; a reader does not migrate.
        return Err(StoreError::Absent { path: path.into() });
    }
    Ok(connection)
}

/// Version of the schema, 0 for a new file; refuses what is not ours or newer than we are.
fn check(connection: &Connection, path: &Path) -> Result<usize, StoreError> {
    let foreign = |_| StoreError::Foreign { path: path.into() };
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    // The first read of a file that is no database fails here.
    let found = pragma("user_version").map_err(foreign)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(foreign)?;
    if tables > 0 && pragma("application_id")? != APPLICATION_ID {
        return Err(StoreError::Foreign { path: path.into() });
    }
    let known = MIGRATIONS.len() as i64;
    if found > known {
        return Err(StoreError::Newer {
            path: path.into(),
            found,
            known,
        });
    }
    Ok(found.max(0) as usize)
}

/// Creates directory, database and lock so that only their owner can open them. Returns the lock's file.
fn prepare(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let private = |path: &Path| {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        // A file from elsewhere (a copy, a restored backup) may be readable by others.
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok::<_, io::Error>(file)
    };
    private(path)?;
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    private(Path::new(&lock))
}

/// SQLite's integers are signed; nothing that is counted here comes near.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::event::{Body, Subject};

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_can_read_the_database() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data/airlock.db");
        let (connection, _lock) = open(&path).unwrap();
        assert_eq!(mode(&dir.path().join("data")), 0o700);
        connection.execute("DELETE FROM sessions", []).unwrap();
        for name in [
            "airlock.db",
            "airlock.db-wal",
            "airlock.db-shm",
            "airlock.db.lock",
        ] {
            assert_eq!(mode(&dir.path().join("data").join(name)), 0o600, "{name}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_closed_to_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("airlock.db");
        drop(open(&path).unwrap());
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        drop(open(&path).unwrap());
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("airlock.db");
        let (connection, lock) = open(&path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop((connection, lock));
        for error in [open(&path).unwrap_err(), open_read_only(&path).unwrap_err()] {
            assert!(
                matches!(error, StoreError::Newer { found: 99, .. }),
                "{error}"
            );
        }
        let raw = Connection::open(&path).unwrap();
        assert_eq!(
            raw.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
                .unwrap(),
            99
        );
    }

    #[test]
    fn what_was_recorded_before_the_present_contract_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("airlock.db");
        let connection = Connection::open(&path).unwrap();
        for script in &MIGRATIONS[..3] {
            connection.execute_batch(script).unwrap();
        }
        let insert = |seq: i64, body: &str| {
            connection
                .execute("INSERT INTO events VALUES (1, ?1, 1, 1, ?2)", (seq, body))
                .unwrap();
        };
        connection
            .execute_batch(
                "INSERT INTO sessions (n, id, tenant, principal, source, value, seed, opened, last_seen, oldest, replayable)
                     VALUES (1, 's', 't', 'p', '', '', 1, 1, 1, 1, 1);
                 INSERT INTO seats VALUES (1, 'p', '', 0, x'00', '[]');
                 PRAGMA user_version = 3;",
            )
            .unwrap();
        insert(
            1,
            r#"{"kind":"text","channel":"output","choice":0,"block":2,"offset":0,"text":"a","bytes":1,"tokens":1}"#,
        );
        insert(
            2,
            r#"{"kind":"tool-call","id":"c","name":"n","choice":0,"block":1,"arguments":"{}","bytes":2}"#,
        );
        insert(
            3,
            r#"{"kind":"finding","policy":"p","generation":1,"finding":"f","severity":"low","confidence":1.0,"summary":"s","evidence":[[1,0,1]]}"#,
        );
        connection
            .pragma_update(None, "application_id", APPLICATION_ID)
            .unwrap();
        drop(connection);
        let (connection, _lock) = open(&path).unwrap();
        let runs: Vec<String> = connection
            .prepare("SELECT run FROM events ORDER BY seq")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let events: Vec<Body> = runs
            .iter()
            .flat_map(|run| crate::store::runs::read(run).unwrap())
            .map(|event| event.body)
            .collect();
        assert!(matches!(&events[0], Body::Text { place, .. } if place.item == 2));
        assert!(matches!(&events[1], Body::ToolCall { item: 1, .. }));
        assert!(matches!(
            &events[2],
            Body::Finding {
                subject: Subject::Session,
                ..
            }
        ));
        let seats: i64 = connection
            .query_row("SELECT count(*) FROM seats", [], |row| row.get(0))
            .unwrap();
        assert_eq!(seats, 0);
    }

    #[test]
    fn marks_of_an_older_version_are_known_after_the_update() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("airlock.db");
        let old = Connection::open(&path).unwrap();
        for script in &MIGRATIONS[..4] {
            old.execute_batch(script).unwrap();
        }
        old.execute_batch(&format!(
            "INSERT INTO sessions (n, id, tenant, principal, source, value, seed, opened, last_seen, oldest, replayable)
                 VALUES (7, 's', 't', 'p', 'x', 'v', 1, 1, 1, 1, 1);
             INSERT INTO marks VALUES (x'{one}', 7, 20, '[{{\"words\":{{\"whole\":null,\"opening\":null}},\"whole\":true,\"calls\":[]}},null,false]');
             INSERT INTO marks VALUES (x'{two}', 7, 10, '[{{\"words\":{{\"whole\":null,\"opening\":null}},\"whole\":false,\"calls\":[\"c\"]}},null,true]');
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = 4;",
            one = "01".repeat(16),
            two = "02".repeat(16),
        ))
        .unwrap();
        drop(old);
        drop(open(&path).unwrap());
        let marks = super::super::reader::Reader::open(&path)
            .unwrap()
            .marks(0, 9)
            .unwrap();
        let told: Vec<_> = marks
            .iter()
            .map(|kept| (kept.mark[0], kept.meaning.at, kept.meaning.given.whole))
            .collect();
        assert_eq!(told, [(2, 10, false), (1, 20, true)]);
        assert!(marks.iter().all(|kept| kept.meaning.key.value == "v"));
        assert!(marks[0].meaning.continued && marks[0].meaning.given.calls == ["c"]);
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE t (x)")
            .unwrap();
        assert!(matches!(open(&path), Err(StoreError::Foreign { .. })));
        let text = dir.path().join("notes.txt");
        std::fs::write(
            &text,
            "nothing like a database, but long enough to be looked at".repeat(30),
        )
        .unwrap();
        assert!(matches!(open(&text), Err(StoreError::Foreign { .. })));
    }

    #[test]
    fn a_second_writer_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("airlock.db");
        let first = open(&path).unwrap();
        assert!(matches!(open(&path), Err(StoreError::InUse { .. })));
        drop(first);
        open(&path).unwrap();
    }
}
