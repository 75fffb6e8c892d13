//! The in-process bus: every consumer gets every batch, parsed once.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use super::{Batch, Bus, DeliverError};
use crate::events::{Event, ParseError};
use crate::kernel::EventId;

/// An event as consumers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedEvent {
    /// Its id: the same at every delivery.
    pub event_id: EventId,
    /// What happened.
    pub event: Event,
}

/// The events of one business transaction: the same at every delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedBatch {
    /// Its id.
    pub batch_id: i64,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// True when it may have been delivered before.
    pub again: bool,
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
    fn deliver(&self, batches: Arc<[Batch]>) -> BoxFuture<'_, Result<(), DeliverError>> {
        Box::pin(async move {
            let delivery: Delivery = batches.iter().map(parse).collect::<Result<Vec<_>, _>>()?.into();
            for consumer in &self.consumers {
                consumer
                    .consume(Arc::clone(&delivery))
                    .await
                    .map_err(|error| named(consumer.name(), error))?;
            }
            Ok(())
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
