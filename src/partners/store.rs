//! Partners in SQL.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{AccountStatus, Paise, UserId};
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder, Row};

use crate::audit::{self, Entry};
use crate::http::page::Page;
use crate::platform::postgres::columns::word;

/// The most partners in one answer.
const MOST: i64 = 10_000;

/// What a partner may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Recharges.
    pub recharge: bool,
    /// Top-ups of customers' wallets.
    pub wallet_topup: bool,
}

/// A partner with the balance of its wallet.
#[derive(Clone, Debug)]
pub struct Partner {
    /// Its id: the number of its wallet.
    pub partner_id: UserId,
    /// What it is called.
    pub name: String,
    /// Its user at the broker.
    pub broker_user: String,
    /// `active` or `blocked`.
    pub status: AccountStatus,
    /// What it may ask for.
    pub permissions: Permissions,
    /// What its wallet holds.
    pub balance: Paise,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

const SELECT: &str = "SELECT p.partner_id, p.name, p.broker_user, p.status, p.may_recharge, p.may_top_up, w.balance, \
    p.created_at, p.updated_at FROM partners p JOIN wallets w ON w.wallet_id = p.partner_id";

impl<'r> FromRow<'r, PgRow> for Partner {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            partner_id: UserId(row.try_get(0)?),
            name: row.try_get(1)?,
            broker_user: row.try_get(2)?,
            status: word(row, 3)?,
            permissions: Permissions { recharge: row.try_get(4)?, wallet_topup: row.try_get(5)? },
            balance: Paise::new(row.try_get(6)?),
            created_at: row.try_get(7)?,
            updated_at: row.try_get(8)?,
        })
    }
}

/// A partner to be made; its fields are checked.
#[derive(Clone, Debug)]
pub struct NewPartner {
    /// What it is called.
    pub name: String,
    /// Its user at the broker.
    pub broker_user: String,
    /// What it may ask for.
    pub permissions: Permissions,
}

/// What is to be different; its fields are checked.
#[derive(Clone, Debug, Default)]
pub struct PartnerChange {
    /// What it is called.
    pub name: Option<String>,
    /// Its user at the broker.
    pub broker_user: Option<String>,
    /// `active` or `blocked`.
    pub status: Option<AccountStatus>,
    /// What it may ask for.
    pub permissions: Option<Permissions>,
}

impl PartnerChange {
    /// The fields set and their new values.
    #[must_use]
    pub fn fields(&self) -> Value {
        let permissions =
            self.permissions.map(|it| json!({ "recharge": it.recharge, "wallet_topup": it.wallet_topup }));
        let fields = [
            ("name", self.name.as_ref().map(|name| json!(name))),
            ("broker_user", self.broker_user.as_ref().map(|user| json!(user))),
            ("status", self.status.map(|status| json!(status.as_str()))),
            ("permissions", permissions),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// Which partners.
#[derive(Clone, Debug, Default)]
pub struct PartnerFilter {
    /// This is a part of the name or of the broker's user, whatever the case.
    pub search: Option<String>,
    /// In this state.
    pub status: Option<AccountStatus>,
}

/// Why a partner was not made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum PartnerError {
    /// No such partner.
    #[error("no such partner")]
    NotFound,
    /// Another partner has this user at the broker.
    #[error("another partner has this broker user")]
    BrokerUserTaken,
    /// Its wallet has been used.
    #[error("the partner's wallet has been used")]
    InUse,
    /// The database.
    #[error(transparent)]
    Store(sqlx::Error),
}

impl From<sqlx::Error> for PartnerError {
    fn from(error: sqlx::Error) -> Self {
        let constraint = error.as_database_error().and_then(|database| database.constraint());
        if constraint == Some("partners_broker_user_key") {
            Self::BrokerUserTaken
        } else {
            Self::Store(error)
        }
    }
}

/// Partners; clones share the pool.
#[derive(Clone, Debug)]
pub struct PartnerStore {
    pool: PgPool,
}

impl PartnerStore {
    /// On this pool.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Makes a partner with an empty wallet.
    ///
    /// # Errors
    /// [`PartnerError`].
    pub async fn create(
        &self,
        new: NewPartner,
        entry: Entry,
        now: DateTime<Utc>,
    ) -> Result<Partner, PartnerError> {
        let mut tx = self.pool.begin().await?;
        let partner_id: i64 = sqlx::query_scalar(
            "INSERT INTO partners (name, broker_user, may_recharge, may_top_up, created_at)
             VALUES ($1, $2, $3, $4, $5) RETURNING partner_id",
        )
        .bind(&new.name)
        .bind(&new.broker_user)
        .bind(new.permissions.recharge)
        .bind(new.permissions.wallet_topup)
        .bind(now)
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query("INSERT INTO wallets (wallet_id) VALUES ($1)").bind(partner_id).execute(&mut *tx).await?;
        audit::record(&mut tx, now, Entry { target: target(UserId(partner_id)), ..entry }).await?;
        tx.commit().await?;
        Ok(Partner {
            partner_id: UserId(partner_id),
            name: new.name,
            broker_user: new.broker_user,
            status: AccountStatus::Active,
            permissions: new.permissions,
            balance: Paise::ZERO,
            created_at: now,
            updated_at: None,
        })
    }

    /// One partner.
    ///
    /// # Errors
    /// [`PartnerError`].
    pub async fn get(&self, partner: UserId) -> Result<Partner, PartnerError> {
        let mut sql = QueryBuilder::new(SELECT);
        sql.push(" WHERE p.partner_id = ").push_bind(partner.get());
        sql.build_query_as().fetch_optional(&self.pool).await?.ok_or(PartnerError::NotFound)
    }

    /// The partner behind a user of the broker.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn by_broker_user(&self, user: &str) -> Result<Option<Partner>, sqlx::Error> {
        let mut sql = QueryBuilder::new(SELECT);
        sql.push(" WHERE p.broker_user = ").push_bind(user);
        sql.build_query_as().fetch_optional(&self.pool).await
    }

    /// A page of the partners, by name, and how many there are in all.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn list(&self, filter: &PartnerFilter, page: Page) -> Result<(Vec<Partner>, i64), sqlx::Error> {
        let mut count = QueryBuilder::new("SELECT count(*) FROM partners p");
        conditions(&mut count, filter);
        let total = count.build_query_scalar().fetch_one(&self.pool).await?;
        let mut sql = QueryBuilder::new(SELECT);
        conditions(&mut sql, filter);
        sql.push(" ORDER BY p.name, p.partner_id LIMIT ").push_bind(page.limit.unwrap_or(MOST));
        sql.push(" OFFSET ").push_bind(page.offset);
        Ok((sql.build_query_as().fetch_all(&self.pool).await?, total))
    }

    /// Changes a partner. The wallet's row changes with its status: batches lock that row, so after the commit nothing is
    /// paid by a partner that is blocked.
    ///
    /// # Errors
    /// [`PartnerError`].
    pub async fn change(
        &self,
        partner: UserId,
        change: PartnerChange,
        entry: Entry,
        now: DateTime<Utc>,
    ) -> Result<Partner, PartnerError> {
        let mut tx = self.pool.begin().await?;
        let changed = sqlx::query(
            "UPDATE partners SET name = coalesce($2, name), broker_user = coalesce($3, broker_user),
                 status = coalesce($4, status), may_recharge = coalesce($5, may_recharge),
                 may_top_up = coalesce($6, may_top_up), updated_at = $7
             WHERE partner_id = $1",
        )
        .bind(partner.get())
        .bind(change.name)
        .bind(change.broker_user)
        .bind(change.status.map(|status| status.as_str()))
        .bind(change.permissions.map(|permissions| permissions.recharge))
        .bind(change.permissions.map(|permissions| permissions.wallet_topup))
        .bind(now)
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() != 1 {
            return Err(PartnerError::NotFound);
        }
        if let Some(status) = change.status {
            sqlx::query("UPDATE wallets SET status = $2 WHERE wallet_id = $1 AND status <> $2")
                .bind(partner.get())
                .bind(status.as_str())
                .execute(&mut *tx)
                .await?;
        }
        let mut sql = QueryBuilder::new(SELECT);
        sql.push(" WHERE p.partner_id = ").push_bind(partner.get());
        let partner = sql.build_query_as().fetch_one(&mut *tx).await?;
        audit::record(&mut tx, now, entry).await?;
        tx.commit().await?;
        Ok(partner)
    }

    /// Removes a partner whose wallet was never used. Money and its history are never removed: others are blocked.
    ///
    /// # Errors
    /// [`PartnerError`].
    pub async fn remove(
        &self,
        partner: UserId,
        entry: Entry,
        now: DateTime<Utc>,
    ) -> Result<(), PartnerError> {
        let mut tx = self.pool.begin().await?;
        let removed = sqlx::query("DELETE FROM partners WHERE partner_id = $1")
            .bind(partner.get())
            .execute(&mut *tx)
            .await?;
        if removed.rows_affected() != 1 {
            return Err(PartnerError::NotFound);
        }
        let wallet = sqlx::query(
            "DELETE FROM wallets WHERE wallet_id = $1 AND transactions = 0 AND seq = 0 AND balance = 0",
        )
        .bind(partner.get())
        .execute(&mut *tx)
        .await?;
        if wallet.rows_affected() != 1 {
            return Err(PartnerError::InUse);
        }
        audit::record(&mut tx, now, entry).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// How the audit log names a partner.
#[must_use]
pub fn target(partner: UserId) -> String {
    format!("partner/{}", partner.get())
}

fn conditions(sql: &mut QueryBuilder<Postgres>, filter: &PartnerFilter) {
    sql.push(" WHERE true");
    if let Some(search) = &filter.search {
        // strpos, because a search text may hold wildcards of LIKE.
        sql.push(" AND strpos(lower(p.name || ' ' || p.broker_user), lower(")
            .push_bind(search.clone())
            .push(")) > 0");
    }
    if let Some(status) = filter.status {
        sql.push(" AND p.status = ").push_bind(status.as_str());
    }
}
