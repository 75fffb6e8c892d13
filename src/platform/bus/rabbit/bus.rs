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
use super::link::{Fate, Link, LinkError, Outgoing, Publisher, Rabbit};

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
        self.published.add(count(messages));
        let mut fates = open.publisher.publish(messages).await?;
        self.invite_partners(&open, messages, &mut fates).await?;
        let silent = fates.iter().filter(|fate| **fate == Fate::Silent).count();
        self.confirmed.add(u64::try_from(messages.len().saturating_sub(silent)).unwrap_or(u64::MAX));
        if silent == 0 {
            self.connected.set(1);
            *place = Some(open);
        }
        Ok(fates)
    }

    /// Results for partners who have no queue yet: makes the queues and sends those once more.
    async fn invite_partners(
        &self,
        open: &Open,
        messages: &[Outgoing],
        fates: &mut [Fate],
    ) -> Result<(), LinkError> {
        let results = self.rabbit.topology().results();
        let missed: Vec<usize> = (0..)
            .zip(messages.iter().zip(fates.iter()))
            .filter(|(_, (message, fate))| **fate == Fate::Unroutable && message.exchange == results)
            .map(|(index, _)| index)
            .collect();
        if missed.is_empty() {
            return Ok(());
        }
        let again: Vec<_> = missed.iter().filter_map(|index| messages.get(*index)).cloned().collect();
        for partner in again.iter().map(|message| &message.key).collect::<BTreeSet<_>>() {
            open.link.declare_results(partner).await?;
        }
        for (index, fate) in missed.into_iter().zip(open.publisher.publish(&again).await?) {
            if let Some(place) = fates.get_mut(index) {
                *place = fate;
            }
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

    /// The partners whose queues are left alone now.
    fn quiet(&self) -> BTreeSet<String> {
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        quiet.retain(|_, until| *until > now);
        quiet.keys().cloned().collect()
    }

    /// Leaves the queues of these partners alone for a while.
    fn leave_alone(&self, partners: &BTreeSet<String>) {
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + QUIET;
        let room = QUIET_PARTNERS.saturating_sub(quiet.len());
        quiet.extend(partners.iter().take(room).map(|partner| (partner.clone(), until)));
    }

    /// The partners whose queues did not answer.
    ///
    /// # Errors
    /// What else was not taken.
    fn silent(&self, messages: &[Outgoing], fates: Vec<Fate>) -> Result<BTreeSet<String>, DeliverError> {
        let results = self.rabbit.topology().results();
        let mut silent = BTreeSet::new();
        for (message, fate) in messages.iter().zip(fates) {
            let key = &message.key;
            match fate {
                Fate::Confirmed => {}
                Fate::Silent if message.exchange == results => drop(silent.insert(key.clone())),
                Fate::Silent => return Err(DeliverError::Unavailable("no confirms in time".to_owned())),
                Fate::Refused => {
                    return Err(DeliverError::Unavailable(format!("a queue for {key} is full")));
                }
                Fate::Unroutable => return Err(DeliverError::Refused(format!("no queue takes {key}"))),
            }
        }
        Ok(silent)
    }
}

/// Whether a batch has something for one of these partners.
fn is_for(batch: &Batch, partners: &BTreeSet<String>) -> bool {
    let addressees = batch.events.iter().filter_map(|event| event.addressee.as_ref());
    !partners.is_empty() && addressees.into_iter().any(|addressee| partners.contains(addressee))
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

fn count(messages: &[Outgoing]) -> u64 {
    u64::try_from(messages.len()).unwrap_or(u64::MAX)
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
                let silent = self.silent(&messages, fates)?;
                self.leave_alone(&silent);
                partners.extend(silent);
            }
            let held = batches.iter().filter(|batch| is_for(batch, &partners));
            let batch_ids: BTreeSet<i64> = held.map(|batch| batch.batch_id).collect();
            let why = || {
                format!(
                    "the queue of results of {} does not answer",
                    partners.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
                )
            };
            Ok((!batch_ids.is_empty()).then(|| Held { batch_ids, pause: QUIET, why: why() }))
        })
    }
}
