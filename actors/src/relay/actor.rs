//! The supervised relay: cycles at its pace until told to stop, then empties the outbox and ends.

use std::{cell::Cell, rc::Rc, time::Duration};

use actix::{Actor, AsyncContext, Context, ResponseActFuture, WrapFuture};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use super::{Cycle, OutboxSignal, Pace, Pause, Relay};
use crate::runtime::{Gauge, Lifecycle, Probe};

/// How often lag and parked batches are looked up.
const STANDING_EVERY: Duration = Duration::from_secs(1);
/// How long the relay goes on delivering when the process ends; what is left waits for the next start.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);

/// Runs a [`Relay`]. It takes no messages: [`OutboxSignal`] wakes it.
///
/// Gauges: `lag_ms` (age of the oldest event not delivered), `parked`, `delivered` and `batches` (counted), `released`,
/// `held`, `cycles`, `last_cycle_events`.
pub struct RelayActor {
    relay: Rc<Relay>,
    signal: OutboxSignal,
    pace: Pace,
    probe: Probe,
    ending: Rc<Ending>,
}

/// How the actor tells its loop to end, and the loop that it has.
#[derive(Default)]
struct Ending {
    asked: Cell<bool>,
    ask: Notify,
    ended: Notify,
}

impl RelayActor {
    /// An actor that runs `relay`; `signal` is the one that writers wake.
    #[must_use]
    pub fn new(relay: Relay, signal: OutboxSignal, pace: Pace, probe: &Probe) -> Self {
        Self { relay: Rc::new(relay), signal, pace, probe: probe.clone(), ending: Rc::default() }
    }
}

impl Actor for RelayActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let run = Run {
            relay: Rc::clone(&self.relay),
            signal: self.signal.clone(),
            pace: self.pace,
            ending: Rc::clone(&self.ending),
            gauges: Gauges::of(&self.probe),
            probe: self.probe.clone(),
            looked: None,
        };
        ctx.spawn(run.until_ended().into_actor(self));
    }
}

impl Lifecycle for RelayActor {
    fn drain(&mut self, _: &mut Context<Self>) -> ResponseActFuture<Self, ()> {
        let ending = Rc::clone(&self.ending);
        ending.asked.set(true);
        ending.ask.notify_one();
        Box::pin(async move { ending.ended.notified().await }.into_actor(self))
    }
}

struct Gauges {
    lag_ms: Gauge,
    parked: Gauge,
    delivered: Gauge,
    batches: Gauge,
    released: Gauge,
    held: Gauge,
    cycles: Gauge,
    last_cycle_events: Gauge,
}

impl Gauges {
    fn of(probe: &Probe) -> Self {
        Self {
            lag_ms: probe.gauge("lag_ms"),
            parked: probe.gauge("parked"),
            delivered: probe.gauge("delivered"),
            batches: probe.gauge("batches"),
            released: probe.gauge("released"),
            held: probe.gauge("held"),
            cycles: probe.gauge("cycles"),
            last_cycle_events: probe.gauge("last_cycle_events"),
        }
    }

    fn count(&self, cycle: &Cycle) {
        self.delivered.add_len(cycle.events);
        self.batches.add_len(cycle.batches);
        self.released.add_len(cycle.released);
        self.held.add_len(cycle.held);
        self.cycles.add(1);
        self.last_cycle_events.set_len(cycle.events);
    }
}

struct Run {
    relay: Rc<Relay>,
    signal: OutboxSignal,
    pace: Pace,
    ending: Rc<Ending>,
    gauges: Gauges,
    probe: Probe,
    looked: Option<Instant>,
}

impl Run {
    async fn until_ended(mut self) {
        while !self.ending.asked.get() {
            let pause = match self.relay.cycle().await {
                Ok(cycle) => {
                    self.gauges.count(&cycle);
                    if cycle.released > 0 {
                        Pause::For(self.pace.failed)
                    } else {
                        self.pace.after(cycle.claimed, cycle.busy, cycle.lag)
                    }
                }
                Err(error) => self.noted(&error),
            };
            self.look().await;
            self.rest(pause).await;
        }
        self.flush().await;
        self.ending.ended.notify_one();
    }

    /// What waits, for the gauges, at most once a second.
    async fn look(&mut self) {
        if self.looked.is_some_and(|then| then.elapsed() < STANDING_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        match timeout(STANDING_EVERY, self.relay.outbox().standing()).await {
            Ok(Ok(standing)) => {
                self.gauges.lag_ms.set(u64::try_from(standing.lag.as_millis()).unwrap_or(u64::MAX));
                self.gauges.parked.set(standing.parked);
            }
            Ok(Err(error)) => {
                self.noted(&error);
            }
            Err(_) => self.probe.note("the outbox's standing did not come in time"),
        }
    }

    async fn rest(&self, pause: Pause) {
        let all = async {
            match pause {
                Pause::None => tokio::task::yield_now().await,
                Pause::For(time) => sleep(time).await,
                Pause::UntilWoken { at_least, poll } => {
                    sleep(at_least).await;
                    // Either way the next cycle looks: a wake or the poll's time.
                    let _ = timeout(poll, self.signal.woken()).await;
                }
            }
        };
        tokio::select! {
            () = all => {}
            () = self.ending.ask.notified() => {}
        }
    }

    async fn flush(&self) {
        let until = Instant::now() + FLUSH_WITHIN;
        while Instant::now() < until {
            match self.relay.cycle().await {
                Ok(cycle) => {
                    self.gauges.count(&cycle);
                    if cycle.claimed == 0 || cycle.released + cycle.held > 0 {
                        return;
                    }
                }
                Err(error) => {
                    self.noted(&error);
                    return;
                }
            }
        }
    }

    fn noted(&self, error: &super::OutboxError) -> Pause {
        tracing::warn!(error.message = %error, "the outbox is away; the relay tries again");
        self.probe.note(error);
        Pause::For(self.pace.failed)
    }
}
