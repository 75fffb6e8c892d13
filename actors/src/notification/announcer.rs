//! The actor that publishes announcements whose time has come.

use std::future::Future;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, WrapFuture};
use tokio::time::{sleep, timeout};

use crate::runtime::{Lifecycle, Probe};

/// How often is looked for due announcements: the most by which one is late.
const TICK: Duration = Duration::from_millis(500);
/// The wait after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// One look may take this long; then it counts as failed and is repeated.
const PATIENCE: Duration = Duration::from_secs(10);

/// An announcement could not be published, or it is unknown whether it was. It is tried again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("announcements could not be published: {0}")]
pub struct AnnounceError(pub String);

/// Announcements that wait for their time.
pub trait Announcements: Clone + Unpin + 'static {
    /// Publishes those that are due, a bounded number; answers how many there were. Doing it twice is doing it once.
    ///
    /// # Errors
    /// [`AnnounceError`].
    fn publish_due(&self) -> impl Future<Output = Result<usize, AnnounceError>>;
}

/// The actor. It takes no messages.
///
/// Gauges: `published`, `failures`.
pub struct Announcer<S> {
    store: S,
    probe: Probe,
}

impl<S: Announcements> Announcer<S> {
    /// Over `store`.
    #[must_use]
    pub fn new(store: S, probe: &Probe) -> Self {
        Self { store, probe: probe.clone() }
    }
}

impl<S: Announcements> Actor for Announcer<S> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.spawn(publish(self.store.clone(), self.probe.clone()).into_actor(self));
    }
}

impl<S: Announcements> Lifecycle for Announcer<S> {}

async fn publish(store: impl Announcements, probe: Probe) {
    let (published, failures) = (probe.gauge("published"), probe.gauge("failures"));
    loop {
        let outcome = timeout(PATIENCE, store.publish_due()).await;
        let pause = match outcome.unwrap_or_else(|_| Err(AnnounceError("no answer in time".to_owned()))) {
            Ok(count) => {
                published.add(u64::try_from(count).unwrap_or(0));
                TICK
            }
            Err(error) => {
                tracing::warn!(error = %error, "announcements.failed");
                probe.note(&error);
                failures.add(1);
                AFTER_FAILURE
            }
        };
        sleep(pause).await;
    }
}
