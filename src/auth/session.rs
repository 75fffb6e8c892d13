//! Sign-ins: opening, rotating, ending. One function is one statement or one transaction.

use chrono::{DateTime, TimeDelta, Utc};
use gencharge_actors::kernel::{AccountStatus, PhoneNumber};
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use super::listener::{CHANNEL, Hint};
use super::token::{CUSTOMER_ROLE, RefreshClaims, Subject, SubjectKind};
use crate::audit::{self, Entry};

/// How long the predecessor of the current refresh token still gives the same successor (a lost answer, two tabs).
pub const REUSE_GRACE: TimeDelta = TimeDelta::seconds(10);

/// A session to open, or new ends for one that rotates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub session: Uuid,
    pub now: DateTime<Utc>,
    pub access_until: DateTime<Utc>,
    pub refresh_until: DateTime<Utc>,
}

/// What a sign-in with the right code came to.
#[derive(Debug)]
pub(super) enum Login {
    /// Signed in.
    Open(Subject),
    /// The customer paused the account and must be woken.
    Deactive(Subject),
    /// The customer is blocked.
    Blocked,
    /// A number that nobody has.
    Refused,
}

#[derive(FromRow)]
struct SubjectRow {
    kind: String,
    id: i64,
    phone: i64,
    role: String,
    status: String,
}

impl SubjectRow {
    fn subject(self) -> Option<(Subject, AccountStatus)> {
        let kind =
            if self.kind == SubjectKind::Admin.as_str() { SubjectKind::Admin } else { SubjectKind::User };
        let phone = PhoneNumber::from_e164(self.phone).ok()?;
        Some((Subject { kind, id: self.id, phone, role: self.role }, self.status.parse().ok()?))
    }
}

/// Whether the number is a customer's or an administrator's.
pub(super) async fn is_known(pool: &PgPool, phone: PhoneNumber) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM users WHERE phone = $1) OR EXISTS (SELECT 1 FROM admins WHERE phone = $1)",
    )
    .bind(phone.e164())
    .fetch_one(pool)
    .await
}

/// Opens the session of whoever has the number, when the account is active: one statement.
pub(super) async fn login(pool: &PgPool, phone: PhoneNumber, span: Span) -> Result<Login, sqlx::Error> {
    let row: Option<SubjectRow> = sqlx::query_as(
        "WITH subject AS ( \
             SELECT 'admin' AS kind, a.admin_id AS id, a.phone, r.role_name AS role, 'active' AS status \
             FROM admins a JOIN roles r USING (role_id) WHERE a.phone = $1 \
             UNION ALL \
             SELECT 'user', u.user_id, u.phone, 'user', u.status FROM users u WHERE u.phone = $1), \
         opened AS ( \
             INSERT INTO sessions (session_id, subject_kind, subject_id, rotated_at, access_expires_at, \
                                   refresh_expires_at, login_time, last_active) \
             SELECT $3, s.kind, s.id, $2, $4, $5, $2, $2 FROM subject s WHERE s.status = 'active') \
         SELECT s.kind, s.id, s.phone, s.role, s.status, CASE WHEN s.status <> 'deactive' THEN \
             audit_append($2, s.kind, s.id, s.role, CASE s.status WHEN 'active' THEN $6 ELSE $7 END) END \
         FROM subject s",
    )
    .bind(phone.e164())
    .bind(span.now)
    .bind(span.session)
    .bind(span.access_until)
    .bind(span.refresh_until)
    .bind(audited("LOGIN", span.session).event(span.now).data_json())
    .bind(audited("LOGIN", span.session).ended("blocked").event(span.now).data_json())
    .fetch_optional(pool)
    .await?;
    Ok(match row.and_then(SubjectRow::subject) {
        Some((subject, AccountStatus::Active)) => Login::Open(subject),
        Some((subject, AccountStatus::Deactive)) => Login::Deactive(subject),
        Some((_, AccountStatus::Blocked)) => Login::Blocked,
        None => Login::Refused,
    })
}

/// An entry for the audit log about a session. Where only SQL knows whose it is, `audit_append` says so.
pub(super) fn audited(action: &'static str, session: Uuid) -> Entry {
    Entry::by_system(action, "auth", format!("session/{session}"))
}

/// The same about a session of someone known.
fn audited_of(subject: &Subject, action: &'static str, session: Uuid) -> Entry {
    let actor = subject.kind.actor(subject.id);
    Entry { actor, role: subject.role.clone(), ..audited(action, session) }
}

/// Opens a session for a subject that has been checked in the same transaction.
pub(super) async fn open(db: &mut PgConnection, subject: &Subject, span: Span) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO sessions (session_id, subject_kind, subject_id, rotated_at, access_expires_at, \
                               refresh_expires_at, login_time, last_active) \
         VALUES ($1, $2, $3, $4, $5, $6, $4, $4)",
    )
    .bind(span.session)
    .bind(subject.kind.as_str())
    .bind(subject.id)
    .bind(span.now)
    .bind(span.access_until)
    .bind(span.refresh_until)
    .execute(&mut *db)
    .await?;
    audit::record(db, span.now, audited_of(subject, "LOGIN", span.session)).await
}

/// What a refresh token came to.
#[derive(Debug)]
pub(super) enum Rotation {
    /// The successor: of this generation, given out at `rotated_at`, good until `refresh_until`.
    Successor { subject: Subject, generation: i64, rotated_at: DateTime<Utc>, refresh_until: DateTime<Utc> },
    /// Used before, too long ago: the whole session was just revoked; its last access token lives until then.
    Reused { access_until: DateTime<Utc> },
    /// Revoked, expired, unknown, or the account may not sign in.
    Refused,
}

/// Rotates: one statement when the token is the current one.
pub(super) async fn rotate(
    pool: &PgPool,
    claims: &RefreshClaims,
    span: Span,
) -> Result<Rotation, sqlx::Error> {
    let row: Option<(String, i64, Option<i64>, Option<String>)> = sqlx::query_as(
        "WITH rotated AS ( \
             UPDATE sessions s SET generation = generation + 1, rotated_at = $3, last_active = $3, \
                 refresh_expires_at = $4, access_expires_at = GREATEST(access_expires_at, $5) \
             WHERE session_id = $1 AND generation = $2 AND revoked_at IS NULL AND refresh_expires_at > $3 \
               AND (subject_kind = 'admin' OR EXISTS ( \
                    SELECT 1 FROM users u WHERE u.user_id = s.subject_id AND u.status = 'active')) \
             RETURNING subject_kind, subject_id) \
         SELECT r.subject_kind, r.subject_id, COALESCE(u.phone, a.phone), ro.role_name \
         FROM rotated r \
         LEFT JOIN users u ON r.subject_kind = 'user' AND u.user_id = r.subject_id \
         LEFT JOIN admins a ON r.subject_kind = 'admin' AND a.admin_id = r.subject_id \
         LEFT JOIN roles ro ON ro.role_id = a.role_id",
    )
    .bind(claims.session)
    .bind(claims.generation)
    .bind(span.now)
    .bind(span.refresh_until)
    .bind(span.access_until)
    .fetch_optional(pool)
    .await?;
    let Some((kind, id, phone, role)) = row else { return not_current(pool, claims, span).await };
    let Some(subject) = subject_of(&kind, id, phone, role) else { return Ok(Rotation::Refused) };
    Ok(Rotation::Successor {
        subject,
        generation: claims.generation.saturating_add(1),
        rotated_at: span.now,
        refresh_until: span.refresh_until,
    })
}

fn subject_of(kind: &str, id: i64, phone: Option<i64>, role: Option<String>) -> Option<Subject> {
    let phone = PhoneNumber::from_e164(phone?).ok()?;
    if kind == SubjectKind::Admin.as_str() {
        Some(Subject { kind: SubjectKind::Admin, id, phone, role: role? })
    } else {
        Some(Subject { kind: SubjectKind::User, id, phone, role: CUSTOMER_ROLE.to_owned() })
    }
}

#[derive(FromRow)]
struct SessionRow {
    subject_kind: String,
    subject_id: i64,
    generation: i64,
    rotated_at: DateTime<Utc>,
    refresh_expires_at: DateTime<Utc>,
    access_expires_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
    phone: Option<i64>,
    role: Option<String>,
    active: bool,
}

/// The token is not the current one of a session in good standing: its predecessor just now, or a reuse?
async fn not_current(pool: &PgPool, claims: &RefreshClaims, span: Span) -> Result<Rotation, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let row: Option<SessionRow> = sqlx::query_as(
        "SELECT s.subject_kind, s.subject_id, s.generation, s.rotated_at, s.refresh_expires_at, s.access_expires_at, \
                s.revoked_at, COALESCE(u.phone, a.phone) AS phone, ro.role_name AS role, \
                (s.subject_kind = 'admin' OR COALESCE(u.status = 'active', false)) AS active \
         FROM sessions s \
         LEFT JOIN users u ON s.subject_kind = 'user' AND u.user_id = s.subject_id \
         LEFT JOIN admins a ON s.subject_kind = 'admin' AND a.admin_id = s.subject_id \
         LEFT JOIN roles ro ON ro.role_id = a.role_id \
         WHERE s.session_id = $1 FOR UPDATE OF s",
    )
    .bind(claims.session)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(Rotation::Refused) };
    let over = row.revoked_at.is_some() || row.refresh_expires_at <= span.now;
    if over || claims.generation >= row.generation {
        return Ok(Rotation::Refused);
    }
    let just_now =
        claims.generation.saturating_add(1) == row.generation && span.now - row.rotated_at <= REUSE_GRACE;
    if !just_now {
        revoke_in(&mut tx, claims.session, "refresh_token_reused", span.now).await?;
        Hint::Session(claims.session, row.access_expires_at.timestamp()).notify(&mut tx).await?;
        if let Some(subject) = subject_of(&row.subject_kind, row.subject_id, row.phone, row.role) {
            let entry = audited_of(&subject, "REFRESH", claims.session).ended("token_reused");
            audit::record(&mut tx, span.now, entry).await?;
        }
        tx.commit().await?;
        return Ok(Rotation::Reused { access_until: row.access_expires_at });
    }
    let subject = subject_of(&row.subject_kind, row.subject_id, row.phone, row.role);
    let Some(subject) = subject.filter(|_| row.active) else { return Ok(Rotation::Refused) };
    sqlx::query("UPDATE sessions SET access_expires_at = GREATEST(access_expires_at, $2), last_active = $3 WHERE session_id = $1")
        .bind(claims.session)
        .bind(span.access_until)
        .bind(span.now)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Rotation::Successor {
        subject,
        generation: row.generation,
        rotated_at: row.rotated_at,
        refresh_until: row.refresh_expires_at,
    })
}

async fn revoke_in(
    db: &mut PgConnection,
    session: Uuid,
    why: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE sessions SET revoked_at = $2, revoked_reason = $3 WHERE session_id = $1 AND revoked_at IS NULL")
        .bind(session)
        .bind(now)
        .bind(why)
        .execute(db)
        .await?;
    Ok(())
}

/// Ends one session and tells the other processes: one statement. The end of its last access token; `None` when it was
/// over already.
pub(super) async fn end(
    pool: &PgPool,
    session: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let ended: Option<(DateTime<Utc>, (), ())> = sqlx::query_as(
        "WITH ended AS ( \
             UPDATE sessions SET revoked_at = $2, revoked_reason = 'logout' \
             WHERE session_id = $1 AND revoked_at IS NULL AND refresh_expires_at > $2 \
             RETURNING access_expires_at, subject_kind, subject_id) \
         SELECT access_expires_at, \
                pg_notify($3, 's:' || $1::text || ':' || EXTRACT(epoch FROM access_expires_at)::bigint), \
                audit_append($2, subject_kind, subject_id, COALESCE(role_name, $5), $4) \
         FROM ended \
         LEFT JOIN admins ON subject_kind = 'admin' AND admin_id = subject_id LEFT JOIN roles USING (role_id)",
    )
    .bind(session)
    .bind(now)
    .bind(CHANNEL)
    .bind(audited("LOGOUT", session).event(now).data_json())
    .bind(CUSTOMER_ROLE)
    .fetch_optional(pool)
    .await?;
    Ok(ended.map(|(access_until, (), ())| access_until))
}

/// Ends every session of a subject, within the caller's transaction, and tells the other processes when it commits.
/// Gives the sessions with the ends of their last access tokens: pass them to `Gate::revoke_session` after the commit.
///
/// # Errors
/// Those of the database.
pub async fn end_all(
    db: &mut PgConnection,
    kind: SubjectKind,
    id: i64,
    why: &str,
    now: DateTime<Utc>,
) -> Result<Vec<(Uuid, DateTime<Utc>)>, sqlx::Error> {
    end_except(db, kind, id, None, why, now).await
}

/// The same for every session but `keep`.
///
/// # Errors
/// Those of the database.
pub async fn end_except(
    db: &mut PgConnection,
    kind: SubjectKind,
    id: i64,
    keep: Option<Uuid>,
    why: &str,
    now: DateTime<Utc>,
) -> Result<Vec<(Uuid, DateTime<Utc>)>, sqlx::Error> {
    let ended = sqlx::query_as(
        "UPDATE sessions SET revoked_at = $3, revoked_reason = $4 \
         WHERE subject_kind = $1 AND subject_id = $2 AND revoked_at IS NULL AND refresh_expires_at > $3 \
           AND session_id IS DISTINCT FROM $5 \
         RETURNING session_id, access_expires_at",
    )
    .bind(kind.as_str())
    .bind(id)
    .bind(now)
    .bind(why)
    .bind(keep)
    .fetch_all(&mut *db)
    .await?;
    match kind {
        SubjectKind::User => Hint::User(id),
        SubjectKind::Admin => Hint::Admin(id),
    }
    .notify(db)
    .await?;
    Ok(ended)
}

/// Whose a session is.
pub(super) struct Holder {
    pub kind: SubjectKind,
    pub id: i64,
    pub role: String,
}

/// The session's subject, if the session holds.
pub(super) async fn holder(
    pool: &PgPool,
    session: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Holder>, sqlx::Error> {
    let row: Option<(String, i64, Option<String>)> = sqlx::query_as(
        "SELECT subject_kind, subject_id, role_name FROM sessions \
         LEFT JOIN admins ON subject_kind = 'admin' AND admin_id = subject_id LEFT JOIN roles USING (role_id) \
         WHERE session_id = $1 AND revoked_at IS NULL AND refresh_expires_at > $2",
    )
    .bind(session)
    .bind(now)
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|(kind, id, role)| {
        let kind = if kind == SubjectKind::Admin.as_str() { SubjectKind::Admin } else { SubjectKind::User };
        Holder { kind, id, role: role.unwrap_or_else(|| CUSTOMER_ROLE.to_owned()) }
    }))
}
