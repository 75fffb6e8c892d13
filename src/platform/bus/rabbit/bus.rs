//! The relay's bus: every outbox event becomes a message, all messages of a delivery are published before the first
//! confirm is waited for, and the delivery is done when the broker has confirmed each. A partner whose queue of results does
//! not answer holds up only the batches that are for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::{BoxFuture, join};
use gencharge_actors::events::CloudEvent;
use gencharge_actors::relay::{Batch, Bus, DeliverError, Held, envelopes};
use gencharge_actors::runtime::{Gauge, Probe};
use lapin::BasicProperties;
use lapin::types::ShortString;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::letter::PERSISTENT;
use super::link::{Fate, Link, LinkError, Outgoing, Publisher, Rabbit};
use super::results::{Addressed, ResultsBus, Waiting};

/// The broker as the relay's bus.
///
/// Gauges: `published`, `confirmed` (messages, counted), `connected` (0 or 1), `connects` (counted).
pub struct RabbitBus {
    rabbit: Rabbit,
    open: Mutex<Option<Open>>,
    results: ResultsBus,
    published: Gauge,
    confirmed: Gauge,
    connected: Gauge,
    connects: Gauge,
}

struct Open {
    /// Connected as long as this is there.
    _link: Link,
    publisher: Publisher,
}

impl RabbitBus {
    /// A bus over `rabbit`, whose numbers are the actor's.
    #[must_use]
    pub fn new(rabbit: Rabbit, probe: &Probe) -> Self {
        let connected = probe.gauge("connected");
        connected.set(0);
        Self {
            results: ResultsBus::new(rabbit.clone()),
            rabbit,
            open: Mutex::default(),
            published: probe.gauge("published"),
            confirmed: probe.gauge("confirmed"),
            connected,
            connects: probe.gauge("connects"),
        }
    }

    async fn connect(&self) -> Result<Open, LinkError> {
        let link = self.rabbit.connect("relay").await?;
        let publisher = link.publisher().await?;
        self.connected.set(1);
        self.connects.add(1);
        Ok(Open { _link: link, publisher })
    }

    /// Publishes events; all of them were taken when it answers `Ok`.
    async fn send(&self, events: &[Outgoing]) -> Result<(), DeliverError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut place = self.open.lock().await;
        // Taken out, so that a cut-off delivery leaves no channel with confirms that nobody waits for.
        let open = match place.take() {
            Some(open) => open,
            None => self.connect().await.map_err(away)?,
        };
        self.connected.set(0);
        let fates = open.publisher.publish(events).await.map_err(away)?;
        for (event, fate) in events.iter().zip(fates) {
            let key = &event.key;
            match fate {
                Fate::Confirmed => {}
                Fate::Silent => return Err(DeliverError::Unavailable("no confirms in time".to_owned())),
                Fate::Refused => {
                    return Err(DeliverError::Unavailable(format!("a queue for {key} is full")));
                }
                Fate::Unroutable => return Err(DeliverError::Refused(format!("no queue takes {key}"))),
            }
        }
        self.connected.set(1);
        *place = Some(open);
        Ok(())
    }

    /// The events of these batches, and what of them goes to partners as well.
    fn messages<'a>(
        &self,
        batches: impl IntoIterator<Item = &'a Batch>,
    ) -> Result<(Vec<Outgoing>, Addressed), DeliverError> {
        let topology = self.rabbit.topology();
        let (to_events, to_results) = (topology.events(), topology.results());
        let (mut events, mut results) = (Vec::new(), Addressed::new());
        for batch in batches {
            for envelope in envelopes(batch).map_err(DeliverError::Refused)? {
                let body = serde_json::to_vec(&envelope)
                    .map_err(|error| DeliverError::Refused(error.to_string()))?;
                let properties = properties(&envelope)?;
                if let Some(partner) = envelope.partner {
                    results.entry(partner.clone()).or_default().push(Outgoing {
                        exchange: to_results.clone(),
                        key: partner,
                        properties: properties.clone(),
                        body: body.clone(),
                    });
                }
                events.push(Outgoing {
                    exchange: to_events.clone(),
                    key: envelope.event_type,
                    properties,
                    body,
                });
            }
        }
        Ok((events, results))
    }
}

/// Whether a batch has something for one of these partners.
fn is_for(batch: &Batch, partners: &Waiting) -> bool {
    let addressees = batch.events.iter().filter_map(|event| event.addressee.as_ref());
    !partners.is_empty() && addressees.into_iter().any(|addressee| partners.contains_key(addressee))
}

/// The batches that wait for these partners.
fn held(batches: &[Batch], partners: &Waiting) -> Option<Held> {
    let held = batches.iter().filter(|batch| is_for(batch, partners));
    let batch_ids: BTreeSet<i64> = held.map(|batch| batch.batch_id).collect();
    let until = partners.values().min().filter(|_| !batch_ids.is_empty())?;
    let names: Vec<_> = partners.keys().map(String::as_str).collect();
    Some(Held {
        batch_ids,
        pause: until.saturating_duration_since(Instant::now()),
        why: format!("the queue of results of {} is new or does not answer", names.join(", ")),
    })
}

fn properties(envelope: &CloudEvent) -> Result<BasicProperties, DeliverError> {
    let text =
        |text: &str| ShortString::try_new(text).map_err(|error| DeliverError::Refused(error.to_string()));
    Ok(BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(text("application/cloudevents+json; charset=utf-8")?)
        .with_message_id(text(&envelope.id)?)
        .with_type(text(&envelope.event_type)?)
        .with_timestamp(u64::try_from(envelope.time.timestamp()).unwrap_or(0)))
}

impl Bus for RabbitBus {
    fn deliver(&self, batches: Arc<[Batch]>) -> BoxFuture<'_, Result<Option<Held>, DeliverError>> {
        Box::pin(async move {
            let mut partners = self.results.quiet();
            let (events, results) =
                self.messages(batches.iter().filter(|batch| !is_for(batch, &partners)))?;
            let sent = events.len() + results.values().map(Vec::len).sum::<usize>();
            self.published.add_len(sent);
            let (taken, waiting) = join(self.send(&events), self.results.publish(&results)).await;
            let waiting = waiting.map_err(away)?;
            taken?;
            let late = results.iter().filter(|(partner, _)| waiting.contains_key(*partner));
            let late = late.map(|(_, messages)| messages.len()).sum();
            self.confirmed.add_len(sent.saturating_sub(late));
            partners.extend(waiting);
            Ok(held(&batches, &partners))
        })
    }
}

fn away(error: LinkError) -> DeliverError {
    DeliverError::Unavailable(error.to_string())
}
