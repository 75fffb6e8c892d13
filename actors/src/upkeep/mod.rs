//! Housekeeping of the stores on a timer: partitions ahead of time, old rows away.

use std::{sync::Arc, time::Duration};

use actix::{Actor, AsyncContext, Context, WrapFuture};
use futures_util::future::BoxFuture;
use tokio::time::{sleep, timeout};

use crate::runtime::{Gauge, Lifecycle, Probe};

/// How long one round may take.
const ROUND_WITHIN: Duration = Duration::from_secs(300);
/// The wait after a failed round.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Partitions made.
    pub made: u64,
    /// Partitions dropped.
    pub dropped: u64,
    /// Rows deleted.
    pub deleted: u64,
    /// True when there is more to delete than one round takes.
    pub more: bool,
}

/// The store could not be tidied; nothing is half done.
#[derive(Clone, Debug, thiserror::Error)]
#[error("upkeep: {0}")]
pub struct UpkeepError(pub String);

/// A store that needs tidying. Several processes may do it at once.
pub trait Upkeep: Send + Sync {
    /// One round, in bounded pieces.
    fn tidy(&self) -> BoxFuture<'_, Result<Tidied, UpkeepError>>;
}

/// Runs rounds of [`Upkeep`], the first at its start. It takes no messages.
///
/// Gauges: `rounds`, `partitions_made`, `partitions_dropped`, `rows_deleted`, `failures`.
pub struct UpkeepActor {
    store: Arc<dyn Upkeep>,
    every: Duration,
    probe: Probe,
}

impl UpkeepActor {
    /// An actor that tidies `store` every so often.
    #[must_use]
    pub fn new(store: Arc<dyn Upkeep>, every: Duration, probe: &Probe) -> Self {
        Self { store, every, probe: probe.clone() }
    }
}

impl Actor for UpkeepActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let rounds = rounds(Arc::clone(&self.store), self.every, self.probe.clone());
        ctx.spawn(rounds.into_actor(self));
    }
}

impl Lifecycle for UpkeepActor {}

async fn rounds(store: Arc<dyn Upkeep>, every: Duration, probe: Probe) {
    let gauge = |name| -> Gauge { probe.gauge(name) };
    let (made, dropped) = (gauge("partitions_made"), gauge("partitions_dropped"));
    let (deleted, count, failures) = (gauge("rows_deleted"), gauge("rounds"), gauge("failures"));
    loop {
        let outcome = timeout(ROUND_WITHIN, store.tidy())
            .await
            .unwrap_or_else(|_| Err(UpkeepError("not done in time".to_owned())));
        let pause = match outcome {
            Ok(tidied) => {
                count.add(1);
                made.add(tidied.made);
                dropped.add(tidied.dropped);
                deleted.add(tidied.deleted);
                if tidied.more { Duration::from_secs(1).min(every) } else { every }
            }
            Err(error) => {
                tracing::warn!(error.message = %error, "upkeep failed; it is tried again");
                probe.note(&error);
                failures.add(1);
                AFTER_FAILURE.min(every)
            }
        };
        sleep(pause).await;
    }
}
