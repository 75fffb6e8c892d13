//! The SQL of payments. What changes them is the wallets' business.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{Clock, Paise, PaymentState, TxnId};
use gencharge_actors::payment::{Due, SweepError, SweepStore};
use gencharge_actors::wallet::{Payment, Settlement, Transaction};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow as _, PgPool, Postgres, QueryBuilder, Row as _};

use super::shape::{COLUMNS, PaymentOut};
use crate::wallet::transaction_by_id;

/// Only payments that match all of what is given.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub user_id: Option<i64>,
    pub state: Option<PaymentState>,
    /// At or after.
    pub created_from: Option<DateTime<Utc>>,
    /// Before.
    pub created_to: Option<DateTime<Utc>>,
}

/// Reads payments, and what refunds need to know.
#[derive(Clone, Debug)]
pub struct PaymentStore {
    pool: PgPool,
}

impl PaymentStore {
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// A payment as clients see it.
    pub async fn one(&self, payment_id: i64) -> Result<Option<PaymentOut>, sqlx::Error> {
        let mut sql = QueryBuilder::new("SELECT ");
        sql.push(COLUMNS).push(" FROM payments WHERE payment_id = ").push_bind(payment_id);
        sql.build_query_as().fetch_optional(&self.pool).await
    }

    /// A page, newest first, and how many there are in all.
    pub async fn list(
        &self,
        filter: &Filter,
        skip: i64,
        take: i64,
    ) -> Result<(Vec<PaymentOut>, i64), sqlx::Error> {
        let mut sql = QueryBuilder::new("SELECT ");
        sql.push(COLUMNS).push(" FROM payments");
        conditions(&mut sql, filter);
        sql.push(" ORDER BY created_at DESC, payment_id DESC LIMIT ").push_bind(take);
        sql.push(" OFFSET ").push_bind(skip);
        let rows = sql.build().persistent(false).fetch_all(&self.pool).await?;
        let rows = rows.iter().map(PaymentOut::from_row).collect::<Result<_, _>>()?;
        let mut sql = QueryBuilder::new("SELECT count(*) FROM payments");
        conditions(&mut sql, filter);
        let total = sql.build_query_scalar().persistent(false).fetch_one(&self.pool).await?;
        Ok((rows, total))
    }

    /// A payment as it was begun.
    pub async fn payment(&self, payment_id: i64) -> Result<Option<Payment>, sqlx::Error> {
        let sql = "SELECT payment_id, amount, purchase, transaction, expires_at, capture_at FROM payments \
                   WHERE payment_id = $1";
        let row = sqlx::query(sql).bind(payment_id).fetch_optional(&self.pool).await?;
        row.as_ref().map(payment).transpose()
    }

    /// A transaction, and what it earned as cashback for the owner of the number.
    pub async fn refundable(&self, txn_id: i64) -> Result<Option<(Transaction, Paise)>, sqlx::Error> {
        let Some(transaction) = transaction_by_id(&self.pool, txn_id).await? else { return Ok(None) };
        let sql = "SELECT amount FROM transactions WHERE user_id = $1 AND created_at = $2 AND payment_transaction_id = $3";
        let owner = transaction.beneficiary_id.unwrap_or(transaction.user_id);
        let cashback: Option<i64> = sqlx::query_scalar(sql)
            .bind(owner.get())
            .bind(transaction.created_at)
            .bind(format!("CASHBACK_{txn_id}"))
            .fetch_optional(&self.pool)
            .await?;
        Ok(Some((transaction, cashback.map_or(Paise::ZERO, Paise::new))))
    }
}

fn conditions(sql: &mut QueryBuilder<Postgres>, filter: &Filter) {
    sql.push(" WHERE true");
    if let Some(user_id) = filter.user_id {
        sql.push(" AND user_id = ").push_bind(user_id);
    }
    if let Some(state) = filter.state {
        sql.push(" AND state = ").push_bind(state.as_str());
    }
    if let Some(from) = filter.created_from {
        sql.push(" AND created_at >= ").push_bind(from);
    }
    if let Some(to) = filter.created_to {
        sql.push(" AND created_at < ").push_bind(to);
    }
}

fn payment(row: &PgRow) -> Result<Payment, sqlx::Error> {
    let (Json(purchase), Json(transaction)) = (row.try_get(2)?, row.try_get(3)?);
    Ok(Payment {
        payment_id: TxnId(row.try_get(0)?),
        amount: Paise::new(row.try_get(1)?),
        purchase,
        transaction,
        expires_at: row.try_get(4)?,
        capture_at: row.try_get(5)?,
    })
}

/// What is due: late captures of the sandbox before the end of what nobody paid, so that neither starves.
const DUE: &str = "\
(SELECT payment_id, amount, purchase, transaction, expires_at, capture_at, true FROM payments
 WHERE capture_at <= $1 AND state IN ('pending', 'expired') ORDER BY capture_at LIMIT $2)
UNION ALL
(SELECT payment_id, amount, purchase, transaction, expires_at, capture_at, false FROM payments
 WHERE state = 'pending' AND expires_at <= $1 AND (capture_at IS NULL OR capture_at > $1) ORDER BY expires_at LIMIT $2)";

/// The sweeper's store.
pub struct PgSweepStore {
    pool: PgPool,
    clock: Arc<dyn Clock>,
}

impl PgSweepStore {
    /// Over the shared pool.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>) -> Self {
        Self { pool, clock }
    }
}

impl SweepStore for PgSweepStore {
    async fn due(&self, limit: u32) -> Result<Vec<Due>, SweepError> {
        let away = |error: sqlx::Error| SweepError(error.to_string());
        let due = sqlx::query(DUE).bind(self.clock.now()).bind(i64::from(limit));
        let rows = due.fetch_all(&self.pool).await.map_err(away)?;
        rows.iter()
            .map(|row| {
                let captured: bool = row.try_get(6).map_err(away)?;
                let settlement = if captured { Settlement::Captured } else { Settlement::Expired };
                Ok(Due { payment: payment(row).map_err(away)?, settlement })
            })
            .collect()
    }
}
