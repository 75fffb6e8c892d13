//! Which plans are about to end, in PostgreSQL.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use gencharge_actors::events::{Event, SubscriptionExpiring};
use gencharge_actors::kernel::{Clock, PhoneNumber, PlanId, SubscriptionId, TxnId, UserId};
use gencharge_actors::notification::{REMIND_BEFORE, ReminderStore, RemindersError};
use sqlx::PgPool;

use crate::platform::bus::outbox;

/// How long the note is kept that a plan's end was told of.
const KEPT: chrono::TimeDelta = chrono::TimeDelta::days(30);

/// The plans near their end. A plan that runs a day or less is not told of: its buyer knows.
const DUE: &str = "\
WITH due AS (
    SELECT subscription_id, txn_id, user_id, phone, plan_id, valid_to FROM subscriptions s
    WHERE status = 'active' AND valid_to > $1 AND valid_to <= $2 AND valid_from < valid_to - $3::interval
      AND NOT EXISTS (SELECT FROM bill_reminders r WHERE r.subscription_id = s.subscription_id)
    ORDER BY valid_to LIMIT $4
), told AS (
    INSERT INTO bill_reminders (subscription_id, due_at, sent_at)
    SELECT subscription_id, valid_to, $5 FROM due ON CONFLICT (subscription_id) DO NOTHING
    RETURNING subscription_id)
SELECT due.*, plan_name, told.subscription_id IS NOT NULL AS first
FROM due LEFT JOIN told USING (subscription_id) LEFT JOIN plans USING (plan_id)";

#[derive(sqlx::FromRow)]
struct Due {
    subscription_id: i64,
    txn_id: i64,
    user_id: i64,
    phone: i64,
    plan_id: i64,
    valid_to: DateTime<Utc>,
    plan_name: Option<String>,
    /// False when another process told of it.
    first: bool,
}

/// The reminder actor's store.
pub struct PgReminders {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    /// Every plan that ends up to here was looked at.
    seen: Option<DateTime<Utc>>,
}

impl PgReminders {
    /// Works through `pool`.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>) -> Self {
        Self { pool, clock, seen: None }
    }

    async fn tell(&mut self, limit: u32, all: bool) -> Result<usize, sqlx::Error> {
        let now = self.clock.now();
        let until = now + REMIND_BEFORE;
        // Not before now: what is over needs no reminder.
        let from = self.seen.filter(|_| !all).unwrap_or(now).max(now);
        let mut tx = self.pool.begin().await?;
        let due: Vec<Due> = sqlx::query_as(DUE)
            .bind(from)
            .bind(until)
            .bind(REMIND_BEFORE)
            .bind(i64::from(limit))
            .bind(now)
            .fetch_all(&mut *tx)
            .await?;
        let found = due.len();
        let due = due.into_iter().filter(|due| due.first);
        let events = due.map(|due| event(due, now)).collect::<Result<Vec<_>, _>>()?;
        outbox::append(&mut tx, now, &events).await?;
        if all {
            sqlx::query("DELETE FROM bill_reminders WHERE due_at < $1")
                .bind(now - KEPT)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        if found < usize::try_from(limit).unwrap_or(usize::MAX) {
            self.seen = Some(until);
        }
        Ok(found)
    }
}

fn event(due: Due, now: DateTime<Utc>) -> Result<(Event, Option<TxnId>), sqlx::Error> {
    let txn_id = TxnId(due.txn_id);
    let event = SubscriptionExpiring {
        subscription_id: SubscriptionId(due.subscription_id),
        txn_id,
        user_id: UserId(due.user_id),
        phone: PhoneNumber::from_e164(due.phone).map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        plan_id: PlanId(due.plan_id),
        plan_name: due.plan_name.map(Into::into),
        valid_to: due.valid_to,
        occurred_at: now,
    };
    Ok((Event::SubscriptionExpiring(event), Some(txn_id)))
}

impl ReminderStore for PgReminders {
    async fn remind(&mut self, limit: u32, all: bool) -> Result<usize, RemindersError> {
        self.tell(limit, all).await.map_err(|error| RemindersError(error.to_string()))
    }
}
