//! The events of batches as single CloudEvents, and back: for buses that deliver events apart.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{Batch, OutboxEvent, ParsedBatch, ParsedEvent, Recharges};
use crate::events::{CloudEvent, Event, ParseError};
use crate::kernel::{EventId, Paise, TxnId};

/// The events of a batch in their envelopes. What is said of the whole batch is on its first recharge, or on its first
/// event when it has none.
///
/// # Errors
/// Says which event is not JSON: a defect of its writer.
pub fn envelopes(batch: &Batch) -> Result<Vec<CloudEvent>, String> {
    let parsed: Vec<_> = batch.events.iter().filter_map(known).collect();
    let recharges = Recharges::of(&parsed);
    let leader = parsed
        .iter()
        .find(|parsed| matches!(parsed.event, Event::RechargeCompleted(_)))
        .map(|parsed| parsed.event_id)
        .or_else(|| batch.events.first().map(|event| event.event_id));
    let one = |event: &OutboxEvent| {
        let subject = event.txn_id.map(|id| format!("txn/{}", id.get()));
        let data = event.data.clone();
        let mut envelope = CloudEvent::new(event.event_id, &event.type_name, subject, batch.created_at, data)
            .map_err(|error| format!("event {}: {error}", event.event_id.get()))?;
        envelope.partner.clone_from(&event.addressee);
        envelope.batchid = Some(batch.batch_id.to_string());
        envelope.batchrecharges = Some(u32::try_from(recharges.count).unwrap_or(u32::MAX));
        if leader == Some(event.event_id) {
            envelope.batchtotal = Some(recharges.total.to_string());
            envelope.batchfirst = recharges.first.map(|id| id.get().to_string());
            envelope.batchlast = recharges.last.map(|id| id.get().to_string());
        }
        Ok(envelope)
    };
    batch.events.iter().map(one).collect()
}

fn known(event: &OutboxEvent) -> Option<ParsedEvent> {
    let parsed = Event::parse(&event.type_name, &event.data).ok()?;
    Some(ParsedEvent { event_id: event.event_id, event: parsed })
}

/// One event of a batch, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part(ParsedBatch);

/// Why an envelope is not a part of a batch.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// An event of a type that this version does not know: to be passed over.
    #[error(transparent)]
    Unknown(ParseError),
    /// It is not what [`envelopes`] makes.
    #[error("{0}")]
    Malformed(String),
}

impl Part {
    /// Reads one message. `again` tells that it may have come before.
    ///
    /// # Errors
    /// [`PartError`].
    pub fn read(body: &[u8], again: bool) -> Result<Self, PartError> {
        let malformed = |what: &str| PartError::Malformed(format!("not an event of this system: {what}"));
        let envelope: CloudEvent = serde_json::from_slice(body)
            .map_err(|error| PartError::Malformed(format!("not a CloudEvent: {error}")))?;
        let id = number(Some(&envelope.id)).ok_or_else(|| malformed("id"))?;
        let batch_id = number(envelope.batchid.as_ref()).ok_or_else(|| malformed("batchid"))?;
        let event = Event::parse(&envelope.event_type, envelope.data.get()).map_err(|error| match error {
            error @ ParseError::UnknownType(_) => PartError::Unknown(error),
            error @ ParseError::Malformed { .. } => PartError::Malformed(error.to_string()),
        })?;
        let total = envelope
            .batchtotal
            .as_deref()
            .map(Paise::parse)
            .transpose()
            .map_err(|_| malformed("batchtotal"))?;
        let recharges = Recharges {
            count: usize::try_from(envelope.batchrecharges.unwrap_or(0)).unwrap_or(usize::MAX),
            total: total.unwrap_or(Paise::ZERO),
            first: number(envelope.batchfirst.as_ref()).map(TxnId),
            last: number(envelope.batchlast.as_ref()).map(TxnId),
        };
        Ok(Self(ParsedBatch {
            batch_id,
            created_at: envelope.time,
            again,
            recharges,
            leads: total.is_some(),
            events: vec![ParsedEvent { event_id: EventId(id), event }],
        }))
    }
}

impl Part {
    /// When its batch was written.
    #[must_use]
    pub const fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

fn number(text: Option<&String>) -> Option<i64> {
    text?.parse().ok()
}

/// Puts together what belongs to the same batch, in the order of arrival.
#[must_use]
pub fn together(parts: impl IntoIterator<Item = Part>) -> Vec<ParsedBatch> {
    let mut batches: Vec<ParsedBatch> = Vec::new();
    let mut places: HashMap<i64, usize> = HashMap::new();
    for Part(part) in parts {
        let place = *places.entry(part.batch_id).or_insert(batches.len());
        let Some(batch) = batches.get_mut(place) else {
            batches.push(part);
            continue;
        };
        batch.again |= part.again;
        if part.leads {
            (batch.leads, batch.recharges) = (true, part.recharges);
        }
        batch.events.extend(part.events);
    }
    batches
}
