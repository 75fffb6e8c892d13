//! The table `backups`.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use crate::audit::{self, Entry};

/// What scheduled backups are of.
pub(super) const SCHEDULED: &str = "scheduled";
/// Backups in a list.
const LISTED: i64 = 1_000;
/// Backups looked at by one round of the retention.
const EXPIRED: i64 = 100;

/// A backup as it is kept.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Row {
    pub backup_id: String,
    pub backup_data: String,
    pub snapshot_name: String,
    pub storage_url: Option<String>,
    pub status: String,
    pub size_bytes: Option<i64>,
    pub description: Option<String>,
    pub details: Option<Value>,
    pub created_at: DateTime<Utc>,
    pub created_by: Option<i64>,
}

const COLUMNS: &str = "SELECT backup_id, backup_data, snapshot_name, storage_url, status, size_bytes, description, details, \
                       created_at, created_by FROM backups ";

/// The newest.
pub(super) async fn list(pool: &PgPool) -> Result<Vec<Row>, sqlx::Error> {
    let statement = format!("{COLUMNS} ORDER BY created_at DESC, backup_id DESC LIMIT {LISTED}");
    sqlx::query_as(sqlx::AssertSqlSafe(statement)).fetch_all(pool).await
}

/// One.
pub(super) async fn one(pool: &PgPool, id: &str) -> Result<Option<Row>, sqlx::Error> {
    let statement = format!("{COLUMNS} WHERE backup_id = $1");
    sqlx::query_as(sqlx::AssertSqlSafe(statement)).bind(id).fetch_optional(pool).await
}

/// A backup begins, and `by` is recorded.
pub(super) async fn begin(pool: &PgPool, row: &Row, by: Entry) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query(
        "INSERT INTO backups (backup_id, backup_data, snapshot_name, storage_url, status, description, details,
             created_at, created_by)
         VALUES ($1, $2, $3, $4, 'running', $5, $6, $7, $8)",
    )
    .bind(&row.backup_id)
    .bind(&row.backup_data)
    .bind(&row.snapshot_name)
    .bind(&row.storage_url)
    .bind(&row.description)
    .bind(&row.details)
    .bind(row.created_at)
    .bind(row.created_by)
    .execute(&mut *tx)
    .await?;
    audit::record(&mut tx, row.created_at, by).await?;
    tx.commit().await
}

/// It ended.
pub(super) async fn end(
    pool: &PgPool,
    id: &str,
    size: Option<i64>,
    details: &Value,
) -> Result<(), sqlx::Error> {
    let status = if size.is_some() { "success" } else { "failed" };
    sqlx::query("UPDATE backups SET status = $2, size_bytes = $3, details = $4 WHERE backup_id = $1")
        .bind(id)
        .bind(status)
        .bind(size)
        .bind(details)
        .execute(pool)
        .await
        .map(|_| ())
}

/// Adds to what is told of a backup.
pub(super) async fn append(pool: &PgPool, id: &str, detail: &Value) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE backups SET details = CASE jsonb_typeof(details) WHEN 'array' THEN details ELSE '[]' END || $2::jsonb
         WHERE backup_id = $1",
    )
    .bind(id)
    .bind(Value::Array(vec![detail.clone()]))
    .execute(pool)
    .await
    .map(|_| ())
}

/// Backups that dead processes left; only for the one that holds the lock. Gives their files.
pub(super) async fn give_up(db: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "UPDATE backups SET status = 'failed', details = '[{\"error\": \"the process ended before the backup did\"}]'
         WHERE status = 'running' RETURNING coalesce(storage_url, '')",
    )
    .fetch_all(db)
    .await
}

/// Takes a row away, with a record of it. False when there was none.
pub(super) async fn delete(
    pool: &PgPool,
    id: &str,
    now: DateTime<Utc>,
    by: Entry,
) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let gone = sqlx::query("DELETE FROM backups WHERE backup_id = $1 AND status <> 'running'")
        .bind(id)
        .execute(&mut *tx)
        .await?;
    if gone.rows_affected() == 0 {
        return Ok(false);
    }
    audit::record(&mut tx, now, by).await?;
    tx.commit().await?;
    Ok(true)
}

/// When the last scheduled backup was tried.
pub(super) async fn last_scheduled(pool: &PgPool) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar("SELECT max(created_at) FROM backups WHERE backup_data = $1")
        .bind(SCHEDULED)
        .fetch_one(pool)
        .await
}

/// Scheduled backups from before `kept_from`, without the newest good one.
pub(super) async fn expired(pool: &PgPool, kept_from: DateTime<Utc>) -> Result<Vec<Row>, sqlx::Error> {
    let statement = format!(
        "{COLUMNS} WHERE backup_data = $1 AND status <> 'running' AND created_at < $2 AND created_at < (
             SELECT max(created_at) FROM backups WHERE backup_data = $1 AND status = 'success')
         ORDER BY created_at LIMIT {EXPIRED}"
    );
    sqlx::query_as(sqlx::AssertSqlSafe(statement)).bind(SCHEDULED).bind(kept_from).fetch_all(pool).await
}

/// Removes a backup's file; what is no file of ours stays.
pub(super) fn remove_file(path: &str) {
    let ours = Path::new(path).extension().is_some_and(|extension| extension == super::file::EXTENSION);
    if !ours {
        return;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, path, "backups.file_stays");
        }
        _ => {}
    }
}
