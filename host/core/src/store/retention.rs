//! Forgetting: events older than `retention_days` are removed, and sessions that have not been seen for as long; marks by
//! which conversations are recognised, when nothing is held against them any more.
//!
//! Done by the writer between batches, in steps of at most [`STEP`] rows, at most one step in [`PAUSE`], so that no stream
//! notices. Freed pages go back to the file system. A session of which only the end is left is not replayable.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use super::schema::int;
use crate::event::Micros;
use crate::event::marks::{KEPT_US, MAX_MARKS};

/// Runs of events removed at a time: a few milliseconds of work.
const STEP: usize = 200;
/// Between two steps.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two looks when nothing was left to remove.
const LOOK: Duration = Duration::from_secs(600);

const DAY: Micros = 24 * 3600 * 1_000_000;

pub(super) struct Retention {
    /// Days to keep; 0: for ever.
    days: u32,
    due: Instant,
    /// Marks kept since some were forgotten.
    marks: usize,
}

impl Retention {
    /// Looks for the first time at once.
    pub(super) fn new(days: u32) -> Self {
        Self {
            days,
            due: Instant::now(),
            marks: 0,
        }
    }

    /// How long nothing is to be done.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        self.due.saturating_duration_since(now)
    }

    /// So many more marks were kept.
    pub(super) fn marked(&mut self, marks: usize) {
        self.marks += marks;
        if self.marks > MAX_MARKS {
            self.due = Instant::now();
        }
    }

    /// Does one step if it is due.
    pub(super) fn step(
        &mut self,
        connection: &mut Connection,
        now: Instant,
    ) -> Result<(), rusqlite::Error> {
        if now < self.due {
            return Ok(());
        }
        self.due = now + LOOK;
        forget_marks(connection)?;
        self.marks = 0;
        if self.days == 0 {
            return Ok(());
        }
        let before = crate::event::clock::now().saturating_sub(DAY * Micros::from(self.days));
        if remove(connection, before)? {
            self.due = now + PAUSE;
        }
        Ok(())
    }
}

/// Marks that no request is held against any more: the oldest stand first.
fn forget_marks(connection: &Connection) -> Result<(), rusqlite::Error> {
    let before = int(crate::event::clock::now().saturating_sub(KEPT_US));
    connection
        .prepare_cached(
            "DELETE FROM marks WHERE n < max(
                (SELECT max(n) FROM marks) - ?2 + 1,
                ifnull((SELECT n FROM marks WHERE at > ?1 ORDER BY n LIMIT 1), (SELECT max(n) + 1 FROM marks)))",
        )?
        .execute(params![before, MAX_MARKS as i64])?;
    // They say nothing without their session, and what retention removes is to be gone.
    connection
        .prepare_cached("DELETE FROM marks WHERE session NOT IN (SELECT id FROM sessions)")?
        .execute([])?;
    Ok(())
}

/// Removes some of what is older than `before`. Returns whether there may be more.
fn remove(connection: &mut Connection, before: Micros) -> Result<bool, rusqlite::Error> {
    let before = int(before);
    let transaction = connection.transaction()?;
    let session: Option<(i64, i64)> = transaction
        .prepare_cached(
            "SELECT n, last_seen FROM sessions WHERE oldest < ?1 ORDER BY oldest LIMIT 1",
        )?
        .query_row([before], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((n, last_seen)) = session else {
        return Ok(false);
    };
    let removed = transaction
        .prepare_cached(
            "DELETE FROM events WHERE session = ?1 AND seq IN
                (SELECT seq FROM events WHERE session = ?1 AND at < ?2 ORDER BY seq LIMIT ?3)",
        )?
        .execute(params![n, before, STEP as i64])?;
    if removed < STEP {
        if last_seen < before {
            transaction.execute("DELETE FROM sessions WHERE n = ?1", [n])?;
        } else {
            transaction.execute(
                "UPDATE sessions SET replayable = 0,
                    oldest = ifnull((SELECT at FROM events WHERE session = ?1 ORDER BY seq LIMIT 1), last_seen)
                 WHERE n = ?1",
                [n],
            )?;
        }
    }
    transaction.commit()?;
    // The pragma frees one page a row: it has to be read to the end.
    let mut vacuum = connection.prepare_cached("PRAGMA incremental_vacuum(1000)")?;
    let mut pages = vacuum.query([])?;
    while pages.next()?.is_some() {}
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::store::schema;

    fn count(connection: &Connection, table: &str) -> i64 {
        connection
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .unwrap()
    }

    #[test]
    fn the_old_goes_in_steps_and_the_new_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (mut connection, _lock) = schema::open(&dir.path().join("airlock.db")).unwrap();
        let session = "INSERT INTO sessions (id, tenant, principal, source, value, seed, opened, last_seen, oldest, replayable) VALUES";
        connection.execute_batch(&format!("{session} ('a','','','','',0,1,5000,1,1), ('b','','','','',0,1,20000,1,1), ('c','','','','',0,15000,15000,15000,1)")).unwrap();
        connection.execute_batch("BEGIN").unwrap();
        let mut insert = connection
            .prepare(
                "INSERT INTO events (session, seq, last, at, run) VALUES (?1, ?2, ?2, ?3, '[]')",
            )
            .unwrap();
        for at in 1..=5000 {
            insert.execute([1, at, at]).unwrap();
        }
        insert.execute([2, 1, 1]).unwrap();
        insert.execute([2, 2, 20000]).unwrap();
        insert.execute([3, 1, 15000]).unwrap();
        drop(insert);
        connection.execute_batch("COMMIT").unwrap();
        connection
            .execute("INSERT INTO seats VALUES (1, 'p', '', 0, x'', '[]')", [])
            .unwrap();

        let mut steps = 0;
        while remove(&mut connection, 10_000).unwrap() {
            steps += 1;
        }
        assert!(steps > 2, "all at once");
        assert_eq!(
            count(&connection, "sessions"),
            2,
            "the session that nobody saw since is gone"
        );
        assert_eq!(count(&connection, "seats"), 0, "and what belonged to it");
        assert_eq!(count(&connection, "events"), 2);
        let (replayable, oldest): (i64, i64) = connection
            .query_row(
                "SELECT replayable, oldest FROM sessions WHERE id = 'b'",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!(
            (replayable, oldest),
            (0, 20000),
            "without its beginning it cannot be replayed"
        );
    }

    #[test]
    fn zero_days_keep_everything() {
        let dir = tempfile::tempdir().unwrap();
        let (mut connection, _lock) = schema::open(&dir.path().join("airlock.db")).unwrap();
        connection.execute_batch("INSERT INTO sessions (id, tenant, principal, source, value, seed, opened, last_seen, oldest, replayable) VALUES ('a','','','','',0,1,1,1,1)").unwrap();
        Retention::new(0)
            .step(&mut connection, Instant::now())
            .unwrap();
        assert_eq!(count(&connection, "sessions"), 1);
        Retention::new(30)
            .step(&mut connection, Instant::now())
            .unwrap();
        assert_eq!(count(&connection, "sessions"), 0);
    }
}
