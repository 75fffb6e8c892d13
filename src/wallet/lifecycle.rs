//! Plans start and end on time: what has run out expires, what is due starts, and both are told.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use gencharge_actors::events::{Event, SubscriptionActivated, SubscriptionExpired};
use gencharge_actors::kernel::{Clock, PlanId, SubscriptionId, TxnId, UserId};
use gencharge_actors::lifecycle::{LifecycleError, LifecycleStore};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};

use super::store::rows;
use crate::platform::bus::outbox;

/// Numbers that are due. Those a wallet batch holds are left to it: it brings them up to date itself.
const DUE: &str = "\
SELECT phone FROM wallets
WHERE phone IN (
    (SELECT phone FROM subscriptions WHERE status = 'active' AND valid_to <= $1 ORDER BY valid_to LIMIT $2)
    UNION (SELECT phone FROM line_wakeups LIMIT $2))
ORDER BY wallet_id FOR UPDATE SKIP LOCKED";

const EXPIRE: &str = "\
WITH gone AS (
    UPDATE subscriptions SET status = 'expired'
    WHERE phone = ANY($1) AND status IN ('active', 'queued') AND valid_to <= $2
    RETURNING subscription_id, txn_id, user_id, phone, plan_id, valid_from, valid_to)
SELECT gone.*, plan_name FROM gone LEFT JOIN plans USING (plan_id)";

const ACTIVATE: &str = "\
WITH begun AS (
    UPDATE subscriptions SET status = 'active' WHERE phone = ANY($1) AND status = 'queued' AND valid_from <= $2
    RETURNING subscription_id, txn_id, user_id, phone, plan_id, valid_from, valid_to)
SELECT begun.*, plan_name FROM begun LEFT JOIN plans USING (plan_id)";

const SUM_UP: &str = "\
UPDATE wallets l SET active_subscription_id = a.subscription_id, active_valid_to = a.valid_to, queued = q.waiting,
    tail_valid_to = coalesce(q.tail, a.valid_to)
FROM unnest($1::bigint[]) AS n (phone)
LEFT JOIN LATERAL (
    SELECT subscription_id, valid_to FROM subscriptions s WHERE s.phone = n.phone AND s.status = 'active') a ON true
CROSS JOIN LATERAL (
    SELECT count(*)::integer AS waiting, max(valid_to) AS tail FROM subscriptions s
    WHERE s.phone = n.phone AND s.status = 'queued') q
WHERE l.phone = n.phone";

/// A wake-up goes only when its number has something active, or nothing waiting: one that came a moment too early (by
/// another process' clock) is looked at again.
const SETTLED: &str = "\
DELETE FROM line_wakeups u USING wallets w
WHERE u.phone = ANY($1) AND w.phone = u.phone AND (w.active_subscription_id IS NOT NULL OR w.queued = 0)";

/// Whether events tell of what is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Yes.
    Aloud,
    /// No: it is history.
    Quiet,
}

/// Brings the locked `phones` up to date as of `now`: their plans, their wallet rows, and the events that tell of it.
pub async fn advance(
    connection: &mut PgConnection,
    phones: &[i64],
    now: DateTime<Utc>,
    telling: Telling,
) -> Result<usize, sqlx::Error> {
    let gone = sqlx::query(EXPIRE).bind(phones).bind(now).fetch_all(&mut *connection).await?;
    let begun = sqlx::query(ACTIVATE).bind(phones).bind(now).fetch_all(&mut *connection).await?;
    sqlx::query(SUM_UP).bind(phones).execute(&mut *connection).await?;
    sqlx::query(SETTLED).bind(phones).execute(&mut *connection).await?;
    if telling == Telling::Quiet {
        return Ok(gone.len().saturating_add(begun.len()));
    }
    let mut events = gone.iter().map(|row| expired(row, now, false)).collect::<Result<Vec<_>, _>>()?;
    for row in &begun {
        events.push(activated(row, now)?);
    }
    outbox::append(connection, now, &events).await?;
    Ok(events.len())
}

/// Tells of plans that ended because others took their place. `rows` are as [`EXPIRE`] gives them.
pub(super) async fn tell_superseded(
    connection: &mut PgConnection,
    rows: &[PgRow],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let events = rows.iter().map(|row| expired(row, now, true)).collect::<Result<Vec<_>, _>>()?;
    outbox::append(connection, now, &events).await
}

fn expired(row: &PgRow, now: DateTime<Utc>, superseded: bool) -> Result<(Event, Option<TxnId>), sqlx::Error> {
    let txn_id = TxnId(row.try_get(1)?);
    let event = SubscriptionExpired {
        subscription_id: SubscriptionId(row.try_get(0)?),
        txn_id,
        user_id: UserId(row.try_get(2)?),
        phone: rows::phone(row.try_get(3)?)?,
        plan_id: PlanId(row.try_get(4)?),
        plan_name: row.try_get::<Option<&str>, _>(7)?.map(Into::into),
        superseded,
        valid_to: row.try_get(6)?,
        occurred_at: now,
    };
    Ok((Event::SubscriptionExpired(event), Some(txn_id)))
}

fn activated(row: &PgRow, now: DateTime<Utc>) -> Result<(Event, Option<TxnId>), sqlx::Error> {
    let txn_id = TxnId(row.try_get(1)?);
    let event = SubscriptionActivated {
        subscription_id: SubscriptionId(row.try_get(0)?),
        txn_id,
        user_id: UserId(row.try_get(2)?),
        phone: rows::phone(row.try_get(3)?)?,
        plan_id: PlanId(row.try_get(4)?),
        plan_name: row.try_get::<Option<&str>, _>(7)?.map(Into::into),
        valid_from: row.try_get(5)?,
        valid_to: row.try_get(6)?,
        occurred_at: now,
    };
    Ok((Event::SubscriptionActivated(event), Some(txn_id)))
}

/// The lifecycle actor's store.
#[derive(Clone)]
pub struct PgLifecycle {
    pool: PgPool,
    clock: Arc<dyn Clock>,
}

impl PgLifecycle {
    /// Over the shared pool.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>) -> Self {
        Self { pool, clock }
    }

    async fn advance(&self, limit: i64) -> Result<usize, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let due: Vec<i64> =
            sqlx::query_scalar(DUE).bind(self.clock.now()).bind(limit).fetch_all(&mut *transaction).await?;
        if due.is_empty() {
            return Ok(0);
        }
        // Later than everything that the query saw.
        let now = self.clock.now();
        advance(&mut transaction, &due, now, Telling::Aloud).await?;
        transaction.commit().await?;
        Ok(due.len())
    }
}

impl LifecycleStore for PgLifecycle {
    async fn advance_due(&self, limit: u32) -> Result<usize, LifecycleError> {
        self.advance(i64::from(limit)).await.map_err(|error| LifecycleError(error.to_string()))
    }
}
