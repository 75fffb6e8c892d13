//! How far each channel has come, and what failed, in PostgreSQL. Claims go by the database's clock, which all processes
//! share; tries go by the application's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use gencharge_actors::kernel::UserId;
use gencharge_actors::notification::channel::{DeliveryError, DeliveryStore, Failure, Settled};
use serde::Serialize;
use sqlx::{FromRow, PgPool};
use utoipa::ToSchema;

/// Dead failures kept of a channel.
const DEAD_KEPT: i64 = 10_000;

/// The tables `message_channels` and `message_failures` behind the port.
#[derive(Clone, Debug)]
pub struct PgDeliveries {
    pool: PgPool,
}

/// A failure as administrators see it: without what it says and to which address.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub struct FailedMessage {
    /// `sms` or `email`.
    pub channel: String,
    /// The notice that it is a copy of.
    pub notification_id: String,
    /// To which customer.
    pub user_id: i64,
    /// When what it tells happened.
    pub created_at: DateTime<Utc>,
    /// Tries so far.
    pub attempts: i32,
    /// When the last one failed.
    pub failed_at: DateTime<Utc>,
    /// When it is tried again; null: it is dead.
    pub next_at: Option<DateTime<Utc>>,
    /// Why the last try failed.
    pub last_error: String,
}

type Row = (String, i64, String, DateTime<Utc>, i32, String, Option<DateTime<Utc>>);

impl PgDeliveries {
    /// Works through `pool`.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The failures of every channel, the latest first, and how many there are.
    pub(super) async fn failures(
        &self,
        dead: bool,
        offset: i64,
        limit: i64,
    ) -> Result<(Vec<FailedMessage>, i64), sqlx::Error> {
        let rows = sqlx::query_as(
            "SELECT channel, notification_id, recipient_id AS user_id, created_at, attempts, failed_at, next_at,
                    last_error
             FROM message_failures WHERE (next_at IS NULL) = $1
             ORDER BY failed_at DESC, notification_id LIMIT $2 OFFSET $3",
        )
        .bind(dead)
        .bind(limit)
        .bind(offset)
        .fetch_all(&self.pool)
        .await?;
        let total = sqlx::query_scalar("SELECT count(*) FROM message_failures WHERE (next_at IS NULL) = $1")
            .bind(dead)
            .fetch_one(&self.pool)
            .await?;
        Ok((rows, total))
    }

    /// Has a failure tried again at once; false when there is none.
    pub(super) async fn retry(
        &self,
        channel: &str,
        notice: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, sqlx::Error> {
        let done = sqlx::query(
            "UPDATE message_failures SET next_at = $3, attempts = 0 WHERE channel = $1 AND notification_id = $2",
        )
        .bind(channel)
        .bind(notice)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn write(
        &self,
        channel: &str,
        owner: i64,
        settled: &Settled,
        now: DateTime<Utc>,
    ) -> Result<bool, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let moved =
            sqlx::query("UPDATE message_channels SET position = $3 WHERE channel = $1 AND leased_by = $2")
                .bind(channel)
                .bind(owner)
                .bind(settled.position)
                .execute(&mut *tx)
                .await?;
        if moved.rows_affected() == 0 {
            return Ok(false);
        }
        if !settled.done.is_empty() {
            sqlx::query("DELETE FROM message_failures WHERE channel = $1 AND notification_id = ANY($2)")
                .bind(channel)
                .bind(&settled.done)
                .execute(&mut *tx)
                .await?;
        }
        for failure in &settled.failed {
            sqlx::query(
                "INSERT INTO message_failures (channel, notification_id, recipient_id, description, created_at,
                                               attempts, failed_at, next_at, last_error)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (channel, notification_id) DO UPDATE SET attempts = excluded.attempts,
                     failed_at = excluded.failed_at, next_at = excluded.next_at, last_error = excluded.last_error",
            )
            .bind(channel)
            .bind(&failure.notice)
            .bind(failure.to.get())
            .bind(&failure.text)
            .bind(failure.at)
            .bind(i32::try_from(failure.attempts).unwrap_or(i32::MAX))
            .bind(now)
            .bind(failure.next)
            .bind(&failure.error)
            .execute(&mut *tx)
            .await?;
        }
        if settled.failed.iter().any(|failure| failure.next.is_none()) {
            sqlx::query(
                "DELETE FROM message_failures WHERE channel = $1 AND next_at IS NULL AND failed_at < (
                     SELECT failed_at FROM message_failures WHERE channel = $1 AND next_at IS NULL
                     ORDER BY failed_at DESC OFFSET $2 LIMIT 1)",
            )
            .bind(channel)
            .bind(DEAD_KEPT)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

impl DeliveryStore for PgDeliveries {
    fn claim<'a>(
        &'a self,
        channel: &'static str,
        owner: i64,
        lease: Duration,
        head: i64,
    ) -> BoxFuture<'a, Result<Option<i64>, DeliveryError>> {
        Box::pin(async move {
            sqlx::query_scalar(
                "INSERT INTO message_channels AS c (channel, position, leased_by, leased_until)
                 VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))
                 ON CONFLICT (channel) DO UPDATE
                     SET leased_by = excluded.leased_by, leased_until = excluded.leased_until
                 WHERE c.leased_by = excluded.leased_by OR c.leased_until IS NULL
                    OR c.leased_until <= clock_timestamp()
                 RETURNING position",
            )
            .bind(channel)
            .bind(head)
            .bind(owner)
            .bind(lease.as_secs_f64())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)
        })
    }

    fn due<'a>(
        &'a self,
        channel: &'static str,
        now: DateTime<Utc>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Failure>, DeliveryError>> {
        Box::pin(async move {
            let rows: Vec<Row> = sqlx::query_as(
                "SELECT notification_id, recipient_id, description, created_at, attempts, last_error, next_at
                 FROM message_failures WHERE channel = $1 AND next_at <= $2 ORDER BY next_at LIMIT $3",
            )
            .bind(channel)
            .bind(now)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
            let failure = |(notice, to, text, at, attempts, error, next): Row| Failure {
                notice,
                to: UserId(to),
                text,
                at,
                attempts: u32::try_from(attempts).unwrap_or(0),
                error,
                next,
            };
            Ok(rows.into_iter().map(failure).collect())
        })
    }

    fn settle<'a>(
        &'a self,
        channel: &'static str,
        owner: i64,
        settled: &'a Settled,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<bool, DeliveryError>> {
        Box::pin(async move { self.write(channel, owner, settled, now).await.map_err(failed) })
    }

    fn release<'a>(&'a self, channel: &'static str, owner: i64) -> BoxFuture<'a, Result<(), DeliveryError>> {
        Box::pin(async move {
            sqlx::query(
                "UPDATE message_channels SET leased_by = NULL, leased_until = NULL
                 WHERE channel = $1 AND leased_by = $2",
            )
            .bind(channel)
            .bind(owner)
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(failed)
        })
    }
}

fn failed(error: sqlx::Error) -> DeliveryError {
    DeliveryError(error.to_string())
}
