//! One-time codes: issued at most so often, kept as a keyed hash, used once, dead after five tries.
//!
//! A code is issued for every number, known or not, under the same limits, so that answers do not tell which numbers
//! exist; for an unknown one it is never sent and opens nothing. Codes are kept in Redis where there is one, else in
//! PostgreSQL; both take each step as one atomic operation.

mod postgres;
mod redis;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use gencharge_actors::kernel::{PhoneNumber, Random, UserType};

use super::token::Keys;
use crate::http::Problem;

pub use self::postgres::PgCodes;
pub use self::redis::RedisCodes;

/// Tries after which a code is dead.
pub const MAX_TRIES: i32 = 5;
/// How long a new code is refused while one is outstanding.
pub const COOL_DOWN: TimeDelta = TimeDelta::seconds(30);
/// What `per_hour` counts in; it begins with the first code.
pub const HOUR: TimeDelta = TimeDelta::hours(1);

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
#[derive(Clone, Debug)]
pub struct NewCode {
    /// Whose.
    pub phone: PhoneNumber,
    /// What for.
    pub purpose: Purpose,
    /// Its keyed hash.
    pub hash: Vec<u8>,
    /// When.
    pub now: DateTime<Utc>,
    /// How long it holds.
    pub ttl: TimeDelta,
    /// Codes to one number in an hour.
    pub per_hour: i32,
    /// What a signup said.
    pub user_type: Option<UserType>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issued {
    /// The code is kept.
    Yes,
    /// Too soon or too many: try again after this many seconds.
    Wait {
        /// At least 1.
        seconds: u32,
    },
}

/// A code that someone claims to have been sent.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Whose.
    pub phone: PhoneNumber,
    /// What for.
    pub purpose: Purpose,
    /// The keyed hash of what was claimed.
    pub hash: Vec<u8>,
    /// When.
    pub now: DateTime<Utc>,
}

/// A code that was right, and is used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What the signup had said.
    pub user_type: Option<UserType>,
}

/// The store did not do it, or its answer was lost.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// PostgreSQL.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// Redis.
    #[error(transparent)]
    Redis(#[from] crate::platform::redis::Failure),
}

impl From<CodeError> for Problem {
    fn from(error: CodeError) -> Self {
        match error {
            CodeError::Sql(error) => error.into(),
            CodeError::Redis(error) => error.into(),
        }
    }
}

/// Where codes are kept.
pub trait CodeStore: Send + Sync {
    /// Keeps the code in place of the number's last one, unless the number has to wait.
    fn issue(&self, code: NewCode) -> BoxFuture<'_, Result<Issued, CodeError>>;

    /// Uses the code when it is the outstanding one; a wrong one costs it a try.
    fn take(&self, claim: Claim) -> BoxFuture<'_, Result<Option<Taken>, CodeError>>;
}

/// The seconds until a number may ask again, from when its last code was sent and what its hour counts.
fn wait(sent_at: DateTime<Utc>, window_start: DateTime<Utc>, full: bool, now: DateTime<Utc>) -> Issued {
    let until = if full { window_start + HOUR } else { sent_at + COOL_DOWN };
    let seconds = (until - now).num_seconds().saturating_add(1).max(1);
    Issued::Wait { seconds: u32::try_from(seconds).unwrap_or(u32::MAX) }
}

/// Six random digits.
pub(super) fn draw(random: &dyn Random) -> String {
    format!("{:06}", random.below(1_000_000))
}

/// The hash of a code as claimed.
pub(super) fn hash(keys: &Keys, phone: PhoneNumber, purpose: Purpose, code: &str) -> Vec<u8> {
    keys.otp_hash(phone, purpose.as_str(), code.trim())
}
