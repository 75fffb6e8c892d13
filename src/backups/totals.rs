//! What the ledger amounts to, so that a copy can be compared with what it was made of.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

/// Sums over the ledger. Amounts are paise, as text because sums of many may be larger than an integer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub(super) struct Totals {
    /// Of all wallets.
    pub balances: String,
    /// A sum over each wallet's number and balance together.
    pub wallets: String,
    /// How many.
    pub transactions: i64,
    /// How many.
    pub postings: i64,
    /// Of every account: number and sum of its postings; of wallets only their sum over number and sum together.
    pub accounts: String,
    /// As for `wallets`, over the postings of each account.
    pub posted: String,
}

/// The totals as this connection sees them now.
pub(super) async fn totals(db: &mut PgConnection) -> Result<Totals, sqlx::Error> {
    sqlx::query_as(
        "WITH account AS MATERIALIZED (SELECT account_id, sum(amount) AS total FROM postings GROUP BY account_id)
         SELECT (SELECT coalesce(sum(balance), 0)::text FROM wallets) AS balances,
                (SELECT coalesce(sum(hashtextextended(wallet_id || ':' || balance, 0)::numeric), 0)::text
                 FROM wallets) AS wallets,
                (SELECT count(*) FROM transactions) AS transactions,
                (SELECT count(*) FROM postings) AS postings,
                (SELECT coalesce(string_agg(account_id || ':' || total, ' ' ORDER BY account_id), '')
                 FROM account WHERE account_id < 0) AS accounts,
                (SELECT coalesce(sum(hashtextextended(account_id || ':' || total, 0)::numeric), 0)::text
                 FROM account) AS posted",
    )
    .fetch_one(db)
    .await
}
