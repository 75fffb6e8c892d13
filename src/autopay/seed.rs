//! Rules of the demo data.

use chrono::{DateTime, Utc};
use gencharge_actors::autopay::tell_at;
use gencharge_actors::kernel::{PhoneNumber, PlanId, UserId};
use sqlx::PgConnection;

/// A rule for one's own number.
#[derive(Clone, Copy, Debug)]
pub struct NewDemoRule {
    /// Whose.
    pub user: UserId,
    /// Which number.
    pub phone: PhoneNumber,
    /// Which plan; it fits the number.
    pub plan: PlanId,
    /// One date only.
    pub once: bool,
    /// Monthly, instead of after the plan's validity.
    pub monthly: bool,
    /// In force.
    pub enabled: bool,
    /// The next date; its notice is not due yet.
    pub due: DateTime<Utc>,
    /// When it was made.
    pub set_at: DateTime<Utc>,
}

/// Inserts a rule, unless the plan is not there any more.
///
/// # Errors
/// Those of the database.
pub async fn insert_demo_rule(db: &mut PgConnection, rule: &NewDemoRule) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO autopay_rules (user_id, plan_id, phone, tag, repeats, status, next_due_date, anchor, set_at,
             announce_at, created_at)
         SELECT $1, plan_id, $3, $4, $5, $6, $7, $7, $8, $9, $8 FROM plans WHERE plan_id = $2",
    )
    .bind(rule.user.get())
    .bind(rule.plan.get())
    .bind(rule.phone.e164())
    .bind(if rule.once { "onetime" } else { "regular" })
    .bind(if rule.monthly { "monthly" } else { "validity" })
    .bind(if rule.enabled { "enabled" } else { "disabled" })
    .bind(rule.due)
    .bind(rule.set_at)
    .bind(rule.enabled.then(|| tell_at(rule.due)))
    .execute(db)
    .await?;
    Ok(())
}
