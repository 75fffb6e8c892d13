//! What notifications need of a document store.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Channels, Notice, NoticeId, Recipient};

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
    /// Notices to groups whose `attachments.category` is one of these are not for this reader.
    pub muted: Vec<&'static str>,
}

impl Audience {
    /// Whether the reader sees this notice.
    #[must_use]
    pub fn sees(&self, notice: &Posted) -> bool {
        notice.recipient == self.own
            || (self.groups.contains(&notice.recipient)
                && !notice.category().is_some_and(|category| self.muted.contains(&category)))
    }
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

/// A stored notice and its place in the order of all.
#[derive(Clone, Debug, PartialEq)]
pub struct Posted {
    /// Its place. Places grow in the order in which notices became visible; some are never taken.
    pub seq: i64,
    /// Who sees it.
    pub recipient: Recipient,
    /// Where copies go.
    pub channels: Channels,
    /// The document as clients see it.
    pub document: Value,
}

impl Posted {
    /// What sort of announcement it is, if it says so.
    #[must_use]
    pub fn category(&self) -> Option<&str> {
        self.document.get("attachments")?.get("category")?.as_str()
    }
}

/// What a reader does to an own notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Marks it as viewed.
    View,
    /// Removes it.
    Delete,
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

    /// A reader's notices that are due at `now`, the last written first: `limit` of them after the first `offset`.
    fn mine<'a>(
        &'a self,
        audience: &'a Audience,
        now: DateTime<Utc>,
        offset: i64,
        limit: i64,
    ) -> BoxFuture<'a, Result<NoticePage, NotificationStoreError>>;

    /// The first `limit` notices behind place `after`, in order: a reader's, or everybody's. Nothing is ever put in
    /// front of a notice that this has shown, by whichever process.
    fn posted<'a>(
        &'a self,
        of: Option<&'a Audience>,
        after: i64,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Posted>, NotificationStoreError>>;

    /// The last place that [`NotificationStore::posted`] shows; 0 when there is none.
    fn head(&self) -> BoxFuture<'_, Result<i64, NotificationStoreError>>;

    /// Changes a notice that was sent to `own` alone; false when there is none of that id.
    fn change(
        &self,
        own: Recipient,
        id: NoticeId,
        change: Change,
    ) -> BoxFuture<'_, Result<bool, NotificationStoreError>>;
}
