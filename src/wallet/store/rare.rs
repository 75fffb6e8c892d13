//! What most batches neither need nor have: superseded plans, shifted queues, offers' uses, payments that were not captured
//! at once, refunds, referrals. Each costs a round trip only where it occurs.

use std::collections::HashMap;

use gencharge_actors::kernel::{Paise, TxnId, UserId};
use gencharge_actors::wallet::{PaymentStanding, Referral, RefundStanding, Touch, Writes};
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::rows;
use crate::wallet::lifecycle;

/// Read after the locks were taken, which guard all of it.
#[derive(Default)]
pub struct Rare {
    pub payments: HashMap<TxnId, PaymentStanding>,
    pub refunds: HashMap<TxnId, RefundStanding>,
    pub referrals: HashMap<UserId, Referral>,
    pub rewards_earned: HashMap<UserId, i64>,
}

const REFUNDS: &str = "\
SELECT n.txn_id, (SELECT coalesce(sum(amount), 0)::bigint FROM refunds r WHERE r.txn_id = n.txn_id), s.status, s.valid_from,
       s.valid_to
FROM unnest($1::bigint[], $2::bigint[]) AS n (txn_id, subscription_id) LEFT JOIN subscriptions s USING (subscription_id)";

const REFERRALS: &str = "\
SELECT n.referred_id, n.referrer_id, r.reward_id, r.amount,
       (SELECT count(*) FROM referral_rewards e WHERE e.referrer_id = n.referrer_id AND e.status = 'earned')
FROM unnest($1::bigint[], $2::bigint[]) AS n (referred_id, referrer_id)
LEFT JOIN referral_rewards r ON r.referred_id = n.referred_id AND r.referrer_id = n.referrer_id AND r.status = 'pending'";

/// Reads what `touch` names of it, and what is to be paid for `referrals` (who was brought, and by whom).
pub async fn load(
    connection: &mut PgConnection,
    touch: &Touch,
    referrals: &[(UserId, UserId)],
) -> Result<Rare, sqlx::Error> {
    let mut rare = Rare::default();
    if !touch.payments.is_empty() {
        let ids: Vec<i64> = touch.payments.iter().map(|id| id.get()).collect();
        let sql = "SELECT payment_id, state, txn_id FROM payments WHERE payment_id = ANY($1)";
        for row in &sqlx::query(sql).bind(ids).fetch_all(&mut *connection).await? {
            let txn_id = row.try_get::<Option<i64>, _>(2)?.map(TxnId);
            let standing = PaymentStanding { state: rows::word(row, 1)?, txn_id };
            rare.payments.insert(TxnId(row.try_get(0)?), standing);
        }
    }
    if !touch.refunds.is_empty() {
        let (txns, plans): (Vec<i64>, Vec<Option<i64>>) =
            touch.refunds.iter().map(|(txn, plan)| (txn.get(), plan.map(|plan| plan.get()))).unzip();
        for row in &sqlx::query(REFUNDS).bind(txns).bind(plans).fetch_all(&mut *connection).await? {
            let plan = match rows::optional_word(row, 2)? {
                Some(status) => Some((status, row.try_get(3)?, row.try_get(4)?)),
                None => None,
            };
            let standing = RefundStanding { refunded: Paise::new(row.try_get(1)?), plan };
            rare.refunds.insert(TxnId(row.try_get(0)?), standing);
        }
    }
    if !referrals.is_empty() {
        let (referred, referrers): (Vec<i64>, Vec<i64>) =
            referrals.iter().map(|(referred, referrer)| (referred.get(), referrer.get())).unzip();
        for row in &sqlx::query(REFERRALS).bind(referred).bind(referrers).fetch_all(connection).await? {
            let referrer = UserId(row.try_get(1)?);
            let amount = row.try_get::<Option<i64>, _>(3)?.map(Paise::new);
            let reward = row.try_get::<Option<i64>, _>(2)?.zip(amount);
            rare.referrals.insert(UserId(row.try_get(0)?), Referral { referrer, reward });
            rare.rewards_earned.insert(referrer, row.try_get(4)?);
        }
    }
    Ok(rare)
}

/// What most batches do not have. It goes first: an active plan must end before another begins.
pub async fn write(connection: &mut PgConnection, writes: &Writes) -> Result<bool, sqlx::Error> {
    if !writes.expired.is_empty() {
        let expired = sqlx::query(
            "WITH gone AS (
                 UPDATE subscriptions s SET status = 'expired', valid_to = greatest(n.valid_to, s.valid_from)
                 FROM unnest($1::bigint[], $2::timestamptz[]) AS n (subscription_id, valid_to)
                 WHERE s.subscription_id = n.subscription_id AND s.status = 'active'
                 RETURNING s.subscription_id, s.txn_id, s.user_id, s.phone, s.plan_id, s.valid_from, s.valid_to)
             SELECT gone.*, plan_name FROM gone LEFT JOIN plans USING (plan_id)",
        )
        .bind(writes.expired.iter().map(|old| old.subscription_id.get()).collect::<Vec<_>>())
        .bind(writes.expired.iter().map(|old| old.valid_to).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
        if expired.len() != writes.expired.len() {
            return Ok(false);
        }
        lifecycle::tell_superseded(connection, &expired, writes.now).await?;
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
        .execute(&mut *connection)
        .await?;
    }
    if !write_payments(connection, writes).await? {
        return Ok(false);
    }
    write_refunds(connection, writes).await
}

/// Payments begun and ended.
async fn write_payments(connection: &mut PgConnection, writes: &Writes) -> Result<bool, sqlx::Error> {
    for new in &writes.payments {
        let payment = &new.payment;
        let settled_at = new.standing.txn_id.map(|_| writes.now);
        sqlx::query(
            "INSERT INTO payments (payment_id, created_at, user_id, state, amount, purchase, transaction, expires_at,
                 capture_at, settled_at, txn_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(payment.payment_id.get())
        .bind(writes.now)
        .bind(payment.purchase.payer().user.get())
        .bind(new.standing.state.as_str())
        .bind(payment.amount.get())
        .bind(Json(&payment.purchase))
        .bind(Json(&payment.transaction))
        .bind(payment.expires_at)
        .bind(payment.capture_at)
        .bind(settled_at)
        .bind(new.standing.txn_id.map(|id| id.get()))
        .execute(&mut *connection)
        .await?;
    }
    if !writes.settled.is_empty() {
        // The last one of a payment counts: it may fail and come late in one batch.
        let mut last: HashMap<i64, _> = HashMap::new();
        last.extend(writes.settled.iter().map(|settled| (settled.payment_id.get(), settled)));
        let last: Vec<_> = last.into_values().collect();
        let done = sqlx::query(
            "UPDATE payments p SET state = n.state, txn_id = n.txn_id, credited = n.credited, settled_at = $5
             FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[]) AS n (payment_id, state, txn_id, credited)
             WHERE p.payment_id = n.payment_id",
        )
        .bind(last.iter().map(|settled| settled.payment_id.get()).collect::<Vec<_>>())
        .bind(last.iter().map(|settled| settled.state.as_str()).collect::<Vec<_>>())
        .bind(last.iter().map(|settled| settled.txn_id.get()).collect::<Vec<_>>())
        .bind(last.iter().map(|settled| settled.credited.map(|why| why.as_str())).collect::<Vec<_>>())
        .bind(writes.now)
        .execute(&mut *connection)
        .await?;
        if done.rows_affected() != u64::try_from(last.len()).unwrap_or(u64::MAX) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Referrals that ended: their rewards, and what the wallets of those who were brought knew of them. It goes after everything
/// else, because the other statements find wallets where they were locked.
pub async fn end_referrals(connection: &mut PgConnection, writes: &Writes) -> Result<bool, sqlx::Error> {
    if writes.referrals.is_empty() {
        return Ok(true);
    }
    let ended = sqlx::query(
        "WITH told AS (
             UPDATE wallets w SET referrer_id = NULL FROM unnest($1::bigint[]) AS n (wallet_id)
             WHERE w.wallet_id = n.wallet_id)
         UPDATE referral_rewards r SET txn_id = n.txn_id,
             status = CASE WHEN n.txn_id IS NULL THEN 'lapsed' ELSE 'earned' END,
             claimed_at = CASE WHEN n.txn_id IS NULL THEN NULL ELSE $4 END
         FROM unnest($2::bigint[], $3::bigint[]) AS n (reward_id, txn_id)
         WHERE r.reward_id = n.reward_id AND r.status = 'pending'",
    )
    .bind(writes.referrals.iter().map(|ended| ended.referred.get()).collect::<Vec<_>>())
    .bind(writes.referrals.iter().map(|ended| ended.reward_id).collect::<Vec<_>>())
    .bind(writes.referrals.iter().map(|ended| ended.txn_id.map(|id| id.get())).collect::<Vec<_>>())
    .bind(writes.now)
    .execute(connection)
    .await?;
    let rewards = writes.referrals.iter().filter(|ended| ended.reward_id.is_some()).count();
    Ok(ended.rows_affected() == u64::try_from(rewards).unwrap_or(u64::MAX))
}

/// Money given back, and the plans that end with it.
async fn write_refunds(connection: &mut PgConnection, writes: &Writes) -> Result<bool, sqlx::Error> {
    for refund in &writes.refunds {
        sqlx::query(
            "INSERT INTO refunds (refund_txn_id, txn_id, created_at, amount, admin_id, reason)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(refund.refund_txn_id.get())
        .bind(refund.txn_id.get())
        .bind(writes.now)
        .bind(refund.amount.get())
        .bind(refund.admin.get())
        .bind(refund.reason.as_deref())
        .execute(&mut *connection)
        .await?;
        if refund.complete {
            sqlx::query("UPDATE payments SET state = 'refunded' WHERE txn_id = $1")
                .bind(refund.txn_id.get())
                .execute(&mut *connection)
                .await?;
        }
    }
    for cancelled in &writes.cancelled {
        let ended = sqlx::query(
            "UPDATE subscriptions SET status = 'expired', valid_to = $2
             WHERE subscription_id = $1 AND status <> 'expired' AND valid_to = $3",
        )
        .bind(cancelled.subscription_id.get())
        .bind(cancelled.valid_to)
        .bind(cancelled.old_valid_to)
        .execute(&mut *connection)
        .await?;
        if ended.rows_affected() != 1 {
            return Ok(false);
        }
        sqlx::query(
            "UPDATE subscriptions SET valid_from = valid_from + $3 * interval '1 microsecond',
                 valid_to = valid_to + $3 * interval '1 microsecond'
             WHERE phone = $1 AND status = 'queued' AND valid_from >= $2",
        )
        .bind(cancelled.phone.e164())
        .bind(cancelled.old_valid_to)
        .bind(cancelled.shift().num_microseconds().unwrap_or(0))
        .execute(&mut *connection)
        .await?;
    }
    Ok(true)
}
