//! How a plan on a number looks to clients.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{CatalogueStatus, Paise, PhoneNumber, SubscriptionStatus, UserType};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use utoipa::ToSchema;

use crate::http::json;
use crate::platform::postgres::columns::{phone, word};

/// The columns that [`CurrentActivePlanOut`] is read from; `$1` is now.
pub const COLUMNS: &str = "s.subscription_id, s.user_id, s.plan_id, s.phone, s.valid_from, s.valid_to, \
     CASE WHEN s.status = 'expired' OR s.valid_to <= $1 THEN 'expired' \
          WHEN s.status = 'active' OR s.valid_from <= $1 THEN 'active' ELSE 'queued' END, \
     s.total_paid, p.plan_name, p.validity, p.most_popular, p.plan_type, p.group_id, p.description, \
     p.criteria::text, p.created_at, p.status";

/// A plan on a number.
#[derive(Debug, Serialize, ToSchema)]
pub struct CurrentActivePlanOut {
    /// The subscription.
    pub id: i64,
    /// The number's owner.
    pub user_id: i64,
    /// The plan.
    pub plan_id: i64,
    /// Ten digits.
    #[serde(serialize_with = "json::national")]
    #[schema(value_type = String, example = "9876543210")]
    pub phone_number: Option<PhoneNumber>,
    /// When it starts, UTC.
    pub valid_from: DateTime<Utc>,
    /// When it ends, UTC.
    pub valid_to: DateTime<Utc>,
    /// `active`, `expired` or `queued`, at the moment of the answer.
    #[schema(value_type = String, example = "active")]
    pub status: SubscriptionStatus,
    /// Null when the plan has been deleted since.
    pub plan: Option<PlanOut>,
    /// What was paid for it, rupees.
    #[serde(serialize_with = "json::as_number")]
    #[schema(value_type = f64, example = 299.00)]
    pub total_paid: Paise,
}

/// The plan as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanOut {
    /// Unique id.
    pub plan_id: i64,
    /// Its name.
    pub plan_name: String,
    /// Days; null means 30.
    pub validity: Option<i32>,
    /// Shown first.
    pub most_popular: bool,
    /// `prepaid` or `postpaid`.
    #[schema(value_type = String)]
    pub plan_type: UserType,
    /// Its group.
    pub group_id: Option<i64>,
    /// For people.
    pub description: Option<String>,
    /// Benefits and conditions.
    #[schema(value_type = Option<Object>)]
    pub criteria: Option<Box<RawValue>>,
    /// When it was made, UTC.
    pub created_at: DateTime<Utc>,
    /// `active` or `inactive`.
    #[schema(value_type = String)]
    pub status: CatalogueStatus,
}

impl<'r> FromRow<'r, PgRow> for CurrentActivePlanOut {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let plan_id = row.try_get(2)?;
        Ok(Self {
            id: row.try_get(0)?,
            user_id: row.try_get(1)?,
            plan_id,
            phone_number: phone(row, 3)?,
            valid_from: row.try_get(4)?,
            valid_to: row.try_get(5)?,
            status: word(row, 6)?,
            total_paid: Paise::new(row.try_get(7)?),
            plan: plan(row, plan_id)?,
        })
    }
}

fn plan(row: &PgRow, plan_id: i64) -> Result<Option<PlanOut>, sqlx::Error> {
    let Some(plan_name) = row.try_get::<Option<String>, _>(8)? else { return Ok(None) };
    let criteria = row
        .try_get::<Option<String>, _>(14)?
        .map(RawValue::from_string)
        .transpose()
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(Some(PlanOut {
        plan_id,
        plan_name,
        validity: row.try_get(9)?,
        most_popular: row.try_get(10)?,
        plan_type: word(row, 11)?,
        group_id: row.try_get(12)?,
        description: row.try_get(13)?,
        criteria,
        created_at: row.try_get(15)?,
        status: word::<CatalogueStatus>(row, 16)?,
    }))
}

impl CurrentActivePlanOut {
    /// When it starts or ends, as microseconds of the Unix epoch.
    #[must_use]
    pub fn moment(&self, by_end: bool) -> i64 {
        if by_end { self.valid_to } else { self.valid_from }.timestamp_micros()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_read() {
        // Commas inside the CASE would count too: it has none.
        assert_eq!(COLUMNS.split(',').count(), 17);
    }
}
