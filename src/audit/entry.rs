//! What is recorded, and how.

use chrono::{DateTime, Utc};
use gencharge_actors::events::{AuditRecorded, Event};
use gencharge_actors::kernel::Actor;
use serde_json::Value;
use sqlx::PgConnection;

use crate::platform::bus::outbox;

/// One thing that someone did, or tried to.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who.
    pub actor: Actor,
    /// The administrator's role, or `user`.
    pub role: String,
    /// What: `UPDATE_PLAN`.
    pub action: &'static str,
    /// The part of the system: `plans`.
    pub service: &'static str,
    /// What it was done to: `plan/4`. Never a phone number.
    pub target: String,
    /// `success`, or why not.
    pub status: &'static str,
    /// The fields set and their new values, or other particulars. Never a secret.
    pub changes: Value,
}

impl Entry {
    /// Something that the system did by itself, or someone at the command line.
    #[must_use]
    pub fn by_system(action: &'static str, service: &'static str, target: impl Into<String>) -> Self {
        Self::new(Actor::System, "system", action, service, target)
    }

    /// Something that worked. Administrators have `audits` for it.
    #[must_use]
    pub fn new(
        actor: Actor,
        role: &str,
        action: &'static str,
        service: &'static str,
        target: impl Into<String>,
    ) -> Self {
        let (role, target) = (role.to_owned(), target.into());
        Self { actor, role, action, service, target, status: "success", changes: Value::Null }
    }

    /// With the fields set and their new values.
    #[must_use]
    pub fn with(mut self, changes: Value) -> Self {
        self.changes = changes;
        self
    }

    /// With another outcome than `success`.
    #[must_use]
    pub const fn ended(mut self, status: &'static str) -> Self {
        self.status = status;
        self
    }

    /// The event that tells of it.
    #[must_use]
    pub fn event(self, now: DateTime<Utc>) -> Event {
        Event::AuditRecorded(AuditRecorded {
            actor: self.actor,
            role: self.role,
            action: self.action.to_owned(),
            service: self.service.to_owned(),
            target: self.target,
            status: self.status.to_owned(),
            changes: self.changes,
            occurred_at: now,
        })
    }
}

/// Records `entry` in the caller's transaction: it is in the log if and only if the transaction commits, some 200 ms later.
///
/// # Errors
/// Those of the database.
pub async fn record(db: &mut PgConnection, now: DateTime<Utc>, entry: Entry) -> Result<(), sqlx::Error> {
    outbox::append(db, now, &[(entry.event(now), None)]).await
}
