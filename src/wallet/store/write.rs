//! Writes a batch set by set.

use std::collections::BTreeMap;

use gencharge_actors::kernel::WalletId;
use gencharge_actors::wallet::{Bought, LineState, NewKey, WalletState, Writes};
use sqlx::types::{Json, Uuid};
use sqlx::{PgConnection, Row};

use super::load::LockedRow;
use super::rare;

/// Everything a usual batch writes, in one statement. Parameters are arrays of equal length for each table. They are
/// unnested in the select list, where they are read in step; in FROM each would first be copied into a table of its own.
const WRITE: &str = "\
WITH wallet AS (
    UPDATE wallets w SET balance = n.balance, seq = n.seq, transactions = n.transactions, recharges = n.recharges,
        active_subscription_id = n.active, active_valid_to = n.active_valid_to, tail_valid_to = n.tail_valid_to,
        queued = n.queued, gifts = n.gifts
    FROM (SELECT
        unnest($2::bigint[]) AS id, unnest($3::text[]) AS place, unnest($4::bigint[]) AS balance,
        unnest($5::bigint[]) AS seq, unnest($6::bigint[]) AS transactions, unnest($7::bigint[]) AS recharges,
        unnest($8::bigint[]) AS active, unnest($9::timestamptz[]) AS active_valid_to,
        unnest($10::timestamptz[]) AS tail_valid_to, unnest($11::integer[]) AS queued,
        unnest($12::bigint[]) AS gifts) n
    WHERE w.ctid = n.place::tid AND w.wallet_id = n.id RETURNING 1
), txn AS (
    INSERT INTO transactions (txn_id, user_id, beneficiary_id, wallet_seq, category, txn_type, amount, price, discount,
        wallet_amount, gateway_amount, service_type, plan_id, offer_id, from_phone, to_phone, source, status,
        payment_method, payment_transaction_id, subscription_id, created_at)
    SELECT
        unnest($13::bigint[]), unnest($14::bigint[]), unnest($15::bigint[]), unnest($16::bigint[]),
        unnest($17::text[]), unnest($18::text[]), unnest($19::bigint[]), unnest($20::bigint[]),
        unnest($21::bigint[]), unnest($22::bigint[]), unnest($23::bigint[]), unnest($24::text[]),
        unnest($25::bigint[]), unnest($26::bigint[]), unnest($27::bigint[]), unnest($28::bigint[]),
        unnest($29::text[]), unnest($30::text[]), unnest($31::text[]), unnest($32::text[]),
        unnest($33::bigint[]), $1
), posting AS (
    INSERT INTO postings (txn_id, account_id, amount, created_at)
    SELECT
        unnest($34::bigint[]), unnest($35::bigint[]), unnest($36::bigint[]), $1
), subscription AS (
    INSERT INTO subscriptions (subscription_id, phone, user_id, plan_id, txn_id, status, valid_from, valid_to, total_paid)
    SELECT
        unnest($37::bigint[]), unnest($38::bigint[]), unnest($39::bigint[]), unnest($40::bigint[]),
        unnest($41::bigint[]), unnest($42::text[]), unnest($43::timestamptz[]), unnest($44::timestamptz[]),
        unnest($45::bigint[])
), used AS (
    INSERT INTO idempotency_keys (key, request, txn_id, subscription_status, valid_from, valid_to, rejection,
        created_at)
    SELECT
        unnest($46::uuid[]), unnest($47::uuid[]), unnest($48::bigint[]), unnest($49::text[]), unnest($50::timestamptz[]),
        unnest($51::timestamptz[]),
        unnest($52::jsonb[]), $1
), batch AS (
    INSERT INTO outbox_batches (batch_id, created_at, events)
    SELECT nextval('outbox_batch_id_seq'), $1, cardinality($53::bigint[]) WHERE cardinality($53::bigint[]) > 0
    RETURNING batch_id
), event AS (
    INSERT INTO outbox_events (event_id, batch_id, created_at, type, txn_id, data, addressee)
    SELECT
        unnest($53::bigint[]), batch.batch_id, $1, unnest($54::text[]), unnest($55::bigint[]),
        unnest($56::text[]), unnest($57::text[]) FROM batch
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
    let ids = |paise: Option<gencharge_actors::kernel::Paise>| paise.map(|amount| amount.get());
    let rows = changed(writes, locked);
    let txns = &writes.transactions;
    let subs = &writes.subscriptions;
    let keys = &writes.keys;
    let events = &writes.events;
    let lines = || rows.iter().map(|row| row.line);
    let query = sqlx::query(WRITE)
        .bind(writes.now)
        .bind(rows.iter().map(|row| row.id.get()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.place).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.wallet.balance.get()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.wallet.seq).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.wallet.transactions).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.wallet.recharges).collect::<Vec<_>>())
        .bind(
            lines().map(|line| line.and_then(|line| line.active).map(|(id, _)| id.get())).collect::<Vec<_>>(),
        )
        .bind(lines().map(|line| line.and_then(|line| line.active).map(|(_, to)| to)).collect::<Vec<_>>())
        .bind(lines().map(|line| line.and_then(|line| line.tail_valid_to)).collect::<Vec<_>>())
        .bind(lines().map(|line| line.map_or(0, |line| line.queued)).collect::<Vec<_>>())
        .bind(lines().map(|line| line.map_or(0, |line| line.gifts)).collect::<Vec<_>>());
    let query = query
        .bind(txns.iter().map(|txn| txn.txn_id.get()).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.user_id.get()).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.beneficiary_id.map(|id| id.get())).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.wallet_seq).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.category.as_str()).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.txn_type.as_str()).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.amount.get()).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| ids(txn.price)).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| ids(txn.discount)).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| ids(txn.wallet_amount)).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| ids(txn.gateway_amount)).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.service_type.map(|word| word.as_str())).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.plan_id.map(|id| id.get())).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.offer_id.map(|id| id.get())).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.from_phone.map(|phone| phone.e164())).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.to_phone.map(|phone| phone.e164())).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.source.as_str()).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.status.as_str()).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.payment_method.map(|word| word.as_str())).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.payment_transaction_id.as_deref()).collect::<Vec<_>>())
        .bind(txns.iter().map(|txn| txn.subscription_id.map(|id| id.get())).collect::<Vec<_>>())
        .bind(writes.postings.iter().map(|posting| posting.txn_id.get()).collect::<Vec<_>>())
        .bind(writes.postings.iter().map(|posting| posting.account.get()).collect::<Vec<_>>())
        .bind(writes.postings.iter().map(|posting| posting.amount.get()).collect::<Vec<_>>());
    let query = query
        .bind(subs.iter().map(|sub| sub.subscription_id.get()).collect::<Vec<_>>())
        .bind(subs.iter().map(|sub| sub.phone.e164()).collect::<Vec<_>>())
        .bind(subs.iter().map(|sub| sub.user_id.get()).collect::<Vec<_>>())
        .bind(subs.iter().map(|sub| sub.plan_id.get()).collect::<Vec<_>>())
        .bind(subs.iter().map(|sub| sub.txn_id.get()).collect::<Vec<_>>())
        .bind(subs.iter().map(|sub| sub.status.as_str()).collect::<Vec<_>>())
        .bind(subs.iter().map(|sub| sub.valid_from).collect::<Vec<_>>())
        .bind(subs.iter().map(|sub| sub.valid_to).collect::<Vec<_>>())
        .bind(subs.iter().map(|sub| sub.total_paid.get()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| Uuid::from_u128(key.key.0)).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| Uuid::from_u128(key.request.0)).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.outcome.as_ref().ok().map(|(txn, _)| txn.get())).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| bought(key).map(|bought| bought.status.as_str())).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| bought(key).map(|bought| bought.valid_from)).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| bought(key).map(|bought| bought.valid_to)).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.outcome.as_ref().err().map(Json)).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.event_id.get()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.event.type_name()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.txn_id.map(|txn| txn.get())).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.event.data_json()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.event.addressee()).collect::<Vec<_>>());
    let row = query.fetch_one(connection).await?;
    let updated: i64 = row.try_get(0)?;
    Ok(usize::try_from(updated).unwrap_or(0) == rows.len())
}

/// Deletes the customers whose wallets were closed: after everything else, because it takes their numbers from them.
pub async fn archive_closed(connection: &mut PgConnection, writes: &Writes) -> Result<(), sqlx::Error> {
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

/// A row of `wallets` as it is to be: what the batch changed of it, and the rest as it was locked.
struct Changed<'a> {
    id: WalletId,
    place: &'a str,
    wallet: &'a WalletState,
    line: Option<&'a LineState>,
}

fn changed<'a>(writes: &'a Writes, locked: &'a BTreeMap<WalletId, LockedRow>) -> Vec<Changed<'a>> {
    let rows = locked.iter().filter_map(|(id, row)| {
        let wallet = writes.wallets.get(id);
        let line = row.number.as_ref().and_then(|(phone, _)| writes.lines.get(phone));
        (wallet.is_some() || line.is_some()).then(|| Changed {
            id: *id,
            place: &row.place,
            wallet: wallet.unwrap_or(&row.wallet),
            line: line.or(row.number.as_ref().map(|(_, line)| line)),
        })
    });
    rows.collect()
}

/// What the key's subscription looked like.
fn bought(key: &NewKey) -> Option<Bought> {
    key.outcome.as_ref().ok().and_then(|(_, bought)| *bought)
}
