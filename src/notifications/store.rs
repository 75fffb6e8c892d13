//! Notice documents in PostgreSQL.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use gencharge_actors::notification::{
    Audience, Change, Channels, Notice, NoticeId, NoticeKind, NoticePage, NoticeStatus, NotificationStore,
    NotificationStoreError, Posted, Recipient, Sender,
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

/// A row of the list: id, recipient's kind and number, times, document.
type Row = (String, String, Option<i64>, DateTime<Utc>, Option<DateTime<Utc>>, String);
/// A row of the order of all: place, channels, and the rest as in the list.
type PostedRow = (i64, i16, String, String, Option<i64>, DateTime<Utc>, Option<DateTime<Utc>>, String);

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
fn shown(
    (id, recipient_type, recipient_id, created_at, scheduled_at, document): Row,
) -> Result<Value, NotificationStoreError> {
    let fields: Map<String, Value> = serde_json::from_str(&document)
        .map_err(|error| NotificationStoreError::Refused(format!("notice {id}: {error}")))?;
    let mut shown = Map::new();
    shown.insert("_id".to_owned(), id.into());
    shown.extend(fields);
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    shown.insert("recipient_type".to_owned(), recipient_type.into());
    shown.insert("recipient_id".to_owned(), recipient_id.into());
    shown.insert("created_at".to_owned(), time(created_at).into());
    shown.insert("scheduled_at".to_owned(), scheduled_at.map(time).into());
    Ok(Value::Object(shown))
}

macro_rules! insert {
    ($conflict:literal) => {
        concat!(
            // The lock is held before the first number is taken, and to the commit: numbers appear in their order.
            "WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(4203))
             INSERT INTO notifications
                 (notification_id, recipient_type, recipient_id, created_at, scheduled_at, document, channels, seq)
             SELECT id, kind, recipient, created, scheduled, document, channels, nextval('notification_seq')
             FROM turn CROSS JOIN
                  unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::text[],
                         $7::smallint[])
                 AS notice (id, kind, recipient, created, scheduled, document, channels) ",
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
            let channels: Vec<_> = notices.iter().map(|notice| i16::from(notice.channels.bits())).collect();
            let insert = async |statement: &'static str| {
                sqlx::query(statement)
                    .bind(&ids)
                    .bind(&kinds)
                    .bind(&recipients)
                    .bind(&created)
                    .bind(&scheduled)
                    .bind(&documents)
                    .bind(&channels)
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
            let groups = kinds(audience);
            let (total,): (i64,) = sqlx::query_as(
                "SELECT (SELECT count(*) FROM notifications WHERE recipient_id = $1 AND recipient_type = $2
                             AND (scheduled_at IS NULL OR scheduled_at <= $4))
                      + (SELECT count(*) FROM notifications WHERE recipient_id IS NULL AND recipient_type = ANY($3)
                             AND (scheduled_at IS NULL OR scheduled_at <= $4)
                             AND (document::jsonb #>> '{attachments,category}' = ANY($5)) IS NOT TRUE)",
            )
            .bind(audience.own.id())
            .bind(audience.own.kind())
            .bind(&groups)
            .bind(now)
            .bind(&audience.muted)
            .fetch_one(&self.pool)
            .await
            .map_err(failed)?;
            // Each recipient's newest come in the index's order; only those few are merged.
            let rows: Vec<Row> = sqlx::query_as(
                "SELECT notification_id, recipient_type, recipient_id, created_at, scheduled_at, document FROM (
                     (SELECT * FROM notifications WHERE recipient_id = $1 AND recipient_type = $2
                          AND (scheduled_at IS NULL OR scheduled_at <= $4)
                      ORDER BY seq DESC LIMIT $5 + $6)
                     UNION ALL
                     SELECT newest.* FROM unnest($3::text[]) AS kinds (kind) CROSS JOIN LATERAL
                         (SELECT * FROM notifications WHERE recipient_id IS NULL AND recipient_type = kind
                              AND (scheduled_at IS NULL OR scheduled_at <= $4)
                              AND (document::jsonb #>> '{attachments,category}' = ANY($7)) IS NOT TRUE
                          ORDER BY seq DESC LIMIT $5 + $6) AS newest
                 ) AS merged
                 ORDER BY seq DESC OFFSET $5 LIMIT $6",
            )
            .bind(audience.own.id())
            .bind(audience.own.kind())
            .bind(&groups)
            .bind(now)
            .bind(offset)
            .bind(limit)
            .bind(&audience.muted)
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
            Ok(NoticePage { documents: rows.into_iter().map(shown).collect::<Result<_, _>>()?, total })
        })
    }

    fn posted<'a>(
        &'a self,
        of: Option<&'a Audience>,
        after: i64,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Posted>, NotificationStoreError>> {
        Box::pin(async move {
            let rows: Vec<PostedRow> = match of {
                None => {
                    sqlx::query_as(
                        "SELECT seq, channels, notification_id, recipient_type, recipient_id, created_at,
                                scheduled_at, document
                         FROM notifications WHERE seq > $1 ORDER BY seq LIMIT $2",
                    )
                    .bind(after)
                    .bind(i64::from(limit))
                    .fetch_all(&self.pool)
                    .await
                }
                Some(audience) => {
                    sqlx::query_as(
                        "SELECT seq, channels, notification_id, recipient_type, recipient_id, created_at,
                                scheduled_at, document FROM (
                             (SELECT * FROM notifications
                              WHERE recipient_id = $3 AND recipient_type = $4 AND seq > $1 ORDER BY seq LIMIT $2)
                             UNION ALL
                             SELECT next.* FROM unnest($5::text[]) AS kinds (kind) CROSS JOIN LATERAL
                                 (SELECT * FROM notifications
                                  WHERE recipient_id IS NULL AND recipient_type = kind AND seq > $1
                                    AND (document::jsonb #>> '{attachments,category}' = ANY($6)) IS NOT TRUE
                                  ORDER BY seq LIMIT $2) AS next
                         ) AS merged ORDER BY seq LIMIT $2",
                    )
                    .bind(after)
                    .bind(i64::from(limit))
                    .bind(audience.own.id())
                    .bind(audience.own.kind())
                    .bind(kinds(audience))
                    .bind(&audience.muted)
                    .fetch_all(&self.pool)
                    .await
                }
            }
            .map_err(failed)?;
            rows.into_iter().filter_map(|row| posted(row).transpose()).collect()
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<i64, NotificationStoreError>> {
        Box::pin(async move {
            sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM notifications")
                .fetch_one(&self.pool)
                .await
                .map_err(failed)
        })
    }

    fn change(
        &self,
        own: Recipient,
        id: NoticeId,
        change: Change,
    ) -> BoxFuture<'_, Result<bool, NotificationStoreError>> {
        let statement = match change {
            Change::View => {
                "UPDATE notifications SET document = document::jsonb || '{\"status\": \"viewed\"}'
                 WHERE notification_id = $1 AND recipient_type = $2 AND recipient_id = $3"
            }
            Change::Delete => {
                "DELETE FROM notifications
                 WHERE notification_id = $1 AND recipient_type = $2 AND recipient_id = $3"
            }
        };
        Box::pin(async move {
            sqlx::query(statement)
                .bind(id.to_string())
                .bind(own.kind())
                .bind(own.id())
                .execute(&self.pool)
                .await
                .map(|done| done.rows_affected() > 0)
                .map_err(failed)
        })
    }
}

fn kinds(audience: &Audience) -> Vec<&'static str> {
    audience.groups.iter().map(|group| group.kind()).collect()
}

/// `None`: for a kind of recipient that this version does not know.
fn posted(row: PostedRow) -> Result<Option<Posted>, NotificationStoreError> {
    let (seq, channels, id, kind, recipient_id, created_at, scheduled_at, document) = row;
    let Some(recipient) = Recipient::of(&kind, recipient_id) else { return Ok(None) };
    let channels = Channels::of_bits(u8::try_from(channels).unwrap_or_default());
    let document = shown((id, kind, recipient_id, created_at, scheduled_at, document))?;
    Ok(Some(Posted { seq, recipient, channels, document }))
}

fn failed(error: sqlx::Error) -> NotificationStoreError {
    if is_store_away(&error) {
        NotificationStoreError::Unavailable(error.to_string())
    } else {
        NotificationStoreError::Refused(error.to_string())
    }
}
