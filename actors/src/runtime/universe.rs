//! All supervised actors of the process: starting them, seeing them, ending them.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc as std_mpsc,
    },
    thread,
    time::Duration,
};

use actix::{Actor, Arbiter, ArbiterHandle, Context, System};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout, timeout_at},
};

use super::{
    handle::{Handle, Parcel},
    intake::Lifecycle,
    probe::{ActorState, Probe, State, Status, lock},
    supervisor::{Fatal, FatalSender, Limits, Order, Post, give_up, supervise},
};

/// What the end of the actors' threads may take beyond the deadline of [`Universe::shutdown`].
const THREAD_GRACE: Duration = Duration::from_secs(1);
/// How often the warden looks, at most and at least.
const WARDEN_PERIOD: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// When an actor is drained in a shutdown. Those of one stage drain together, the stages one after the other,
/// so that an actor can still ask those of later stages while it drains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Brings work in: consumers of queues, schedulers.
    Intake,
    /// Does the work: wallets, backups.
    #[default]
    Work,
    /// Carries out what the work left behind: the outbox relay.
    Outflow,
    /// Takes what flows out: notifications. They must answer for as long as the relay empties the outbox.
    Sink,
}

impl Stage {
    const IN_ORDER: [Self; 4] = [Self::Intake, Self::Work, Self::Outflow, Self::Sink];
}

/// How an actor is to be supervised.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Shown in logs, metrics and the admin endpoint; unique in its universe.
    pub name: String,
    /// Its bounds.
    pub limits: Limits,
    /// When it is drained in a shutdown.
    pub stage: Stage,
    /// The thread to share; none gives the actor a thread of its own.
    pub arbiter: Option<ArbiterHandle>,
}

impl Spec {
    /// A thread of its own, default [`Limits`], [`Stage::Work`].
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), limits: Limits::default(), stage: Stage::default(), arbiter: None }
    }

    /// With these bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Drained in this stage.
    #[must_use]
    pub const fn stage(mut self, stage: Stage) -> Self {
        self.stage = stage;
        self
    }

    /// On a thread that other actors share (see [`Universe::arbiter`]).
    #[must_use]
    pub fn on(mut self, arbiter: ArbiterHandle) -> Self {
        self.arbiter = Some(arbiter);
        self
    }
}

/// Why an actor or a thread could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another actor of this universe has that name.
    #[error("an actor named {0} exists already; give this one another name")]
    NameTaken(String),
    /// [`Universe::shutdown`] has begun.
    #[error("the process is shutting down; no actor can be started any more")]
    ShuttingDown,
    /// No `actix::System` runs on this thread.
    #[error(
        "no actix System runs on this thread; start actors inside `actix_web::main` or `System::block_on`"
    )]
    NoSystem,
    /// The given arbiter has ended.
    #[error("the arbiter to share has ended; make one with Universe::arbiter")]
    ArbiterGone,
    /// The operating system gave no thread.
    #[error("no thread for an actor: {0}")]
    Thread(#[from] io::Error),
}

/// What an orderly shutdown left behind.
#[derive(Debug, thiserror::Error)]
#[error("not all actors ended in time; overdue: {overdue:?}, threads left: {threads_left}")]
pub struct ShutdownError {
    /// Actors that were stopped before they had finished, or are blocked.
    pub overdue: Vec<Arc<str>>,
    /// Whether a thread is still running.
    pub threads_left: bool,
}

/// All supervised actors of the process. Clones are the same universe.
///
/// Dropping the last clone stops its actors without draining them.
#[derive(Clone, Default)]
pub struct Universe {
    inner: Arc<Inner>,
}

struct Inner {
    closing: AtomicBool,
    fatal: FatalSender,
    roster: Roster,
    staff: Mutex<Staff>,
}

type Roster = Arc<Mutex<Vec<Entry>>>;

struct Entry {
    state: Arc<State>,
    limits: Limits,
    stage: Stage,
    orders: watch::Sender<Order>,
    /// Holds a sender of the mailbox, so that an actor lives on when nobody else has a handle.
    depth: Box<dyn Fn() -> usize + Send + Sync>,
}

/// The threads of a universe.
#[derive(Default)]
struct Staff {
    arbiters: Vec<Arbiter>,
    warden: Option<Warden>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            closing: AtomicBool::new(false),
            fatal: Arc::new(watch::Sender::new(None)),
            roster: Roster::default(),
            staff: Mutex::default(),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for entry in lock(&self.roster).iter() {
            entry.orders.send_replace(Order::Stop);
        }
        for arbiter in &lock(&self.staff).arbiters {
            arbiter.stop();
        }
    }
}

impl Universe {
    /// A universe without actors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts an actor under supervision. `factory` runs on the actor's thread, once for every life.
    ///
    /// The handle accepts messages at once, before the actor has started.
    ///
    /// # Errors
    /// [`StartError`]; nothing was started.
    pub fn supervise<A, F>(&self, spec: Spec, factory: F) -> Result<Handle<A>, StartError>
    where
        A: Lifecycle,
        F: Fn(&Probe) -> A + Send + 'static,
    {
        let Spec { name, limits, stage, arbiter } = spec;
        self.inner.hire_warden()?;
        let mut roster = lock(&self.inner.roster);
        if self.inner.closing.load(Ordering::SeqCst) {
            return Err(StartError::ShuttingDown);
        }
        if roster.iter().any(|entry| **entry.state.name() == *name) {
            return Err(StartError::NameTaken(name));
        }
        let arbiter = match arbiter {
            Some(shared) => shared,
            None => self.inner.hire_arbiter()?,
        };
        let state = Arc::new(State::new(name));
        let (sender, mailbox) = mpsc::channel(limits.mailbox.max(1));
        let (orders, orders_seen) = watch::channel(Order::Run);
        let post = Post {
            state: Arc::clone(&state),
            limits: limits.clone(),
            mailbox,
            orders: orders_seen,
            fatal: Arc::clone(&self.inner.fatal),
            factory,
        };
        let placed = arbiter.spawn_fn(move || {
            actix::spawn(supervise(post));
        });
        if !placed {
            return Err(StartError::ArbiterGone);
        }
        let handle = Handle::new(sender.clone(), Arc::clone(&state));
        roster.push(Entry { state, limits, stage, orders, depth: depth_of(sender) });
        Ok(handle)
    }

    /// A thread that several small actors can share; it ends with the universe.
    ///
    /// # Errors
    /// [`StartError`]: no actix System on this thread, no thread to be had, or the universe is shutting down.
    pub fn arbiter(&self) -> Result<ArbiterHandle, StartError> {
        let _roster = lock(&self.inner.roster);
        if self.inner.closing.load(Ordering::SeqCst) {
            return Err(StartError::ShuttingDown);
        }
        self.inner.hire_arbiter()
    }

    /// Every actor's state, in the order of their start.
    #[must_use]
    pub fn snapshot(&self) -> Vec<ActorState> {
        lock(&self.inner.roster)
            .iter()
            .map(|entry| entry.state.snapshot((entry.depth)(), entry.limits.mailbox.max(1)))
            .collect()
    }

    /// Whether every actor takes work. A restart in progress does not count against it: mailboxes accept meanwhile.
    #[must_use]
    pub fn ready(&self) -> bool {
        !self.inner.closing.load(Ordering::SeqCst)
            && lock(&self.inner.roster)
                .iter()
                .all(|entry| matches!(entry.state.status(), Status::Running | Status::Restarting))
    }

    /// The first actor given up, if any; changes at most once.
    #[must_use]
    pub fn fatal(&self) -> watch::Receiver<Option<Fatal>> {
        self.inner.fatal.subscribe()
    }

    /// Waits until an actor is given up.
    pub async fn given_up(&self) -> Fatal {
        let mut fatal = self.fatal();
        loop {
            if let Some(fatal) = fatal.borrow_and_update().clone() {
                return fatal;
            }
            if fatal.changed().await.is_err() {
                // Cannot be: `self` holds the sender.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ends all actors in order: stage by stage, each actor's handles answer "down" from then on, it finishes what
    /// it accepted, and stops. Then the threads end.
    ///
    /// The stages share `deadline`: each gets an equal part of what is left. An actor that has not finished by
    /// then is stopped; callers of what it had taken get "unknown", the others "down". The threads' end may
    /// take one second more.
    ///
    /// # Errors
    /// [`ShutdownError`] names the actors that did not finish.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), ShutdownError> {
        let end = Instant::now() + deadline;
        {
            let _roster = lock(&self.inner.roster);
            self.inner.closing.store(true, Ordering::SeqCst);
        }
        let mut overdue = Vec::new();
        for (stage, stages_left) in Stage::IN_ORDER.into_iter().zip([4_u32, 3, 2, 1]) {
            let share = end.saturating_duration_since(Instant::now()) / stages_left;
            overdue.extend(self.inner.drain(stage, Instant::now() + share).await);
        }
        let threads_left = !self.inner.dismiss(end + THREAD_GRACE).await;
        if overdue.is_empty() && !threads_left {
            Ok(())
        } else {
            Err(ShutdownError { overdue, threads_left })
        }
    }
}

impl Inner {
    fn hire_arbiter(&self) -> Result<ArbiterHandle, StartError> {
        if System::try_current().is_none() {
            return Err(StartError::NoSystem);
        }
        let arbiter = Arbiter::try_new()?;
        let handle = arbiter.handle();
        lock(&self.staff).arbiters.push(arbiter);
        Ok(handle)
    }

    fn hire_warden(&self) -> io::Result<()> {
        let mut staff = lock(&self.staff);
        if staff.warden.is_none() {
            staff.warden = Some(Warden::hire(Arc::clone(&self.roster), Arc::clone(&self.fatal))?);
        }
        Ok(())
    }

    /// Drains the actors of one stage; answers those that were not done by `end` (and stops them).
    async fn drain(&self, stage: Stage, end: Instant) -> Vec<Arc<str>> {
        let states: Vec<_> = lock(&self.roster)
            .iter()
            .filter(|entry| entry.stage == stage)
            .map(|entry| {
                entry.state.become_(Status::Draining);
                entry.orders.send_replace(Order::Drain);
                Arc::clone(&entry.state)
            })
            .collect();
        let mut overdue = Vec::new();
        for state in states {
            if timeout_at(end, state.over()).await.is_err() {
                tracing::warn!(actor.name = %state.name(), "actor did not drain in time and is stopped");
                overdue.push(Arc::clone(state.name()));
            }
        }
        for entry in lock(&self.roster).iter().filter(|entry| entry.stage == stage) {
            entry.orders.send_replace(Order::Stop);
        }
        overdue
    }

    /// Ends the threads; answers whether all ended by `end`.
    async fn dismiss(&self, end: Instant) -> bool {
        let states: Vec<_> = lock(&self.roster).iter().map(|entry| Arc::clone(&entry.state)).collect();
        for state in states {
            let _ = timeout_at(end, state.over()).await;
        }
        let Staff { arbiters, warden } = std::mem::take(&mut *lock(&self.staff));
        for arbiter in &arbiters {
            arbiter.stop();
        }
        match warden {
            Some(warden) => warden.dismiss(arbiters, end).await,
            None => true,
        }
    }
}

fn depth_of<A>(sender: mpsc::Sender<Parcel<A>>) -> Box<dyn Fn() -> usize + Send + Sync>
where
    A: Actor<Context = Context<A>>,
{
    Box::new(move || sender.max_capacity().saturating_sub(sender.capacity()))
}

/// Watches from its own thread for actors whose threads are blocked, which no supervisor on such a thread can see.
struct Warden {
    dismissal: std_mpsc::Sender<Dismissal>,
    thread: thread::JoinHandle<()>,
}

struct Dismissal {
    arbiters: Vec<Arbiter>,
    done: oneshot::Sender<()>,
}

impl Warden {
    fn hire(roster: Roster, fatal: FatalSender) -> io::Result<Self> {
        let (dismissal, orders) = std_mpsc::channel();
        let thread = thread::Builder::new()
            .name("actor-warden".to_owned())
            .spawn(move || Self::watch(&roster, &fatal, &orders))?;
        Ok(Self { dismissal, thread })
    }

    fn watch(roster: &Roster, fatal: &FatalSender, orders: &std_mpsc::Receiver<Dismissal>) {
        loop {
            let (at_most, at_least) = WARDEN_PERIOD;
            let period = lock(roster)
                .iter()
                .map(|entry| entry.limits.ping_deadline / 2)
                .fold(at_least, Duration::min)
                .max(at_most);
            match orders.recv_timeout(period) {
                Err(std_mpsc::RecvTimeoutError::Timeout) => look_around(roster, fatal),
                Err(std_mpsc::RecvTimeoutError::Disconnected) => return,
                Ok(Dismissal { arbiters, done }) => {
                    for arbiter in arbiters {
                        // A panic of an arbiter's thread is over by now, and was logged by the panic hook.
                        let _ = arbiter.join();
                    }
                    // The receiver is gone when the deadline has passed: nobody waits any more.
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    async fn dismiss(self, arbiters: Vec<Arbiter>, end: Instant) -> bool {
        let (done, all_joined) = oneshot::channel();
        let left = end.saturating_duration_since(Instant::now()).max(THREAD_GRACE);
        if self.dismissal.send(Dismissal { arbiters, done }).is_err() {
            return false;
        }
        // Once it has answered, the warden's thread is about to end: joining it does not block.
        matches!(timeout(left, all_joined).await, Ok(Ok(()))) && self.thread.join().is_ok()
    }
}

/// Gives up the actors whose threads are blocked. They may hold locks of the process, so nothing else is safe.
fn look_around(roster: &Roster, fatal: &FatalSender) {
    for entry in lock(roster).iter() {
        let silent = entry.state.silent_for();
        if silent > entry.limits.ping_every + entry.limits.ping_deadline * 2 {
            give_up(&entry.state, fatal, format!("its thread is blocked for {silent:?}"));
            entry.orders.send_replace(Order::Stop);
        }
    }
}
