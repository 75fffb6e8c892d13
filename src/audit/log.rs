//! The log: written by the bus, read by administrators.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use gencharge_actors::events::{AuditRecorded, Event};
use gencharge_actors::kernel::{Actor, EventId};
use gencharge_actors::relay::{Consumer, DeliverError, Delivery};
use serde_json::{Value, json};

use crate::platform::documents::{
    Collection, Document, DocumentError, DocumentStore, Filter, Search, moment,
};

/// The documents `{_id, action, service, user_id, role, target, status, changes, timestamp}`.
pub static AUDIT_LOGS: Collection = Collection {
    name: "audit_logs",
    required: &["action", "service", "user_id", "status", "timestamp"],
    indexes: &[&["-timestamp"], &["user_id", "-timestamp"], &["action", "-timestamp"]],
    expires: None,
};

/// Which entries of the log. What is absent matches all.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub service: Option<String>,
    pub action: Option<String>,
    pub actor: Option<Actor>,
    pub target: Option<String>,
    pub status: Option<String>,
    /// At or after.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
}

impl Wanted {
    fn filter(self) -> Filter {
        let text =
            |field, value: Option<String>| value.map(|value| Filter::Equal(field, Value::String(value)));
        let time = |at: Option<DateTime<Utc>>| at.map(|at| Value::String(moment(at)));
        let mut filters: Vec<_> = [
            text("service", self.service),
            text("action", self.action),
            text("user_id", self.actor.map(|actor| actor.to_string())),
            text("target", self.target),
            text("status", self.status),
        ]
        .into_iter()
        .flatten()
        .collect();
        if self.from.is_some() || self.to.is_some() {
            filters.push(Filter::Within("timestamp", time(self.from), time(self.to)));
        }
        if filters.is_empty() { Filter::Everything } else { Filter::All(filters) }
    }
}

/// Reads the log; clones share the store.
#[derive(Clone)]
pub struct AuditLog(Arc<dyn DocumentStore>);

impl AuditLog {
    /// The log in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn DocumentStore>) -> Self {
        Self(store)
    }

    /// Some entries, newest first, and how many there are in all.
    pub(super) async fn entries(
        &self,
        wanted: Wanted,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<Document>, u64), DocumentError> {
        let filter = wanted.filter();
        let total = self.0.count(&AUDIT_LOGS, filter.clone()).await?;
        let search = Search { filter, sort: &["-timestamp"], offset, limit };
        Ok((self.0.find(&AUDIT_LOGS, search).await?, total))
    }
}

/// Makes documents of audit events.
pub struct AuditWriter(Arc<dyn DocumentStore>);

impl AuditWriter {
    /// Writes to `store`.
    #[must_use]
    pub fn new(store: Arc<dyn DocumentStore>) -> Self {
        Self(store)
    }
}

impl Consumer for AuditWriter {
    fn name(&self) -> &'static str {
        "audit"
    }

    fn consume(&self, delivery: Delivery) -> BoxFuture<'_, Result<(), DeliverError>> {
        Box::pin(async move {
            let events = delivery.iter().flat_map(|batch| &batch.events);
            let documents: Vec<_> = events
                .filter_map(|parsed| match &parsed.event {
                    Event::AuditRecorded(entry) => Some(document(parsed.event_id, entry)),
                    _ => None,
                })
                .collect();
            if documents.is_empty() {
                return Ok(());
            }
            match self.0.insert(&AUDIT_LOGS, documents).await {
                Ok(_) => Ok(()),
                Err(DocumentError::Unavailable(text)) => Err(DeliverError::Unavailable(text)),
                Err(DocumentError::Refused(text)) => Err(DeliverError::Refused(text)),
            }
        })
    }
}

/// The same event gives the same `_id` (time, then event), so that a repeated delivery changes nothing.
fn document(event: EventId, entry: &AuditRecorded) -> Document {
    let seconds = u32::try_from(entry.occurred_at.timestamp()).unwrap_or_default();
    [
        ("_id", json!(format!("{seconds:08x}{:016x}", event.get()))),
        ("action", json!(entry.action)),
        ("service", json!(entry.service)),
        ("user_id", json!(entry.actor.to_string())),
        ("role", json!(entry.role)),
        ("target", json!(entry.target)),
        ("status", json!(entry.status)),
        ("changes", entry.changes.clone()),
        ("timestamp", json!(moment(entry.occurred_at))),
    ]
    .into_iter()
    .map(|(field, value)| (field.to_owned(), value))
    .collect()
}
