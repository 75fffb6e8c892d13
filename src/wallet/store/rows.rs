//! Transactions and subscriptions read back from their rows.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{OfferId, Paise, PhoneNumber, PlanId, SubscriptionId, TxnId, UserId};
use gencharge_actors::wallet::{Receipt, Subscription, Transaction};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder, Row};

pub use crate::platform::postgres::columns::{optional_word, word};

/// Each receipt of `txn_ids`, whose partitions `created` names. `OFFSET 0` keeps each look-up an index's, also in a plan
/// that was made while the tables were known to be empty.
const RECEIPTS: &str = "\
SELECT t.txn_id, t.created_at, t.user_id, t.beneficiary_id, t.wallet_seq, t.category, t.txn_type, t.amount, t.price,
       t.discount, t.wallet_amount, t.gateway_amount, t.service_type, t.plan_id, t.offer_id, t.from_phone, t.to_phone,
       t.source, t.status, t.payment_method, t.payment_transaction_id, t.subscription_id,
       s.phone, s.user_id, s.plan_id, s.status, s.valid_from, s.valid_to, s.total_paid
FROM unnest($1::bigint[], $2::timestamptz[]) AS wanted (txn_id, created_at)
CROSS JOIN LATERAL (
    SELECT * FROM transactions WHERE txn_id = wanted.txn_id AND created_at = wanted.created_at OFFSET 0
) AS t
LEFT JOIN subscriptions s ON s.subscription_id = t.subscription_id";

/// A value that cannot be what the schema says.
pub fn undecodable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// A phone number.
pub fn phone(e164: i64) -> Result<PhoneNumber, sqlx::Error> {
    PhoneNumber::from_e164(e164).map_err(undecodable)
}

/// The columns that [`transaction`] reads, in its order.
const COLUMNS: &str = "txn_id, created_at, user_id, beneficiary_id, wallet_seq, category, txn_type, amount, price, discount, \
     wallet_amount, gateway_amount, service_type, plan_id, offer_id, from_phone, to_phone, source, status, payment_method, \
     payment_transaction_id, subscription_id";

/// A transaction by its id alone: every partition's index is asked.
///
/// # Errors
/// Those of the database.
pub async fn transaction_by_id(pool: &PgPool, txn_id: i64) -> Result<Option<Transaction>, sqlx::Error> {
    let mut sql = QueryBuilder::<Postgres>::new("SELECT ");
    sql.push(COLUMNS).push(" FROM transactions WHERE txn_id = ").push_bind(txn_id);
    sql.build().fetch_optional(pool).await?.as_ref().map(transaction).transpose()
}

/// What was answered under a key when its payment was begun and not captured: the transactions to be, by id.
pub async fn pending_receipts(
    connection: &mut PgConnection,
    payment_ids: &[i64],
) -> Result<HashMap<i64, Receipt>, sqlx::Error> {
    let sql = "SELECT payment_id, transaction FROM payments WHERE payment_id = ANY($1)";
    let rows = sqlx::query(sql).bind(payment_ids).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let Json(transaction) = row.try_get(1)?;
            Ok((row.try_get(0)?, Receipt { transaction, subscription: None }))
        })
        .collect()
}

/// The receipts of transactions, by transaction id.
pub async fn receipts(
    connection: &mut PgConnection,
    txn_ids: &[i64],
    created: &[DateTime<Utc>],
) -> Result<HashMap<i64, Receipt>, sqlx::Error> {
    if txn_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(RECEIPTS).bind(txn_ids).bind(created).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, receipt(row)?))).collect()
}

fn receipt(row: &PgRow) -> Result<Receipt, sqlx::Error> {
    let transaction = transaction(row)?;
    let subscription = match transaction.subscription_id {
        None => None,
        Some(subscription_id) => Some(Subscription {
            subscription_id,
            phone: phone(row.try_get(22)?)?,
            user_id: UserId(row.try_get(23)?),
            plan_id: PlanId(row.try_get(24)?),
            txn_id: transaction.txn_id,
            status: word(row, 25)?,
            valid_from: row.try_get(26)?,
            valid_to: row.try_get(27)?,
            total_paid: Paise::new(row.try_get(28)?),
        }),
    };
    Ok(Receipt { transaction, subscription })
}

fn transaction(row: &PgRow) -> Result<Transaction, sqlx::Error> {
    let id = |index: usize| row.try_get::<Option<i64>, _>(index);
    let money = |index: usize| id(index).map(|paise| paise.map(Paise::new));
    Ok(Transaction {
        txn_id: TxnId(row.try_get(0)?),
        created_at: row.try_get(1)?,
        user_id: UserId(row.try_get(2)?),
        beneficiary_id: id(3)?.map(UserId),
        wallet_seq: row.try_get(4)?,
        category: word(row, 5)?,
        txn_type: word(row, 6)?,
        amount: Paise::new(row.try_get(7)?),
        price: money(8)?,
        discount: money(9)?,
        wallet_amount: money(10)?,
        gateway_amount: money(11)?,
        service_type: optional_word(row, 12)?,
        plan_id: id(13)?.map(PlanId),
        offer_id: id(14)?.map(OfferId),
        from_phone: id(15)?.map(phone).transpose()?,
        to_phone: id(16)?.map(phone).transpose()?,
        source: word(row, 17)?,
        status: word(row, 18)?,
        payment_method: optional_word(row, 19)?,
        payment_transaction_id: row.try_get(20)?,
        subscription_id: id(21)?.map(SubscriptionId),
    })
}
