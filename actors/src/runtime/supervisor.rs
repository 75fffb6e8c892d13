//! One supervisor per actor: runs its lives one after the other, on the actor's own thread.

use std::{
    any::Any,
    collections::VecDeque,
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix::{Actor, AsyncContext, Context};
use futures_util::FutureExt;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    handle::Parcel,
    intake::{Desk, Intake, Lifecycle},
    probe::{Probe, State, Status},
};

/// The bounds of one actor.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Messages accepted and not yet taken by a handler; one more is refused. At least 1. The bound is exact.
    pub mailbox: usize,
    /// Messages handled before the actor's other futures have their turn. At least 1.
    ///
    /// For an actor that begins a batch in [`Lifecycle::after_turn`], the most that a batch can hold.
    pub turn: usize,
    /// Restarts allowed within [`Limits::within`]; one more crash and the actor is given up.
    pub restarts: u32,
    /// The sliding window of [`Limits::restarts`].
    pub within: Duration,
    /// The pause before the first restart; it doubles with each further one in the window.
    pub backoff: Duration,
    /// The longest pause before a restart.
    pub backoff_max: Duration,
    /// How often the actor is checked for a freeze.
    pub ping_every: Duration,
    /// An actor that does not read its mailbox for this long after a check is frozen: it is restarted. A
    /// thread that gives no sign for twice this long beyond [`Limits::ping_every`] is blocked for good, and
    /// the actor given up. It must be longer than the longest `ctx.wait` and the longest handler.
    pub ping_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mailbox: 4096,
            turn: 256,
            restarts: 10,
            within: Duration::from_secs(60),
            backoff: Duration::from_millis(10),
            backoff_max: Duration::from_secs(1),
            ping_every: Duration::from_secs(5),
            ping_deadline: Duration::from_secs(30),
        }
    }
}

/// An actor was given up. The process is to report "not ready", shut down and exit non-zero.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("actor {actor} was given up: {reason}")]
pub struct Fatal {
    /// The actor's name.
    pub actor: Arc<str>,
    /// Why its last life ended.
    pub reason: String,
}

/// The process-wide first [`Fatal`]; later ones are only logged.
pub(super) type FatalSender = Arc<watch::Sender<Option<Fatal>>>;

/// What the universe wants of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Run,
    Drain,
    Stop,
}

/// All that a supervisor needs; moves to the actor's thread.
pub(super) struct Post<A: Actor, F> {
    pub(super) state: Arc<State>,
    pub(super) limits: Limits,
    pub(super) mailbox: mpsc::Receiver<Parcel<A>>,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) fatal: FatalSender,
    pub(super) factory: F,
}

/// How a life ended.
enum Ending {
    /// On order.
    Done,
    Panicked(String),
    /// The actor stopped itself.
    Quit,
    Frozen,
}

/// Runs the actor's lives until it is stopped, drained or given up.
pub(super) async fn supervise<A, F>(post: Post<A, F>)
where
    A: Lifecycle,
    F: Fn(&Probe) -> A,
{
    let Post { state, limits, mailbox, orders, fatal, factory } = post;
    let desk = Rc::new(Desk::new(mailbox, Arc::clone(&state)));
    let mut supervisor = Supervisor {
        window: Window::new(limits.restarts, limits.within),
        probe: Probe::new(Arc::clone(&state)),
        state,
        limits,
        desk,
        orders,
    };
    loop {
        supervisor.state.life_begins();
        let ending = supervisor.live(&factory).await;
        supervisor.state.life_ends();
        let reason = match ending {
            Ending::Done => break,
            Ending::Panicked(text) => format!("panicked: {text}"),
            Ending::Quit => {
                supervisor.state.take_failure().unwrap_or_else(|| "stopped without being asked".to_owned())
            }
            Ending::Frozen => format!("did not read its mailbox for {:?}", supervisor.limits.ping_deadline),
        };
        let Some(attempt) = supervisor.window.admit(Instant::now()) else {
            give_up(&supervisor.state, &fatal, reason);
            return;
        };
        let pause = backoff(&supervisor.limits, supervisor.state.name(), attempt);
        let restarts = supervisor.state.count_restart();
        tracing::error!(
            actor.name = %supervisor.state.name(),
            actor.restarts = restarts,
            actor.pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            error.message = %reason,
            "actor ended; starting a fresh one"
        );
        supervisor.state.record_error(reason);
        supervisor.state.become_(Status::Restarting);
        if supervisor.pause(pause).await == Order::Stop {
            break;
        }
    }
    supervisor.state.become_(Status::Stopped);
}

/// Marks an actor as failed for good and tells the process.
pub(super) fn give_up(state: &State, fatal: &FatalSender, reason: String) {
    if !state.become_(Status::Failed) {
        return;
    }
    tracing::error!(actor.name = %state.name(), error.message = %reason, "actor given up");
    state.record_error(reason.clone());
    let actor = Arc::clone(state.name());
    fatal.send_if_modified(|first| {
        let is_first = first.is_none();
        if is_first {
            *first = Some(Fatal { actor, reason });
        }
        is_first
    });
}

struct Supervisor<A: Actor> {
    state: Arc<State>,
    probe: Probe,
    limits: Limits,
    desk: Rc<Desk<A>>,
    orders: watch::Receiver<Order>,
    window: Window,
}

type Life = Pin<Box<dyn Future<Output = Result<(), Box<dyn Any + Send>>>>>;

impl<A: Lifecycle> Supervisor<A> {
    async fn live(&mut self, factory: &impl Fn(&Probe) -> A) -> Ending {
        let actor = match catch_unwind(AssertUnwindSafe(|| factory(&self.probe))) {
            Ok(actor) => actor,
            Err(panic) => return Ending::Panicked(text_of(panic.as_ref())),
        };
        let mut ctx = Context::new();
        ctx.spawn(Intake::new(Rc::clone(&self.desk), self.limits.turn.max(1)));
        let mut life: Life = Box::pin(AssertUnwindSafe(ctx.into_future(actor)).catch_unwind());
        self.state.become_(Status::Running);
        let ending = self.attend(&mut life).await;
        // Dropping the context calls the actor's `stopping` and `stopped`, which may panic as well.
        match (catch_unwind(AssertUnwindSafe(|| drop(life))), ending) {
            (Err(panic), Ending::Quit) => Ending::Panicked(text_of(panic.as_ref())),
            (_, ending) => ending,
        }
    }

    /// Follows one life: its end, the universe's orders, and the check for a freeze.
    async fn attend(&mut self, life: &mut Life) -> Ending {
        let mut seen = None;
        let mut check_at = Instant::now() + self.limits.ping_every;
        loop {
            if self.obey() == Order::Stop {
                return Ending::Done;
            }
            tokio::select! {
                end = life.as_mut() => return match end {
                    // Even a panic in `stopped` comes too late to undo a finished drain.
                    _ if self.desk.drained() => Ending::Done,
                    Err(panic) => Ending::Panicked(text_of(panic.as_ref())),
                    Ok(()) => Ending::Quit,
                },
                order = self.orders.changed() => if order.is_err() {
                    return Ending::Done;
                },
                () = sleep_until(check_at) => {
                    self.state.beat();
                    // The next round of this loop polls the actor, and with it its intake, unless it waits.
                    (seen, check_at) = match seen {
                        None => (Some(self.desk.turns()), Instant::now() + self.limits.ping_deadline),
                        Some(turns) if turns != self.desk.turns() => {
                            (None, Instant::now() + self.limits.ping_every)
                        }
                        Some(_) => return Ending::Frozen,
                    };
                }
            }
        }
    }

    /// Waits before the next life, but not longer than the universe allows.
    async fn pause(&mut self, pause: Duration) -> Order {
        let until = Instant::now() + pause;
        loop {
            let order = self.obey();
            if order == Order::Stop {
                return order;
            }
            tokio::select! {
                () = sleep_until(until) => return order,
                changed = self.orders.changed() => if changed.is_err() {
                    return Order::Stop;
                },
            }
        }
    }

    fn obey(&mut self) -> Order {
        let order = *self.orders.borrow_and_update();
        if order == Order::Drain {
            self.state.become_(Status::Draining);
            self.desk.close();
        }
        order
    }
}

/// The restarts of the recent past.
struct Window {
    restarts: u32,
    within: Duration,
    recent: VecDeque<Instant>,
}

impl Window {
    const fn new(restarts: u32, within: Duration) -> Self {
        Self { restarts, within, recent: VecDeque::new() }
    }

    /// The number of this restart within the window, from 1, or nothing if it is one too many.
    fn admit(&mut self, now: Instant) -> Option<u32> {
        self.recent.retain(|then| now.saturating_duration_since(*then) <= self.within);
        let attempt = u32::try_from(self.recent.len()).ok()?.checked_add(1)?;
        if attempt > self.restarts {
            return None;
        }
        self.recent.push_back(now);
        Some(attempt)
    }
}

/// The pause before restart number `attempt` (from 1): doubling, bounded, and between half and all of that by a
/// hash of name and attempt, so that actors that fell together (over one lost connection) do not rise together.
fn backoff(limits: &Limits, name: &str, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(20);
    let whole = limits.backoff.saturating_mul(1 << doublings).min(limits.backoff_max);
    let mut hasher = DefaultHasher::new();
    (name, attempt).hash(&mut hasher);
    let part = u32::try_from(hasher.finish() % 1024).unwrap_or(0);
    let half = whole / 2;
    half + half / 1024 * part
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a value that is not text".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_counts_only_the_recent_past() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::new(2, Duration::from_secs(10));
        assert_eq!(window.admit(at(0)), Some(1));
        assert_eq!(window.admit(at(5)), Some(2));
        assert_eq!(window.admit(at(10)), None);
        assert_eq!(window.admit(at(11)), Some(2), "the first has left the window");
        assert_eq!(window.admit(at(12)), None);
        assert_eq!(window.admit(at(60)), Some(1));
    }

    #[test]
    fn no_restart_at_all_when_none_is_allowed() {
        assert_eq!(Window::new(0, Duration::from_secs(1)).admit(Instant::now()), None);
    }

    #[test]
    fn backoff_doubles_within_its_bounds_and_differs_by_name() {
        let limits = Limits::default();
        for attempt in 1..40 {
            let whole = Duration::from_millis(10 * (1 << (attempt - 1).min(10))).min(limits.backoff_max);
            let pause = backoff(&limits, "wallet-0", attempt);
            assert!(pause >= whole / 2 && pause <= whole, "attempt {attempt}: {pause:?}");
        }
        assert_ne!(backoff(&limits, "wallet-0", 3), backoff(&limits, "wallet-1", 3));
    }
}
