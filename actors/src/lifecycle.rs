//! The actor that starts and ends plans on time, whether or not anyone looks at them.

use std::future::Future;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, WrapFuture, fut::ActorFutureExt};

use crate::runtime::{self, Gauge, Probe};

/// How often due numbers are looked for: the most by which a start or end is late.
const TICK: Duration = Duration::from_millis(500);

/// Numbers brought up to date in one transaction.
const CHUNK: u32 = 300;

/// One look may take this long; then it counts as failed and the next tick tries again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The store could not bring numbers up to date; nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("plans could not be brought up to date: {0}")]
pub struct LifecycleError(pub String);

/// Brings numbers up to date. One call is one database transaction.
pub trait LifecycleStore: Unpin + 'static {
    /// Expires and activates the plans of at most `limit` due numbers (twice that many with wake-ups); answers how many
    /// numbers there were. Numbers that another writer holds are left to it.
    ///
    /// # Errors
    /// [`LifecycleError`]; nothing was changed.
    fn advance_due(&self, limit: u32) -> impl Future<Output = Result<usize, LifecycleError>>;
}

/// The actor.
pub struct Lifecycle<S> {
    store: Option<S>,
    advanced: Gauge,
    failures: Gauge,
    probe: Probe,
}

impl<S: LifecycleStore> Lifecycle<S> {
    /// Over `store`.
    #[must_use]
    pub fn new(store: S, probe: &Probe) -> Self {
        let (advanced, failures) = (probe.gauge("numbers_advanced"), probe.gauge("failures"));
        Self { store: Some(store), advanced, failures, probe: probe.clone() }
    }
}

impl<S: LifecycleStore> Actor for Lifecycle<S> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.notify(Look);
    }
}

impl<S: LifecycleStore> runtime::Lifecycle for Lifecycle<S> {}

/// Look for due numbers, then again after a tick, or at once when there were more than one transaction takes.
struct Look;

impl Message for Look {
    type Result = ();
}

impl<S: LifecycleStore> Handler<Look> for Lifecycle<S> {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        let Some(store) = self.store.take() else { return };
        let look = async move {
            let looked = tokio::time::timeout(PATIENCE, store.advance_due(CHUNK)).await;
            (store, looked.unwrap_or_else(|_| Err(LifecycleError("it took too long".to_owned()))))
        };
        ctx.wait(look.into_actor(self).map(|(store, looked), actor, ctx| {
            actor.store = Some(store);
            match looked {
                Ok(advanced) if advanced >= usize::try_from(CHUNK).unwrap_or(usize::MAX) => {
                    actor.count(advanced);
                    ctx.notify(Look);
                }
                Ok(advanced) => {
                    actor.count(advanced);
                    ctx.notify_later(Look, TICK);
                }
                Err(error) => {
                    tracing::warn!(error = %error, "lifecycle.failed");
                    actor.probe.note(&error);
                    actor.failures.add(1);
                    ctx.notify_later(Look, TICK);
                }
            }
        }));
    }
}

impl<S: LifecycleStore> Lifecycle<S> {
    fn count(&self, advanced: usize) {
        self.advanced.add(u64::try_from(advanced).unwrap_or(0));
    }
}
