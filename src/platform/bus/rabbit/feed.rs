//! What all consumers share: a connection that is made anew whenever it is lost, and their numbers.

use std::time::Duration;

use gencharge_actors::runtime::{Ending, Gauge, Probe};
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;

use super::letter::Letter;
use super::link::{Fate, Link, LinkError, Outgoing, Publisher, Rabbit};

/// The wait before the next connection is tried.
const RECONNECT: Duration = Duration::from_secs(1);
/// How often the queue's depth is looked up.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A queue's consumer, as long as its process runs.
pub(super) trait Feed {
    /// Works until told to end, or until the connection is lost, which is the error.
    async fn attend(&mut self, link: &Link, ending: &Ending) -> Result<(), LinkError>;
}

/// The numbers of a consumer.
///
/// Gauges: `depth` (messages that wait in the queue), `connected` (0 or 1), `connects`, `handled`, `postponed`, `parked`
/// (messages, counted), `lag_ms` (age of the last message when it was taken, where it says when it was sent).
#[derive(Clone)]
pub(super) struct FeedGauges {
    pub depth: Gauge,
    pub connected: Gauge,
    pub connects: Gauge,
    pub handled: Gauge,
    pub postponed: Gauge,
    pub parked: Gauge,
    pub lag_ms: Gauge,
}

impl FeedGauges {
    pub fn of(probe: &Probe) -> Self {
        Self {
            depth: probe.gauge("depth"),
            connected: probe.gauge("connected"),
            connects: probe.gauge("connects"),
            handled: probe.gauge("handled"),
            postponed: probe.gauge("postponed"),
            parked: probe.gauge("parked"),
            lag_ms: probe.gauge("lag_ms"),
        }
    }
}

/// Runs `feed` over one connection after the other until told to end.
pub(super) async fn run(
    rabbit: Rabbit,
    name: &'static str,
    mut feed: impl Feed,
    gauges: FeedGauges,
    probe: Probe,
    ending: Ending,
) {
    while !ending.asked() {
        gauges.connected.set(0);
        let attended = async {
            let link = rabbit.connect(name).await?;
            gauges.connected.set(1);
            gauges.connects.add(1);
            feed.attend(&link, &ending).await?;
            link.close().await;
            Ok::<_, LinkError>(())
        };
        if let Err(error) = attended.await {
            tracing::warn!(consumer = name, error.message = %error, "consumer lost the broker; it connects again");
            probe.note(&error);
            ending.pause(RECONNECT).await;
        }
    }
    gauges.connected.set(0);
}

/// Publishes `message` and waits until the broker has it.
pub(super) async fn hand_on(publisher: &Publisher, message: Outgoing) -> Result<(), LinkError> {
    match publisher.publish(&[message]).await?.first() {
        Some(Fate::Confirmed) => Ok(()),
        Some(fate) => Err(LinkError::new(format!("a message could not be passed on: {fate:?}"))),
        None => Err(LinkError::new("a message could not be passed on")),
    }
}

/// Tells the broker that a message is done with.
pub(super) async fn ack(acker: &lapin::Acker, multiple: bool) -> Result<(), LinkError> {
    if acker.ack(BasicAckOptions { multiple }).await? {
        Ok(())
    } else {
        Err(LinkError::new("a message could not be settled"))
    }
}

/// A delivery taken apart: who settles it, whether it came before, and the message.
pub(super) fn open(delivery: Delivery, own: &str) -> (lapin::Acker, bool, Letter) {
    let (acker, redelivered) = (delivery.acker.clone(), delivery.redelivered);
    let letter = Letter::open(delivery, own);
    let again = redelivered || letter.tries > 0 || letter.failures > 0;
    (acker, again, letter)
}
