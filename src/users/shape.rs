//! Customers as answers show them.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::Paise;
use serde::Serialize;
use utoipa::ToSchema;

use super::store::Profile;
use crate::http::json::as_number;

/// A customer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UserResponse {
    /// Id.
    pub user_id: i64,
    /// Name; null until registered.
    pub name: Option<String>,
    /// E-mail address; null until registered.
    pub email: Option<String>,
    /// Ten digits.
    pub phone_number: String,
    /// What others give when this customer brought them.
    pub referral_code: String,
    /// Who brought this customer.
    pub referee_code: Option<String>,
    /// `prepaid` or `postpaid`; null until said.
    pub user_type: Option<String>,
    /// `active`, `blocked` or `deactive`.
    pub status: String,
    /// Rupees with two decimals.
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = f64)]
    pub wallet_balance: Paise,
    /// When the customer signed up.
    pub created_at: DateTime<Utc>,
    /// When the profile or state last changed.
    pub updated_at: Option<DateTime<Utc>>,
    /// When the account was deleted; absent while it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<DateTime<Utc>>,
}

impl From<Profile> for UserResponse {
    fn from(profile: Profile) -> Self {
        Self {
            user_id: profile.user_id,
            name: profile.name,
            email: profile.email,
            phone_number: profile.phone.national(),
            referral_code: profile.referral_code,
            referee_code: profile.referee_code,
            user_type: profile.user_type,
            status: profile.status.as_str().to_owned(),
            wallet_balance: profile.wallet_balance,
            created_at: profile.created_at,
            updated_at: profile.updated_at,
            deleted_at: profile.deleted_at,
        }
    }
}

/// A customer who has just registered (the API's `UserRegisterResponse`).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = UserRegisterResponse)]
pub struct RegisteredUser {
    /// Id.
    pub user_id: i64,
    /// Name.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// Ten digits.
    pub phone_number: String,
    /// What others give when this customer brought them.
    pub referral_code: String,
    /// Who brought this customer.
    pub referee_code: Option<String>,
    /// `prepaid` or `postpaid`.
    pub user_type: String,
    /// `active`, `blocked` or `deactive`.
    pub status: String,
    /// Rupees with two decimals.
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = f64)]
    pub wallet_balance: Paise,
}

impl From<Profile> for RegisteredUser {
    fn from(profile: Profile) -> Self {
        Self {
            user_id: profile.user_id,
            name: profile.name.unwrap_or_default(),
            email: profile.email.unwrap_or_default(),
            phone_number: profile.phone.national(),
            referral_code: profile.referral_code,
            referee_code: profile.referee_code,
            user_type: profile.user_type.unwrap_or_default(),
            status: profile.status.as_str().to_owned(),
            wallet_balance: profile.wallet_balance,
        }
    }
}
