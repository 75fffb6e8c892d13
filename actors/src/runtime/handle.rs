//! The stable, bounded way to a supervised actor.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use actix::{
    Actor, Context, Handler, Message,
    dev::{MessageResponse, OneshotSender},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::probe::{ActorState, State};

/// Why an ask has no answer. The variants differ in what the caller may say about the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The mailbox is full. Certainly not done; try again in a moment (HTTP 503 with `Retry-After`).
    #[error("the mailbox is full; nothing was done, try again in a moment")]
    Full,
    /// The deadline passed while the message was still waiting in the mailbox; it was taken back.
    /// Certainly not done; try again in a moment (HTTP 503 with `Retry-After`).
    #[error("the actor did not come to it in time; nothing was done, try again in a moment")]
    Late,
    /// The actor is failed, or the process is shutting down. Certainly not done; another process may do it.
    #[error("the actor is not running; nothing was done, try again later")]
    Down,
    /// The actor took the message and gave no answer: it crashed, froze, or the deadline passed.
    /// It may be done, or be done later. Only a retry under the same idempotency key tells.
    #[error("the outcome is unknown; retry with the same key")]
    Unknown,
}

impl AskError {
    /// Whether the work certainly was not and will not be done.
    #[must_use]
    pub const fn is_certainly_not_done(self) -> bool {
        match self {
            Self::Full | Self::Late | Self::Down => true,
            Self::Unknown => false,
        }
    }
}

/// Why a message was not accepted; it was dropped and will never be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// The mailbox is full; try again in a moment.
    #[error("the mailbox is full; try again in a moment")]
    Full,
    /// The actor is failed, or the process is shutting down.
    #[error("the actor is not running; try again later")]
    Down,
}

impl From<NotAccepted> for AskError {
    fn from(reason: NotAccepted) -> Self {
        match reason {
            NotAccepted::Full => Self::Full,
            NotAccepted::Down => Self::Down,
        }
    }
}

/// A message on its way to `A`, with what is needed to answer it.
pub(super) type Parcel<A> = Box<dyn Open<A> + Send>;

pub(super) trait Open<A: Actor> {
    /// Hands the message to its handler, unless its sender has taken it back.
    fn open(self: Box<Self>, actor: &mut A, ctx: &mut A::Context);
}

/// The way to a supervised actor: cheap to clone, usable from every thread, the same across restarts.
///
/// While the actor is between two lives its mailbox goes on accepting, up to the same bound, and what waits
/// there is handled by the next life: a crash costs only the messages that the actor had taken.
pub struct Handle<A: Actor> {
    mailbox: mpsc::Sender<Parcel<A>>,
    state: Arc<State>,
}

impl<A> Handle<A>
where
    A: Actor<Context = Context<A>>,
{
    pub(super) const fn new(mailbox: mpsc::Sender<Parcel<A>>, state: Arc<State>) -> Self {
        Self { mailbox, state }
    }

    /// Sends `message` and waits up to `deadline` for the answer.
    ///
    /// Dropping the future takes the message back if no handler has it yet.
    ///
    /// # Errors
    /// [`AskError`] says whether the work certainly was not done.
    pub async fn ask<M>(&self, message: M, deadline: Duration) -> Result<M::Result, AskError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let (reply, answer) = oneshot::channel();
        let ask = Ask::begin(&self.state);
        let claim = Arc::clone(&ask.claim);
        self.post(Box::new(Asked { message, reply, claim }))?;
        match timeout(deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) if ask.claim.withdraw() => Err(AskError::Down),
            Err(_) if ask.claim.withdraw() => Err(AskError::Late),
            Ok(Err(_)) | Err(_) => Err(AskError::Unknown),
        }
    }

    /// Sends `message` without waiting; its answer is dropped. Respects the mailbox bound.
    ///
    /// An accepted message is lost if the actor crashes while handling it, or the process dies.
    ///
    /// # Errors
    /// [`NotAccepted`]: the message was dropped.
    pub fn try_tell<M>(&self, message: M) -> Result<(), NotAccepted>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        self.post(Box::new(Told { message }))
    }

    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.state.name()
    }

    /// The actor's state now.
    #[must_use]
    pub fn state(&self) -> ActorState {
        let limit = self.mailbox.max_capacity();
        self.state.snapshot(limit.saturating_sub(self.mailbox.capacity()), limit)
    }

    fn post(&self, parcel: Parcel<A>) -> Result<(), NotAccepted> {
        if self.state.refuses() {
            return Err(NotAccepted::Down);
        }
        self.mailbox.try_send(parcel).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => NotAccepted::Full,
            mpsc::error::TrySendError::Closed(_) => NotAccepted::Down,
        })
    }
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self { mailbox: self.mailbox.clone(), state: Arc::clone(&self.state) }
    }
}

impl<A: Actor> fmt::Debug for Handle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(self.state.name()).finish()
    }
}

/// Who owns an asked message: decided once, by whoever comes first, its handler or its sender's deadline.
struct Claim(AtomicU8);

impl Claim {
    const WAITING: u8 = 0;
    const TAKEN: u8 = 1;
    const WITHDRAWN: u8 = 2;

    fn take(&self) -> bool {
        self.settle(Self::TAKEN)
    }

    fn withdraw(&self) -> bool {
        self.settle(Self::WITHDRAWN)
    }

    fn settle(&self, to: u8) -> bool {
        self.0.compare_exchange(Self::WAITING, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The sender's side of an ask. Dropped with the caller's future, which may be at any await.
struct Ask<'a> {
    state: &'a State,
    claim: Arc<Claim>,
}

impl<'a> Ask<'a> {
    fn begin(state: &'a State) -> Self {
        state.ask_begins();
        let claim = Arc::new(Claim(AtomicU8::new(Claim::WAITING)));
        Self { state, claim }
    }
}

impl Drop for Ask<'_> {
    fn drop(&mut self) {
        self.claim.withdraw();
        self.state.ask_ends();
    }
}

struct Asked<M: Message> {
    message: M,
    reply: OneshotSender<M::Result>,
    claim: Arc<Claim>,
}

impl<A, M> Open<A> for Asked<M>
where
    A: Handler<M>,
    M: Message,
{
    fn open(self: Box<Self>, actor: &mut A, ctx: &mut A::Context) {
        if self.claim.take() {
            actor.handle(self.message, ctx).handle(ctx, Some(self.reply));
        }
    }
}

struct Told<M> {
    message: M,
}

impl<A, M> Open<A> for Told<M>
where
    A: Handler<M>,
    M: Message,
{
    fn open(self: Box<Self>, actor: &mut A, ctx: &mut A::Context) {
        actor.handle(self.message, ctx).handle(ctx, None);
    }
}
