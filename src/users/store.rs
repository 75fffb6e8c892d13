//! Customers in SQL.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{AccountStatus, Clock, Paise, PhoneNumber, UserId};
use sqlx::{PgConnection, PgPool, Row};

use crate::auth::listener::Hint;
use crate::auth::{Gate, SubjectKind, end_all_sessions};

/// A customer's row with the wallet's balance.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Id.
    pub user_id: i64,
    /// Phone number.
    pub phone: PhoneNumber,
    /// Name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// `prepaid` or `postpaid`.
    pub user_type: Option<String>,
    /// State.
    pub status: AccountStatus,
    /// Own referral code.
    pub referral_code: String,
    /// The referrer's code.
    pub referee_code: Option<String>,
    /// What the wallet holds.
    pub wallet_balance: Paise,
    /// Signup.
    pub created_at: DateTime<Utc>,
    /// Last change.
    pub updated_at: Option<DateTime<Utc>>,
}

/// The columns of [`Profile`], from `users u JOIN wallets w ON w.wallet_id = u.user_id`.
impl<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> for Profile {
    fn from_row(row: &'r sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        let broken = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
        Ok(Self {
            user_id: row.try_get("user_id")?,
            phone: PhoneNumber::from_e164(row.try_get("phone")?).map_err(|error| broken(error.into()))?,
            name: row.try_get("name")?,
            email: row.try_get("email")?,
            user_type: row.try_get("user_type")?,
            status: row
                .try_get::<&str, _>("status")?
                .parse()
                .map_err(|error: gencharge_actors::kernel::UnknownWord| broken(error.into()))?,
            referral_code: row.try_get("referral_code")?,
            referee_code: row.try_get("referee_code")?,
            wallet_balance: Paise::new(row.try_get("balance")?),
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

/// The customer, if there is one.
///
/// # Errors
/// Those of the database.
pub async fn find(db: &mut PgConnection, user: UserId) -> Result<Option<Profile>, sqlx::Error> {
    sqlx::query_as(
        "SELECT u.user_id, u.phone, u.name, u.email, u.user_type, u.status, u.referral_code, u.referee_code, \
                u.created_at, u.updated_at, w.balance \
         FROM users u JOIN wallets w ON w.wallet_id = u.user_id WHERE u.user_id = $1",
    )
    .bind(user.get())
    .fetch_optional(db)
    .await
}

/// Why a customer's state did not change.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// No such customer.
    #[error("no such customer")]
    NotFound,
    /// The customer is in this state instead.
    #[error("the customer is {}", .0.as_str())]
    WrongState(AccountStatus),
    /// The database.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// Moves a customer from one state to another in the caller's transaction, and tells every process when it commits.
///
/// The wallet's row changes with the user's. Wallet batches lock that row, so a batch that has it finishes first, and
/// every later one sees the new state: after the commit nothing can be paid by a customer who is no longer active.
///
/// # Errors
/// [`StatusError`]; the transaction must then be rolled back.
pub async fn change_status(
    db: &mut PgConnection,
    user: UserId,
    from: AccountStatus,
    to: AccountStatus,
    now: DateTime<Utc>,
) -> Result<(), StatusError> {
    let current: Option<String> =
        sqlx::query_scalar("SELECT status FROM users WHERE user_id = $1 FOR UPDATE")
            .bind(user.get())
            .fetch_optional(&mut *db)
            .await?;
    let current = current.ok_or(StatusError::NotFound)?;
    if current != from.as_str() {
        let state = current
            .parse()
            .map_err(|error: gencharge_actors::kernel::UnknownWord| sqlx::Error::Decode(error.into()))?;
        return Err(StatusError::WrongState(state));
    }
    sqlx::query("UPDATE users SET status = $2, updated_at = $3 WHERE user_id = $1")
        .bind(user.get())
        .bind(to.as_str())
        .bind(now)
        .execute(&mut *db)
        .await?;
    let wallets = sqlx::query("UPDATE wallets SET status = $2 WHERE wallet_id = $1")
        .bind(user.get())
        .bind(to.as_str())
        .execute(&mut *db)
        .await?;
    if wallets.rows_affected() != 1 {
        return Err(StatusError::Store(sqlx::Error::RowNotFound));
    }
    Hint::User(user.get()).notify(db).await?;
    Ok(())
}

/// Customers; clones share everything.
#[derive(Clone)]
pub struct Users {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    gate: Gate,
}

impl Users {
    /// The service.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, gate: Gate) -> Self {
        Self { pool, clock, gate }
    }

    /// A customer.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn profile(&self, user: UserId) -> Result<Option<Profile>, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        find(&mut db, user).await
    }

    /// Blocks an active customer: no sign-in, no session, no payment from the commit on.
    ///
    /// # Errors
    /// [`StatusError`].
    pub async fn block(&self, user: UserId) -> Result<Profile, StatusError> {
        self.change(user, AccountStatus::Active, AccountStatus::Blocked).await
    }

    /// Unblocks a blocked customer, who has to sign in again.
    ///
    /// # Errors
    /// [`StatusError`].
    pub async fn unblock(&self, user: UserId) -> Result<Profile, StatusError> {
        self.change(user, AccountStatus::Blocked, AccountStatus::Active).await
    }

    async fn change(
        &self,
        user: UserId,
        from: AccountStatus,
        to: AccountStatus,
    ) -> Result<Profile, StatusError> {
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        change_status(&mut tx, user, from, to, now).await?;
        // Also when unblocking: a sign-in that raced with the block may have left a session behind.
        let ended = end_all_sessions(&mut tx, SubjectKind::User, user.get(), to.as_str(), now).await?;
        let profile = find(&mut tx, user).await?.ok_or(StatusError::NotFound)?;
        tx.commit().await?;
        self.gate.set_standing(user, to);
        for (session, until) in ended {
            self.gate.revoke_session(session, until.timestamp());
        }
        Ok(profile)
    }
}
