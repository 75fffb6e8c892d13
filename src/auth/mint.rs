//! Access tokens without a code: for the command line, which already has the database.

use std::time::Duration;

use gencharge_actors::kernel::{Clock, PhoneNumber, Random};
use sqlx::PgPool;
use uuid::Uuid;

use super::service::{bounded, random_uuid};
use super::token::{CUSTOMER_ROLE, Keys, Subject, SubjectKind};

/// Sessions inserted by one statement.
const CHUNK: usize = 5_000;

/// The customer (active) or administrator with that number.
///
/// # Errors
/// Those of the database.
pub async fn find_subject(pool: &PgPool, phone: PhoneNumber) -> Result<Option<Subject>, sqlx::Error> {
    let row: Option<(String, i64, String)> = sqlx::query_as(
        "SELECT 'admin', a.admin_id, r.role_name FROM admins a JOIN roles r USING (role_id) WHERE a.phone = $1 \
         UNION ALL SELECT 'user', user_id, $2 FROM users WHERE phone = $1 AND status = 'active'",
    )
    .bind(phone.e164())
    .bind(CUSTOMER_ROLE)
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|(kind, id, role)| {
        let kind = if kind == SubjectKind::Admin.as_str() { SubjectKind::Admin } else { SubjectKind::User };
        Subject { kind, id, phone, role }
    }))
}

/// One access token each, good for `ttl`, with a session that can be revoked like any other. Sessions are written
/// 5,000 a statement, so a hundred thousand tokens take seconds.
///
/// # Errors
/// Those of the database.
pub async fn mint(
    pool: &PgPool,
    keys: &Keys,
    clock: &dyn Clock,
    random: &dyn Random,
    subjects: &[Subject],
    ttl: Duration,
) -> Result<Vec<String>, sqlx::Error> {
    let now = clock.now();
    let until = now + bounded(ttl);
    let mut tokens = Vec::with_capacity(subjects.len());
    for chunk in subjects.chunks(CHUNK) {
        let sessions: Vec<Uuid> = chunk.iter().map(|_| random_uuid(random)).collect();
        let kinds: Vec<&str> = chunk.iter().map(|subject| subject.kind.as_str()).collect();
        let ids: Vec<i64> = chunk.iter().map(|subject| subject.id).collect();
        sqlx::query(
            "INSERT INTO sessions (session_id, subject_kind, subject_id, rotated_at, access_expires_at, \
                                   refresh_expires_at, login_time, last_active) \
             SELECT session, kind, id, $4, $5, $5, $4, $4 \
             FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS minted(session, kind, id)",
        )
        .bind(&sessions)
        .bind(&kinds)
        .bind(&ids)
        .bind(now)
        .bind(until)
        .execute(pool)
        .await?;
        tokens.extend(
            chunk
                .iter()
                .zip(sessions)
                .map(|(subject, session)| keys.access(subject, session, random_uuid(random), now, until)),
        );
    }
    Ok(tokens)
}
