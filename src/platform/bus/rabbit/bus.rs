//! The relay's bus: every outbox event becomes a message, all messages of a delivery are published before the first
//! confirm is waited for, and the delivery is done when the broker has confirmed each. A partner whose queue of results does
//! not answer holds up only the batches that are for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use gencharge_actors::events::CloudEvent;
use gencharge_actors::relay::{Batch, Bus, DeliverError, Held, envelopes};
use gencharge_actors::runtime::{Gauge, Probe};
use lapin::BasicProperties;
use lapin::types::ShortString;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::letter::PERSISTENT;
use super::link::{Fate, Link, LinkError, Outgoing, Publisher, Rabbit, SETTLE};

/// How long a partner's queue that did not answer is left alone.
const QUIET: Duration = Duration::from_secs(30);
/// Partners remembered as such.
const QUIET_PARTNERS: usize = 1024;

/// The broker as the relay's bus.
///
/// Gauges: `published`, `confirmed` (messages, counted), `connected` (0 or 1), `connects` (counted).
pub struct RabbitBus {
    rabbit: Rabbit,
    open: Mutex<Option<Open>>,
    /// Until when the queues of these partners are left alone.
    quiet: std::sync::Mutex<BTreeMap<String, Instant>>,
    published: Gauge,
    confirmed: Gauge,
    connected: Gauge,
    connects: Gauge,
}

struct Open {
    link: Link,
    publisher: Publisher,
}

impl RabbitBus {
    /// A bus over `rabbit`, whose numbers are the actor's.
    #[must_use]
    pub fn new(rabbit: Rabbit, probe: &Probe) -> Self {
        let connected = probe.gauge("connected");
        connected.set(0);
        Self {
            rabbit,
            open: Mutex::default(),
            quiet: std::sync::Mutex::default(),
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
        Ok(Open { link, publisher })
    }

    async fn send(&self, messages: &[Outgoing]) -> Result<Vec<Fate>, LinkError> {
        let mut place = self.open.lock().await;
        // Taken out, so that a cut-off delivery leaves no channel with confirms that nobody waits for.
        let open = match place.take() {
            Some(open) => open,
            None => self.connect().await?,
        };
        self.connected.set(0);
        self.published.add(count(messages.len()));
        let fates = open.publisher.publish(messages).await?;
        self.invite_partners(&open, messages, &fates).await?;
        let how_many = |wanted: Fate| fates.iter().filter(|fate| **fate == wanted).count();
        self.confirmed.add(count(how_many(Fate::Confirmed)));
        if how_many(Fate::Silent) == 0 {
            self.connected.set(1);
            *place = Some(open);
        }
        Ok(fates)
    }

    /// Makes the queues of partners who have none yet.
    async fn invite_partners(
        &self,
        open: &Open,
        messages: &[Outgoing],
        fates: &[Fate],
    ) -> Result<(), LinkError> {
        let results = self.rabbit.topology().results();
        let missed = messages
            .iter()
            .zip(fates)
            .filter(|(message, fate)| **fate == Fate::Unroutable && message.exchange == results);
        for partner in missed.map(|(message, _)| &message.key).collect::<BTreeSet<_>>() {
            open.link.declare_results(partner).await?;
        }
        Ok(())
    }

    fn messages<'a>(
        &self,
        batches: impl IntoIterator<Item = &'a Batch>,
    ) -> Result<Vec<Outgoing>, DeliverError> {
        let (events, results) = (self.rabbit.topology().events(), self.rabbit.topology().results());
        let mut messages = Vec::new();
        for batch in batches {
            for envelope in envelopes(batch).map_err(DeliverError::Refused)? {
                let body = serde_json::to_vec(&envelope)
                    .map_err(|error| DeliverError::Refused(error.to_string()))?;
                let properties = properties(&envelope)?;
                if let Some(partner) = &envelope.partner {
                    messages.push(Outgoing {
                        exchange: results.clone(),
                        key: partner.clone(),
                        properties: properties.clone(),
                        body: body.clone(),
                    });
                }
                messages.push(Outgoing {
                    exchange: events.clone(),
                    key: envelope.event_type,
                    properties,
                    body,
                });
            }
        }
        Ok(messages)
    }

    /// The partners whose queues are left alone now, and until when.
    fn quiet(&self) -> BTreeMap<String, Instant> {
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        quiet.retain(|_, until| *until > now);
        quiet.clone()
    }

    fn leave_alone(&self, partners: &BTreeMap<String, Instant>) {
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let room = QUIET_PARTNERS.saturating_sub(quiet.len());
        quiet.extend(partners.iter().take(room).map(|(partner, until)| (partner.clone(), *until)));
    }

    /// The partners whose queues did not take their results, and until when to leave them alone.
    ///
    /// # Errors
    /// What else was not taken.
    fn missed(
        &self,
        messages: &[Outgoing],
        fates: Vec<Fate>,
    ) -> Result<BTreeMap<String, Instant>, DeliverError> {
        let (results, now) = (self.rabbit.topology().results(), Instant::now());
        let mut missed = BTreeMap::new();
        for (message, fate) in messages.iter().zip(fates) {
            let (key, is_result) = (&message.key, message.exchange == results);
            match fate {
                Fate::Confirmed => {}
                Fate::Silent if is_result => drop(missed.insert(key.clone(), now + QUIET)),
                Fate::Unroutable if is_result => drop(missed.insert(key.clone(), now + SETTLE)),
                Fate::Silent => return Err(DeliverError::Unavailable("no confirms in time".to_owned())),
                Fate::Refused => {
                    return Err(DeliverError::Unavailable(format!("a queue for {key} is full")));
                }
                Fate::Unroutable => return Err(DeliverError::Refused(format!("no queue takes {key}"))),
            }
        }
        Ok(missed)
    }
}

/// Whether a batch has something for one of these partners.
fn is_for(batch: &Batch, partners: &BTreeMap<String, Instant>) -> bool {
    let addressees = batch.events.iter().filter_map(|event| event.addressee.as_ref());
    !partners.is_empty() && addressees.into_iter().any(|addressee| partners.contains_key(addressee))
}

/// The batches that wait for these partners.
fn held(batches: &[Batch], partners: &BTreeMap<String, Instant>) -> Option<Held> {
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

fn count(messages: usize) -> u64 {
    u64::try_from(messages).unwrap_or(u64::MAX)
}

impl Bus for RabbitBus {
    fn deliver(&self, batches: Arc<[Batch]>) -> BoxFuture<'_, Result<Option<Held>, DeliverError>> {
        Box::pin(async move {
            let mut partners = self.quiet();
            let messages = self.messages(batches.iter().filter(|batch| !is_for(batch, &partners)))?;
            if !messages.is_empty() {
                let fates = self
                    .send(&messages)
                    .await
                    .map_err(|error| DeliverError::Unavailable(error.to_string()))?;
                let missed = self.missed(&messages, fates)?;
                self.leave_alone(&missed);
                partners.extend(missed);
            }
            Ok(held(&batches, &partners))
        })
    }
}
