//! CloudEvents 1.0 in JSON: how events travel outside of the process.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::kernel::EventId;

/// The `source` of this system's events.
pub const SOURCE: &str = "/gencharge";

/// An event in its envelope.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CloudEvent {
    /// Always `1.0`.
    pub specversion: String,
    /// The event's id as decimal text; unique within `source`.
    pub id: String,
    /// Who says so.
    pub source: String,
    /// The versioned type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What it is about: `txn/<id>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it was recorded.
    pub time: DateTime<Utc>,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// The partner whose message it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<String>,
    /// The batch it was written with: the events of one business transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batchid: Option<String>,
    /// Recharges in that batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batchrecharges: Option<u32>,
    /// On one event of the batch: what was paid for them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batchtotal: Option<String>,
    /// With `batchtotal`: their smallest transaction id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batchfirst: Option<String>,
    /// With `batchtotal`: their largest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batchlast: Option<String>,
    /// The data, as its type says.
    pub data: Box<RawValue>,
}

impl CloudEvent {
    /// An outbox row in its envelope.
    ///
    /// # Errors
    /// `data` is not JSON.
    pub fn new(
        id: EventId,
        type_name: &str,
        subject: Option<String>,
        time: DateTime<Utc>,
        data: String,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            specversion: "1.0".to_owned(),
            id: id.get().to_string(),
            source: SOURCE.to_owned(),
            event_type: type_name.to_owned(),
            subject,
            time,
            datacontenttype: "application/json".to_owned(),
            partner: None,
            batchid: None,
            batchrecharges: None,
            batchtotal: None,
            batchfirst: None,
            batchlast: None,
            data: RawValue::from_string(data)?,
        })
    }
}
