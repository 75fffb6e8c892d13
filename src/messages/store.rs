//! Parked messages in PostgreSQL, and parked batches of the outbox.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use gencharge_actors::kernel::Clock;
use gencharge_actors::messages::{Archive, ArchiveError, Parked, Replay};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, PgPool, QueryBuilder, Row};
use utoipa::ToSchema;

use crate::audit::{self, Entry};
use crate::http::array::Window;

/// Where the broker's parked messages are kept.
#[derive(Clone)]
pub struct PgArchive(PgPool);

impl PgArchive {
    /// In this database.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    async fn insert(&self, parked: &[Parked]) -> Result<(), sqlx::Error> {
        let mut sql = QueryBuilder::new(
            "INSERT INTO parked_messages (token, queue, routing_key, user_id, code, detail, content_type, message_id,
                 correlation_id, sent_at, headers, body, parked_at) ",
        );
        sql.push_values(parked, |mut row, message| {
            row.push_bind(&message.token)
                .push_bind(&message.queue)
                .push_bind(&message.routing_key)
                .push_bind(message.user_id.as_deref())
                .push_bind(&message.code)
                .push_bind(&message.detail)
                .push_bind(&message.content_type)
                .push_bind(&message.message_id)
                .push_bind(&message.correlation_id)
                .push_bind(message.sent_at)
                .push_bind(Json(&message.headers))
                .push_bind(&*message.body)
                .push_bind(message.parked_at);
        });
        sql.push(" ON CONFLICT (token) DO NOTHING").build().execute(&self.0).await.map(drop)
    }
}

impl Archive for PgArchive {
    fn keep<'a>(&'a self, parked: &'a [Parked]) -> BoxFuture<'a, Result<(), ArchiveError>> {
        Box::pin(async move { self.insert(parked).await.map_err(|error| ArchiveError(error.to_string())) })
    }
}

/// A parked message without its body.
#[derive(Clone, Debug, Serialize, FromRow, ToSchema)]
pub struct ParkedMessage {
    /// Its id here.
    pub parked_id: i64,
    /// The queue that it was in.
    pub queue: String,
    /// The key it was published with.
    pub routing_key: String,
    /// The producer's user at the broker, which vouches for it.
    pub user_id: Option<String>,
    /// Why it is here, as a stable word.
    pub code: String,
    /// Why it is here.
    pub detail: String,
    /// As the producer gave it.
    pub content_type: Option<String>,
    /// As the producer gave it.
    pub message_id: Option<String>,
    /// As the producer gave it.
    pub correlation_id: Option<String>,
    /// When the producer says that it sent it.
    pub sent_at: Option<DateTime<Utc>>,
    /// Bytes of its body.
    pub size: i64,
    /// When it was set aside.
    pub parked_at: DateTime<Utc>,
}

/// A parked batch of the outbox: the events of one transaction that no consumer could take.
#[derive(Clone, Debug, Serialize, FromRow, ToSchema)]
pub struct ParkedBatch {
    /// Its id.
    pub batch_id: i64,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// Its events.
    pub events: i32,
    /// How often it was tried.
    pub attempts: i32,
    /// Why it is here.
    pub last_error: Option<String>,
    /// When it was set aside.
    pub parked_at: DateTime<Utc>,
}

/// Which messages.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this queue.
    pub queue: Option<String>,
    /// With this code.
    pub code: Option<String>,
    /// Of this producer.
    pub user_id: Option<String>,
}

/// What was set aside; clones share everything.
#[derive(Clone)]
pub struct SetAside {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    /// The way back to the broker's queues, where there is a broker.
    pub(super) broker: Option<Arc<dyn Replay>>,
}

const COLUMNS: &str =
    "parked_id, queue, routing_key, user_id, code, detail, content_type, message_id, correlation_id,
    sent_at, length(body)::bigint AS size, parked_at";

impl SetAside {
    /// Over the database, and the broker where there is one.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, broker: Option<Arc<dyn Replay>>) -> Self {
        Self { pool, clock, broker }
    }

    /// Parked messages, newest first, and how many there are in all.
    pub(super) async fn messages(
        &self,
        wanted: &Wanted,
        window: Window,
    ) -> Result<(Vec<ParkedMessage>, i64), sqlx::Error> {
        let total = matching("count(*)", wanted).build_query_scalar().fetch_one(&self.pool).await?;
        let mut sql = matching(COLUMNS, wanted);
        sql.push(" ORDER BY parked_id DESC OFFSET ").push_bind(i64::from(window.skip));
        sql.push(" LIMIT ").push_bind(i64::from(window.limit));
        Ok((sql.build_query_as().fetch_all(&self.pool).await?, total))
    }

    /// One message, with what the broker needs to take it back.
    pub(super) async fn message(&self, id: i64) -> Result<Option<(ParkedMessage, Parked)>, sqlx::Error> {
        let sql = format!("SELECT {COLUMNS}, token, headers, body FROM parked_messages WHERE parked_id = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(&self.pool).await?;
        row.map(|row| Ok((ParkedMessage::from_row(&row)?, parked(&row)?))).transpose()
    }

    /// Removes a message, as `entry` tells the audit log. False when it is not there any more.
    pub(super) async fn remove(&self, id: i64, entry: Entry) -> Result<bool, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let removed = sqlx::query("DELETE FROM parked_messages WHERE parked_id = $1")
            .bind(id)
            .execute(&mut *tx)
            .await?;
        if removed.rows_affected() == 0 {
            return Ok(false);
        }
        audit::record(&mut tx, self.clock.now(), entry).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Parked batches, newest first, and how many there are in all.
    pub(super) async fn batches(&self, window: Window) -> Result<(Vec<ParkedBatch>, i64), sqlx::Error> {
        let total = sqlx::query_scalar("SELECT count(*) FROM outbox_batches WHERE parked_at IS NOT NULL")
            .fetch_one(&self.pool)
            .await?;
        let rows = sqlx::query_as(
            "SELECT batch_id, created_at, events, attempts, last_error, parked_at FROM outbox_batches
             WHERE parked_at IS NOT NULL ORDER BY batch_id DESC OFFSET $1 LIMIT $2",
        )
        .bind(i64::from(window.skip))
        .bind(i64::from(window.limit))
        .fetch_all(&self.pool)
        .await?;
        Ok((rows, total))
    }

    /// Puts a batch back among those that wait, with all its tries before it. False when it is not parked.
    pub(super) async fn put_back(&self, batch_id: i64, entry: Entry) -> Result<bool, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let put = sqlx::query(
            "UPDATE outbox_batches SET parked_at = NULL, attempts = 0, claimed_until = NULL
             WHERE batch_id = $1 AND parked_at IS NOT NULL",
        )
        .bind(batch_id)
        .execute(&mut *tx)
        .await?;
        if put.rows_affected() == 0 {
            return Ok(false);
        }
        audit::record(&mut tx, self.clock.now(), entry).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn matching(columns: &str, wanted: &Wanted) -> QueryBuilder<sqlx::Postgres> {
    let mut sql = QueryBuilder::new("SELECT ");
    sql.push(columns).push(" FROM parked_messages WHERE true");
    let filters = [("queue", &wanted.queue), ("code", &wanted.code), ("user_id", &wanted.user_id)];
    for (column, value) in filters {
        if let Some(value) = value {
            sql.push(" AND ").push(column).push(" = ").push_bind(value.clone());
        }
    }
    sql
}

fn parked(row: &PgRow) -> Result<Parked, sqlx::Error> {
    let Json(headers): Json<BTreeMap<String, String>> = row.try_get("headers")?;
    let user_id: Option<String> = row.try_get("user_id")?;
    let body: Vec<u8> = row.try_get("body")?;
    Ok(Parked {
        queue: row.try_get("queue")?,
        routing_key: row.try_get("routing_key")?,
        user_id: user_id.map(Arc::from),
        code: row.try_get("code")?,
        detail: row.try_get("detail")?,
        content_type: row.try_get("content_type")?,
        message_id: row.try_get("message_id")?,
        correlation_id: row.try_get("correlation_id")?,
        sent_at: row.try_get("sent_at")?,
        headers,
        body: body.into(),
        parked_at: row.try_get("parked_at")?,
        token: row.try_get("token")?,
    })
}
