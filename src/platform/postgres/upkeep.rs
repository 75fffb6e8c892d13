//! Housekeeping of the SQL store: partitions ahead; old outbox days, idempotency keys, sessions and one-time codes away.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::BoxFuture;
use gencharge_actors::kernel::Clock;
use gencharge_actors::upkeep::{Tidied, Upkeep, UpkeepError};
use sqlx::{AssertSqlSafe, PgPool};
use std::sync::Arc;

/// Rows deleted by one statement.
const CHUNK: i64 = 5_000;
/// Statements of one kind in one round.
const CHUNKS: u32 = 40;
/// How long keys are kept.
const KEYS_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long sessions are kept after their end, for those who look into a theft.
const SESSIONS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long codes are kept after their end; covers clocks that differ.
const CODES_KEPT: Duration = Duration::from_secs(600);
/// What partitions reach ahead: months and days.
const AHEAD: (i32, i32) = (6, 14);

/// Tidies the SQL store.
#[derive(Clone)]
pub struct PgUpkeep {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    outbox_retention: Duration,
}

impl PgUpkeep {
    /// Keeps delivered events for `outbox_retention` (`GENCHARGE_OUTBOX_RETENTION`), undelivered ones for ever.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, outbox_retention: Duration) -> Self {
        Self { pool, clock, outbox_retention }
    }

    async fn round(&self) -> Result<Tidied, sqlx::Error> {
        let now = self.clock.now();
        let mut tidied = Tidied { made: self.ensure_partitions(now).await?, ..Tidied::default() };
        let kept_from = earlier(now, self.outbox_retention);
        for (name, day) in self.outbox_days().await? {
            tidied.dropped += u64::from(self.drop_day(&name, day, kept_from).await?);
        }
        self.delete_batches(kept_from, &mut tidied).await?;
        // By the database's clock too: a process whose clock is ahead must not forget keys that clients still use.
        self.delete(
            "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY (
                 SELECT ctid FROM idempotency_keys
                 WHERE created_at < least($1, now() - interval '30 days') LIMIT $2))",
            earlier(now, KEYS_KEPT),
            &mut tidied,
        )
        .await?;
        self.delete(
            "DELETE FROM sessions WHERE ctid = ANY (ARRAY (
                 SELECT ctid FROM sessions WHERE refresh_expires_at < $1 AND access_expires_at < $1 LIMIT $2))",
            earlier(now, SESSIONS_KEPT),
            &mut tidied,
        )
        .await?;
        self.delete(
            "DELETE FROM otp_codes WHERE ctid = ANY (ARRAY (
                 SELECT ctid FROM otp_codes
                 WHERE expires_at < $1 AND window_start < $1 - interval '1 hour' LIMIT $2))",
            earlier(now, CODES_KEPT),
            &mut tidied,
        )
        .await?;
        Ok(tidied)
    }

    async fn ensure_partitions(&self, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *transaction).await?;
        let (made,): (i32,) = sqlx::query_as(
            "SELECT ensure_partitions('transactions', 'month', $1, $1 + make_interval(months => $2))
                  + ensure_partitions('postings', 'month', $1, $1 + make_interval(months => $2))
                  + ensure_partitions('outbox_events', 'day', $1, $1 + make_interval(days => $3))",
        )
        .bind(now)
        .bind(AHEAD.0)
        .bind(AHEAD.1)
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(u64::try_from(made).unwrap_or(0))
    }

    /// The partitions of the events and their days, oldest first.
    async fn outbox_days(&self) -> Result<Vec<(String, NaiveDate)>, sqlx::Error> {
        let names: Vec<(String,)> = sqlx::query_as(
            "SELECT child.relname::text FROM pg_inherits
             JOIN pg_class child ON child.oid = inhrelid
             WHERE inhparent = 'outbox_events'::regclass ORDER BY 1",
        )
        .fetch_all(&self.pool)
        .await?;
        let day = |name: &str| NaiveDate::parse_from_str(name.strip_prefix("outbox_events_")?, "%Y%m%d").ok();
        Ok(names.into_iter().filter_map(|(name,)| day(&name).map(|day| (name, day))).collect())
    }

    /// Drops a day's events when the whole day is past `kept_from` and everything in it was delivered.
    async fn drop_day(
        &self,
        name: &str,
        day: NaiveDate,
        kept_from: DateTime<Utc>,
    ) -> Result<bool, sqlx::Error> {
        let (Some(from), Some(to)) = (midnight(day), day.succ_opt().and_then(midnight)) else {
            return Ok(false);
        };
        if to > kept_from {
            return Ok(false);
        }
        let mut transaction = self.pool.begin().await?;
        // A dropped day locks the whole table for a moment: give up rather than hold up payments.
        sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *transaction).await?;
        let (undelivered,): (bool,) = sqlx::query_as(
            "SELECT EXISTS (SELECT FROM outbox_batches WHERE delivered_at IS NULL AND parked_at IS NULL
                            AND created_at >= $1 AND created_at < $2)
                 OR EXISTS (SELECT FROM outbox_batches WHERE parked_at IS NOT NULL
                            AND created_at >= $1 AND created_at < $2)",
        )
        .bind(from)
        .bind(to)
        .fetch_one(&mut *transaction)
        .await?;
        if undelivered {
            tracing::warn!(outbox.day = %day, "outbox day kept past its retention: it has undelivered batches");
            return Ok(false);
        }
        // The name has the fixed form checked by `outbox_days`.
        sqlx::query(AssertSqlSafe(format!("DROP TABLE {name}"))).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Deletes delivered batches of before `kept_from`, from the oldest on.
    async fn delete_batches(&self, kept_from: DateTime<Utc>, tidied: &mut Tidied) -> Result<(), sqlx::Error> {
        // Whole days only: as long as a day's events are there, so are their batches.
        let Some(kept_from) = midnight(kept_from.date_naive()) else { return Ok(()) };
        for _ in 0..CHUNKS {
            let deleted = sqlx::query(
                "DELETE FROM outbox_batches WHERE batch_id IN (
                     SELECT batch_id FROM (
                         SELECT batch_id, created_at, delivered_at FROM outbox_batches ORDER BY batch_id LIMIT $2
                     ) AS first WHERE created_at < $1 AND delivered_at IS NOT NULL)",
            )
            .bind(kept_from)
            .bind(CHUNK)
            .execute(&self.pool)
            .await?
            .rows_affected();
            tidied.deleted += deleted;
            if deleted < u64::try_from(CHUNK / 2).unwrap_or(0) {
                return Ok(());
            }
        }
        tidied.more = true;
        Ok(())
    }

    /// Deletes with `statement` what was over before `$1`, at most `$2` rows at a time.
    async fn delete(
        &self,
        statement: &'static str,
        kept_from: DateTime<Utc>,
        tidied: &mut Tidied,
    ) -> Result<(), sqlx::Error> {
        for _ in 0..CHUNKS {
            let delete = sqlx::query(statement).bind(kept_from).bind(CHUNK);
            let deleted = delete.execute(&self.pool).await?.rows_affected();
            tidied.deleted += deleted;
            if i64::try_from(deleted).unwrap_or(0) < CHUNK {
                return Ok(());
            }
        }
        tidied.more = true;
        Ok(())
    }
}

impl Upkeep for PgUpkeep {
    fn tidy(&self) -> BoxFuture<'_, Result<Tidied, UpkeepError>> {
        Box::pin(async move { self.round().await.map_err(|error| UpkeepError(error.to_string())) })
    }
}

fn earlier(now: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    chrono::TimeDelta::from_std(by)
        .ok()
        .and_then(|by| now.checked_sub_signed(by))
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}

fn midnight(day: NaiveDate) -> Option<DateTime<Utc>> {
    day.and_hms_opt(0, 0, 0).map(|naive| naive.and_utc())
}
