//! The invariants of the stored data, each as one query that counts what breaks it.
//!
//! All are read in one snapshot, so that they hold or break together even while the server is working.

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, Row};

/// One invariant.
struct Check {
    /// What must hold.
    name: &'static str,
    /// Gives how many things were looked at and how many break it. `$1` is the start of the outbox's retention.
    sql: &'static str,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The invariant.
    pub name: &'static str,
    /// Things looked at.
    pub seen: i64,
    /// Things that break it.
    pub broken: i64,
}

const CHECKS: &[Check] = &[
    Check {
        name: "the postings of every transaction sum to zero",
        sql: "SELECT count(*), count(*) FILTER (WHERE total <> 0)
              FROM (SELECT sum(amount) AS total FROM postings GROUP BY txn_id) t WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every successful transaction has postings and no other has, every posting a transaction",
        sql: "SELECT count(*), count(*) FILTER (
                  WHERE t.txn_id IS NULL OR (t.status = 'success') <> (p.txn_id IS NOT NULL))
              FROM transactions t FULL JOIN (SELECT DISTINCT txn_id FROM postings) p USING (txn_id)
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every wallet equals the sum of its postings and is not negative",
        sql: "SELECT count(*), count(*) FILTER (
                  WHERE w.wallet_id IS NULL OR w.balance < 0 OR w.balance <> coalesce(p.total, 0))
              FROM wallets w FULL JOIN (SELECT account_id, sum(amount) AS total FROM postings WHERE account_id > 0
                  GROUP BY account_id) p ON p.account_id = w.wallet_id
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every wallet counts its transactions and recharges",
        sql: "WITH own AS (
                  SELECT user_id, count(*) AS own,
                      count(*) FILTER (WHERE category = 'service' AND status = 'success') AS recharges
                  FROM transactions GROUP BY user_id),
              received AS (
                  SELECT beneficiary_id AS user_id, count(*) AS received FROM transactions
                  WHERE beneficiary_id IS NOT NULL AND category = 'wallet' GROUP BY beneficiary_id)
              SELECT count(*), count(*) FILTER (
                  WHERE w.transactions <> coalesce(o.own, 0) + coalesce(r.received, 0)
                     OR w.recharges <> coalesce(o.recharges, 0))
              FROM wallets w LEFT JOIN own o ON o.user_id = w.wallet_id LEFT JOIN received r ON r.user_id = w.wallet_id
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every customer has a wallet that knows the customer's status, number and type",
        sql: "SELECT count(*), count(*) FILTER (
                  WHERE w.status IS DISTINCT FROM u.status OR w.phone IS DISTINCT FROM u.phone
                     OR w.user_type IS DISTINCT FROM u.user_type)
              FROM users u LEFT JOIN wallets w ON w.wallet_id = u.user_id
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every deleted customer has a closed wallet without a number, and what it held is owed",
        sql: "SELECT count(*), count(*) FILTER (
                  WHERE w.status IS DISTINCT FROM 'blocked' OR w.phone IS NOT NULL OR u.user_id IS NOT NULL
                     OR a.wallet_balance <> coalesce(owed.amount, 0))
              FROM archived_users a LEFT JOIN wallets w ON w.wallet_id = a.user_id LEFT JOIN users u USING (user_id)
              LEFT JOIN (
                  SELECT t.user_id, sum(p.amount) AS amount
                  FROM postings p JOIN transactions t ON t.txn_id = p.txn_id AND t.created_at = p.created_at
                  WHERE p.account_id = -7 AND t.txn_type = 'debit' GROUP BY t.user_id) owed ON owed.user_id = a.user_id
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every partner has a wallet of its own that knows its status",
        sql: "SELECT count(*), count(*) FILTER (
                  WHERE w.status IS DISTINCT FROM p.status OR w.phone IS NOT NULL OR u.user_id IS NOT NULL)
              FROM partners p LEFT JOIN wallets w ON w.wallet_id = p.partner_id
              LEFT JOIN users u ON u.user_id = p.partner_id
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every key has one outcome, and no two keys share one",
        sql: "SELECT count(*), count(*) FILTER (WHERE t.txn_id IS NULL AND p.payment_id IS NULL)
                  + count(k.txn_id) FILTER (WHERE p.payment_id IS NULL)
                  - count(DISTINCT k.txn_id) FILTER (WHERE p.payment_id IS NULL)
              FROM idempotency_keys k
              LEFT JOIN transactions t ON t.txn_id = k.txn_id AND t.created_at = k.created_at
              LEFT JOIN payments p ON p.payment_id = k.txn_id
              WHERE $1::timestamptz IS NOT NULL AND k.rejection IS NULL",
    },
    Check {
        name: "every successful recharge has one subscription, every subscription one recharge",
        sql: "SELECT count(*), count(*) FILTER (WHERE t.txn_id IS NULL OR s.subscription_id IS NULL)
              FROM (SELECT txn_id, subscription_id FROM transactions
                    WHERE category = 'service' AND status = 'success' AND txn_type = 'debit') t
              FULL JOIN subscriptions s ON s.txn_id = t.txn_id AND s.subscription_id = t.subscription_id
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every recharge's discount, wallet part and gateway part add up to its price",
        sql: "SELECT count(*), count(*) FILTER (
                  WHERE t.price IS DISTINCT FROM t.discount + t.wallet_amount + t.gateway_amount
                     OR t.amount IS DISTINCT FROM t.wallet_amount + t.gateway_amount
                     OR s.total_paid IS DISTINCT FROM t.amount)
              FROM transactions t JOIN subscriptions s USING (subscription_id)
              WHERE $1::timestamptz IS NOT NULL AND t.category = 'service' AND t.status = 'success'",
    },
    Check {
        name: "no number has two active plans, or windows that overlap",
        sql: "SELECT count(*), count(*) FILTER (WHERE before > valid_from OR actives > 1)
              FROM (SELECT valid_from, lag(valid_to) OVER number AS before,
                        count(*) FILTER (WHERE status = 'active') OVER (PARTITION BY phone) AS actives
                    FROM subscriptions WHERE valid_from < valid_to
                    WINDOW number AS (PARTITION BY phone ORDER BY valid_from, valid_to)) s
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every number knows its active plan, its queue and its end",
        sql: "SELECT count(*), count(*) FILTER (
                  WHERE l.active_subscription_id IS DISTINCT FROM s.active OR l.queued <> coalesce(s.queued, 0)
                     OR (s.tail IS NOT NULL AND l.tail_valid_to IS DISTINCT FROM s.tail))
              FROM wallets l LEFT JOIN (
                  SELECT phone, max(subscription_id) FILTER (WHERE status = 'active') AS active,
                      count(*) FILTER (WHERE status = 'queued') AS queued,
                      max(valid_to) FILTER (WHERE status <> 'expired') AS tail
                  FROM subscriptions GROUP BY phone) s USING (phone)
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every number that waits with nothing active has a wake-up",
        sql: "SELECT count(*), count(*) FILTER (
                  WHERE w.queued > 0 AND w.active_subscription_id IS NULL AND u.phone IS NULL)
              FROM wallets w LEFT JOIN line_wakeups u USING (phone) WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every number counts the recharges that others paid",
        sql: "SELECT count(*), count(*) FILTER (WHERE l.gifts <> coalesce(g.gifts, 0))
              FROM wallets l LEFT JOIN (
                  SELECT beneficiary_id AS wallet_id, count(*) AS gifts FROM transactions
                  WHERE beneficiary_id IS NOT NULL AND category = 'service' GROUP BY beneficiary_id) g
                  USING (wallet_id)
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every autopay date that was charged has one payment, every autopay payment one date",
        // What is charged and not written down yet is found by its key.
        sql: "SELECT count(*), count(*) FILTER (WHERE d.txn_id IS NULL OR t.txn_id IS NULL OR d.dates > 1)
              FROM (SELECT coalesce(o.txn_id, k.txn_id) AS txn_id, count(*) AS dates
                    FROM autopay_occurrences o LEFT JOIN idempotency_keys k ON k.key = o.charge_key
                    WHERE o.status = 'charged' OR k.txn_id IS NOT NULL GROUP BY 1) d
              FULL JOIN (SELECT txn_id FROM transactions
                    WHERE source = 'autopay' AND category = 'service' AND txn_type = 'debit' AND status = 'success') t
                  USING (txn_id)
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every enabled autopay rule waits for its notice or for its charge, and no other does",
        sql: "SELECT count(*), count(*) FILTER (
                  WHERE CASE WHEN r.autopay_id IS NULL THEN u.user_id IS NOT NULL
                             WHEN r.status = 'enabled' THEN (r.announce_at IS NULL) <> (o.autopay_id IS NOT NULL)
                                 OR o.due_at <> r.next_due_date
                             ELSE o.autopay_id IS NOT NULL AND o.asked_at IS NULL END)
              FROM autopay_rules r
              FULL JOIN (SELECT * FROM autopay_occurrences WHERE status = 'pending') o USING (autopay_id)
              LEFT JOIN users u ON u.user_id = o.user_id
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every payment that ended has its transaction, with what the gateway captured",
        sql: "SELECT count(*), count(*) FILTER (WHERE p.state <> 'pending' AND (
                  t.txn_id IS NULL OR (t.status = 'success') <> (p.state IN ('captured', 'late_capture', 'refunded'))
                  OR t.gateway_amount IS DISTINCT FROM p.amount))
              FROM payments p LEFT JOIN transactions t ON t.txn_id = p.txn_id AND t.created_at = p.settled_at
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every refund has its transaction, and no transaction gave back more than it had",
        sql: "SELECT count(*), count(*) FILTER (WHERE r.amount IS DISTINCT FROM t.amount OR t.source <> 'refund')
                  + count(*) FILTER (WHERE o.amount IS NULL OR r.total > o.amount)
              FROM (SELECT *, sum(amount) OVER (PARTITION BY txn_id) AS total FROM refunds) r
              LEFT JOIN transactions t ON t.txn_id = r.refund_txn_id AND t.created_at = r.created_at
              LEFT JOIN transactions o ON o.txn_id = r.txn_id
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every earned reward has one transaction, every reward's transaction one reward",
        sql: "SELECT count(*), count(*) FILTER (
                  WHERE r.reward_id IS NULL OR t.txn_id IS NULL OR r.status <> 'earned' OR r.rewards > 1
                     OR r.referrer_id <> t.user_id OR r.amount <> t.amount OR r.claimed_at <> t.created_at)
              FROM (SELECT *, count(*) OVER (PARTITION BY txn_id) AS rewards FROM referral_rewards
                    WHERE status = 'earned' OR txn_id IS NOT NULL) r
              FULL JOIN (SELECT txn_id, user_id, amount, created_at FROM transactions
                    WHERE source = 'referral_reward' AND status = 'success') t USING (txn_id)
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "the rewards' account has paid what was earned",
        sql: "SELECT 1::bigint, CASE WHEN (SELECT coalesce(sum(amount), 0) FROM postings WHERE account_id = -4)
                  + (SELECT coalesce(sum(amount), 0) FROM referral_rewards WHERE status = 'earned') = 0 THEN 0 ELSE 1 END::bigint
              WHERE $1::timestamptz IS NOT NULL",
    },
    Check {
        name: "every pending reward is known to the wallet of the customer who was brought",
        sql: "SELECT count(*), count(*) FILTER (WHERE w.referrer_id IS DISTINCT FROM r.referrer_id)
              FROM referral_rewards r LEFT JOIN wallets w ON w.wallet_id = r.referred_id
              WHERE $1::timestamptz IS NOT NULL AND r.status = 'pending'",
    },
    Check {
        name: "every success within the outbox's retention has its event",
        sql: "SELECT count(*), count(*) FILTER (WHERE e.txn_id IS NULL)
              FROM idempotency_keys k LEFT JOIN (
                  SELECT DISTINCT txn_id FROM outbox_events WHERE created_at >= $1
                      AND type IN ('gencharge.recharge.completed.v1', 'gencharge.wallet.topped_up.v1',
                          'gencharge.wallet.closed.v1', 'gencharge.partner.funded.v1',
                          'gencharge.payment.failed.v1', 'gencharge.payment.refunded.v1')) e
                  ON e.txn_id = k.txn_id
              WHERE k.txn_id IS NOT NULL AND k.created_at >= $1
                AND NOT EXISTS (SELECT FROM payments p WHERE p.payment_id = k.txn_id AND p.state = 'pending')",
    },
    Check {
        name: "every outbox batch within the retention has all its events",
        sql: "SELECT count(*), count(*) FILTER (WHERE b.events <> coalesce(e.events, 0))
              FROM outbox_batches b LEFT JOIN (
                  SELECT batch_id, count(*) AS events FROM outbox_events GROUP BY batch_id) e USING (batch_id)
              WHERE b.created_at >= $1",
    },
];

/// Runs every check in one snapshot; `told` hears each finding as it is made.
///
/// `retained_since` is the moment from which the outbox must still hold every event.
///
/// # Errors
/// Those of the database.
pub async fn verify(
    connection: &mut PgConnection,
    retained_since: DateTime<Utc>,
    mut told: impl FnMut(&Finding),
) -> Result<Vec<Finding>, sqlx::Error> {
    let mut snapshot = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    for setting in ["SET LOCAL statement_timeout = 0", "SET LOCAL work_mem = '256MB'", "SET LOCAL jit = off"]
    {
        sqlx::query(setting).execute(&mut *snapshot).await?;
    }
    let mut findings = Vec::with_capacity(CHECKS.len());
    for check in CHECKS {
        let row = sqlx::query(check.sql).bind(retained_since).fetch_one(&mut *snapshot).await?;
        let finding = Finding { name: check.name, seen: row.try_get(0)?, broken: row.try_get(1)? };
        told(&finding);
        findings.push(finding);
    }
    snapshot.rollback().await?;
    Ok(findings)
}
