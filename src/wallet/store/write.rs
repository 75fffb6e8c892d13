//! Writes a batch set by set.

use gencharge_actors::wallet::Writes;
use sqlx::types::Uuid;
use sqlx::{PgConnection, Row};

use super::load::Places;

/// Everything a usual batch writes, in one statement. Parameters are arrays of equal length for each table.
const WRITE: &str = "\
WITH wallet AS (
    UPDATE wallets w SET balance = n.balance, seq = n.seq, transactions = n.transactions, recharges = n.recharges
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $55::text[])
        AS n (wallet_id, balance, seq, transactions, recharges, place)
    WHERE w.ctid = n.place::tid AND w.wallet_id = n.wallet_id RETURNING 1
), line AS (
    UPDATE lines l SET active_subscription_id = n.active, active_valid_to = n.active_valid_to,
        tail_valid_to = n.tail_valid_to, queued = n.queued, gifts = n.gifts
    FROM unnest($7::bigint[], $8::bigint[], $9::timestamptz[], $10::timestamptz[], $11::integer[], $12::bigint[],
        $56::text[]) AS n (phone, active, active_valid_to, tail_valid_to, queued, gifts, place)
    WHERE l.ctid = n.place::tid AND l.phone = n.phone RETURNING 1
), txn AS (
    INSERT INTO transactions (txn_id, user_id, beneficiary_id, wallet_seq, category, txn_type, amount, price, discount,
        wallet_amount, gateway_amount, service_type, plan_id, offer_id, from_phone, to_phone, source, status,
        payment_method, payment_transaction_id, subscription_id, created_at)
    SELECT n.*, $1 FROM unnest($13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::text[], $18::text[],
        $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[], $24::text[], $25::bigint[],
        $26::bigint[], $27::bigint[], $28::bigint[], $29::text[], $30::text[], $31::text[], $32::text[], $33::bigint[])
        AS n
), posting AS (
    INSERT INTO postings (txn_id, account_id, amount, created_at)
    SELECT n.*, $1 FROM unnest($34::bigint[], $35::bigint[], $36::bigint[]) AS n
), subscription AS (
    INSERT INTO subscriptions (subscription_id, phone, user_id, plan_id, txn_id, status, valid_from, valid_to, total_paid)
    SELECT * FROM unnest($37::bigint[], $38::bigint[], $39::bigint[], $40::bigint[], $41::bigint[], $42::text[],
        $43::timestamptz[], $44::timestamptz[], $45::bigint[])
), used AS (
    INSERT INTO idempotency_keys (key, request, txn_id, subscription_status, rejection, created_at)
    SELECT n.key, n.request, n.txn_id, n.status, n.rejection::jsonb, $1
    FROM unnest($46::uuid[], $47::uuid[], $48::bigint[], $49::text[], $50::text[])
        AS n (key, request, txn_id, status, rejection)
), batch AS (
    INSERT INTO outbox_batches (batch_id, created_at, events)
    SELECT nextval('outbox_batch_id_seq'), $1, cardinality($51::bigint[]) WHERE cardinality($51::bigint[]) > 0
    RETURNING batch_id
), event AS (
    INSERT INTO outbox_events (event_id, batch_id, created_at, type, txn_id, data)
    SELECT n.event_id, batch.batch_id, $1, n.type, n.txn_id, n.data
    FROM batch, unnest($51::bigint[], $52::text[], $53::bigint[], $54::text[]) AS n (event_id, type, txn_id, data)
)
SELECT (SELECT count(*) FROM wallet), (SELECT count(*) FROM line)";

/// Writes everything but the commit. False when a row that was locked is not there any more.
pub async fn write(
    connection: &mut PgConnection,
    writes: &Writes,
    places: &Places,
) -> Result<bool, sqlx::Error> {
    if !write_rare(connection, writes).await? {
        return Ok(false);
    }
    let ids = |paise: Option<gencharge_actors::kernel::Paise>| paise.map(|amount| amount.get());
    let wallets = &writes.wallets;
    let lines = &writes.lines;
    let txns = &writes.transactions;
    let subs = &writes.subscriptions;
    let keys = &writes.keys;
    let events = &writes.events;
    let query = sqlx::query(WRITE)
        .bind(writes.now)
        .bind(wallets.keys().map(|id| id.get()).collect::<Vec<_>>())
        .bind(wallets.values().map(|wallet| wallet.balance.get()).collect::<Vec<_>>())
        .bind(wallets.values().map(|wallet| wallet.seq).collect::<Vec<_>>())
        .bind(wallets.values().map(|wallet| wallet.transactions).collect::<Vec<_>>())
        .bind(wallets.values().map(|wallet| wallet.recharges).collect::<Vec<_>>())
        .bind(lines.keys().map(|phone| phone.e164()).collect::<Vec<_>>())
        .bind(lines.values().map(|line| line.active.map(|(id, _)| id.get())).collect::<Vec<_>>())
        .bind(lines.values().map(|line| line.active.map(|(_, valid_to)| valid_to)).collect::<Vec<_>>())
        .bind(lines.values().map(|line| line.tail_valid_to).collect::<Vec<_>>())
        .bind(lines.values().map(|line| line.queued).collect::<Vec<_>>())
        .bind(lines.values().map(|line| line.gifts).collect::<Vec<_>>());
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
        .bind(keys.iter().map(|key| status_word(&key.outcome)).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| rejection_json(&key.outcome)).collect::<Result<Vec<_>, _>>()?)
        .bind(events.iter().map(|event| event.event_id.get()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.event.type_name()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.txn_id.get()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.event.data_json()).collect::<Vec<_>>())
        .bind(wallets.keys().map(|id| places.wallets.get(id)).collect::<Vec<_>>())
        .bind(lines.keys().map(|phone| places.lines.get(phone)).collect::<Vec<_>>());
    let row = query.fetch_one(connection).await?;
    let touched =
        |index: usize| row.try_get::<i64, _>(index).map(|count| usize::try_from(count).unwrap_or(0));
    Ok(touched(0)? == wallets.len() && touched(1)? == lines.len())
}

type KeyOutcome = Result<
    (gencharge_actors::kernel::TxnId, Option<gencharge_actors::kernel::SubscriptionStatus>),
    gencharge_actors::wallet::Rejection,
>;

fn status_word(outcome: &KeyOutcome) -> Option<&'static str> {
    outcome.as_ref().ok().and_then(|(_, status)| status.map(|status| status.as_str()))
}

fn rejection_json(outcome: &KeyOutcome) -> Result<Option<String>, sqlx::Error> {
    let Err(rejection) = outcome else { return Ok(None) };
    serde_json::to_string(rejection).map(Some).map_err(super::rows::undecodable)
}

/// What most batches do not have. It goes first: an active plan must end before another begins.
async fn write_rare(connection: &mut PgConnection, writes: &Writes) -> Result<bool, sqlx::Error> {
    if !writes.expired.is_empty() {
        let expired = sqlx::query(
            "UPDATE subscriptions s SET status = 'expired', valid_to = n.valid_to
             FROM unnest($1::bigint[], $2::timestamptz[]) AS n (subscription_id, valid_to)
             WHERE s.subscription_id = n.subscription_id AND s.status = 'active'",
        )
        .bind(writes.expired.iter().map(|old| old.subscription_id.get()).collect::<Vec<_>>())
        .bind(writes.expired.iter().map(|old| old.valid_to).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
        if usize::try_from(expired.rows_affected()).unwrap_or(0) != writes.expired.len() {
            return Ok(false);
        }
    }
    if !writes.shifted.is_empty() {
        sqlx::query(
            "UPDATE subscriptions s SET valid_from = s.valid_from + n.micros * interval '1 microsecond',
                 valid_to = s.valid_to + n.micros * interval '1 microsecond'
             FROM unnest($1::bigint[], $2::bigint[]) AS n (phone, micros)
             WHERE s.phone = n.phone AND s.status = 'queued'",
        )
        .bind(writes.shifted.keys().map(|phone| phone.e164()).collect::<Vec<_>>())
        .bind(
            writes.shifted.values().map(|shift| shift.by.num_microseconds().unwrap_or(0)).collect::<Vec<_>>(),
        )
        .execute(&mut *connection)
        .await?;
    }
    if !writes.wake_ups.is_empty() {
        sqlx::query("INSERT INTO line_wakeups (phone) SELECT unnest($1::bigint[]) ON CONFLICT DO NOTHING")
            .bind(writes.wake_ups.iter().map(|phone| phone.e164()).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
    }
    if !writes.offer_uses.is_empty() {
        sqlx::query(
            "INSERT INTO offer_uses AS u (offer_id, user_id, uses)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
             ON CONFLICT (offer_id, user_id) DO UPDATE SET uses = u.uses + excluded.uses",
        )
        .bind(writes.offer_uses.keys().map(|(offer, _)| offer.get()).collect::<Vec<_>>())
        .bind(writes.offer_uses.keys().map(|(_, user)| user.get()).collect::<Vec<_>>())
        .bind(
            writes.offer_uses.values().map(|uses| i64::try_from(uses.added).unwrap_or(0)).collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
    }
    Ok(true)
}
