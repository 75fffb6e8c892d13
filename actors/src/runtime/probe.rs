//! What a supervised actor shows of itself: its status, its last error and its own gauges.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{Actor, ActorContext, Context};
use futures_util::task::AtomicWaker;
use tokio::sync::watch;

/// Errors are shown on an admin page and in logs; a longer text is cut.
const MAX_ERROR_CHARS: usize = 300;
/// The heartbeat of an actor that has no thread to answer for right now (between two lives).
const UNWATCHED: u64 = u64::MAX;

/// Where a supervised actor is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Registered; its first life has not begun.
    Starting,
    /// It reads its mailbox.
    Running,
    /// It crashed, froze or stopped with an error, and waits for its next life. Its mailbox still accepts.
    Restarting,
    /// It accepts nothing new and finishes what it accepted.
    Draining,
    /// It was given up; the process should end.
    Failed,
    /// It ended because it was told to.
    Stopped,
}

impl Status {
    /// The name used in `/readyz`, metrics and the admin endpoint.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Draining => "draining",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    const fn is_over(self) -> bool {
        matches!(self, Self::Failed | Self::Stopped)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One actor, as [`Universe::snapshot`](super::Universe::snapshot) saw it.
#[derive(Clone, Debug)]
pub struct ActorState {
    /// The name given at [`supervise`](super::Universe::supervise); unique in its universe.
    pub name: Arc<str>,
    /// Where it is in its life.
    pub status: Status,
    /// Messages accepted and not yet taken by a handler (withdrawn ones count until they are passed over).
    pub mailbox_depth: usize,
    /// The most that `mailbox_depth` can be.
    pub mailbox_limit: usize,
    /// Asks accepted whose callers still wait: in the mailbox or in the actor's hands.
    pub unanswered: usize,
    /// Lives begun after the first.
    pub restarts: u64,
    /// Why the last life ended, or what the actor noted since; cut to 300 characters.
    pub last_error: Option<String>,
    /// How long the present life lasts; zero when there is none.
    pub running_for: Duration,
    /// The actor's own gauges and counters, in the order of their first use.
    pub gauges: Vec<(&'static str, u64)>,
}

/// One number of an actor. Every change is a single relaxed atomic operation.
///
/// The cell outlives the actor: after a restart the same name gives the same number, so counters go on.
/// A gauge that describes the actor's memory (`pending`) is to be set to its start value by the factory.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Replaces the value by a length.
    pub fn set_len(&self, len: usize) {
        self.set(u64::try_from(len).unwrap_or(u64::MAX));
    }

    /// Counts up; wraps at 2^64.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// Counts up by a length.
    pub fn add_len(&self, len: usize) {
        self.add(u64::try_from(len).unwrap_or(u64::MAX));
    }

    /// The present value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// An actor's way to show its state. The factory gets one at every (re)start and clones it into the actor.
#[derive(Clone)]
pub struct Probe {
    state: Arc<State>,
}

impl Probe {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Lives begun after the first; 0 in the first.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.state.restarts.load(Ordering::Relaxed)
    }

    /// The gauge of that name, made on first use. Takes a lock: call it in the factory and keep the [`Gauge`].
    #[must_use]
    pub fn gauge(&self, name: &'static str) -> Gauge {
        let mut gauges = lock(&self.state.gauges);
        if let Some((_, gauge)) = gauges.iter().find(|(known, _)| *known == name) {
            return gauge.clone();
        }
        let gauge = Gauge::default();
        gauges.push((name, gauge.clone()));
        gauge
    }

    /// Shows an error that the actor survived. No token, OTP or phone number may be in it.
    pub fn note(&self, error: impl fmt::Display) {
        *lock(&self.state.last_error) = Some(shorten(error));
    }

    /// Ends this life because of `error`; the supervisor starts a fresh actor, as after a panic.
    ///
    /// What the actor holds unanswered is answered "unknown". No token, OTP or phone number may be in `error`.
    pub fn fail<A>(&self, ctx: &mut Context<A>, error: impl fmt::Display)
    where
        A: Actor<Context = Context<A>>,
    {
        *lock(&self.state.failure) = Some(shorten(error));
        ctx.stop();
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Probe").field(&self.state.name).finish()
    }
}

/// What handle, supervisor, probe and universe share about one actor.
pub(super) struct State {
    name: Arc<str>,
    status: watch::Sender<Status>,
    refusing: AtomicBool,
    unanswered: AtomicUsize,
    all_answered: AtomicWaker,
    restarts: AtomicU64,
    failure: Mutex<Option<String>>,
    last_error: Mutex<Option<String>>,
    gauges: Mutex<Vec<(&'static str, Gauge)>>,
    epoch: Instant,
    life_began: AtomicU64,
    heartbeat: AtomicU64,
}

impl State {
    pub(super) fn new(name: String) -> Self {
        Self {
            name: name.into(),
            status: watch::Sender::new(Status::Starting),
            refusing: AtomicBool::new(false),
            unanswered: AtomicUsize::new(0),
            all_answered: AtomicWaker::new(),
            restarts: AtomicU64::new(0),
            failure: Mutex::new(None),
            last_error: Mutex::new(None),
            gauges: Mutex::new(Vec::new()),
            epoch: Instant::now(),
            life_began: AtomicU64::new(UNWATCHED),
            heartbeat: AtomicU64::new(UNWATCHED),
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// Moves on to `status`; an actor that is over stays as it is. Answers whether it moved.
    pub(super) fn become_(&self, status: Status) -> bool {
        if status.is_over() || status == Status::Draining {
            self.refusing.store(true, Ordering::SeqCst);
        }
        self.status.send_if_modified(|current| {
            let moves = !current.is_over() && *current != status;
            if moves {
                *current = status;
            }
            moves
        })
    }

    /// Waits until the actor is failed or stopped.
    pub(super) async fn over(&self) {
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _ = self.status.subscribe().wait_for(|status| status.is_over()).await;
    }

    pub(super) fn refuses(&self) -> bool {
        self.refusing.load(Ordering::SeqCst)
    }

    pub(super) fn ask_begins(&self) {
        self.unanswered.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn ask_ends(&self) {
        if self.unanswered.fetch_sub(1, Ordering::SeqCst) == 1 && self.refuses() {
            self.all_answered.wake();
        }
    }

    /// Whether nobody waits for an answer; if somebody does, `waker` is woken when that has changed.
    pub(super) fn poll_all_answered(&self, waker: &std::task::Waker) -> bool {
        self.all_answered.register(waker);
        self.unanswered.load(Ordering::SeqCst) == 0
    }

    pub(super) fn count_restart(&self) -> u64 {
        self.restarts.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    pub(super) fn record_error(&self, error: String) {
        *lock(&self.last_error) = Some(shorten(error));
    }

    /// The error that the actor stopped itself with, if it did.
    pub(super) fn take_failure(&self) -> Option<String> {
        lock(&self.failure).take()
    }

    pub(super) fn life_begins(&self) {
        lock(&self.failure).take();
        self.life_began.store(self.now(), Ordering::Relaxed);
        self.beat();
    }

    pub(super) fn life_ends(&self) {
        self.life_began.store(UNWATCHED, Ordering::Relaxed);
        self.heartbeat.store(UNWATCHED, Ordering::Relaxed);
    }

    /// The actor's thread is alive now.
    pub(super) fn beat(&self) {
        self.heartbeat.store(self.now(), Ordering::Relaxed);
    }

    /// How long the actor's thread has given no sign; zero between two lives.
    pub(super) fn silent_for(&self) -> Duration {
        self.since(&self.heartbeat)
    }

    pub(super) fn snapshot(&self, mailbox_depth: usize, mailbox_limit: usize) -> ActorState {
        ActorState {
            name: Arc::clone(&self.name),
            status: self.status(),
            mailbox_depth,
            mailbox_limit,
            unanswered: self.unanswered.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            last_error: lock(&self.last_error).clone(),
            running_for: self.since(&self.life_began),
            gauges: lock(&self.gauges).iter().map(|(name, gauge)| (*name, gauge.get())).collect(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(UNWATCHED)
    }

    fn since(&self, mark: &AtomicU64) -> Duration {
        match mark.load(Ordering::Relaxed) {
            UNWATCHED => Duration::ZERO,
            mark => Duration::from_millis(self.now().saturating_sub(mark)),
        }
    }
}

/// None of the locked values can be left half-written by a panic, so a poisoned lock is as good as another.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shorten(error: impl fmt::Display) -> String {
    error.to_string().chars().take(MAX_ERROR_CHARS).collect()
}
