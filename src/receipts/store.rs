//! What a receipt says, read from its transaction and what that refers to.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::Paise;
use gencharge_actors::wallet::Transaction;
use sqlx::{PgPool, Row as _};

use crate::wallet::transaction_by_id;

/// Everything that a receipt shows.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub transaction: Transaction,
    /// The payer's name, unless the account has none or is gone.
    pub name: Option<String>,
    pub plan: Option<String>,
    pub offer: Option<String>,
    /// The plan's window, as it stands now.
    pub window: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Given back since.
    pub refunded: Paise,
}

const ABOUT: &str = "\
SELECT (SELECT name FROM users WHERE user_id = $1), (SELECT plan_name FROM plans WHERE plan_id = $2),
       (SELECT offer_name FROM offers WHERE offer_id = $3),
       (SELECT valid_from FROM subscriptions WHERE subscription_id = $4),
       (SELECT valid_to FROM subscriptions WHERE subscription_id = $4),
       (SELECT coalesce(sum(amount), 0)::bigint FROM refunds WHERE txn_id = $5)";

/// The receipt of a transaction.
///
/// # Errors
/// Those of the database.
pub async fn receipt(pool: &PgPool, txn_id: i64) -> Result<Option<Receipt>, sqlx::Error> {
    let Some(transaction) = transaction_by_id(pool, txn_id).await? else { return Ok(None) };
    let row = sqlx::query(ABOUT)
        .bind(transaction.user_id.get())
        .bind(transaction.plan_id.map(|id| id.get()))
        .bind(transaction.offer_id.map(|id| id.get()))
        .bind(transaction.subscription_id.map(|id| id.get()))
        .bind(txn_id)
        .fetch_one(pool)
        .await?;
    let window: (Option<DateTime<Utc>>, Option<DateTime<Utc>>) = (row.try_get(3)?, row.try_get(4)?);
    Ok(Some(Receipt {
        transaction,
        name: row.try_get(0)?,
        plan: row.try_get(1)?,
        offer: row.try_get(2)?,
        window: window.0.zip(window.1),
        refunded: Paise::new(row.try_get(5)?),
    }))
}
