//! Answers given later than the handler returns, without a future per message.

use std::{cell::Cell, rc::Rc};

use actix::{
    Actor, Message,
    dev::{MessageResponse, OneshotSender},
};

/// A handler's result that says: the answer comes later, through the [`Reply`] made with it.
pub struct Later<T>(Rc<Cell<Option<OneshotSender<T>>>>);

/// The right to answer one message. The actor keeps it with the message, in its pile.
///
/// Dropping it unused leaves the caller with "unknown".
#[must_use = "dropping it leaves the caller with an unknown outcome"]
pub struct Reply<T>(Rc<Cell<Option<OneshotSender<T>>>>);

/// A later answer and the right to give it. The handler returns the first and keeps the second.
pub fn later<T>() -> (Later<T>, Reply<T>) {
    let slot = Rc::new(Cell::new(None));
    (Later(Rc::clone(&slot)), Reply(slot))
}

impl<T> Reply<T> {
    /// Answers. Does nothing if nobody waits any more, or ever did (a told message).
    pub fn send(self, answer: T) {
        if let Some(caller) = self.0.take() {
            // An error means that the caller's deadline has passed.
            let _ = caller.send(answer);
        }
    }
}

impl<A, M> MessageResponse<A, M> for Later<M::Result>
where
    A: Actor,
    M: Message,
{
    fn handle(self, _: &mut A::Context, caller: Option<OneshotSender<M::Result>>) {
        self.0.set(caller);
    }
}
