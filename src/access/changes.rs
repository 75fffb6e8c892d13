//! What changes of roles and administrators have in common.

use sqlx::PgConnection;

/// 4204: one at a time makes or changes roles and administrators.
const CHANGES_LOCK: i64 = 4204;

/// Waits until nobody else changes roles or administrators, until the caller's transaction ends. Changes are rare, and rules
/// such as "one SuperAdmin stays" are about all of them.
///
/// # Errors
/// Those of the database.
pub async fn lock_changes(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(CHANGES_LOCK).execute(db).await?;
    Ok(())
}

/// Whether role `role` allows something that role `own` does not. Who changes roles and administrators may not give, nor
/// take from others, what the own role does not have.
///
/// # Errors
/// Those of the database.
pub async fn exceeds(db: &mut PgConnection, role: i64, own: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM role_permissions r \
             LEFT JOIN role_permissions o ON o.role_id = $2 AND o.permission_id = r.permission_id \
             WHERE r.role_id = $1 AND (r.read > COALESCE(o.read, false) OR r.write > COALESCE(o.write, false) \
                 OR r.edit > COALESCE(o.edit, false) OR r.delete > COALESCE(o.delete, false)))",
    )
    .bind(role)
    .bind(own)
    .fetch_one(db)
    .await
}
