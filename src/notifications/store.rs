//! Notice documents in PostgreSQL (JSONB).

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use gencharge_actors::kernel::{AccountStatus, UserId, UserType};
use gencharge_actors::notification::{
    Audience, Notice, NoticeKind, NoticePage, NoticeStatus, NotificationStore, NotificationStoreError, Sender,
};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sqlx::PgPool;

use crate::http::problem::is_store_away;

/// The table `notifications` behind the port.
#[derive(Clone, Debug)]
pub struct PgNotificationStore {
    pool: PgPool,
}

impl PgNotificationStore {
    /// Works through `pool`. The actor's instance may share the relay's (see `platform::bus::outbox::relay_pool`).
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

/// What the columns do not say.
#[derive(Serialize)]
struct Document<'a> {
    sender_type: Sender,
    description: &'a str,
    status: NoticeStatus,
    #[serde(rename = "type")]
    kind: NoticeKind,
    attachments: &'a RawValue,
}

/// A row of the list.
type Row = (String, String, Option<i64>, DateTime<Utc>, Option<DateTime<Utc>>, Value);

fn document(notice: &Notice) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Document {
        sender_type: notice.sender,
        description: &notice.description,
        status: notice.status,
        kind: notice.kind,
        attachments: serde_json::from_str(&notice.attachments)?,
    })
}

/// A document as clients see it.
fn shown((id, recipient_type, recipient_id, created_at, scheduled_at, document): Row) -> Value {
    let mut shown = Map::new();
    shown.insert("_id".to_owned(), id.into());
    if let Value::Object(fields) = document {
        shown.extend(fields);
    }
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    shown.insert("recipient_type".to_owned(), recipient_type.into());
    shown.insert("recipient_id".to_owned(), recipient_id.into());
    shown.insert("created_at".to_owned(), time(created_at).into());
    shown.insert("scheduled_at".to_owned(), scheduled_at.map(time).into());
    Value::Object(shown)
}

macro_rules! insert {
    ($conflict:literal) => {
        concat!(
            "INSERT INTO notifications
                 (notification_id, recipient_type, recipient_id, created_at, scheduled_at, document)
             SELECT id, kind, recipient, created, scheduled, document::jsonb
             FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::text[])
                 AS notice (id, kind, recipient, created, scheduled, document) ",
            $conflict
        )
    };
}

const INSERT: &str = insert!("");
const INSERT_MISSING: &str = insert!("ON CONFLICT (notification_id) DO NOTHING");

fn exists(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

impl NotificationStore for PgNotificationStore {
    fn put<'a>(
        &'a self,
        notices: &'a [Notice],
        again: bool,
    ) -> BoxFuture<'a, Result<u64, NotificationStoreError>> {
        Box::pin(async move {
            let documents: Vec<_> = notices
                .iter()
                .map(document)
                .collect::<Result<_, _>>()
                .map_err(|error| NotificationStoreError::Refused(error.to_string()))?;
            let ids: Vec<_> = notices.iter().map(|notice| notice.id.to_string()).collect();
            let kinds: Vec<_> = notices.iter().map(|notice| notice.recipient.kind()).collect();
            let recipients: Vec<_> = notices.iter().map(|notice| notice.recipient.id()).collect();
            let created: Vec<_> = notices.iter().map(|notice| notice.created_at).collect();
            let scheduled: Vec<_> = notices.iter().map(|notice| notice.scheduled_at).collect();
            let insert = async |statement: &'static str| {
                sqlx::query(statement)
                    .bind(&ids)
                    .bind(&kinds)
                    .bind(&recipients)
                    .bind(&created)
                    .bind(&scheduled)
                    .bind(&documents)
                    .execute(&self.pool)
                    .await
                    .map(|done| done.rows_affected())
            };
            // Looking for conflicts costs a fifth of the write, and there are none unless a delivery is repeated.
            let written = match again {
                true => insert(INSERT_MISSING).await,
                false => match insert(INSERT).await {
                    Err(error) if exists(&error) => insert(INSERT_MISSING).await,
                    written => written,
                },
            };
            written.map_err(failed)
        })
    }

    fn mine<'a>(
        &'a self,
        audience: &'a Audience,
        now: DateTime<Utc>,
        offset: i64,
        limit: i64,
    ) -> BoxFuture<'a, Result<NoticePage, NotificationStoreError>> {
        Box::pin(async move {
            let groups: Vec<_> = audience.groups.iter().map(|group| group.kind()).collect();
            let (total,): (i64,) = sqlx::query_as(
                "SELECT (SELECT count(*) FROM notifications WHERE recipient_id = $1 AND recipient_type = $2
                             AND (scheduled_at IS NULL OR scheduled_at <= $4))
                      + (SELECT count(*) FROM notifications WHERE recipient_id IS NULL AND recipient_type = ANY($3)
                             AND (scheduled_at IS NULL OR scheduled_at <= $4))",
            )
            .bind(audience.own.id())
            .bind(audience.own.kind())
            .bind(&groups)
            .bind(now)
            .fetch_one(&self.pool)
            .await
            .map_err(failed)?;
            // Each recipient's newest come in the index's order; only those few are merged.
            let rows: Vec<Row> = sqlx::query_as(
                "SELECT notification_id, recipient_type, recipient_id, created_at, scheduled_at, document FROM (
                     (SELECT * FROM notifications WHERE recipient_id = $1 AND recipient_type = $2
                          AND (scheduled_at IS NULL OR scheduled_at <= $4)
                      ORDER BY created_at DESC, notification_id DESC LIMIT $5 + $6)
                     UNION ALL
                     SELECT newest.* FROM unnest($3::text[]) AS kinds (kind) CROSS JOIN LATERAL
                         (SELECT * FROM notifications WHERE recipient_id IS NULL AND recipient_type = kind
                              AND (scheduled_at IS NULL OR scheduled_at <= $4)
                          ORDER BY created_at DESC, notification_id DESC LIMIT $5 + $6) AS newest
                 ) AS merged
                 ORDER BY created_at DESC, notification_id DESC OFFSET $5 LIMIT $6",
            )
            .bind(audience.own.id())
            .bind(audience.own.kind())
            .bind(&groups)
            .bind(now)
            .bind(offset)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
            Ok(NoticePage { documents: rows.into_iter().map(shown).collect(), total })
        })
    }
}

fn failed(error: sqlx::Error) -> NotificationStoreError {
    if is_store_away(&error) {
        NotificationStoreError::Unavailable(error.to_string())
    } else {
        NotificationStoreError::Refused(error.to_string())
    }
}

/// A customer's kind and status; nothing when there is no such customer.
///
/// # Errors
/// SQL.
pub(super) async fn standing(
    pool: &PgPool,
    user: UserId,
) -> Result<(Option<UserType>, Option<AccountStatus>), sqlx::Error> {
    let row: Option<(Option<String>, String)> =
        sqlx::query_as("SELECT user_type, status FROM users WHERE user_id = $1")
            .bind(user.get())
            .fetch_optional(pool)
            .await?;
    Ok(row.map_or((None, None), |(user_type, status)| {
        (user_type.and_then(|word| word.parse().ok()), status.parse().ok())
    }))
}
