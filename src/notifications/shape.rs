//! The JSON shapes of notices, and how their errors are told.

use chrono::{DateTime, Utc};
use gencharge_actors::notification::NotificationStoreError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::NotificationError;
use crate::http::{Code, Problem};

/// A notice.
#[derive(Serialize, ToSchema)]
#[schema(as = NotificationResponse)]
pub struct NotificationDocument {
    /// 24 hex digits.
    #[serde(rename = "_id")]
    id: String,
    /// `system` or `admin`.
    sender_type: String,
    /// What it says.
    description: String,
    /// `user`, `admin`, `all_admin`, `all_user`, `prepaid_users`, `postpaid_users` or `blocked`.
    recipient_type: String,
    /// The customer's or administrator's number; groups have none.
    recipient_id: Option<i64>,
    /// `delivered` or `viewed`.
    status: String,
    /// `announcement`, `broadcast`, `reminder`, `message`, `in-app` or `email`.
    #[serde(rename = "type")]
    kind: String,
    /// What it is about.
    attachments: serde_json::Value,
    /// When what it tells happened.
    created_at: DateTime<Utc>,
    /// Not shown before.
    scheduled_at: Option<DateTime<Utc>>,
}

/// An announcement to a group.
#[derive(Deserialize, ToSchema)]
#[schema(as = NotificationAnnouncement)]
pub struct AnnouncementBody {
    /// 1 to 2000 characters.
    pub description: String,
    /// An object of any content. `category` `marketing` or `promotion` keeps it from customers who did not wish for these.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub attachments: Option<serde_json::Value>,
    /// Not seen before; at once when absent. Without an offset it is a time where the business is.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub scheduled_at: Option<String>,
    /// `all_admin`, `all_users`, `prepaid_users`, `postpaid_users` or `blocked`.
    pub recipient_type: String,
}

/// The language of one's notices.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = NotificationLanguage)]
pub struct LanguageBody {
    /// `en` or `hi`.
    pub language: String,
}

/// Which notice to delete.
#[derive(Deserialize, ToSchema)]
pub struct DeleteNotification {
    /// 24 hex digits.
    pub id: String,
}

/// What became of it.
#[derive(Serialize, ToSchema)]
#[schema(as = NotificationDeleted)]
pub struct Deleted {
    /// Always `deleted`.
    pub status: &'static str,
}

impl From<NotificationError> for Problem {
    fn from(error: NotificationError) -> Self {
        match error {
            NotificationError::Sql(error) => error.into(),
            NotificationError::Documents(error) => error.into(),
            NotificationError::Store(NotificationStoreError::Unavailable(reason)) => {
                tracing::warn!(error.message = %reason, "notifications.unavailable");
                Self::new(Code::Unavailable, "Notifications are away for a moment: try again shortly")
            }
            NotificationError::Store(NotificationStoreError::Refused(reason)) => {
                tracing::error!(error.message = %reason, "notifications.error");
                Self::new(
                    Code::Internal,
                    "Something went wrong on our side; it has been logged under the request id",
                )
            }
        }
    }
}
