//! Moves what was set aside from its queue into the archive, where it can be looked at one by one; and gives it back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use gencharge_actors::kernel::Clock;
use gencharge_actors::messages::{Archive, Parked, Replay, ReplayError};
use gencharge_actors::runtime::{Ending, Probe};
use tokio::time::{MissedTickBehavior, interval};

use super::feed::{Feed, FeedGauges, LOOK_EVERY, ack, open, run};
use super::letter::Letter;
use super::link::{Fate, Link, LinkError, Rabbit};

const PREFETCH: u16 = 64;
const GROUP: usize = 64;
/// The wait while the archive is away.
const AWAY: Duration = Duration::from_secs(1);

/// An actor's work: archives what is parked until told to end.
pub struct ParkingFeed {
    rabbit: Rabbit,
    archive: Arc<dyn Archive>,
    clock: Arc<dyn Clock>,
    gauges: FeedGauges,
    probe: Probe,
}

impl ParkingFeed {
    /// A feed of `archive`.
    #[must_use]
    pub fn new(rabbit: Rabbit, archive: Arc<dyn Archive>, clock: Arc<dyn Clock>, probe: &Probe) -> Self {
        Self { rabbit, archive, clock, gauges: FeedGauges::of(probe), probe: probe.clone() }
    }

    /// Archives until told to end; a lost broker is waited for.
    pub async fn run(self, ending: Ending) {
        let (rabbit, gauges, probe) = (self.rabbit.clone(), self.gauges.clone(), self.probe.clone());
        run(rabbit, "parking", self, gauges, probe, ending).await;
    }

    async fn keep(&self, parked: &[Parked], ending: &Ending) -> Result<(), LinkError> {
        while let Err(error) = self.archive.keep(parked).await {
            self.probe.note(&error);
            ending.pause(AWAY).await;
            if ending.asked() {
                return Err(LinkError::new("told to end while the archive is away"));
            }
        }
        Ok(())
    }
}

impl Feed for ParkingFeed {
    async fn attend(&mut self, link: &Link, ending: &Ending) -> Result<(), LinkError> {
        let queue = self.rabbit.topology().parking();
        let (_channel, consumer) = link.consume(&queue, PREFETCH).await?;
        let mut groups = consumer.ready_chunks(GROUP);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = ending.wait() => return Ok(()),
                _ = looks.tick() => self.gauges.depth.set(link.depth(&queue).await?),
                group = groups.next() => {
                    let group = group.ok_or_else(|| LinkError::new("the queue's messages ended"))?;
                    let group = group.into_iter().collect::<Result<Vec<_>, _>>()?;
                    let Some(last) = group.last().map(|delivery| delivery.acker.clone()) else { continue };
                    let parked: Vec<_> = group
                        .into_iter()
                        .map(|delivery| open(delivery, self.rabbit.user()).2.into_parked(self.clock.now()))
                        .collect();
                    self.keep(&parked, ending).await?;
                    ack(&last, true).await?;
                    self.gauges.handled.add_len(parked.len());
                }
            }
        }
    }
}

impl Replay for Rabbit {
    fn replay<'a>(&'a self, parked: &'a Parked) -> BoxFuture<'a, Result<(), ReplayError>> {
        Box::pin(async move {
            let away = |error: LinkError| ReplayError::Unavailable(error.to_string());
            let link = self.visit("replay").await.map_err(away)?;
            let publisher = link.publisher().await.map_err(away)?;
            let message = Letter::replayed(parked, self.user()).map_err(away)?;
            let fates = publisher.publish(&[message]).await.map_err(away)?;
            link.close().await;
            match fates.first() {
                Some(Fate::Confirmed) => Ok(()),
                Some(Fate::Silent) => {
                    Err(ReplayError::Unavailable(format!("{} does not answer", parked.queue)))
                }
                Some(Fate::Refused) => Err(ReplayError::Refused(format!("{} is full", parked.queue))),
                _ => Err(ReplayError::Refused(format!("there is no queue {}", parked.queue))),
            }
        })
    }
}
