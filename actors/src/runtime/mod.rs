//! Supervised actors on actix: restarts with limits, bounded mailboxes, visible state, orderly shutdown.
//!
//! # Adding an actor
//!
//! 1. An actix actor with actix message handlers, that keeps the [`Probe`] (or gauges made from it).
//! 2. `impl Lifecycle for` it: empty, if all its work is done when its asks are answered and it does not batch.
//! 3. [`Universe::supervise`] with a name, limits and a factory; give the [`Handle`] to those who ask.
//!
//! ```
//! use std::time::Duration;
//! use actix::{Actor, Context, Handler, Message, System};
//! use gencharge_actors::runtime::{Gauge, Lifecycle, Spec, Universe};
//!
//! struct Adder { sum: u64, additions: Gauge }
//! impl Actor for Adder { type Context = Context<Self>; }
//! impl Lifecycle for Adder {}
//!
//! struct Add(u64);
//! impl Message for Add { type Result = u64; }
//! impl Handler<Add> for Adder {
//!     type Result = u64;
//!     fn handle(&mut self, Add(number): Add, _: &mut Context<Self>) -> u64 {
//!         self.sum += number;
//!         self.additions.add(1);
//!         self.sum
//!     }
//! }
//!
//! System::new().block_on(async {
//!     let universe = Universe::new();
//!     let adder = universe.supervise(Spec::new("adder"), |probe| Adder {
//!         sum: 0,
//!         additions: probe.gauge("additions"),
//!     })?;
//!     assert_eq!(adder.ask(Add(2), Duration::from_secs(5)).await?, 2);
//!     assert_eq!(adder.ask(Add(3), Duration::from_secs(5)).await?, 5);
//!     assert_eq!(universe.snapshot()[0].gauges, [("additions", 2)]);
//!     universe.shutdown(Duration::from_secs(5)).await?;
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! }).unwrap();
//! ```
//!
//! # What to know when writing handlers
//!
//! - Each actor has a thread of its own (or one shared by choice). A handler must not block it: a thread that is
//!   blocked for longer than its limits ends the process.
//! - State that must not change across an await: do the awaiting in `ctx.wait` (or answer with `AtomicResponse`).
//!   A `ResponseActFuture` lets other handlers in at every await.
//! - `ctx.wait` also stops the mailbox, so that the mailbox's bound holds for all the work accepted. A `ctx.wait`
//!   longer than [`Limits::ping_deadline`] counts as a freeze; give awaits inside it their own shorter timeouts.
//!   A freeze in a `ctx.spawn`ed future is not seen, as the mailbox is still read: it needs a timeout of its own.
//! - To batch: the handler makes [`later`], keeps the [`Reply`] with the message on a pile and returns the
//!   [`Later`]; [`Lifecycle::after_turn`] begins the batch in `ctx.wait`, which answers each reply. (A
//!   `ResponseActFuture` per message instead is polled at every wake of the actor: 256 of them cost 256 polls.)
//! - A panic in a handler or in a future of the context ends this life. (A plain `ResponseFuture` runs outside of
//!   the context: its panic only leaves its caller with "unknown", and no restart comes.) Prefer
//!   [`Probe::fail`] for errors that need a fresh start.
//! - Supervision needs unwinding: a profile with `panic = "abort"` would end the process at the first panic.
//! - `stopping` and `stopped` run after a panic too, on whatever state it left: keep them trivial.
//! - [`AskError::Unknown`] never means "not done"; the other refusals always do.

mod handle;
mod intake;
mod probe;
mod reply;
mod supervisor;
mod task;
#[cfg(test)]
mod tests;
mod universe;

pub use self::{
    handle::{AskError, Handle, NotAccepted},
    intake::Lifecycle,
    probe::{ActorState, Gauge, Probe, Status},
    reply::{Later, Reply, later},
    supervisor::{Fatal, Limits},
    task::{Ending, TaskActor},
    universe::{ShutdownError, Spec, Stage, StartError, Universe},
};
