//! Customers in SQL.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use gencharge_actors::account::{Change, WrongState};
use gencharge_actors::kernel::{AccountStatus, Actor, Clock, Paise, PhoneNumber, Random, UserId, UserType};
use gencharge_actors::wallet::Wallets;
use serde_json::json;
use sqlx::{PgConnection, PgPool, QueryBuilder, Row};
use uuid::Uuid;

use super::names::EmailAddress;
use super::preferences::Preferences;
use crate::audit::{self, Entry};
use crate::auth::listener::Hint;
use crate::auth::{CUSTOMER_ROLE, Gate, SubjectKind, end_sessions_except};
use crate::platform::postgres::rows::LongReads;
use crate::platform::postgres::violates;
use crate::wallet::PgWalletStore;

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
    /// When the account was deleted, if it was.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// The columns of [`Profile`] for a live customer: [`LIVE_COLUMNS`] from [`LIVE_ROWS`].
pub(super) const LIVE_COLUMNS: &str = "u.user_id, u.phone, u.name, u.email, u.user_type, u.status, u.referral_code, \
     u.referee_code, u.created_at, u.updated_at, w.balance, NULL::timestamptz AS deleted_at";
pub(super) const LIVE_ROWS: &str = "users u JOIN wallets w ON w.wallet_id = u.user_id";

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
            deleted_at: row.try_get("deleted_at")?,
        })
    }
}

/// The customer, if there is one.
///
/// # Errors
/// Those of the database.
pub async fn find(db: &mut PgConnection, user: UserId) -> Result<Option<Profile>, sqlx::Error> {
    let mut sql = QueryBuilder::new("SELECT ");
    sql.push(LIVE_COLUMNS).push(" FROM ").push(LIVE_ROWS).push(" WHERE u.user_id = ").push_bind(user.get());
    sql.build_query_as().fetch_optional(db).await
}

/// Locks a customer for a change in the caller's transaction; false when there is none. Whoever changes a customer takes
/// this lock first: it is the wallet's row, which wallet batches lock too, so that no two wait for each other.
///
/// # Errors
/// Those of the database.
pub async fn lock(db: &mut PgConnection, user: UserId) -> Result<bool, sqlx::Error> {
    let locked = sqlx::query("SELECT 1 FROM wallets WHERE wallet_id = $1 AND phone IS NOT NULL FOR UPDATE")
        .bind(user.get())
        .execute(db)
        .await?;
    Ok(locked.rows_affected() == 1)
}

/// Why a customer's state did not change.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// No such customer.
    #[error("no such customer")]
    NotFound,
    /// The customer is in another state.
    #[error(transparent)]
    WrongState(#[from] WrongState),
    /// The database.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// Changes a customer's state in the caller's transaction, and tells every process when it commits.
///
/// The wallet's row changes with the user's. Wallet batches lock that row, so a batch that has it finishes first, and
/// every later one sees the new state: after the commit nothing can be paid by a customer who is no longer active.
///
/// # Errors
/// [`StatusError`]; the transaction must then be rolled back.
pub async fn change_status(
    db: &mut PgConnection,
    user: UserId,
    change: Change,
    now: DateTime<Utc>,
) -> Result<AccountStatus, StatusError> {
    lock(db, user).await?;
    let state = find(db, user).await?.ok_or(StatusError::NotFound)?.status;
    let state = change.apply(state)?;
    let changed = sqlx::query(
        "WITH profile AS (UPDATE users SET status = $2, updated_at = $3 WHERE user_id = $1) \
         UPDATE wallets SET status = $2 WHERE wallet_id = $1",
    )
    .bind(user.get())
    .bind(state.as_str())
    .bind(now)
    .execute(&mut *db)
    .await?;
    if changed.rows_affected() != 1 {
        return Err(StatusError::Store(sqlx::Error::RowNotFound));
    }
    Hint::User(user.get()).notify(db).await?;
    Ok(state)
}

/// Why a customer's profile did not change.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No such customer.
    #[error("no such customer")]
    NotFound,
    /// Another customer has the e-mail address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// A plan of the present type is active or waits on the number.
    #[error("a plan of the other type is in use")]
    PlanInUse,
    /// The database.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// An entry for the audit log about something that customers do with their own accounts.
pub(super) fn by_customer(user: UserId, action: &'static str) -> Entry {
    Entry::new(Actor::User(user), CUSTOMER_ROLE, action, "users", format!("user/{}", user.get()))
}

/// Customers; clones share everything.
#[derive(Clone)]
pub struct Users {
    pub(super) pool: PgPool,
    pub(super) wallets: Wallets<PgWalletStore>,
    pub(super) random: Arc<dyn Random>,
    pub(super) long_reads: LongReads,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) gate: Gate,
}

impl Users {
    /// The service.
    #[must_use]
    pub fn new(
        pool: PgPool,
        wallets: Wallets<PgWalletStore>,
        random: Arc<dyn Random>,
        long_reads: LongReads,
        clock: Arc<dyn Clock>,
        gate: Gate,
    ) -> Self {
        Self { pool, wallets, random, long_reads, clock, gate }
    }

    /// A customer.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn profile(&self, user: UserId) -> Result<Option<Profile>, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        find(&mut db, user).await
    }

    /// Changes a customer's state and ends the customer's sessions, except `keep`.
    ///
    /// Also when unblocking: a sign-in that raced with the block may have left a session behind.
    ///
    /// # Errors
    /// [`StatusError`].
    pub async fn change(
        &self,
        user: UserId,
        change: Change,
        keep: Option<Uuid>,
        entry: Entry,
    ) -> Result<Profile, StatusError> {
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        let state = change_status(&mut tx, user, change, now).await?;
        audit::record(&mut tx, now, entry).await?;
        let ended =
            end_sessions_except(&mut tx, SubjectKind::User, user.get(), keep, state.as_str(), now).await?;
        let profile = find(&mut tx, user).await?.ok_or(StatusError::NotFound)?;
        tx.commit().await?;
        self.gate.set_standing(user, state);
        for (session, until) in ended {
            self.gate.revoke_session(session, until.timestamp());
        }
        Ok(profile)
    }

    /// Gives the customer another e-mail address.
    ///
    /// # Errors
    /// [`ProfileError::NotFound`], [`ProfileError::EmailTaken`], [`ProfileError::Store`].
    pub async fn set_email(&self, user: UserId, email: &EmailAddress) -> Result<Profile, ProfileError> {
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        lock(&mut tx, user).await?;
        sqlx::query("UPDATE users SET email = $2, updated_at = $3 WHERE user_id = $1")
            .bind(user.get())
            .bind(email.as_str())
            .bind(now)
            .execute(&mut *tx)
            .await
            .map_err(|error| {
                if violates(&error, "users_email_key") { ProfileError::EmailTaken } else { error.into() }
            })?;
        audit::record(&mut tx, now, by_customer(user, "CHANGE_EMAIL")).await?;
        let profile = find(&mut tx, user).await?.ok_or(ProfileError::NotFound)?;
        tx.commit().await?;
        Ok(profile)
    }

    /// Bills the customer the other way from now on. Plans of the present type must have run out: under the other type they
    /// could be neither renewed nor followed.
    ///
    /// # Errors
    /// [`ProfileError::NotFound`], [`ProfileError::PlanInUse`], [`ProfileError::Store`].
    pub async fn switch_type(&self, user: UserId, user_type: UserType) -> Result<Profile, ProfileError> {
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        lock(&mut tx, user).await?;
        let in_use: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM wallets w JOIN subscriptions s ON s.phone = w.phone \
                 LEFT JOIN plans p USING (plan_id) \
             WHERE w.wallet_id = $1 AND s.status IN ('active', 'queued') AND s.valid_to > $3 \
               AND p.plan_type IS DISTINCT FROM $2)",
        )
        .bind(user.get())
        .bind(user_type.as_str())
        .bind(now)
        .fetch_one(&mut *tx)
        .await?;
        if in_use {
            return Err(ProfileError::PlanInUse);
        }
        sqlx::query(
            "WITH profile AS (UPDATE users SET user_type = $2, updated_at = $3 WHERE user_id = $1) \
             UPDATE wallets SET user_type = $2 WHERE wallet_id = $1",
        )
        .bind(user.get())
        .bind(user_type.as_str())
        .bind(now)
        .execute(&mut *tx)
        .await?;
        let entry = by_customer(user, "SWITCH_TYPE").with(json!({ "user_type": user_type.as_str() }));
        audit::record(&mut tx, now, entry).await?;
        let profile = find(&mut tx, user).await?.ok_or(ProfileError::NotFound)?;
        tx.commit().await?;
        Ok(profile)
    }

    /// What the customer wants to be told, and how.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn preferences(&self, user: UserId) -> Result<Preferences, sqlx::Error> {
        let row = sqlx::query_as("SELECT * FROM user_preferences WHERE user_id = $1")
            .bind(user.get())
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.unwrap_or_default())
    }

    /// Replaces the customer's preferences; false when there is no such customer.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn set_preferences(&self, user: UserId, to: Preferences) -> Result<bool, sqlx::Error> {
        let set = sqlx::query(
            "INSERT INTO user_preferences (user_id, email_notification, sms_notification, marketing_communication, \
                 recharge_remainders, promotional_offers, transactional_alerts, data_analytics, third_party_integrations) \
             SELECT user_id, $2, $3, $4, $5, $6, $7, $8, $9 FROM users WHERE user_id = $1 \
             ON CONFLICT (user_id) DO UPDATE SET email_notification = $2, sms_notification = $3, \
                 marketing_communication = $4, recharge_remainders = $5, promotional_offers = $6, \
                 transactional_alerts = $7, data_analytics = $8, third_party_integrations = $9",
        )
        .bind(user.get())
        .bind(to.email_notification)
        .bind(to.sms_notification)
        .bind(to.marketing_communication)
        .bind(to.recharge_remainders)
        .bind(to.promotional_offers)
        .bind(to.transactional_alerts)
        .bind(to.data_analytics)
        .bind(to.third_party_integrations)
        .execute(&self.pool)
        .await?;
        Ok(set.rows_affected() == 1)
    }
}
