//! What is due: charged at an administrator's word instead of at the scheduler's next look, or only looked at.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use gencharge_actors::autopay::{AutopayError, Done, Outcome};
use gencharge_actors::kernel::{Clock, Paise};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgPool, Row as _};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Scheduler;
use crate::audit::{self, Entry};
use crate::http::json;

/// Most results of one call.
const MOST: usize = 5_000;
/// No further batch begins after this time.
const WITHIN: Duration = Duration::from_secs(15);

/// A rule that was due, and what came of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProcessedAutopay {
    /// The rule.
    autopay_id: i64,
    /// `success` or `failed`.
    #[schema(example = "success")]
    status: &'static str,
    /// The recharge's transaction, of a success.
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_id: Option<i64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The date that was due, UTC.
    due_date: DateTime<Utc>,
    /// What the plan costs; only of a dry run.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::as_optional_number")]
    #[schema(value_type = Option<f64>)]
    amount: Option<Paise>,
}

impl From<Done> for ProcessedAutopay {
    fn from(done: Done) -> Self {
        let (tx_id, error) = match done.outcome {
            Outcome::Charged { txn, .. } => (Some(txn.get()), None),
            Outcome::Rejected { reason, .. } => (None, Some(reason.as_str().to_owned())),
            Outcome::NotTaken => (None, Some("unavailable: it is tried again shortly".to_owned())),
            Outcome::Unknown => (None, Some("outcome_unknown: it is asked for shortly".to_owned())),
            Outcome::Lost => (None, Some("outcome_unknown: the rule is disabled".to_owned())),
        };
        Self {
            autopay_id: done.rule.get(),
            status: if tx_id.is_some() { "success" } else { "failed" },
            tx_id,
            error,
            due_date: done.due,
            amount: None,
        }
    }
}

impl<'r> FromRow<'r, PgRow> for ProcessedAutopay {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let error: Option<String> = row.try_get(2)?;
        Ok(Self {
            autopay_id: row.try_get(0)?,
            status: if error.is_none() { "success" } else { "failed" },
            tx_id: None,
            error,
            due_date: row.try_get(1)?,
            amount: row.try_get::<Option<i64>, _>(3)?.map(Paise::new),
        })
    }
}

/// What would come of each, as far as one can tell without the locks of a charge.
const FORESEE: &str = "\
SELECT r.autopay_id, r.next_due_date,
    CASE WHEN w.status IS DISTINCT FROM 'active' THEN 'payer_not_active'
         WHEN p.status IS DISTINCT FROM 'active' THEN 'plan_unavailable'
         WHEN n.wallet_id IS NULL THEN 'number_unknown'
         WHEN n.user_type IS DISTINCT FROM p.plan_type THEN 'plan_type_mismatch'
         WHEN w.balance < p.price THEN 'insufficient_funds' END,
    p.price
FROM autopay_rules r
LEFT JOIN autopay_occurrences o ON o.autopay_id = r.autopay_id AND o.status = 'pending'
LEFT JOIN plans p ON p.plan_id = r.plan_id
LEFT JOIN wallets w ON w.wallet_id = r.user_id
LEFT JOIN wallets n ON n.phone = r.phone
WHERE r.status = 'enabled' AND coalesce(o.try_at, r.next_due_date) <= $1
ORDER BY r.next_due_date, r.autopay_id LIMIT $2";

/// Due dates, for administrators.
#[derive(Clone)]
pub struct DueDates {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    scheduler: Scheduler,
}

impl DueDates {
    /// Through the scheduler's own work, so that nothing is charged by both.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, scheduler: Scheduler) -> Self {
        Self { pool, clock, scheduler }
    }

    /// Writes into the audit log who asked. The charges themselves are on record as transactions.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn record(&self, entry: Entry) -> Result<(), sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        audit::record(&mut db, self.clock.now(), entry).await
    }

    /// Charges what is due, within bounds; answers what came of each. What the scheduler has under way is left to it.
    ///
    /// # Errors
    /// [`AutopayError`].
    pub async fn process(&self) -> Result<Vec<ProcessedAutopay>, AutopayError> {
        let begun = Instant::now();
        self.scheduler.announce().await?;
        let mut results: Vec<ProcessedAutopay> = Vec::new();
        while results.len() < MOST && begun.elapsed() < WITHIN {
            let room = u32::try_from(MOST.saturating_sub(results.len())).unwrap_or(u32::MAX);
            let done = self.scheduler.charge(room).await?;
            if done.is_empty() {
                break;
            }
            results.extend(done.into_iter().map(ProcessedAutopay::from));
        }
        Ok(results)
    }

    /// What would be charged until `until` (now, if it is not given), and what is likely to come of it.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn foresee(&self, until: Option<DateTime<Utc>>) -> Result<Vec<ProcessedAutopay>, sqlx::Error> {
        sqlx::query_as(FORESEE)
            .bind(until.unwrap_or_else(|| self.clock.now()))
            .bind(i64::try_from(MOST).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
    }
}
