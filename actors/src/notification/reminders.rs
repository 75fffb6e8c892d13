//! The actor that looks for plans about to end, so that their owners are reminded.

use std::future::Future;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, WrapFuture, fut::ActorFutureExt};
use chrono::TimeDelta;

use crate::runtime::{Gauge, Lifecycle, Probe};

/// How long before a plan's end its owner is reminded.
pub const REMIND_BEFORE: TimeDelta = TimeDelta::days(1);
/// How often is looked for plans whose end came near.
const TICK: Duration = Duration::from_secs(1);
/// Plans in one transaction.
const CHUNK: u32 = 500;
/// Ticks after which every plan near its end is looked at again, for those that began late.
const LOOK_BACK: u32 = 600;
/// One look may take this long; then it counts as failed and the next tick tries again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The store could not do it; nothing was changed, or its answer was lost. It may be repeated.
#[derive(Clone, Debug, thiserror::Error)]
#[error("plans about to end could not be looked for: {0}")]
pub struct RemindersError(pub String);

/// Tells of plans about to end. One call is one database transaction.
pub trait ReminderStore: Unpin + 'static {
    /// Writes the event of at most `limit` running plans that end within [`REMIND_BEFORE`] and were not told of;
    /// answers how many there were. `all` looks at every such plan, otherwise those that the last look has passed are
    /// left out. Several processes may do it at once.
    ///
    /// # Errors
    /// [`RemindersError`].
    fn remind(&mut self, limit: u32, all: bool) -> impl Future<Output = Result<usize, RemindersError>>;
}

/// The actor. It takes no messages.
///
/// Gauges: `reminded`, `failures`.
pub struct Reminders<S> {
    store: Option<S>,
    ticks: u32,
    reminded: Gauge,
    failures: Gauge,
    probe: Probe,
}

impl<S: ReminderStore> Reminders<S> {
    /// Over `store`.
    #[must_use]
    pub fn new(store: S, probe: &Probe) -> Self {
        let (reminded, failures) = (probe.gauge("reminded"), probe.gauge("failures"));
        Self { store: Some(store), ticks: 0, reminded, failures, probe: probe.clone() }
    }
}

impl<S: ReminderStore> Actor for Reminders<S> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.notify(Look);
    }
}

impl<S: ReminderStore> Lifecycle for Reminders<S> {}

/// Look, then again after a tick, or at once when there were more than one transaction takes.
struct Look;

impl Message for Look {
    type Result = ();
}

impl<S: ReminderStore> Handler<Look> for Reminders<S> {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        let Some(mut store) = self.store.take() else { return };
        let all = self.ticks == 0;
        let look = async move {
            let looked = tokio::time::timeout(PATIENCE, store.remind(CHUNK, all)).await;
            (store, looked.unwrap_or_else(|_| Err(RemindersError("it took too long".to_owned()))))
        };
        ctx.wait(look.into_actor(self).map(|(store, looked), actor, ctx| {
            actor.store = Some(store);
            match looked {
                Ok(reminded) => {
                    actor.reminded.add(u64::try_from(reminded).unwrap_or(0));
                    if reminded >= usize::try_from(CHUNK).unwrap_or(usize::MAX) {
                        return ctx.notify(Look);
                    }
                    actor.ticks = (actor.ticks + 1) % LOOK_BACK;
                }
                Err(error) => {
                    tracing::warn!(error = %error, "reminders.failed");
                    actor.probe.note(&error);
                    actor.failures.add(1);
                }
            }
            ctx.notify_later(Look, TICK);
        }));
    }
}
