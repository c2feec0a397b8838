//! Reading durable state: for the server, and for the command line while a server runs or after it ended.
//!
//! A reader has its own read-only connection. It sees whole batches, never half of one, and never holds the writer up.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::runs;
use super::schema::{self, int};
use super::{
    ApprovalFilter, ApprovalRow, Counters, LedgerRow, SavedSession, Seat, SessionFilter,
    SessionRow, StoreError,
};
use crate::event::key::{InvalidSessionId, SessionId, SessionKey};
use crate::event::marks::{Kept, Meaning};
use crate::event::{Event, Micros};

/// A read-only view of a database.
#[derive(Debug)]
pub struct Reader(Connection);

const COLUMNS: &str = "id, tenant, principal, source, value, parent, opened, last_seen, model, replayable, \
                       events, exchanges, input_tokens, output_tokens, cost, tool_calls, tool_failures, findings, applied, faults, dropped";

impl Reader {
    /// Opens the database at `path`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        schema::open_read_only(path).map(Self)
    }

    /// Sessions, last seen first.
    pub fn sessions(
        &self,
        filter: &SessionFilter,
        limit: usize,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let mut statement = self.0.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM sessions
             WHERE (?1 IS NULL OR tenant = ?1) AND (?2 IS NULL OR principal = ?2) AND last_seen >= ?3
               AND (NOT ?4 OR findings + applied + faults > 0)
             ORDER BY last_seen DESC, n DESC LIMIT ?5"
        ))?;
        let since = int(filter.since.unwrap_or_default());
        let rows = statement.query_map(
            params![
                filter.tenant,
                filter.principal,
                since,
                filter.notable,
                int(limit as u64)
            ],
            session_row,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// One session as listed.
    pub fn session(&self, session: SessionId) -> Result<Option<SessionRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached(&format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1"))?;
        Ok(statement
            .query_row([session.to_string()], session_row)
            .optional()?)
    }

    /// Events after `after` (0: from the first), in order. An event that this version cannot read stands as an annotation.
    pub fn timeline(
        &self,
        session: SessionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "WITH s (n) AS (SELECT n FROM sessions WHERE id = ?1)
             SELECT run FROM events WHERE session = (SELECT n FROM s) AND last > ?2 AND seq >= ifnull(
                 (SELECT seq FROM events WHERE session = (SELECT n FROM s) AND seq <= ?2 ORDER BY seq DESC LIMIT 1), 0)
             ORDER BY seq",
        )?;
        let mut rows = statement.query(params![session.to_string(), int(after)])?;
        let mut events = Vec::new();
        while events.len() < limit
            && let Some(row) = rows.next()?
        {
            let text: String = row.get(0)?;
            let run = runs::read(&text).map_err(|error| {
                let kind = rusqlite::types::Type::Text;
                rusqlite::Error::FromSqlConversionFailure(0, kind, error.into())
            })?;
            let missing = limit - events.len();
            events.extend(
                run.into_iter()
                    .filter(|event| event.seq > after)
                    .take(missing),
            );
        }
        Ok(events)
    }

    /// Approvals, newest first.
    pub fn approvals(
        &self,
        filter: &ApprovalFilter,
        limit: usize,
    ) -> Result<Vec<ApprovalRow>, StoreError> {
        // `g` follows all hexadecimal digits.
        // Spelled out, so that SQLite takes the partial index.
        let live = if filter.live { "a.live" } else { "true" };
        let mut statement = self.0.prepare_cached(&format!(
            "SELECT a.id, s.id, a.opened, a.decided, a.live, a.value
             FROM approvals a JOIN sessions s ON s.n = a.session
             WHERE (?1 IS NULL OR s.id = ?1) AND (?2 IS NULL OR a.decided = ?2) AND {live}
               AND a.id >= ?3 AND a.id < ?3 || 'g'
             ORDER BY a.opened DESC, a.id LIMIT ?4",
        ))?;
        let rows = statement.query_map(
            params![
                filter.session.map(|session| session.to_string()),
                filter.decided,
                filter.prefix,
                int(limit as u64)
            ],
            |row| {
                Ok(ApprovalRow {
                    id: row.get(0)?,
                    session: session_id(1, row.get(1)?)?,
                    opened: uint(row, 2)?,
                    decided: row.get(3)?,
                    live: row.get(4)?,
                    value: row.get(5)?,
                })
            },
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The session whose id begins with `prefix`, or `last` for the one seen last.
    pub fn resolve(&self, prefix: &str) -> Result<SessionId, StoreError> {
        let unknown = || StoreError::Unknown(prefix.into());
        if prefix == "last" {
            let last = self.sessions(&SessionFilter::default(), 1)?;
            return last.first().map(|row| row.id).ok_or_else(unknown);
        }
        let digits = prefix.to_ascii_lowercase();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(unknown());
        }
        // `g` follows all hexadecimal digits.
        let mut statement = self.0.prepare_cached(
            "SELECT id FROM sessions WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 100",
        )?;
        let ids: Vec<String> = statement
            .query_map([&digits], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        match ids.as_slice() {
            [id] => id.parse().map_err(|_| unknown()),
            [] => Err(unknown()),
            many => Err(StoreError::Ambiguous {
                prefix: prefix.into(),
                count: many.len(),
            }),
        }
    }

    /// Marks of conversations, see [`Store::marks`](super::Store::marks).
    pub fn marks(&self, since: Micros, limit: usize) -> Result<Vec<Kept>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT mark, at, meaning, tenant, principal, source, value
             FROM marks JOIN sessions ON id = session WHERE at > ?1 ORDER BY marks.n DESC",
        )?;
        let mut rows = statement.query([int(since)])?;
        let (mut marks, mut newer) = (Vec::new(), HashSet::new());
        while let Some(row) = rows.next()?.filter(|_| marks.len() < limit) {
            let kept = kept(row)?;
            // Of what was kept again the newest counts.
            if newer.insert((kept.mark, Arc::clone(&kept.meaning.key))) {
                marks.push(kept);
            }
        }
        marks.reverse();
        Ok(marks)
    }

    /// Everything that is needed to go on with a session.
    pub fn load(&self, session: SessionId) -> Result<Option<SavedSession>, StoreError> {
        // One transaction: row, seats and ledger of the same batch.
        let transaction = self.0.unchecked_transaction()?;
        let Some(row) = self.session(session)? else {
            return Ok(None);
        };
        let (n, seed, next_seq, state): (i64, u32, u64, Option<Vec<u8>>) = transaction
            .prepare_cached("SELECT n, seed, next_seq, state FROM sessions WHERE id = ?1")?
            .query_row([session.to_string()], |row| {
                Ok((row.get(0)?, row.get(1)?, uint(row, 2)?, row.get(3)?))
            })?;
        let seats = transaction
            .prepare_cached("SELECT policy, digest, schema, state, kv FROM seats WHERE session = ?1 ORDER BY policy")?
            .query_map([n], |row| {
                let kv: String = row.get(4)?;
                Ok(Seat {
                    policy: row.get(0)?,
                    digest: row.get(1)?,
                    schema: row.get(2)?,
                    state: row.get(3)?,
                    kv: serde_json::from_str(&kv)
                        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, error.into()))?,
                })
            })?
            .collect::<Result<_, _>>()?;
        let ledger = transaction
            .prepare_cached(
                "SELECT max_tokens, max_cost, settled_tokens, settled_cost, reserved_tokens, reserved_cost
                 FROM ledgers WHERE session = ?1",
            )?
            .query_row([n], |row| {
                let limit = |index| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(index)?.map(|limit| limit.max(0) as u64));
                Ok(LedgerRow {
                    max_tokens: limit(0)?,
                    max_cost: limit(1)?,
                    settled_tokens: uint(row, 2)?,
                    settled_cost: uint(row, 3)?,
                    reserved_tokens: uint(row, 4)?,
                    reserved_cost: uint(row, 5)?,
                })
            })
            .optional()?;
        Ok(Some(SavedSession {
            row,
            seed,
            next_seq,
            state,
            seats,
            ledger,
        }))
    }
}

fn session_id(column: usize, text: String) -> Result<SessionId, rusqlite::Error> {
    text.parse().map_err(|error: InvalidSessionId| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}

fn session_row(row: &Row<'_>) -> Result<SessionRow, rusqlite::Error> {
    Ok(SessionRow {
        id: session_id(0, row.get(0)?)?,
        key: SessionKey {
            tenant: row.get(1)?,
            principal: row.get(2)?,
            source: row.get(3)?,
            value: row.get(4)?,
        },
        parent: row
            .get::<_, Option<String>>(5)?
            .map(|parent| session_id(5, parent))
            .transpose()?,
        opened: uint(row, 6)?,
        last_seen: uint(row, 7)?,
        model: row.get(8)?,
        replayable: row.get(9)?,
        counters: Counters {
            events: uint(row, 10)?,
            exchanges: row.get(11)?,
            input_tokens: uint(row, 12)?,
            output_tokens: uint(row, 13)?,
            cost: uint(row, 14)?,
            tool_calls: uint(row, 15)?,
            tool_failures: uint(row, 16)?,
            findings: uint(row, 17)?,
            applied: uint(row, 18)?,
            faults: uint(row, 19)?,
            dropped: uint(row, 20)?,
        },
    })
}

fn uint(row: &Row<'_>, index: usize) -> Result<u64, rusqlite::Error> {
    Ok(row.get::<_, i64>(index)?.max(0) as u64)
}
fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    let meaning: String = row.get(2)?;
    let (given, weak, continued) = serde_json::from_str(&meaning).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, error.into())
    })?;
    Ok(Kept {
        mark: row.get(0)?,
        meaning: Meaning {
            key: Arc::new(SessionKey {
                tenant: row.get(3)?,
                principal: row.get(4)?,
                source: row.get(5)?,
                value: row.get(6)?,
            }),
            given,
            weak,
            at: uint(row, 1)?,
            continued,
        },
    })
}
