//! The actor's side of its mailbox.
//!
//! Supervised actors do not read actix's own mailbox, for two reasons. Its bound is not one: every clone of an
//! `Addr` may add one message past the capacity, and so may every thread that races on a shared `Addr`. And it
//! dies with the actor, so that a crash would lose what no handler has seen. Here the mailbox is a bounded
//! tokio channel that the supervisor keeps across lives; an [`Intake`], a future inside the actor's context,
//! moves messages from it to the handlers. It has its turn only when the actor is not in a `ctx.wait`, exactly
//! like actix's own mailbox. (`ctx.address()` and `ctx.notify` work as ever, for the actor's messages to itself.)

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context as Task, Poll},
};

use actix::{Actor, ActorContext, AsyncContext, Context, ResponseActFuture, WrapFuture, fut::ActorFuture};
use tokio::sync::mpsc::{self, error::TryRecvError};

use super::{handle::Parcel, probe::State};

/// What the runtime asks of an actor beyond its handlers. An empty `impl` suits most.
pub trait Lifecycle: Actor<Context = Context<Self>> {
    /// Called after each run of handled messages: the mailbox was empty, or the run reached
    /// [`Limits::turn`](super::Limits::turn) messages, or a handler began a `ctx.wait`.
    ///
    /// The place to begin a batch with what the handlers piled up; do it in `ctx.wait`, and the next batch forms
    /// in the mailbox meanwhile.
    fn after_turn(&mut self, _ctx: &mut Context<Self>) {}

    /// Called when the mailbox is closed and every accepted message has been handed to its handler.
    ///
    /// Resolve when all that the actor still holds is finished: a batch being committed, rows to flush. The
    /// default holds nothing. In any case the runtime waits for asks that are still unanswered. An actor whose
    /// work can outlive its answers (told messages, timers that write) must say here when that work is done.
    fn drain(&mut self, _ctx: &mut Context<Self>) -> ResponseActFuture<Self, ()> {
        Box::pin(async {}.into_actor(self))
    }
}

/// The mailbox as the supervisor keeps it on the actor's thread, across lives.
pub(super) struct Desk<A: Actor> {
    mailbox: RefCell<mpsc::Receiver<Parcel<A>>>,
    state: Arc<State>,
    turns: Cell<u64>,
    drained: Cell<bool>,
}

impl<A: Actor> Desk<A> {
    pub(super) const fn new(mailbox: mpsc::Receiver<Parcel<A>>, state: Arc<State>) -> Self {
        Self { mailbox: RefCell::new(mailbox), state, turns: Cell::new(0), drained: Cell::new(false) }
    }

    /// Accepts nothing from now on; what was accepted stays.
    pub(super) fn close(&self) {
        self.mailbox.borrow_mut().close();
    }

    /// Counts the intake's turns: a number that stands still is an actor that does not read its mailbox.
    pub(super) fn turns(&self) -> u64 {
        self.turns.get()
    }

    /// Whether an actor has finished everything after [`Desk::close`].
    pub(super) fn drained(&self) -> bool {
        self.drained.get()
    }

    fn poll_next(&self, task: &mut Task<'_>) -> Poll<Option<Parcel<A>>> {
        let mut mailbox = self.mailbox.borrow_mut();
        // `try_recv` first: `poll_recv` would pause after 128 messages (tokio's cooperation budget), and with
        // it every other tokio future of this actor.
        match mailbox.try_recv() {
            Ok(parcel) => Poll::Ready(Some(parcel)),
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
            Err(TryRecvError::Empty) => mailbox.poll_recv(task),
        }
    }
}

/// Moves messages from the mailbox to the handlers of one life of the actor.
pub(super) struct Intake<A: Actor> {
    desk: Rc<Desk<A>>,
    /// Messages handled before the actor's other futures have their turn.
    turn: usize,
    last: Last<A>,
}

enum Last<A: Actor> {
    NotYet,
    Draining(ResponseActFuture<A, ()>),
    Answering,
}

impl<A: Actor> Intake<A> {
    pub(super) const fn new(desk: Rc<Desk<A>>, turn: usize) -> Self {
        Self { desk, turn, last: Last::NotYet }
    }
}

impl<A: Lifecycle> Intake<A> {
    /// Hands over at most one turn of messages; ready when the mailbox is closed and empty.
    fn take_in(&mut self, actor: &mut A, ctx: &mut Context<A>, task: &mut Task<'_>) -> Poll<()> {
        let mut handled = 0;
        let mut more = true;
        // A waiting context polls all its futures again when the wait is over: no waker is needed then.
        while handled < self.turn && !ctx.waiting() {
            match self.desk.poll_next(task) {
                Poll::Ready(Some(parcel)) => {
                    parcel.open(actor, ctx);
                    handled += 1;
                }
                Poll::Ready(None) if handled == 0 => return Poll::Ready(()),
                Poll::Ready(None) => break,
                Poll::Pending => {
                    more = false;
                    break;
                }
            }
        }
        if handled > 0 {
            actor.after_turn(ctx);
        }
        if more && !ctx.waiting() {
            task.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl<A: Lifecycle> ActorFuture<A> for Intake<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, actor: &mut A, ctx: &mut Context<A>, task: &mut Task<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.desk.turns.set(this.desk.turns.get().wrapping_add(1));
        loop {
            match &mut this.last {
                Last::NotYet => {
                    std::task::ready!(this.take_in(actor, ctx, task));
                    this.last = Last::Draining(actor.drain(ctx));
                }
                Last::Draining(rest) => {
                    std::task::ready!(rest.as_mut().poll(actor, ctx, task));
                    this.last = Last::Answering;
                }
                Last::Answering => {
                    if !this.desk.state.poll_all_answered(task.waker()) {
                        return Poll::Pending;
                    }
                    this.desk.drained.set(true);
                    ctx.stop();
                    return Poll::Ready(());
                }
            }
        }
    }
}
