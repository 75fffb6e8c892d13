//! Autopay's dates in SQL: what is told, claimed and settled.
//!
//! Rules are locked before their occurrences, and by id, so that the scheduler and a customer who changes a rule never wait
//! for each other in a circle. A claim locks occurrences alone, and waits for nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use gencharge_actors::autopay::{
    AutopayError, AutopayStore, Claim, Debit, Outcome, Rule, Series, Try, Verdict, charge_at, charge_key,
    due_soon, settled, tell_at, verdict,
};
use gencharge_actors::events::Event;
use gencharge_actors::kernel::{AutopayId, Clock, Digest128, Paise, PhoneNumber, PlanId, TxnId, UserId};
use gencharge_actors::wallet::Payer;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{PgConnection, PgPool, Row};

use crate::platform::bus::outbox;
use crate::platform::postgres::columns::{phone, word};

/// A plan without a validity lasts this many days.
const DEFAULT_DAYS: i32 = 30;

/// The columns of a [`Rule`], from `autopay_rules r LEFT JOIN plans p USING (plan_id)`.
pub(super) const RULE: &str = "r.autopay_id, r.user_id, r.phone, plan_id, r.tag, r.repeats, r.anchor, r.set_at, \
     r.next_due_date, p.validity, p.plan_name, p.price, r.status = 'enabled'";

/// What to claim goes by `try_at`, which is the lease's end while it is claimed: one that nobody answered comes back.
const CLAIM: &str = "\
WITH due AS MATERIALIZED (
    SELECT autopay_id, due_at, asked_at FROM autopay_occurrences WHERE status = 'pending' AND try_at <= $1
    ORDER BY try_at LIMIT $3 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE autopay_occurrences o SET try_at = $2, claims = o.claims + 1, asked_at = coalesce(o.asked_at, $1)
    FROM due WHERE o.autopay_id = due.autopay_id AND o.due_at = due.due_at
    RETURNING o.autopay_id, o.due_at, o.charge_key, o.claims, due.asked_at)
SELECT c.autopay_id, c.due_at, c.charge_key, c.claims, c.asked_at, r.user_id, w.phone, r.phone, r.plan_id
FROM claimed c LEFT JOIN autopay_rules r USING (autopay_id) LEFT JOIN wallets w ON w.wallet_id = r.user_id";

const WRITE_OCCURRENCES: &str = "\
UPDATE autopay_occurrences o SET status = n.status, try_at = coalesce(n.try_at, o.try_at), attempts = n.attempts,
    key_number = n.key_number, charge_key = n.charge_key, txn_id = n.txn_id, last_error = coalesce(n.error, o.last_error),
    asked_at = CASE WHEN n.certain THEN NULL ELSE o.asked_at END,
    settled_at = CASE WHEN n.status = 'pending' THEN NULL ELSE $1 END
FROM unnest($2::bigint[], $3::timestamptz[], $4::text[], $5::timestamptz[], $6::integer[], $7::integer[], $8::uuid[],
    $9::bigint[], $10::text[], $11::boolean[])
    AS n (autopay_id, due_at, status, try_at, attempts, key_number, charge_key, txn_id, error, certain)
WHERE o.autopay_id = n.autopay_id AND o.due_at = n.due_at AND o.status = 'pending'";

/// A null date ends the rule.
const WRITE_RULES: &str = "\
UPDATE autopay_rules r SET status = CASE WHEN n.next IS NULL THEN 'disabled' ELSE 'enabled' END,
    next_due_date = coalesce(n.next, r.next_due_date), announce_at = n.announce_at, updated_at = $1
FROM unnest($2::bigint[], $3::timestamptz[], $4::timestamptz[]) AS n (autopay_id, next, announce_at)
WHERE r.autopay_id = n.autopay_id";

/// The scheduler's store.
#[derive(Clone)]
pub struct PgAutopayStore {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    zone: Tz,
}

/// A rule and whether it is enabled.
pub(super) fn rule(row: &PgRow) -> Result<(Rule, bool), sqlx::Error> {
    let anchor = row.try_get(6)?;
    let days = row.try_get::<Option<i32>, _>(9)?.unwrap_or(DEFAULT_DAYS);
    let name: Option<&str> = row.try_get(10)?;
    let price: Option<i64> = row.try_get(11)?;
    let rule = Rule {
        id: AutopayId(row.try_get(0)?),
        user: UserId(row.try_get(1)?),
        phone: number(row, 2)?,
        plan: PlanId(row.try_get(3)?),
        offer: name.map(Arc::from).zip(price.map(Paise::new)),
        tag: word(row, 4)?,
        series: Series { repeat: word(row, 5)?, anchor, days: u32::try_from(days).unwrap_or(1) },
        set_at: row.try_get(7)?,
        due: row.try_get(8)?,
    };
    Ok((rule, row.try_get(12)?))
}

fn number(row: &PgRow, index: usize) -> Result<PhoneNumber, sqlx::Error> {
    phone(row, index)?.ok_or_else(|| sqlx::Error::Decode("a number is missing".into()))
}

/// Where a rule goes from a settled date; no date disables it.
struct Next {
    rule: AutopayId,
    due: Option<DateTime<Utc>>,
}

/// A pending occurrence, locked.
struct Pending {
    attempts: i32,
    key_number: i32,
    claims: i64,
}

/// An occurrence as it is to be written.
struct Written {
    rule: AutopayId,
    due: DateTime<Utc>,
    status: &'static str,
    try_at: Option<DateTime<Utc>>,
    attempts: i32,
    key_number: i32,
    txn: Option<TxnId>,
    error: Option<&'static str>,
    certain: bool,
}

impl PgAutopayStore {
    /// Over the shared pool; months, days and hours are those of `zone`.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, zone: Tz) -> Self {
        Self { pool, clock, zone }
    }

    async fn announce(&self, limit: u32) -> Result<usize, sqlx::Error> {
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        let due = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT {RULE} FROM autopay_rules r LEFT JOIN plans p USING (plan_id) WHERE r.announce_at <= $1
             ORDER BY r.announce_at LIMIT $2 FOR UPDATE OF r SKIP LOCKED"
        )))
        .bind(now)
        .bind(i64::from(limit))
        .fetch_all(&mut *tx)
        .await?;
        if due.is_empty() {
            return Ok(0);
        }
        let mut dates = Vec::with_capacity(due.len());
        let mut events = Vec::with_capacity(due.len());
        for row in &due {
            let (rule, _) = rule(row)?;
            let due = rule.caught_up(now, &self.zone);
            let charge_at = charge_at(due, now, (rule.series.anchor, rule.set_at));
            events.extend(due_soon(&rule, due, charge_at, now).map(|event| (event, None)));
            dates.push((rule, due, charge_at));
        }
        begin_occurrences(&mut tx, &dates, now).await?;
        outbox::append(&mut tx, now, &events).await?;
        tx.commit().await?;
        Ok(due.len())
    }

    async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<Claim>, sqlx::Error> {
        let now = self.clock.now();
        let until = TimeDelta::from_std(lease).ok().and_then(|lease| now.checked_add_signed(lease));
        let claimed =
            sqlx::query(CLAIM).bind(now).bind(until).bind(i64::from(limit)).fetch_all(&self.pool).await?;
        claimed.iter().map(claim).collect()
    }

    async fn settle(&self, tries: &[Try]) -> Result<Vec<(AutopayId, Verdict)>, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let rules = lock_rules(&mut tx, tries).await?;
        let mut pending = lock_occurrences(&mut tx, tries).await?;
        // Later than everything that was waited for.
        let now = self.clock.now();
        let mut settlement = Settlement::default();
        for tried in tries {
            let Some(pending) = pending.remove(&(tried.rule, tried.due)) else { continue };
            self.judge(tried, &pending, rules.get(&tried.rule), now, &mut settlement);
        }
        settlement.write(&mut tx, now).await?;
        tx.commit().await?;
        Ok(settlement.verdicts)
    }

    fn judge(
        &self,
        tried: &Try,
        pending: &Pending,
        rule: Option<&(Rule, bool)>,
        now: DateTime<Utc>,
        settlement: &mut Settlement,
    ) {
        let paid = match &tried.outcome {
            Outcome::Charged { txn, .. } => Some(*txn),
            // A later try is under way: only what was paid is news.
            _ if pending.claims != tried.claim => return,
            Outcome::Rejected { .. } | Outcome::NotTaken | Outcome::Unknown | Outcome::Lost => None,
        };
        let next = rule.and_then(|(rule, _)| rule.next_due(tried.due, now, &self.zone));
        let attempts = u32::try_from(pending.attempts).unwrap_or(u32::MAX);
        let verdict = verdict(tried, attempts, next, now, &self.zone);
        let written = Written::of(tried, pending, verdict, paid);
        let tries = u32::try_from(written.attempts).unwrap_or(u32::MAX);
        settlement.occurrences.push(written);
        settlement.verdicts.push((tried.rule, verdict));
        let Some((rule, enabled)) = rule else { return };
        settlement.events.extend(settled(rule, tried.due, &tried.outcome, verdict, tries, now));
        // The customer may have changed the date meanwhile: then this one no longer moves it.
        if *enabled && rule.due == tried.due {
            match verdict {
                Verdict::Charged { next } => settlement.rules.push(Next { rule: rule.id, due: next }),
                Verdict::Over => settlement.rules.push(Next { rule: rule.id, due: None }),
                Verdict::Again { .. } => {}
            }
        }
    }
}

impl Written {
    fn of(tried: &Try, pending: &Pending, verdict: Verdict, paid: Option<TxnId>) -> Self {
        let error = match &tried.outcome {
            Outcome::Rejected { reason, .. } => Some(reason.as_str()),
            Outcome::Charged { .. } | Outcome::NotTaken | Outcome::Unknown | Outcome::Lost => None,
        };
        let base = Self {
            rule: tried.rule,
            due: tried.due,
            status: "pending",
            try_at: None,
            attempts: pending.attempts,
            key_number: pending.key_number,
            txn: paid,
            error,
            certain: true,
        };
        match verdict {
            Verdict::Charged { .. } => Self { status: "charged", ..base },
            Verdict::Over => Self { status: "failed", attempts: base.attempts.saturating_add(1), ..base },
            Verdict::Again { at, refused, new_key, certain } => Self {
                try_at: Some(at),
                attempts: base.attempts.saturating_add(i32::from(refused)),
                key_number: base.key_number.saturating_add(i32::from(new_key)),
                certain,
                ..base
            },
        }
    }
}

/// What a settlement writes.
#[derive(Default)]
struct Settlement {
    occurrences: Vec<Written>,
    rules: Vec<Next>,
    events: Vec<(Event, Option<TxnId>)>,
    verdicts: Vec<(AutopayId, Verdict)>,
}

impl Settlement {
    async fn write(&self, tx: &mut PgConnection, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
        let dates = &self.occurrences;
        let key = |date: &Written| Uuid::from_u128(charge_key(date.rule, date.due, date.key_number).0);
        sqlx::query(WRITE_OCCURRENCES)
            .bind(now)
            .bind(dates.iter().map(|date| date.rule.get()).collect::<Vec<_>>())
            .bind(dates.iter().map(|date| date.due).collect::<Vec<_>>())
            .bind(dates.iter().map(|date| date.status).collect::<Vec<_>>())
            .bind(dates.iter().map(|date| date.try_at).collect::<Vec<_>>())
            .bind(dates.iter().map(|date| date.attempts).collect::<Vec<_>>())
            .bind(dates.iter().map(|date| date.key_number).collect::<Vec<_>>())
            .bind(dates.iter().map(key).collect::<Vec<_>>())
            .bind(dates.iter().map(|date| date.txn.map(|txn| txn.get())).collect::<Vec<_>>())
            .bind(dates.iter().map(|date| date.error).collect::<Vec<_>>())
            .bind(dates.iter().map(|date| date.certain).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        if !self.rules.is_empty() {
            sqlx::query(WRITE_RULES)
                .bind(now)
                .bind(self.rules.iter().map(|next| next.rule.get()).collect::<Vec<_>>())
                .bind(self.rules.iter().map(|next| next.due).collect::<Vec<_>>())
                .bind(self.rules.iter().map(|next| next.due.map(tell_at)).collect::<Vec<_>>())
                .execute(&mut *tx)
                .await?;
        }
        outbox::append(tx, now, &self.events).await
    }
}

/// Rules move to the date that is charged, and wait for nothing but its end.
async fn begin_occurrences(
    tx: &mut PgConnection,
    dates: &[(Rule, DateTime<Utc>, DateTime<Utc>)],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let key = |(rule, due, _): &(Rule, DateTime<Utc>, _)| Uuid::from_u128(charge_key(rule.id, *due, 0).0);
    let ids: Vec<i64> = dates.iter().map(|(rule, ..)| rule.id.get()).collect();
    let due: Vec<DateTime<Utc>> = dates.iter().map(|(_, due, _)| *due).collect();
    let begun = sqlx::query(
        "INSERT INTO autopay_occurrences (autopay_id, due_at, user_id, status, charge_key, announced_at, try_at)
         SELECT autopay_id, due_at, user_id, 'pending', charge_key, $1, try_at
         FROM unnest($2::bigint[], $3::timestamptz[], $4::bigint[], $5::uuid[], $6::timestamptz[])
             AS n (autopay_id, due_at, user_id, charge_key, try_at)
         ON CONFLICT DO NOTHING",
    )
    .bind(now)
    .bind(&ids)
    .bind(&due)
    .bind(dates.iter().map(|(rule, ..)| rule.user.get()).collect::<Vec<_>>())
    .bind(dates.iter().map(key).collect::<Vec<_>>())
    .bind(dates.iter().map(|(_, _, try_at)| *try_at).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    if begun.rows_affected() != u64::try_from(dates.len()).unwrap_or(0) {
        tracing::error!("autopay.date_exists: a rule came to a date that it had before");
    }
    sqlx::query(
        "UPDATE autopay_rules r SET next_due_date = n.due_at, announce_at = NULL
         FROM unnest($1::bigint[], $2::timestamptz[]) AS n (autopay_id, due_at) WHERE r.autopay_id = n.autopay_id",
    )
    .bind(ids)
    .bind(due)
    .execute(tx)
    .await?;
    Ok(())
}

fn claim(row: &PgRow) -> Result<Claim, sqlx::Error> {
    let user: Option<i64> = row.try_get(5)?;
    let plan: Option<i64> = row.try_get(8)?;
    let debit = match (user, phone(row, 6)?, phone(row, 7)?, plan) {
        (Some(user), Some(own), Some(number), Some(plan)) => {
            Some(Debit { payer: Payer { user: UserId(user), phone: Some(own) }, number, plan: PlanId(plan) })
        }
        _ => None,
    };
    Ok(Claim {
        rule: AutopayId(row.try_get(0)?),
        due: row.try_get(1)?,
        key: Digest128(row.try_get::<Uuid, _>(2)?.as_u128()),
        number: row.try_get(3)?,
        asked_at: row.try_get(4)?,
        debit,
    })
}

async fn lock_rules(
    tx: &mut PgConnection,
    tries: &[Try],
) -> Result<HashMap<AutopayId, (Rule, bool)>, sqlx::Error> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {RULE} FROM autopay_rules r LEFT JOIN plans p USING (plan_id) WHERE r.autopay_id = ANY($1)
         ORDER BY r.autopay_id FOR UPDATE OF r"
    )))
    .bind(tries.iter().map(|tried| tried.rule.get()).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    rows.iter().map(|row| rule(row).map(|(rule, enabled)| (rule.id, (rule, enabled)))).collect()
}

async fn lock_occurrences(
    tx: &mut PgConnection,
    tries: &[Try],
) -> Result<HashMap<(AutopayId, DateTime<Utc>), Pending>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT o.autopay_id, o.due_at, o.attempts, o.key_number, o.claims
         FROM unnest($1::bigint[], $2::timestamptz[]) AS n (autopay_id, due_at)
         JOIN autopay_occurrences o ON o.autopay_id = n.autopay_id AND o.due_at = n.due_at AND o.status = 'pending'
         ORDER BY o.autopay_id FOR UPDATE OF o",
    )
    .bind(tries.iter().map(|tried| tried.rule.get()).collect::<Vec<_>>())
    .bind(tries.iter().map(|tried| tried.due).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    let read = |row: &PgRow| {
        let pending =
            Pending { attempts: row.try_get(2)?, key_number: row.try_get(3)?, claims: row.try_get(4)? };
        Ok(((AutopayId(row.try_get(0)?), row.try_get(1)?), pending))
    };
    rows.iter().map(read).collect()
}

fn failure(error: sqlx::Error) -> AutopayError {
    AutopayError(error.to_string())
}

impl AutopayStore for PgAutopayStore {
    async fn announce(&self, limit: u32) -> Result<usize, AutopayError> {
        self.announce(limit).await.map_err(failure)
    }

    async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<Claim>, AutopayError> {
        self.claim(limit, lease).await.map_err(failure)
    }

    async fn settle(&self, tries: &[Try]) -> Result<Vec<(AutopayId, Verdict)>, AutopayError> {
        self.settle(tries).await.map_err(failure)
    }
}
