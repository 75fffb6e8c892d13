//! Administrators as rows and answers.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::PhoneNumber;
use serde::Serialize;
use sqlx::Row as _;
use utoipa::ToSchema;

use crate::platform::postgres::columns;

/// An administrator.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AdminOut {
    /// Id.
    pub admin_id: i64,
    /// Name.
    pub name: String,
    /// E-mail address; no two administrators share one.
    pub email: String,
    /// Ten digits; neither another administrator's nor a customer's.
    pub phone_number: String,
    /// The role.
    pub role_id: i64,
    /// The role's name.
    pub role_name: String,
    /// When the administrator was added.
    pub created_at: DateTime<Utc>,
    /// The last change.
    pub updated_at: Option<DateTime<Utc>>,
}

/// The columns of [`AdminOut`], from `admins a JOIN roles r USING (role_id)`.
pub(super) const COLUMNS: &str =
    "a.admin_id, a.name, a.email, a.phone, a.role_id, r.role_name, a.created_at, a.updated_at";

impl<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> for AdminOut {
    fn from_row(row: &'r sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        let phone = columns::phone(row, 3)?.map(PhoneNumber::national);
        Ok(Self {
            admin_id: row.try_get(0)?,
            name: row.try_get(1)?,
            email: row.try_get(2)?,
            phone_number: phone.unwrap_or_default(),
            role_id: row.try_get(4)?,
            role_name: row.try_get(5)?,
            created_at: row.try_get(6)?,
            updated_at: row.try_get(7)?,
        })
    }
}
