//! What a customer wants to be told, and how.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The eight switches. Those that a body leaves out have their default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow, ToSchema)]
#[serde(default)]
pub struct Preferences {
    /// Notices by e-mail.
    pub email_notification: bool,
    /// Notices by text message.
    pub sms_notification: bool,
    /// News about the service.
    pub marketing_communication: bool,
    /// Reminders before a plan ends.
    pub recharge_remainders: bool,
    /// Offers.
    pub promotional_offers: bool,
    /// Notices about payments.
    pub transactional_alerts: bool,
    /// Use of the own data for statistics.
    pub data_analytics: bool,
    /// Passing data on to partners.
    pub third_party_integrations: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            email_notification: true,
            sms_notification: true,
            marketing_communication: false,
            recharge_remainders: true,
            promotional_offers: false,
            transactional_alerts: true,
            data_analytics: true,
            third_party_integrations: false,
        }
    }
}

/// The switches as answers show them.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct UserPreferenceResponse {
    #[serde(flatten)]
    pub(super) preferences: Preferences,
    /// Whose they are.
    pub(super) user_id: i64,
}
