//! Feeds one consumer of events from its queue, hundreds at a time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use gencharge_actors::kernel::Clock;
use gencharge_actors::messages::ParkReason;
use gencharge_actors::relay::{Consumer, DeliverError, Part, PartError, together};
use gencharge_actors::runtime::{Ending, Probe};
use lapin::message::Delivery;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::feed::{Feed, FeedGauges, LOOK_EVERY, ack, hand_on, open, run};
use super::letter::{Letter, MAX_FAILURES};
use super::link::{Link, LinkError, Publisher, Rabbit};
use super::topology::EventQueue;

/// Messages that may be out and not settled.
const PREFETCH: u16 = 512;
/// The most that are handed over together.
const GROUP: usize = 256;
/// How long the consumer may take for a group.
const CONSUME_WITHIN: Duration = Duration::from_secs(15);
/// The wait while the consumer's store is away.
const AWAY: Duration = Duration::from_secs(1);

/// An actor's work: feeds `consumer` from `queue` until told to end.
pub struct EventFeed {
    rabbit: Rabbit,
    queue: EventQueue,
    consumer: Arc<dyn Consumer>,
    clock: Arc<dyn Clock>,
    gauges: FeedGauges,
    probe: Probe,
}

/// A message and what it says.
struct Item {
    letter: Letter,
    part: Part,
}

impl EventFeed {
    /// A feed from `queue` to `consumer`.
    #[must_use]
    pub fn new(
        rabbit: Rabbit,
        queue: EventQueue,
        consumer: Arc<dyn Consumer>,
        clock: Arc<dyn Clock>,
        probe: &Probe,
    ) -> Self {
        Self { rabbit, queue, consumer, clock, gauges: FeedGauges::of(probe), probe: probe.clone() }
    }

    /// Feeds until told to end; a lost broker is waited for.
    pub async fn run(self, ending: Ending) {
        let (rabbit, gauges, probe) = (self.rabbit.clone(), self.gauges.clone(), self.probe.clone());
        run(rabbit, self.queue.word(), self, gauges, probe, ending).await;
    }

    fn name(&self) -> String {
        self.rabbit.topology().event_queue(self.queue)
    }

    /// Hands a group over and settles it. Everything before it is settled, so one acknowledgement does for all.
    async fn take(
        &self,
        group: Vec<Delivery>,
        publisher: &Publisher,
        ending: &Ending,
    ) -> Result<(), LinkError> {
        let Some(last) = group.last().map(|delivery| delivery.acker.clone()) else { return Ok(()) };
        let handled = group.len();
        let mut items = Vec::with_capacity(group.len());
        for delivery in group {
            let (_, again, letter) = open(delivery, self.rabbit.user());
            match Part::read(&letter.body, again) {
                Ok(part) => items.push(Item { letter, part }),
                Err(PartError::Unknown(error)) => tracing::warn!(error.message = %error, "event skipped"),
                Err(PartError::Malformed(text)) => {
                    self.park(&letter, ParkReason::new("malformed_event", text), publisher).await?;
                }
            }
        }
        if let Some(written) = items.iter().map(|item| item.part.created_at()).min() {
            let age = self.clock.now().signed_duration_since(written).num_milliseconds();
            self.gauges.lag_ms.set(u64::try_from(age).unwrap_or(0));
        }
        self.offer_all(items, publisher, ending).await?;
        ack(&last, true).await?;
        self.gauges.handled.add_len(handled);
        Ok(())
    }

    /// All together; when the consumer refuses that, each alone, so that a bad one takes nobody with it.
    async fn offer_all(
        &self,
        items: Vec<Item>,
        publisher: &Publisher,
        ending: &Ending,
    ) -> Result<(), LinkError> {
        if items.is_empty() {
            return Ok(());
        }
        let single = items.len() == 1;
        match self.offer(&items, ending).await? {
            Ok(()) => Ok(()),
            Err(text) if single => {
                for item in items {
                    self.set_back(item.letter, &text, publisher).await?;
                }
                Ok(())
            }
            Err(_) => {
                for item in items {
                    let item = [item];
                    if let Err(text) = self.offer(&item, ending).await? {
                        let [Item { letter, .. }] = item;
                        self.set_back(letter, &text, publisher).await?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Offers for as long as the consumer's store is away. The inner error is a refusal.
    async fn offer(&self, items: &[Item], ending: &Ending) -> Result<Result<(), String>, LinkError> {
        let delivery: Arc<[_]> = together(items.iter().map(|item| item.part.clone())).into();
        loop {
            // A panic is this delivery's doing, and must not end the feed of the others.
            let asked = AssertUnwindSafe(self.consumer.consume(Arc::clone(&delivery))).catch_unwind();
            let text = match timeout(CONSUME_WITHIN, asked).await {
                Ok(Ok(Ok(()))) => return Ok(Ok(())),
                Ok(Ok(Err(DeliverError::Refused(text) | DeliverError::Unknown(text)))) => {
                    return Ok(Err(text));
                }
                Ok(Err(_)) => return Ok(Err("the consumer panicked".to_owned())),
                Err(_) => return Ok(Err("the consumer gave no answer in time".to_owned())),
                Ok(Ok(Err(DeliverError::Unavailable(text)))) => text,
            };
            self.probe.note(&text);
            ending.pause(AWAY).await;
            if ending.asked() {
                return Err(LinkError::new("told to end while the consumer's store is away"));
            }
        }
    }

    async fn set_back(&self, mut letter: Letter, text: &str, publisher: &Publisher) -> Result<(), LinkError> {
        letter.failures = letter.failures.saturating_add(1);
        if letter.failures >= MAX_FAILURES {
            return self.park(&letter, ParkReason::new("consumer_failed", text), publisher).await;
        }
        tracing::warn!(
            consumer = self.consumer.name(),
            error.message = text,
            "an event is tried again later"
        );
        self.gauges.postponed.add(1);
        let message = letter.postponed(self.rabbit.topology(), self.rabbit.user(), &self.name())?;
        hand_on(publisher, message).await
    }

    async fn park(
        &self,
        letter: &Letter,
        reason: ParkReason,
        publisher: &Publisher,
    ) -> Result<(), LinkError> {
        tracing::error!(consumer = self.consumer.name(), park.code = reason.code, "a message is set aside");
        self.gauges.parked.add(1);
        let (topology, own) = (self.rabbit.topology(), self.rabbit.user());
        hand_on(publisher, letter.parked(topology, own, &self.name(), &reason, self.clock.now())?).await
    }
}

impl Feed for EventFeed {
    async fn attend(&mut self, link: &Link, ending: &Ending) -> Result<(), LinkError> {
        let publisher = link.publisher().await?;
        let (_channel, consumer) = link.consume(&self.name(), PREFETCH).await?;
        let mut groups = consumer.ready_chunks(GROUP);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = ending.wait() => return Ok(()),
                _ = looks.tick() => self.gauges.depth.set(link.depth(&self.name()).await?),
                group = groups.next() => {
                    let group = group.ok_or_else(|| LinkError::new("the queue's messages ended"))?;
                    let group = group.into_iter().collect::<Result<Vec<_>, _>>()?;
                    self.take(group, &publisher, ending).await?;
                }
            }
        }
    }
}
