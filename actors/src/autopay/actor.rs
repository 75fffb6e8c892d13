//! The scheduler: tells and charges what is due for as long as the process runs. Several processes share the work.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, ResponseActFuture, WrapFuture};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::port::{AutopayError, AutopayStore, Cashier};
use super::settle::Outcome;
use super::work::{Autopay, BATCH, Done};
use crate::runtime::{Gauge, Lifecycle, Probe};

/// How often due dates are looked for: the most by which a charge is late when there is no backlog.
const TICK: Duration = Duration::from_millis(500);

/// Batches of charges under way at once: while one is being claimed or settled, another is with the wallets.
const LANES: usize = 3;

/// The actor. It takes no messages.
///
/// Gauges: `announced`, `charged`, `refused`, `unanswered`, `failures`.
pub struct AutopayActor<S, C> {
    autopay: Autopay<S, C>,
    gauges: Gauges,
    probe: Probe,
    ending: Rc<Ending>,
}

#[derive(Clone)]
struct Gauges {
    announced: Gauge,
    charged: Gauge,
    refused: Gauge,
    unanswered: Gauge,
    failures: Gauge,
}

/// How the actor ends its loops, and how many there are.
#[derive(Default)]
struct Ending {
    asked: Cell<bool>,
    ask: Notify,
    running: Cell<usize>,
    ended: Notify,
}

impl<S: AutopayStore, C: Cashier> AutopayActor<S, C> {
    /// An actor that does `autopay`'s work.
    #[must_use]
    pub fn new(autopay: Autopay<S, C>, probe: &Probe) -> Self {
        let gauges = Gauges {
            announced: probe.gauge("announced"),
            charged: probe.gauge("charged"),
            refused: probe.gauge("refused"),
            unanswered: probe.gauge("unanswered"),
            failures: probe.gauge("failures"),
        };
        Self { autopay, gauges, probe: probe.clone(), ending: Rc::default() }
    }

    fn run(&self, ctx: &mut Context<Self>, round: impl AsyncFn() -> bool + 'static) {
        let ending = Rc::clone(&self.ending);
        ending.running.set(ending.running.get().saturating_add(1));
        let rounds = async move {
            while !ending.asked.get() {
                if !round().await {
                    // Woken early only to end.
                    let _ = timeout(TICK, ending.ask.notified()).await;
                }
            }
            ending.running.set(ending.running.get().saturating_sub(1));
            ending.ended.notify_one();
        };
        ctx.spawn(rounds.into_actor(self));
    }
}

impl<S: AutopayStore, C: Cashier> Actor for AutopayActor<S, C> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let worker = || (self.autopay.clone(), self.gauges.clone(), self.probe.clone());
        let (autopay, gauges, probe) = worker();
        self.run(ctx, async move || more(gauges.told(autopay.announce().await, &probe)));
        for _ in 0..LANES {
            let (autopay, gauges, probe) = worker();
            self.run(ctx, async move || more(gauges.tried(autopay.charge(BATCH).await, &probe)));
        }
    }
}

impl<S: AutopayStore, C: Cashier> Lifecycle for AutopayActor<S, C> {
    /// Finishes the batches under way: what is ordered is also written down.
    fn drain(&mut self, _: &mut Context<Self>) -> ResponseActFuture<Self, ()> {
        let ending = Rc::clone(&self.ending);
        ending.asked.set(true);
        ending.ask.notify_waiters();
        let ended = async move {
            while ending.running.get() > 0 {
                ending.ended.notified().await;
            }
        };
        Box::pin(ended.into_actor(self))
    }
}

/// A full batch: there may be more at once.
fn more(handled: usize) -> bool {
    handled >= usize::try_from(BATCH).unwrap_or(usize::MAX)
}

impl Gauges {
    fn told(&self, told: Result<usize, AutopayError>, probe: &Probe) -> usize {
        let told = told.unwrap_or_else(|error| self.failed(&error, probe));
        self.announced.add(u64::try_from(told).unwrap_or(0));
        told
    }

    fn tried(&self, tried: Result<Vec<Done>, AutopayError>, probe: &Probe) -> usize {
        let tried = match tried {
            Ok(tried) => tried,
            Err(error) => return self.failed(&error, probe),
        };
        for done in &tried {
            match done.outcome {
                Outcome::Charged { .. } => self.charged.add(1),
                Outcome::Rejected { .. } | Outcome::Lost => self.refused.add(1),
                Outcome::NotTaken | Outcome::Unknown => self.unanswered.add(1),
            }
        }
        tried.len()
    }

    fn failed(&self, error: &AutopayError, probe: &Probe) -> usize {
        tracing::warn!(error = %error, "autopay.failed");
        probe.note(error);
        self.failures.add(1);
        0
    }
}
