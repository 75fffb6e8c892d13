//! The SQL of the lists.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use gencharge_actors::kernel::{Paise, PhoneNumber, UserId};
use sqlx::postgres::PgRow;
use sqlx::{FromRow as _, PgPool, Postgres, QueryBuilder, Row as _};

use super::listing::{Filter, Listing, Scope};
use super::shape::{COLUMN_COUNT, COLUMNS, TransactionRow, UserResponse};
use crate::platform::postgres::columns::{optional_word, phone, word};
use crate::platform::postgres::rows::{self, LongReads};

/// The customer's newest rows, and how many there are: from counters, so that no history has to be read for it.
/// $1 customer, $2 now, $3 rows to skip, $4 rows to give. One row with nulls when there are none to give.
const OWN_NEWEST: &str = "\
    WITH counted AS MATERIALIZED ( \
        SELECT COALESCE((SELECT transactions + gifts FROM wallets WHERE wallet_id = $1), 0) AS total) \
    SELECT t.txn_id, t.created_at, t.user_id, t.category, t.txn_type, t.amount, t.price, t.discount, t.wallet_amount, \
           t.gateway_amount, t.service_type, t.plan_id, t.offer_id, t.from_phone, t.to_phone, t.source, t.status, \
           t.payment_method, t.payment_transaction_id, t.subscription_id, counted.total \
    FROM counted LEFT JOIN LATERAL ( \
        SELECT * FROM own_transactions($1, $2, \
            CASE WHEN $3 >= counted.total THEN 0 ELSE LEAST(counted.total, $3 + $4) END) \
        ORDER BY created_at DESC, txn_id DESC LIMIT $4 OFFSET $3) t ON true \
    ORDER BY t.created_at DESC, t.txn_id DESC";

/// Reads transactions.
#[derive(Clone, Debug)]
pub struct TransactionStore {
    pool: PgPool,
    long_reads: LongReads,
}

impl TransactionStore {
    /// On this pool.
    #[must_use]
    pub fn new(pool: PgPool, long_reads: LongReads) -> Self {
        Self { pool, long_reads }
    }

    /// A customer's newest rows after `skip`, and the number of all.
    pub async fn own_newest(
        &self,
        user: UserId,
        now: DateTime<Utc>,
        skip: i64,
        take: i64,
    ) -> Result<(Vec<TransactionRow>, i64), sqlx::Error> {
        let found = sqlx::query(OWN_NEWEST)
            .bind(user.get())
            .bind(now)
            .bind(skip)
            .bind(take)
            .fetch_all(&self.pool)
            .await?;
        let total = found.first().map_or(Ok(0), |row| row.try_get(COLUMN_COUNT))?;
        let rows = found.iter().filter_map(present).collect::<Result<_, _>>()?;
        Ok((rows, total))
    }

    /// At most `take` rows of the list after `skip` (and after its cursor).
    pub async fn some(
        &self,
        listing: &Listing,
        now: DateTime<Utc>,
        skip: i64,
        take: i64,
    ) -> Result<Vec<TransactionRow>, sqlx::Error> {
        select(listing, now, Some((skip, take)))
            .build_query_as()
            .persistent(false)
            .fetch_all(&self.pool)
            .await
    }

    /// All rows of the list as they arrive; `None` when too many such reads are open.
    #[must_use]
    pub fn everything(
        &self,
        listing: &Listing,
        now: DateTime<Utc>,
    ) -> Option<crate::http::list::RowChunks<TransactionRow>> {
        let place = self.long_reads.try_enter()?;
        Some(rows::stream(self.pool.clone(), select(listing, now, None), place))
    }

    /// How many rows the filter lets through, whatever the page.
    pub async fn count(&self, listing: &Listing, now: DateTime<Utc>) -> Result<i64, sqlx::Error> {
        let mut sql = QueryBuilder::new("SELECT ");
        for (index, column) in identities(listing.scope).iter().enumerate() {
            sql.push(if index == 0 { "" } else { " + " });
            sql.push("(SELECT count(*) FROM transactions");
            conditions(&mut sql, listing.scope, column, &listing.filter, now);
            sql.push(")");
        }
        sql.build_query_scalar().persistent(false).fetch_one(&self.pool).await
    }

    /// The customers with these ids, deleted ones as they were.
    pub async fn users(&self, ids: &[i64]) -> Result<HashMap<i64, UserResponse>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT u.user_id, u.phone, u.name, u.email, u.referral_code, u.user_type, u.status, \
                    COALESCE(w.balance, 0), u.referee_code, u.created_at, u.updated_at \
             FROM users u LEFT JOIN wallets w ON w.wallet_id = u.user_id WHERE u.user_id = ANY($1) \
             UNION ALL \
             SELECT user_id, phone, name, email, referral_code, user_type, status, wallet_balance, referee_code, \
                    created_at, updated_at \
             FROM archived_users WHERE user_id = ANY($1)",
        )
        .bind(ids)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| user(row).map(|user| (user.user_id, user))).collect()
    }
}

fn present(row: &PgRow) -> Option<Result<TransactionRow, sqlx::Error>> {
    match row.try_get::<Option<i64>, _>(0) {
        Ok(None) => None,
        Ok(Some(_)) => Some(TransactionRow::from_row(row)),
        Err(error) => Some(Err(error)),
    }
}

fn user(row: &PgRow) -> Result<UserResponse, sqlx::Error> {
    Ok(UserResponse {
        user_id: row.try_get(0)?,
        phone_number: phone(row, 1)?,
        name: row.try_get(2)?,
        email: row.try_get(3)?,
        referral_code: row.try_get(4)?,
        user_type: optional_word(row, 5)?,
        status: word(row, 6)?,
        wallet_balance: Paise::new(row.try_get(7)?),
        referee_code: row.try_get(8)?,
        created_at: row.try_get(9)?,
        updated_at: row.try_get(10)?,
    })
}

/// The columns that tie a row to the scope; each has its own index, and no row matches two of them.
fn identities(scope: Scope) -> &'static [&'static str] {
    match scope {
        Scope::Own(_) => &["user_id", "beneficiary_id"],
        Scope::All => &["txn_id"],
    }
}

/// The statement for `listing`; `range` is (skip, take), or everything.
fn select(listing: &Listing, now: DateTime<Utc>, range: Option<(i64, i64)>) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("SELECT ");
    sql.push(COLUMNS).push(" FROM (");
    for (index, column) in identities(listing.scope).iter().enumerate() {
        sql.push(if index == 0 { "(SELECT " } else { " UNION ALL (SELECT " });
        sql.push(COLUMNS).push(" FROM transactions");
        conditions(&mut sql, listing.scope, column, &listing.filter, now);
        resume(&mut sql, listing);
        order(&mut sql, listing);
        if let Some((skip, take)) = range {
            sql.push(" LIMIT ").push_bind(skip.saturating_add(take));
        }
        sql.push(")");
    }
    sql.push(") seen");
    order(&mut sql, listing);
    if let Some((skip, take)) = range {
        sql.push(" LIMIT ").push_bind(take).push(" OFFSET ").push_bind(skip);
    }
    sql
}

fn order(sql: &mut QueryBuilder<Postgres>, listing: &Listing) {
    let direction = if listing.order.descending { " DESC" } else { " ASC" };
    sql.push(" ORDER BY ");
    if listing.order.by_amount {
        sql.push("amount").push(direction).push(", ");
    }
    sql.push("created_at").push(direction).push(", txn_id").push(direction);
}

/// Continues after the cursor's row.
fn resume(sql: &mut QueryBuilder<Postgres>, listing: &Listing) {
    let Some(cursor) = &listing.after else { return };
    let [amount, micros, txn_id] = cursor.keys;
    let created_at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    let beyond = if listing.order.descending { " < (" } else { " > (" };
    if listing.order.by_amount {
        sql.push(" AND (amount, created_at, txn_id)").push(beyond).push_bind(amount).push(", ");
    } else {
        // Said by itself too: only so does it leave partitions out.
        sql.push(if listing.order.descending { " AND created_at <= " } else { " AND created_at >= " });
        sql.push_bind(created_at);
        sql.push(" AND (created_at, txn_id)").push(beyond);
    }
    sql.push_bind(created_at).push(", ").push_bind(txn_id).push(")");
}

fn conditions(
    sql: &mut QueryBuilder<Postgres>,
    scope: Scope,
    column: &str,
    filter: &Filter,
    now: DateTime<Utc>,
) {
    match scope {
        Scope::Own(user) => {
            sql.push(" WHERE ").push(column).push(" = ").push_bind(user.get());
        }
        // Always true; lets the planner use the index over all customers.
        Scope::All => {
            sql.push(" WHERE txn_id > 0");
        }
    }
    // Leaves the empty partitions of coming months out; the day covers servers whose clocks differ.
    let horizon = now.checked_add_signed(TimeDelta::days(1)).unwrap_or(now);
    sql.push(" AND created_at < ").push_bind(filter.created_to.map_or(horizon, |to| to.min(horizon)));
    if let Some(from) = filter.created_from {
        sql.push(" AND created_at >= ").push_bind(from);
    }
    if let Some(user_id) = filter.user_id {
        sql.push(" AND user_id = ").push_bind(user_id);
    }
    let words = [
        (" AND category = ", filter.category.map(|word| word.as_str())),
        (" AND txn_type = ", filter.txn_type.map(|word| word.as_str())),
        (" AND service_type = ", filter.service_type.map(|word| word.as_str())),
        (" AND source = ", filter.source.map(|word| word.as_str())),
        (" AND status = ", filter.status.map(|word| word.as_str())),
        (" AND payment_method = ", filter.payment_method.map(|word| word.as_str())),
    ];
    for (condition, word) in words {
        if let Some(word) = word {
            sql.push(condition).push_bind(word);
        }
    }
    let numbers = [
        (" AND from_phone = ", filter.from_phone.map(PhoneNumber::e164)),
        (" AND to_phone = ", filter.to_phone.map(PhoneNumber::e164)),
        (" AND amount >= ", filter.amount_min.map(Paise::get)),
        (" AND amount <= ", filter.amount_max.map(Paise::get)),
    ];
    for (condition, number) in numbers {
        if let Some(number) = number {
            sql.push(condition).push_bind(number);
        }
    }
    // Digits only, so nothing in them is a wildcard.
    let parts = [
        (" AND right(from_phone::text, 10) LIKE ", &filter.from_phone_like),
        (" AND right(to_phone::text, 10) LIKE ", &filter.to_phone_like),
    ];
    for (condition, part) in parts {
        if let Some(part) = part {
            sql.push(condition).push_bind(format!("%{part}%"));
        }
    }
}
