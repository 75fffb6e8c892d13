//! Messages that nobody could take: kept for a person to look at, and to be tried again or thrown away.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

/// A message that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The queue that it was in.
    pub queue: String,
    /// The routing key it was published with.
    pub routing_key: String,
    /// Its producer, vouched for by the broker.
    pub user_id: Option<Arc<str>>,
    /// A stable word.
    pub code: String,
    /// Why, for the person who looks.
    pub detail: String,
    /// The media type that the producer gave.
    pub content_type: Option<String>,
    /// The producer's id of the message.
    pub message_id: Option<String>,
    /// The producer's id of what it belongs to.
    pub correlation_id: Option<String>,
    /// When the producer says that it sent it.
    pub sent_at: Option<DateTime<Utc>>,
    /// The producer's headers that are text or numbers, as text.
    pub headers: BTreeMap<String, String>,
    /// The message itself, unchanged.
    pub body: Arc<[u8]>,
    /// When it was set aside.
    pub parked_at: DateTime<Utc>,
    /// The same at every delivery of this parked message, and of no other.
    pub token: String,
}

/// The archive did not do it, or its answer was lost; all may be repeated.
#[derive(Clone, Debug, thiserror::Error)]
#[error("archive of parked messages: {0}")]
pub struct ArchiveError(pub String);

/// Keeps what was set aside.
pub trait Archive: Send + Sync {
    /// Keeps all of `parked`, once each (by [`Parked::token`]). Durable when it answers.
    fn keep<'a>(&'a self, parked: &'a [Parked]) -> BoxFuture<'a, Result<(), ArchiveError>>;
}

/// Why a parked message could not be given back.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReplayError {
    /// The broker is away, or did not confirm in time: try again.
    #[error("the broker is away: {0}")]
    Unavailable(String),
    /// Its queue does not exist any more, or is full.
    #[error("the queue does not take it: {0}")]
    Refused(String),
}

/// Gives parked messages back to their queues.
pub trait Replay: Send + Sync {
    /// Publishes it to its queue, as if it came from its producer for the first time.
    fn replay<'a>(&'a self, parked: &'a Parked) -> BoxFuture<'a, Result<(), ReplayError>>;
}
