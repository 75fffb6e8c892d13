//! One-time codes: issued at most so often, kept as a keyed hash, used once, dead after five tries.
//!
//! A code is issued for every number, known or not, under the same limits, so that answers do not tell which numbers
//! exist; for an unknown one it is never sent and opens nothing.

use chrono::{DateTime, TimeDelta, Utc};
use gencharge_actors::kernel::{PhoneNumber, Random, UserType};
use sqlx::PgPool;

use super::token::Keys;

/// Tries after which a code is dead.
pub const MAX_TRIES: i32 = 5;
/// How long a new code is refused while one is outstanding.
pub const COOL_DOWN: TimeDelta = TimeDelta::seconds(30);
const HOUR: TimeDelta = TimeDelta::hours(1);

/// What a code is for; one for the other purpose opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Making an account.
    Signup,
    /// Signing in.
    Login,
}

impl Purpose {
    /// The word as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signup => "signup",
            Self::Login => "login",
        }
    }
}

/// A code to issue.
#[derive(Debug)]
pub(super) struct NewCode {
    pub phone: PhoneNumber,
    pub purpose: Purpose,
    pub hash: Vec<u8>,
    pub now: DateTime<Utc>,
    pub ttl: TimeDelta,
    pub per_hour: i32,
    pub user_type: Option<UserType>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Issued {
    /// The code is stored; `known`: the number is a customer's or an administrator's.
    Yes { known: bool },
    /// Too soon or too many: try again after this many seconds.
    Wait { seconds: u32 },
}

/// Six random digits.
pub(super) fn draw(random: &dyn Random) -> String {
    format!("{:06}", random.below(1_000_000))
}

/// Stores the code in one round trip, unless the number has to wait.
pub(super) async fn issue(pool: &PgPool, code: &NewCode) -> Result<Issued, sqlx::Error> {
    let hour_ago = code.now - HOUR;
    let (issued, known): (bool, bool) = sqlx::query_as(
        "WITH issued AS ( \
             INSERT INTO otp_codes AS o \
                 (phone, purpose, code_hash, used, tries, sent_at, expires_at, window_start, window_sent, user_type) \
             VALUES ($1, $2, $3, false, 0, $4, $5, $4, 1, $6) \
             ON CONFLICT (phone) DO UPDATE SET \
                 purpose = excluded.purpose, code_hash = excluded.code_hash, used = false, tries = 0, \
                 sent_at = excluded.sent_at, expires_at = excluded.expires_at, user_type = excluded.user_type, \
                 window_start = CASE WHEN o.window_start <= $7 THEN excluded.window_start ELSE o.window_start END, \
                 window_sent = CASE WHEN o.window_start <= $7 THEN 1 ELSE o.window_sent + 1 END \
             WHERE (o.used OR o.sent_at <= $8) AND (o.window_start <= $7 OR o.window_sent < $9) \
             RETURNING 1) \
         SELECT EXISTS (SELECT 1 FROM issued), \
                EXISTS (SELECT 1 FROM users WHERE phone = $1) OR EXISTS (SELECT 1 FROM admins WHERE phone = $1)",
    )
    .bind(code.phone.e164())
    .bind(code.purpose.as_str())
    .bind(&code.hash)
    .bind(code.now)
    .bind(code.now + code.ttl)
    .bind(code.user_type.map(UserType::as_str))
    .bind(hour_ago)
    .bind(code.now - COOL_DOWN)
    .bind(code.per_hour)
    .fetch_one(pool)
    .await?;
    if issued { Ok(Issued::Yes { known }) } else { wait(pool, code).await }
}

async fn wait(pool: &PgPool, code: &NewCode) -> Result<Issued, sqlx::Error> {
    let row: Option<(DateTime<Utc>, DateTime<Utc>, i32)> =
        sqlx::query_as("SELECT sent_at, window_start, window_sent FROM otp_codes WHERE phone = $1")
            .bind(code.phone.e164())
            .fetch_optional(pool)
            .await?;
    let until = match row {
        Some((_, window_start, sent)) if sent >= code.per_hour => window_start + HOUR,
        Some((sent_at, _, _)) => sent_at + COOL_DOWN,
        None => code.now,
    };
    let seconds = (until - code.now).num_seconds().saturating_add(1).max(1);
    Ok(Issued::Wait { seconds: u32::try_from(seconds).unwrap_or(u32::MAX) })
}

/// The hash of a code someone claims to have been sent.
pub(super) fn hash(keys: &Keys, phone: PhoneNumber, purpose: Purpose, code: &str) -> Vec<u8> {
    keys.otp_hash(phone, purpose.as_str(), code.trim())
}
