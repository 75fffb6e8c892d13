//! Takes commands from their queue and asks the handler, hundreds at once; a command is settled when its outcome is
//! known, and not before.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use gencharge_actors::kernel::Clock;
use gencharge_actors::messages::{CommandHandler, IncomingCommand, Outcome, ParkReason};
use gencharge_actors::runtime::{Ending, Probe};
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::feed::{Feed, FeedGauges, LOOK_EVERY, hand_on, open, run};
use super::letter::{Letter, MAX_FAILURES};
use super::link::{Link, LinkError, Publisher, Rabbit};

/// Commands that may be under way: enough for a full batch of each wallet shard, and the next one.
const PREFETCH: u16 = 1024;
/// The longest body that is looked at.
const MAX_BODY: usize = 64 * 1024;
/// How long the handler may take. Longer than a wallet's tries.
const HANDLE_WITHIN: Duration = Duration::from_secs(60);
/// How long commands under way are waited for when the process ends.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// An actor's work: takes commands until told to end.
pub struct CommandFeed {
    rabbit: Rabbit,
    handler: Arc<dyn CommandHandler>,
    clock: Arc<dyn Clock>,
    gauges: FeedGauges,
    probe: Probe,
}

impl CommandFeed {
    /// A feed of `handler`.
    #[must_use]
    pub fn new(
        rabbit: Rabbit,
        handler: Arc<dyn CommandHandler>,
        clock: Arc<dyn Clock>,
        probe: &Probe,
    ) -> Self {
        Self { rabbit, handler, clock, gauges: FeedGauges::of(probe), probe: probe.clone() }
    }

    /// Takes commands until told to end; a lost broker is waited for.
    pub async fn run(self, ending: Ending) {
        let (rabbit, gauges, probe) = (self.rabbit.clone(), self.gauges.clone(), self.probe.clone());
        run(rabbit, "commands", self, gauges, probe, ending).await;
    }

    /// Does what the outcome asks for; the delivery, when it may be acknowledged.
    async fn settle(&self, delivery: Delivery, publisher: &Publisher) -> Result<u64, LinkError> {
        let tag = delivery.delivery_tag;
        let (_, again, mut letter) = open(delivery, self.rabbit.user());
        match self.handle(&letter, again).await {
            Verdict::Done => self.gauges.handled.add(1),
            Verdict::Park(reason) => self.park(&letter, &reason, publisher).await?,
            Verdict::Later(why) => {
                letter.tries = letter.tries.saturating_add(1);
                self.postpone(&letter, &why, publisher).await?;
            }
            Verdict::Failed => {
                letter.failures = letter.failures.saturating_add(1);
                if letter.failures >= MAX_FAILURES {
                    let detail = format!("handling it failed {MAX_FAILURES} times; the log says how");
                    self.park(&letter, &ParkReason::new("handler_failed", detail), publisher).await?;
                } else {
                    self.postpone(&letter, "the handler panicked", publisher).await?;
                }
            }
        }
        Ok(tag)
    }

    async fn handle(&self, letter: &Letter, again: bool) -> Verdict {
        if letter.body.len() > MAX_BODY {
            let detail = format!("{} bytes; at most {MAX_BODY} are taken", letter.body.len());
            return Verdict::Park(ParkReason::new("body_too_large", detail));
        }
        let sent_at = letter.sent_at();
        if let Some(sent) = sent_at {
            let age = self.clock.now().signed_duration_since(sent).num_milliseconds();
            self.gauges.lag_ms.set(u64::try_from(age).unwrap_or(0));
        }
        let command = IncomingCommand {
            user_id: letter.user_id.clone(),
            routing_key: letter.key.clone(),
            content_type: letter.properties.content_type().as_ref().map(ToString::to_string),
            headers: letter.headers.clone(),
            sent_at,
            body: Arc::clone(&letter.body),
            redelivered: again,
            tries: letter.tries.saturating_add(letter.failures),
        };
        let asked = AssertUnwindSafe(async { self.handler.handle(command).await }).catch_unwind();
        match timeout(HANDLE_WITHIN, asked).await {
            Ok(Ok(Outcome::Done)) => Verdict::Done,
            Ok(Ok(Outcome::Park(reason))) => Verdict::Park(reason),
            Ok(Ok(Outcome::Retry(why))) => Verdict::Later(why),
            Ok(Err(_)) => Verdict::Failed,
            Err(_) => Verdict::Later("no outcome in time".to_owned()),
        }
    }

    async fn postpone(&self, letter: &Letter, why: &str, publisher: &Publisher) -> Result<(), LinkError> {
        self.gauges.postponed.add(1);
        self.probe.note(format!("a command is tried again later: {why}"));
        let (topology, own) = (self.rabbit.topology(), self.rabbit.user());
        hand_on(publisher, letter.postponed(topology, own, &topology.commands())?).await
    }

    async fn park(
        &self,
        letter: &Letter,
        reason: &ParkReason,
        publisher: &Publisher,
    ) -> Result<(), LinkError> {
        tracing::warn!(
            park.code = reason.code,
            partner = letter.user_id.as_deref(),
            "a command is set aside"
        );
        self.gauges.parked.add(1);
        let (topology, own) = (self.rabbit.topology(), self.rabbit.user());
        hand_on(publisher, letter.parked(topology, own, &topology.commands(), reason, self.clock.now())?)
            .await
    }
}

/// What to do with a command.
enum Verdict {
    Done,
    Park(ParkReason),
    /// Not its fault.
    Later(String),
    /// Perhaps its fault.
    Failed,
}

impl Feed for CommandFeed {
    async fn attend(&mut self, link: &Link, ending: &Ending) -> Result<(), LinkError> {
        let queue = self.rabbit.topology().commands();
        let publisher = link.publisher().await?;
        let (channel, mut commands) = link.consume(&queue, PREFETCH).await?;
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut under_way, mut unsettled) = (FuturesUnordered::new(), Unsettled::default());
        loop {
            tokio::select! {
                () = ending.wait() => break,
                _ = looks.tick() => self.gauges.depth.set(link.depth(&queue).await?),
                command = commands.next() => {
                    let command = command.ok_or_else(|| LinkError::new("the queue's messages ended"))??;
                    unsettled.took(command.delivery_tag);
                    under_way.push(self.settle(command, &publisher));
                }
                Some(settled) = under_way.next() => {
                    let mut done = vec![settled?];
                    // Those of one commit have their outcomes at the same time.
                    while let Some(Some(settled)) = under_way.next().now_or_never() {
                        done.push(settled?);
                    }
                    unsettled.acknowledge(&channel, done).await?;
                }
            }
        }
        // What is prefetched and not begun goes back with the connection's end.
        let _ = channel.basic_cancel(commands.tag(), BasicCancelOptions::default()).await;
        let finish = async {
            while let Some(settled) = under_way.next().await {
                unsettled.acknowledge(&channel, vec![settled?]).await?;
            }
            Ok(())
        };
        timeout(FINISH_WITHIN, finish).await.unwrap_or(Ok(()))
    }
}

/// Deliveries that are not acknowledged, by their tags.
#[derive(Default)]
struct Unsettled(BTreeSet<u64>);

impl Unsettled {
    fn took(&mut self, tag: u64) {
        self.0.insert(tag);
    }

    async fn acknowledge(&mut self, channel: &Channel, done: Vec<u64>) -> Result<(), LinkError> {
        for (tag, multiple) in self.settled(done) {
            channel.basic_ack(tag, BasicAckOptions { multiple }).await?;
        }
        Ok(())
    }

    /// How to acknowledge `done`: one word for all that have nothing open before them, one each for the rest.
    fn settled(&mut self, mut done: Vec<u64>) -> Vec<(u64, bool)> {
        for tag in &done {
            self.0.remove(tag);
        }
        done.sort_unstable();
        let open = self.0.first().copied().unwrap_or(u64::MAX);
        let (before, after) = done.split_at(done.partition_point(|tag| *tag < open));
        let together = before.last().map(|tag| (*tag, true));
        together.into_iter().chain(after.iter().map(|tag| (*tag, false))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_open_is_acknowledged_with_what_is_done() {
        let mut unsettled = Unsettled::default();
        (1..=8).for_each(|tag| unsettled.took(tag));
        assert_eq!(unsettled.settled(vec![3, 1, 2, 6]), [(3, true), (6, false)]);
        assert_eq!(unsettled.settled(vec![8]), [(8, false)]);
        assert_eq!(unsettled.settled(vec![5, 4]), [(5, true)]);
        assert_eq!(unsettled.settled(vec![7]), [(7, true)]);
    }
}
