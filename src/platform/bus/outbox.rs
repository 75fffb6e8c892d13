//! The outbox in PostgreSQL. Leases go by the database's clock, which all processes share.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use gencharge_actors::events::Event;
use gencharge_actors::kernel::{EventId, TxnId};
use gencharge_actors::relay::{Batch, ClaimLimits, Outbox, OutboxError, OutboxEvent, Standing};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool};

/// The outbox's tables behind the relay's port.
#[derive(Clone, Debug)]
pub struct PgOutbox {
    pool: PgPool,
}

/// A claimed row.
type Claimed = (i64, DateTime<Utc>, i32, i32);
/// An event's row: batch, event, type, transaction, data, addressee.
type EventRow = (i64, i64, String, Option<i64>, String, Option<String>);

/// A pool for the relay and for what it feeds in the same database: few connections, and commits that do not wait for
/// the disk. A crash may then lose a claim or a mark, which means a repeated delivery; it cannot keep a mark and lose
/// the notices written before it, as the log is flushed in order.
#[must_use]
pub fn relay_pool(options: PgConnectOptions) -> PgPool {
    let options = options.application_name("gencharge-relay").options([
        ("synchronous_commit", "off"),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        // A plan made while the outbox is small must not join by reading all of it once it is large.
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
        ("statement_timeout", "10s"),
    ]);
    PgPoolOptions::new()
        .max_connections(3)
        .acquire_timeout(Duration::from_secs(5))
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// Writes events, each with the transaction behind it, as one batch in the caller's transaction. They are delivered
/// within some 200 ms of its commit.
///
/// # Errors
/// Those of the database.
pub async fn append(
    db: &mut PgConnection,
    now: DateTime<Utc>,
    events: &[(Event, Option<TxnId>)],
) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    sqlx::query("SELECT outbox_append($1, $2, $3, $4)")
        .bind(now)
        .bind(events.iter().map(|(event, _)| event.type_name()).collect::<Vec<_>>())
        .bind(events.iter().map(|(_, txn)| txn.map(TxnId::get)).collect::<Vec<_>>())
        .bind(events.iter().map(|(event, _)| event.data_json()).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(())
}

impl PgOutbox {
    /// Works through `pool` (see [`relay_pool`]).
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    async fn claim_rows(&self, limits: ClaimLimits, lease: Duration) -> Result<Vec<Claimed>, sqlx::Error> {
        // Rows locked and not chosen are let go by the commit. The chosen ones are named by an array, which only an index
        // condition can use: a join planned while the table was known to be empty would walk all of it for every batch.
        sqlx::query_as(
            "WITH waiting AS MATERIALIZED (
                 SELECT batch_id, events FROM outbox_batches
                 WHERE delivered_at IS NULL AND parked_at IS NULL
                   AND (claimed_until IS NULL OR claimed_until <= now())
                 ORDER BY batch_id LIMIT $1 FOR UPDATE SKIP LOCKED
             ), chosen AS (
                 SELECT batch_id FROM (
                     SELECT batch_id, sum(events) OVER (ORDER BY batch_id) - events AS before FROM waiting
                 ) summed WHERE before < $2
             )
             UPDATE outbox_batches AS b
             SET claimed_until = now() + $3 * interval '1 millisecond', attempts = b.attempts + 1
             WHERE b.batch_id = ANY(ARRAY(SELECT batch_id FROM chosen))
             RETURNING b.batch_id, b.created_at, b.events, b.attempts",
        )
        .bind(i64::from(limits.batches))
        .bind(i64::from(limits.events))
        .bind(millis(lease))
        .fetch_all(&self.pool)
        .await
    }

    /// The events of `claimed`. Their times name their partitions; rows that are not there are looked for everywhere.
    async fn events_of(&self, claimed: &[Claimed]) -> Result<Vec<EventRow>, sqlx::Error> {
        let ids: Vec<_> = claimed.iter().map(|row| row.0).collect();
        let from = claimed.iter().map(|row| row.1).min();
        let to = claimed.iter().map(|row| row.1).max();
        let expected: i64 = claimed.iter().map(|row| i64::from(row.2)).sum();
        let rows: Vec<EventRow> = sqlx::query_as(
            "SELECT batch_id, event_id, type, txn_id, data, addressee FROM outbox_events
             WHERE batch_id = ANY($1) AND created_at BETWEEN $2 AND $3",
        )
        .bind(&ids)
        .bind(from)
        .bind(to)
        .fetch_all(&self.pool)
        .await?;
        if i64::try_from(rows.len()) == Ok(expected) {
            return Ok(rows);
        }
        let rows: Vec<EventRow> = sqlx::query_as(
            "SELECT batch_id, event_id, type, txn_id, data, addressee FROM outbox_events WHERE batch_id = ANY($1)",
        )
        .bind(&ids)
        .fetch_all(&self.pool)
        .await?;
        if i64::try_from(rows.len()) != Ok(expected) {
            tracing::error!(
                outbox.expected = expected,
                outbox.found = rows.len(),
                outbox.first_batch_id = ids.iter().min(),
                "outbox batches do not have the events they claim; what is there is delivered"
            );
        }
        Ok(rows)
    }
}

fn together(claimed: Vec<Claimed>, rows: Vec<EventRow>) -> Vec<Batch> {
    let mut events: HashMap<i64, Vec<OutboxEvent>> = HashMap::with_capacity(claimed.len());
    for (batch_id, event_id, type_name, txn_id, data, addressee) in rows {
        let (event_id, txn_id) = (EventId(event_id), txn_id.map(TxnId));
        let event = OutboxEvent { event_id, type_name, txn_id, data, addressee };
        events.entry(batch_id).or_default().push(event);
    }
    let mut batches: Vec<_> = claimed
        .into_iter()
        .map(|(batch_id, created_at, _, attempts)| {
            let mut events = events.remove(&batch_id).unwrap_or_default();
            events.sort_unstable_by_key(|event| event.event_id);
            Batch { batch_id, created_at, attempts: u32::try_from(attempts).unwrap_or(1), events }
        })
        .collect();
    batches.sort_unstable_by_key(|batch| batch.batch_id);
    batches
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn failed(error: sqlx::Error) -> OutboxError {
    OutboxError(error.to_string())
}

impl Outbox for PgOutbox {
    fn claim(&self, limits: ClaimLimits, lease: Duration) -> BoxFuture<'_, Result<Vec<Batch>, OutboxError>> {
        Box::pin(async move {
            let claimed = self.claim_rows(limits, lease).await.map_err(failed)?;
            if claimed.is_empty() {
                return Ok(Vec::new());
            }
            let rows = self.events_of(&claimed).await.map_err(failed)?;
            Ok(together(claimed, rows))
        })
    }

    fn delivered<'a>(&'a self, batch_ids: &'a [i64]) -> BoxFuture<'a, Result<u64, OutboxError>> {
        Box::pin(async move {
            sqlx::query(
                "UPDATE outbox_batches SET delivered_at = now(), claimed_until = NULL, parked_at = NULL
                 WHERE batch_id = ANY($1) AND delivered_at IS NULL",
            )
            .bind(batch_ids)
            .execute(&self.pool)
            .await
            .map(|done| done.rows_affected())
            .map_err(failed)
        })
    }

    fn release<'a>(
        &'a self,
        batch_ids: &'a [i64],
        pause: Duration,
        counted: bool,
        error: &'a str,
    ) -> BoxFuture<'a, Result<(), OutboxError>> {
        Box::pin(async move {
            sqlx::query(
                "UPDATE outbox_batches
                 SET claimed_until = now() + $2 * interval '1 millisecond',
                     attempts = greatest(attempts - $3, 0), last_error = left($4, 300)
                 WHERE batch_id = ANY($1) AND delivered_at IS NULL",
            )
            .bind(batch_ids)
            .bind(millis(pause))
            .bind(i32::from(!counted))
            .bind(error)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed)
        })
    }

    fn park<'a>(&'a self, batch_id: i64, error: &'a str) -> BoxFuture<'a, Result<(), OutboxError>> {
        Box::pin(async move {
            sqlx::query(
                "UPDATE outbox_batches SET parked_at = now(), claimed_until = NULL, last_error = left($2, 300)
                 WHERE batch_id = $1 AND delivered_at IS NULL",
            )
            .bind(batch_id)
            .bind(error)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed)
        })
    }

    fn standing(&self) -> BoxFuture<'_, Result<Standing, OutboxError>> {
        Box::pin(async move {
            // The oldest by id: the first row of the index, so it costs next to nothing.
            let (lag, parked): (i64, i64) = sqlx::query_as(
                "SELECT coalesce((
                     SELECT (extract(epoch FROM now() - created_at) * 1000)::bigint FROM outbox_batches
                     WHERE delivered_at IS NULL AND parked_at IS NULL ORDER BY batch_id LIMIT 1), 0),
                     (SELECT count(*) FROM outbox_batches WHERE parked_at IS NOT NULL)",
            )
            .fetch_one(&self.pool)
            .await
            .map_err(failed)?;
            let lag = Duration::from_millis(u64::try_from(lag).unwrap_or(0));
            Ok(Standing { lag, parked: u64::try_from(parked).unwrap_or(0) })
        })
    }
}
