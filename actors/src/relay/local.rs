//! The in-process bus: every consumer gets every batch, parsed once.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use super::{Batch, Bus, DeliverError, Held};
use crate::events::{Event, ParseError};
use crate::kernel::{EventId, Paise, TxnId};

/// An event as consumers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedEvent {
    /// Its id: the same at every delivery.
    pub event_id: EventId,
    /// What happened.
    pub event: Event,
}

/// What the recharges of a whole batch come to, however its events travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recharges {
    /// How many.
    pub count: usize,
    /// What was paid for them.
    pub total: Paise,
    /// The smallest transaction id.
    pub first: Option<TxnId>,
    /// The largest.
    pub last: Option<TxnId>,
}

impl Recharges {
    /// Sums up the events of a batch.
    #[must_use]
    pub fn of(events: &[ParsedEvent]) -> Self {
        let mut sum = Self::default();
        for parsed in events {
            let Event::RechargeCompleted(recharge) = &parsed.event else { continue };
            let id = recharge.txn_id;
            sum.count = sum.count.saturating_add(1);
            sum.total = sum.total.checked_add(recharge.paid()).unwrap_or(sum.total);
            sum.first = Some(sum.first.map_or(id, |first| first.min(id)));
            sum.last = Some(sum.last.map_or(id, |last| last.max(id)));
        }
        sum
    }
}

/// The events of one business transaction, or some of them: the bus in this process delivers a batch whole, a broker
/// may deliver its events apart. What is said of the whole batch is the same at every delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedBatch {
    /// Its id.
    pub batch_id: i64,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// True when it may have been delivered before.
    pub again: bool,
    /// All recharges of the batch, also those that are not delivered here. Only the part that [`ParsedBatch::leads`]
    /// knows more than their count.
    pub recharges: Recharges,
    /// True for the part of the batch that holds its first recharge: what is said once of a batch is said there.
    pub leads: bool,
    /// Its events, without those of types that this version does not know.
    pub events: Vec<ParsedEvent>,
}

/// What a consumer gets.
pub type Delivery = Arc<[ParsedBatch]>;

/// Takes deliveries. The same batch may come again, from this or another process: taking it twice must be taking it once.
pub trait Consumer: Send + Sync {
    /// Shown in errors.
    fn name(&self) -> &'static str;

    /// Takes all of it; `Ok` only when it is durable.
    fn consume(&self, delivery: Delivery) -> BoxFuture<'_, Result<(), DeliverError>>;
}

/// Feeds the consumers of this process.
pub struct LocalBus {
    consumers: Vec<Arc<dyn Consumer>>,
}

impl LocalBus {
    /// A bus to `consumers`.
    #[must_use]
    pub fn new(consumers: Vec<Arc<dyn Consumer>>) -> Self {
        Self { consumers }
    }
}

impl Bus for LocalBus {
    fn deliver(&self, batches: Arc<[Batch]>) -> BoxFuture<'_, Result<Option<Held>, DeliverError>> {
        Box::pin(async move {
            let delivery: Delivery = batches.iter().map(parse).collect::<Result<Vec<_>, _>>()?.into();
            for consumer in &self.consumers {
                consumer
                    .consume(Arc::clone(&delivery))
                    .await
                    .map_err(|error| named(consumer.name(), error))?;
            }
            Ok(None)
        })
    }
}

fn parse(batch: &Batch) -> Result<ParsedBatch, DeliverError> {
    let mut events = Vec::with_capacity(batch.events.len());
    for row in &batch.events {
        match Event::parse(&row.type_name, &row.data) {
            Ok(event) => events.push(ParsedEvent { event_id: row.event_id, event }),
            Err(ParseError::UnknownType(type_name)) => {
                tracing::warn!(event.id = row.event_id.get(), event.r#type = %type_name, "event of unknown type skipped");
            }
            Err(error @ ParseError::Malformed { .. }) => {
                return Err(DeliverError::Refused(format!("event {}: {error}", row.event_id.get())));
            }
        }
    }
    Ok(ParsedBatch {
        batch_id: batch.batch_id,
        created_at: batch.created_at,
        again: batch.attempts > 1,
        recharges: Recharges::of(&events),
        leads: true,
        events,
    })
}

fn named(consumer: &str, error: DeliverError) -> DeliverError {
    match error {
        DeliverError::Unavailable(text) => DeliverError::Unavailable(format!("{consumer}: {text}")),
        DeliverError::Refused(text) => DeliverError::Refused(format!("{consumer}: {text}")),
        DeliverError::Unknown(text) => DeliverError::Unknown(format!("{consumer}: {text}")),
    }
}
