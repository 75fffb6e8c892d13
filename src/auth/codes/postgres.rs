//! Codes in the table `otp_codes`, which is not logged: codes are rebuilt by asking again.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use gencharge_actors::kernel::UserType;
use sqlx::PgPool;

use super::{COOL_DOWN, Claim, CodeError, CodeStore, HOUR, Issued, MAX_TRIES, NewCode, Taken, wait};

/// Codes in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgCodes {
    pool: PgPool,
}

impl PgCodes {
    /// Works through `pool`.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    async fn waiting(&self, code: &NewCode) -> Result<Issued, CodeError> {
        let row: Option<(DateTime<Utc>, DateTime<Utc>, i32)> =
            sqlx::query_as("SELECT sent_at, window_start, window_sent FROM otp_codes WHERE phone = $1")
                .bind(code.phone.e164())
                .fetch_optional(&self.pool)
                .await?;
        let (sent_at, window_start, sent) = row.unwrap_or((code.now, code.now, 0));
        Ok(wait(sent_at, window_start, sent >= code.per_hour, code.now))
    }
}

impl CodeStore for PgCodes {
    fn issue(&self, code: NewCode) -> BoxFuture<'_, Result<Issued, CodeError>> {
        Box::pin(async move {
            let issued = sqlx::query(
                "INSERT INTO otp_codes AS o \
                     (phone, purpose, code_hash, used, tries, sent_at, expires_at, window_start, window_sent, user_type) \
                 VALUES ($1, $2, $3, false, 0, $4, $5, $4, 1, $6) \
                 ON CONFLICT (phone) DO UPDATE SET \
                     purpose = excluded.purpose, code_hash = excluded.code_hash, used = false, tries = 0, \
                     sent_at = excluded.sent_at, expires_at = excluded.expires_at, user_type = excluded.user_type, \
                     window_start = CASE WHEN o.window_start <= $7 THEN excluded.window_start ELSE o.window_start END, \
                     window_sent = CASE WHEN o.window_start <= $7 THEN 1 ELSE o.window_sent + 1 END \
                 WHERE (o.used OR o.sent_at <= $8) AND (o.window_start <= $7 OR o.window_sent < $9)",
            )
            .bind(code.phone.e164())
            .bind(code.purpose.as_str())
            .bind(&code.hash)
            .bind(code.now)
            .bind(code.now + code.ttl)
            .bind(code.user_type.map(UserType::as_str))
            .bind(code.now - HOUR)
            .bind(code.now - COOL_DOWN)
            .bind(code.per_hour)
            .execute(&self.pool)
            .await?;
            if issued.rows_affected() == 1 { Ok(Issued::Yes) } else { self.waiting(&code).await }
        })
    }

    fn take(&self, claim: Claim) -> BoxFuture<'_, Result<Option<Taken>, CodeError>> {
        Box::pin(async move {
            let row: Option<(bool, Option<String>)> = sqlx::query_as(
                "UPDATE otp_codes SET tries = tries + 1, used = (code_hash = $2) \
                 WHERE phone = $1 AND purpose = $3 AND NOT used AND tries < $4 AND expires_at > $5 \
                 RETURNING used, user_type",
            )
            .bind(claim.phone.e164())
            .bind(&claim.hash)
            .bind(claim.purpose.as_str())
            .bind(MAX_TRIES)
            .bind(claim.now)
            .fetch_optional(&self.pool)
            .await?;
            let taken =
                |user_type: Option<String>| Taken { user_type: user_type.and_then(|word| word.parse().ok()) };
            Ok(row.and_then(|(used, user_type)| used.then(|| taken(user_type))))
        })
    }
}
