//! Writes a batch set by set.

use std::collections::BTreeMap;

use gencharge_actors::kernel::WalletId;
use gencharge_actors::wallet::Writes;
use sqlx::{PgConnection, Row};

use super::load::LockedRow;
use super::rare;
use super::records::{
    EventRecord, KeyRecord, PostingRecord, SubscriptionRecord, TransactionRecord, WalletRecord,
};

/// Everything a usual batch writes, in one statement: one array of records for each table.
const WRITE: &str = "\
WITH wallet AS (
    UPDATE wallets w SET balance = n.balance, seq = n.seq, transactions = n.transactions, recharges = n.recharges,
        active_subscription_id = n.active_subscription_id, active_valid_to = n.active_valid_to,
        tail_valid_to = n.tail_valid_to, queued = n.queued, gifts = n.gifts
    FROM unnest($2::wallet_record[]) AS n WHERE w.ctid = n.place AND w.wallet_id = n.wallet_id RETURNING 1
), txn AS (
    INSERT INTO transactions (txn_id, user_id, beneficiary_id, wallet_seq, category, txn_type, amount, price, discount,
        wallet_amount, gateway_amount, service_type, plan_id, offer_id, from_phone, to_phone, source, status,
        payment_method, payment_transaction_id, subscription_id, created_at)
    SELECT n.*, $1 FROM unnest($3::transaction_record[]) AS n
), posting AS (
    INSERT INTO postings (txn_id, account_id, amount, created_at) SELECT n.*, $1 FROM unnest($4::posting_record[]) AS n
), subscription AS (
    INSERT INTO subscriptions (subscription_id, phone, user_id, plan_id, txn_id, status, valid_from, valid_to, total_paid)
    SELECT n.* FROM unnest($5::subscription_record[]) AS n
), used AS (
    INSERT INTO idempotency_keys (key, request, txn_id, subscription_status, valid_from, valid_to, rejection, created_at)
    SELECT n.*, $1 FROM unnest($6::key_record[]) AS n
), batch AS (
    INSERT INTO outbox_batches (batch_id, created_at, events)
    SELECT nextval('outbox_batch_id_seq'), $1, cardinality($7::event_record[])
    WHERE cardinality($7::event_record[]) > 0 RETURNING batch_id
), event AS (
    INSERT INTO outbox_events (event_id, type, txn_id, data, addressee, batch_id, created_at)
    SELECT n.*, batch.batch_id, $1 FROM batch, unnest($7::event_record[]) AS n
)
SELECT count(*) FROM wallet";

/// Writes everything but the commit. False when a row that was locked is not there any more.
pub async fn write(
    connection: &mut PgConnection,
    writes: &Writes,
    locked: &BTreeMap<WalletId, LockedRow>,
) -> Result<bool, sqlx::Error> {
    if !rare::write(connection, writes).await? {
        return Ok(false);
    }
    let wallets = changed(writes, locked);
    let count = wallets.len();
    let row = sqlx::query(WRITE)
        .bind(writes.now)
        .bind(wallets)
        .bind(writes.transactions.iter().map(TransactionRecord::from).collect::<Vec<_>>())
        .bind(writes.postings.iter().map(PostingRecord::from).collect::<Vec<_>>())
        .bind(writes.subscriptions.iter().map(SubscriptionRecord::from).collect::<Vec<_>>())
        .bind(writes.keys.iter().map(KeyRecord::from).collect::<Vec<_>>())
        .bind(writes.events.iter().map(EventRecord::from).collect::<Vec<_>>())
        .fetch_one(&mut *connection)
        .await?;
    let updated: i64 = row.try_get(0)?;
    if usize::try_from(updated) != Ok(count) || !rare::end_referrals(connection, writes).await? {
        return Ok(false);
    }
    archive_closed(connection, writes).await?;
    Ok(true)
}

/// Deletes the customers whose wallets were closed: after everything else, because it takes their numbers from them.
async fn archive_closed(connection: &mut PgConnection, writes: &Writes) -> Result<(), sqlx::Error> {
    for closed in &writes.closed {
        sqlx::query("SELECT archive_user($1, $2, $3, $4)")
            .bind(closed.user.get())
            .bind(closed.held.get())
            .bind(closed.by.map(|admin| admin.get()))
            .bind(writes.now)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The rows of `wallets` as they are to be: what the batch changed of each, and the rest as it was locked.
fn changed(writes: &Writes, locked: &BTreeMap<WalletId, LockedRow>) -> Vec<WalletRecord> {
    let rows = locked.iter().filter_map(|(id, row)| {
        let wallet = writes.wallets.get(id);
        let line = row.number.as_ref().and_then(|(phone, _)| writes.lines.get(phone));
        (wallet.is_some() || line.is_some()).then(|| {
            let line = line.or(row.number.as_ref().map(|(_, line)| line));
            WalletRecord::new(*id, row.place, wallet.unwrap_or(&row.wallet), line)
        })
    });
    rows.collect()
}
