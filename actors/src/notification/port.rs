//! What notifications need of a document store.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Notice, Recipient};

/// The store did not do it, or its answer was lost. Everything here may be repeated.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotificationStoreError {
    /// It is away: try again later.
    #[error("the notification store is away: {0}")]
    Unavailable(String),
    /// It refused what was sent, or gave what cannot be read: a defect.
    #[error("the notification store refused: {0}")]
    Refused(String),
}

/// Whose notices are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// The reader.
    pub own: Recipient,
    /// Groups that the reader belongs to.
    pub groups: Vec<Recipient>,
}

/// Some of a reader's notices, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NoticePage {
    /// Documents in the shape that clients see (`_id`, `sender_type`, `description`, `recipient_type`,
    /// `recipient_id`, `status`, `type`, `attachments`, `created_at`, `scheduled_at`).
    pub documents: Vec<Value>,
    /// How many there are in all.
    pub total: i64,
}

/// A store of notice documents: one method, one transaction.
pub trait NotificationStore: Send + Sync {
    /// Writes all of `notices`, or none; those whose id exists stay as they are. `again` tells that some are likely
    /// to exist. Answers how many were new. Durable at least as soon as the outbox's mark that follows it.
    fn put<'a>(
        &'a self,
        notices: &'a [Notice],
        again: bool,
    ) -> BoxFuture<'a, Result<u64, NotificationStoreError>>;

    /// A reader's notices that are due at `now`: `limit` of them after the first `offset`.
    fn mine<'a>(
        &'a self,
        audience: &'a Audience,
        now: DateTime<Utc>,
        offset: i64,
        limit: i64,
    ) -> BoxFuture<'a, Result<NoticePage, NotificationStoreError>>;
}
