//! What the relay needs of the outbox and of the bus.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use crate::kernel::{EventId, TxnId};

/// One event as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEvent {
    /// Its id.
    pub event_id: EventId,
    /// The versioned type (see [`crate::events`]).
    pub type_name: String,
    /// The transaction behind it.
    pub txn_id: Option<TxnId>,
    /// Its data as JSON text.
    pub data: String,
    /// The partner whose message it answers: it is told to that partner too.
    pub addressee: Option<String>,
}

/// The events of one business transaction, claimed. What is in a batch never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its id.
    pub batch_id: i64,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// Claims that ended without success or release, this one included: 1 the first time.
    pub attempts: u32,
    /// Its events.
    pub events: Vec<OutboxEvent>,
}

/// How much to claim at once.
#[derive(Clone, Copy, Debug)]
pub struct ClaimLimits {
    /// Batches at most.
    pub batches: u32,
    /// Events at most (one batch is always taken, whatever its size).
    pub events: u32,
}

/// What waits in the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Age of the oldest batch that is neither delivered nor parked; zero when there is none.
    pub lag: Duration,
    /// Batches parked.
    pub parked: u64,
}

/// The outbox did not do it, or its answer was lost. Everything here may be repeated.
#[derive(Clone, Debug, thiserror::Error)]
#[error("outbox: {0}")]
pub struct OutboxError(pub String);

/// The durable outbox. One method is one transaction.
pub trait Outbox: Send + Sync {
    /// Claims the oldest waiting batches that nobody holds, for the length of `lease`, and reads their events.
    fn claim(&self, limits: ClaimLimits, lease: Duration) -> BoxFuture<'_, Result<Vec<Batch>, OutboxError>>;

    /// Marks batches as delivered; answers how many were not yet.
    fn delivered<'a>(&'a self, batch_ids: &'a [i64]) -> BoxFuture<'a, Result<u64, OutboxError>>;

    /// Gives claimed batches back, to be tried again after `pause`. `counted` false takes the attempt back.
    fn release<'a>(
        &'a self,
        batch_ids: &'a [i64],
        pause: Duration,
        counted: bool,
        error: &'a str,
    ) -> BoxFuture<'a, Result<(), OutboxError>>;

    /// Sets a batch aside, with the reason. It stays visible and is kept.
    fn park<'a>(&'a self, batch_id: i64, error: &'a str) -> BoxFuture<'a, Result<(), OutboxError>>;

    /// What waits.
    fn standing(&self) -> BoxFuture<'_, Result<Standing, OutboxError>>;
}

/// Why batches were not (or may not have been) delivered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DeliverError {
    /// A consumer or its store is away; the batches are not at fault. Tried again for as long as it takes.
    #[error("not available: {0}")]
    Unavailable(String),
    /// A consumer cannot take (one of) these batches. Parked after some tries.
    #[error("refused: {0}")]
    Refused(String),
    /// No answer came: a consumer crashed or took too long. Counted like a refusal, as the batch may be the cause.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}

/// Batches that one receiver holds up: a queue of its own does not answer. The others are not to wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Which batches.
    pub batch_ids: BTreeSet<i64>,
    /// Until it is worth another try.
    pub pause: Duration,
    /// Who holds them up.
    pub why: String,
}

/// Where events go. When it answers `Ok`, everything of `batches` is delivered but what it says is held.
pub trait Bus: Send + Sync {
    /// Delivers, at least once.
    fn deliver(&self, batches: Arc<[Batch]>) -> BoxFuture<'_, Result<Option<Held>, DeliverError>>;
}
