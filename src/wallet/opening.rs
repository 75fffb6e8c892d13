//! Balances brought in from before the ledger.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{AccountId, Paise, PhoneNumber, UserId};
use sqlx::PgConnection;

/// Ids that one value of `txn_id_seq` stands for.
const ID_BLOCK: usize = 10_000;

/// Gives each of these customers, who must have no transactions yet, `amount` as an opening balance: a transaction from
/// the opening balances' account, free of the limits for customers. At most 10,000 customers a call.
///
/// # Errors
/// Those of the database; [`sqlx::Error::RowNotFound`] when a wallet is missing or was used already.
pub async fn post_opening_balances(
    connection: &mut PgConnection,
    customers: &[(UserId, PhoneNumber)],
    amount: Paise,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    if amount == Paise::ZERO || customers.is_empty() {
        return Ok(());
    }
    let customers = customers.get(..customers.len().min(ID_BLOCK)).unwrap_or(customers);
    let (users, phones): (Vec<i64>, Vec<i64>) =
        customers.iter().map(|(user, phone)| (user.get(), phone.e164())).unzip();
    let opened: i64 = sqlx::query_scalar(
        "WITH block AS MATERIALIZED (SELECT nextval('txn_id_seq') AS first),
         given AS MATERIALIZED (
             SELECT user_id, phone, block.first + position - 1 AS txn_id
             FROM block, unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS g (user_id, phone, position)),
         opened AS (
             UPDATE wallets w SET balance = $3, seq = 1, transactions = 1
             FROM given WHERE w.wallet_id = given.user_id AND w.seq = 0 AND w.transactions = 0 RETURNING 1),
         txn AS (
             INSERT INTO transactions (txn_id, created_at, user_id, wallet_seq, category, txn_type, amount, to_phone,
                 source, status)
             SELECT txn_id, $4, user_id, 1, 'wallet', 'credit', $3, phone, 'wallet_topup', 'success' FROM given),
         posting AS (
             INSERT INTO postings (txn_id, account_id, amount, created_at)
             SELECT txn_id, user_id, $3, $4 FROM given
             UNION ALL SELECT txn_id, $5, -$3, $4 FROM given)
         SELECT count(*) FROM opened",
    )
    .bind(&users)
    .bind(&phones)
    .bind(amount.get())
    .bind(now)
    .bind(AccountId::OPENING_BALANCES.get())
    .fetch_one(connection)
    .await?;
    if usize::try_from(opened).unwrap_or(0) == customers.len() {
        Ok(())
    } else {
        Err(sqlx::Error::RowNotFound)
    }
}
