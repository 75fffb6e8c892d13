//! Customers' rules in SQL. One method is one transaction.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use gencharge_actors::autopay::{Rule, charge_key, tell_at};
use gencharge_actors::kernel::{
    AutopayId, AutopayRepeat, AutopayStatus, AutopayTag, Clock, PhoneNumber, PlanId, UserId,
};
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::cycles;
use super::request::{Changes, NewRule};
use super::shape::{AutoPayOut, COLUMNS};

/// Rules that a customer may have.
const MOST: i64 = 100;

/// Why a rule was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The customer has no such rule.
    #[error("no such rule")]
    NoRule,
    /// There is no such plan.
    #[error("no such plan")]
    NoPlan,
    /// The plan is not sold.
    #[error("the plan is inactive")]
    PlanInactive,
    /// The plan is not for the number's type.
    #[error("the plan does not fit the number")]
    PlanTypeMismatch,
    /// Nobody has the number.
    #[error("no such number")]
    NoNumber,
    /// The same rule exists.
    #[error("the same rule exists")]
    Duplicate,
    /// The customer has as many as may be.
    #[error("too many rules")]
    TooMany,
    /// The wallet was asked, and its answer is not written yet.
    #[error("a charge is under way")]
    Busy,
    /// The rule has run, or its date has passed: it needs a new one.
    #[error("a new date is needed")]
    DateNeeded,
    /// The rule is due at another date, or disabled.
    #[error("the rule is not due then")]
    NotDueThen(Option<DateTime<Utc>>),
    /// The database.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

/// Customers' rules.
#[derive(Clone)]
pub struct AutopayRules {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    zone: Tz,
}

/// What a rule is to look like.
struct Target {
    plan: PlanId,
    phone: PhoneNumber,
    tag: AutopayTag,
    repeat: AutopayRepeat,
    status: AutopayStatus,
    due: DateTime<Utc>,
    anchor: DateTime<Utc>,
    set_at: DateTime<Utc>,
    /// The next date is to be told (again); otherwise what was told stays.
    retell: bool,
}

impl AutopayRules {
    /// Over the shared pool; months and days are those of `zone`.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, zone: Tz) -> Self {
        Self { pool, clock, zone }
    }

    /// The time that dates are held against, and the zone of those that name none.
    #[must_use]
    pub fn now(&self) -> (DateTime<Utc>, Tz) {
        (self.clock.now(), self.zone)
    }

    /// One of a customer's own.
    ///
    /// # Errors
    /// [`RuleError::NoRule`], or the database's.
    pub async fn find(&self, user: UserId, id: AutopayId) -> Result<AutoPayOut, RuleError> {
        let sql = format!("SELECT {COLUMNS} FROM autopay_rules r WHERE r.autopay_id = $1 AND r.user_id = $2");
        sqlx::query_as(AssertSqlSafe(sql))
            .bind(id.get())
            .bind(user.get())
            .fetch_optional(&self.pool)
            .await?
            .ok_or(RuleError::NoRule)
    }

    /// Makes a rule.
    ///
    /// # Errors
    /// [`RuleError`].
    pub async fn create(&self, user: UserId, new: &NewRule) -> Result<AutoPayOut, RuleError> {
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        fits(&mut tx, new.plan, new.phone).await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM autopay_rules WHERE user_id = $1")
            .bind(user.get())
            .fetch_one(&mut *tx)
            .await?;
        if count >= MOST {
            return Err(RuleError::TooMany);
        }
        let sql = format!(
            "INSERT INTO autopay_rules AS r (user_id, plan_id, phone, tag, repeats, status, next_due_date, anchor, set_at,
                 announce_at, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $8) RETURNING {COLUMNS}"
        );
        let enabled = new.status == AutopayStatus::Enabled;
        let made = sqlx::query_as(AssertSqlSafe(sql))
            .bind(user.get())
            .bind(new.plan.get())
            .bind(new.phone.e164())
            .bind(new.tag.as_str())
            .bind(new.repeat.as_str())
            .bind(new.status.as_str())
            .bind(new.due)
            .bind(now)
            .bind(enabled.then(|| tell_at(new.due)))
            .fetch_one(&mut *tx)
            .await
            .map_err(named)?;
        tx.commit().await?;
        Ok(made)
    }

    /// Changes a rule.
    ///
    /// # Errors
    /// [`RuleError`].
    pub async fn change(
        &self,
        user: UserId,
        id: AutopayId,
        changes: &Changes,
    ) -> Result<AutoPayOut, RuleError> {
        let mut tx = self.pool.begin().await?;
        let (rule, enabled) = lock(&mut tx, user, id).await?;
        let now = self.clock.now();
        let target = self.target(&rule, enabled, changes, now)?;
        if (target.plan, target.phone) != (rule.plan, rule.phone) {
            fits(&mut tx, target.plan, target.phone).await?;
        }
        let stops = target.status == AutopayStatus::Disabled;
        if stops || target.retell {
            sqlx::query(
                "DELETE FROM autopay_occurrences
                 WHERE autopay_id = $1 AND (status = 'pending' OR (status = 'skipped' AND due_at > $2))",
            )
            .bind(id.get())
            .bind(now)
            .execute(&mut *tx)
            .await?;
        }
        let sql = format!(
            "UPDATE autopay_rules r SET plan_id = $2, phone = $3, tag = $4, repeats = $5, status = $6, next_due_date = $7,
                 anchor = $8, set_at = $9, updated_at = $10,
                 announce_at = CASE WHEN $6 = 'disabled' THEN NULL WHEN $11 THEN $12 ELSE r.announce_at END
             WHERE r.autopay_id = $1 RETURNING {COLUMNS}"
        );
        let changed = sqlx::query_as(AssertSqlSafe(sql))
            .bind(id.get())
            .bind(target.plan.get())
            .bind(target.phone.e164())
            .bind(target.tag.as_str())
            .bind(target.repeat.as_str())
            .bind(target.status.as_str())
            .bind(target.due)
            .bind(target.anchor)
            .bind(target.set_at)
            .bind(now)
            .bind(target.retell)
            .bind(tell_at(target.due))
            .fetch_one(&mut *tx)
            .await
            .map_err(named)?;
        tx.commit().await?;
        Ok(changed)
    }

    /// What the rule becomes, and whether its next date is another one than was told.
    fn target(
        &self,
        rule: &Rule,
        enabled: bool,
        changes: &Changes,
        now: DateTime<Utc>,
    ) -> Result<Target, RuleError> {
        let before = if enabled { AutopayStatus::Enabled } else { AutopayStatus::Disabled };
        let status = changes.status.unwrap_or(before);
        let tag = changes.tag.unwrap_or(rule.tag);
        let repeat = changes.repeat.unwrap_or(rule.series.repeat);
        let wakes = status == AutopayStatus::Enabled && !enabled;
        let (due, anchor, set_at) = match changes.due {
            Some(due) => (due, due, now),
            None if wakes && rule.due <= now => {
                let as_it_will_be = Rule { tag, ..rule.clone() };
                let due = as_it_will_be.next_due(rule.due, now, &self.zone).ok_or(RuleError::DateNeeded)?;
                (due, rule.series.anchor, rule.set_at)
            }
            None => (rule.due, rule.series.anchor, rule.set_at),
        };
        Ok(Target {
            plan: changes.plan.unwrap_or(rule.plan),
            phone: changes.phone.unwrap_or(rule.phone),
            tag,
            repeat,
            status,
            due,
            // Months are counted from where the rule stands when they begin to count.
            anchor: if repeat == rule.series.repeat { anchor } else { due },
            set_at,
            retell: wakes || changes.due.is_some(),
        })
    }

    /// Removes a rule. What it charged stays on record.
    ///
    /// # Errors
    /// [`RuleError`].
    pub async fn delete(&self, user: UserId, id: AutopayId) -> Result<(), RuleError> {
        let mut tx = self.pool.begin().await?;
        lock(&mut tx, user, id).await?;
        sqlx::query("DELETE FROM autopay_occurrences WHERE autopay_id = $1 AND status = 'pending'")
            .bind(id.get())
            .execute(&mut *tx)
            .await?;
        sqlx::query("DELETE FROM autopay_rules WHERE autopay_id = $1")
            .bind(id.get())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Leaves the rule's date `due` out. Asking twice changes nothing more.
    ///
    /// # Errors
    /// [`RuleError`].
    pub async fn skip(
        &self,
        user: UserId,
        id: AutopayId,
        due: DateTime<Utc>,
    ) -> Result<AutoPayOut, RuleError> {
        let mut tx = self.pool.begin().await?;
        let (rule, enabled) = lock(&mut tx, user, id).await?;
        let now = self.clock.now();
        if rule.due != due || !enabled {
            if is_skipped(&mut tx, id, due).await? {
                drop(tx);
                return self.find(user, id).await;
            }
            return Err(RuleError::NotDueThen(enabled.then_some(rule.due)));
        }
        sqlx::query(
            "INSERT INTO autopay_occurrences AS o (autopay_id, due_at, user_id, status, charge_key, announced_at, try_at,
                 settled_at)
             VALUES ($1, $2, $3, 'skipped', $4, $5, $2, $5)
             ON CONFLICT (autopay_id, due_at) DO UPDATE SET status = 'skipped', settled_at = $5",
        )
        .bind(id.get())
        .bind(due)
        .bind(user.get())
        .bind(Uuid::from_u128(charge_key(id, due, 0).0))
        .bind(now)
        .execute(&mut *tx)
        .await?;
        let next = rule.next_due(due, now, &self.zone);
        let sql = format!(
            "UPDATE autopay_rules r SET status = CASE WHEN $2::timestamptz IS NULL THEN 'disabled' ELSE 'enabled' END,
                 next_due_date = coalesce($2, r.next_due_date), announce_at = $3, updated_at = $4
             WHERE r.autopay_id = $1 RETURNING {COLUMNS}"
        );
        let rule = sqlx::query_as(AssertSqlSafe(sql))
            .bind(id.get())
            .bind(next)
            .bind(next.map(tell_at))
            .bind(now)
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(rule)
    }
}

/// Locks a customer's rule and its pending date. While a charge is under way neither may change.
async fn lock(tx: &mut PgConnection, user: UserId, id: AutopayId) -> Result<(Rule, bool), RuleError> {
    let sql = format!(
        "SELECT {} FROM autopay_rules r LEFT JOIN plans p USING (plan_id)
         WHERE r.autopay_id = $1 AND r.user_id = $2 FOR UPDATE OF r",
        cycles::RULE
    );
    let row =
        sqlx::query(AssertSqlSafe(sql)).bind(id.get()).bind(user.get()).fetch_optional(&mut *tx).await?;
    let rule = cycles::rule(&row.ok_or(RuleError::NoRule)?)?;
    let asked: Option<bool> = sqlx::query_scalar(
        "SELECT asked_at IS NOT NULL FROM autopay_occurrences
         WHERE autopay_id = $1 AND status = 'pending' FOR UPDATE",
    )
    .bind(id.get())
    .fetch_optional(tx)
    .await?;
    if asked == Some(true) { Err(RuleError::Busy) } else { Ok(rule) }
}

/// The plan is sold and fits the number, which somebody has.
async fn fits(tx: &mut PgConnection, plan: PlanId, phone: PhoneNumber) -> Result<(), RuleError> {
    let plan: Option<(bool, String)> =
        sqlx::query_as("SELECT status = 'active', plan_type FROM plans WHERE plan_id = $1")
            .bind(plan.get())
            .fetch_optional(&mut *tx)
            .await?;
    let (active, plan_type) = plan.ok_or(RuleError::NoPlan)?;
    let number: Option<Option<String>> = sqlx::query_scalar("SELECT user_type FROM wallets WHERE phone = $1")
        .bind(phone.e164())
        .fetch_optional(tx)
        .await?;
    let user_type = number.ok_or(RuleError::NoNumber)?;
    if !active {
        Err(RuleError::PlanInactive)
    } else if user_type.as_deref() != Some(plan_type.as_str()) {
        Err(RuleError::PlanTypeMismatch)
    } else {
        Ok(())
    }
}

async fn is_skipped(tx: &mut PgConnection, id: AutopayId, due: DateTime<Utc>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM autopay_occurrences WHERE autopay_id = $1 AND due_at = $2 AND status = 'skipped')",
    )
    .bind(id.get())
    .bind(due)
    .fetch_one(tx)
    .await
}

fn named(error: sqlx::Error) -> RuleError {
    match error.as_database_error().and_then(|database| database.constraint()) {
        Some("autopay_rules_one_of_a_kind") => RuleError::Duplicate,
        _ => RuleError::Store(error),
    }
}
