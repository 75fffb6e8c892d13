//! How rules look to clients.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{AutopayRepeat, AutopayStatus, AutopayTag, PhoneNumber};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use utoipa::ToSchema;

use crate::catalogue::shape::PlanResponse;
use crate::http::json;
use crate::platform::postgres::columns::{phone, word};
use crate::users::UserResponse;

/// The columns of [`AutoPayOut`], of `autopay_rules r`.
pub const COLUMNS: &str = "r.autopay_id, r.user_id, r.plan_id, r.status, r.phone, r.tag, r.next_due_date, r.created_at, \
     r.repeats";

/// A rule.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AutoPayOut {
    /// Unique id.
    pub autopay_id: i64,
    /// Whose rule it is: this customer's wallet pays.
    pub user_id: i64,
    /// The plan bought each time.
    pub plan_id: i64,
    /// `enabled` or `disabled`.
    #[schema(value_type = String, example = "enabled")]
    pub status: AutopayStatus,
    /// The number recharged: ten digits.
    #[serde(serialize_with = "json::national")]
    #[schema(value_type = String, example = "9876543210")]
    pub phone_number: Option<PhoneNumber>,
    /// `onetime` or `regular`.
    #[schema(value_type = String, example = "regular")]
    pub tag: AutopayTag,
    /// The next date (of a disabled rule: the last one), UTC.
    pub next_due_date: DateTime<Utc>,
    /// When it was made, UTC.
    pub created_at: DateTime<Utc>,
    /// When a regular rule is due again: `validity` or `monthly`.
    #[schema(value_type = String, example = "validity")]
    pub repeat: AutopayRepeat,
}

impl<'r> FromRow<'r, PgRow> for AutoPayOut {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            autopay_id: row.try_get(0)?,
            user_id: row.try_get(1)?,
            plan_id: row.try_get(2)?,
            status: word(row, 3)?,
            phone_number: phone(row, 4)?,
            tag: word(row, 5)?,
            next_due_date: row.try_get(6)?,
            created_at: row.try_get(7)?,
            repeat: word(row, 8)?,
        })
    }
}

/// A rule as administrators see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AutoPayOutAdmin {
    /// The rule.
    #[serde(flatten)]
    pub rule: AutoPayOut,
    /// Who pays.
    pub id_user_details: Option<UserResponse>,
    /// Whose number is recharged.
    pub phone_user_details: Option<UserResponse>,
    /// What is bought; null when the plan is gone.
    pub plan_details: Option<PlanResponse>,
}

/// A page of rules, as `list::page` writes it.
#[derive(Serialize, ToSchema)]
pub struct PaginatedAutoPay {
    items: Vec<AutoPayOut>,
    total: i64,
    page: u32,
    size: u32,
    pages: i64,
}

/// A page of rules with details, as `list::page` writes it.
#[derive(Serialize, ToSchema)]
pub struct PaginatedAutoPayAdmin {
    items: Vec<AutoPayOutAdmin>,
    total: i64,
    page: u32,
    size: u32,
    pages: i64,
}
