//! Carries events from the outbox to those who consume them: at least once, in bounded batches, without hurry while
//! nobody waits.
//!
//! A batch (the events of one business transaction) is claimed with a lease, delivered, and marked. Whoever crashes
//! in between leaves a lease that runs out; then any process delivers the batch again. So consumers are idempotent.

mod actor;
mod apart;
mod local;
mod pace;
mod port;
#[cfg(test)]
mod tests;
mod work;

pub use actor::RelayActor;
pub use apart::{Part, PartError, envelopes, together};
pub use local::{Consumer, Delivery, LocalBus, ParsedBatch, ParsedEvent, Recharges};
pub use pace::{Pace, Pause};
pub use port::{Batch, Bus, ClaimLimits, DeliverError, Held, Outbox, OutboxError, OutboxEvent, Standing};
pub use work::{Cycle, Relay, RelaySettings};

use std::sync::Arc;

use tokio::sync::Notify;

/// Tells the relay of this process that events are waiting. Cheap enough for every commit; never blocks.
#[derive(Clone, Debug, Default)]
pub struct OutboxSignal(Arc<Notify>);

impl OutboxSignal {
    /// Events were committed.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits for the next (or a not yet noticed) [`OutboxSignal::wake`].
    pub async fn woken(&self) {
        self.0.notified().await;
    }
}
