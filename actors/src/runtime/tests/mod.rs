//! What the runtime promises, each promise broken on purpose once.

mod asks;
mod batches;
mod failures;
mod shutdown;

use std::{future::pending, sync::mpsc as std_mpsc, time::Duration};

use actix::{
    Actor, AsyncContext, AtomicResponse, Context, Handler, Message, ResponseActFuture, System, WrapFuture,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use super::*;

/// Long enough for any answer that will come.
const SOON: Duration = Duration::from_secs(10);

/// Runs a test in a universe of its own, and fails it if an actor or a thread is left over.
fn world(test: impl AsyncFnOnce(Universe)) {
    System::new().block_on(async {
        let universe = Universe::new();
        timeout(Duration::from_secs(60), test(universe.clone())).await.expect("the test hangs");
        universe.shutdown(SOON).await.expect("left over");
    });
}

/// Polls until `condition` holds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < end, "never came true: {what}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Does, by message, everything that an actor can do right and wrong.
struct Robot {
    probe: Probe,
    handled: Gauge,
}

impl Robot {
    fn new(probe: &Probe) -> Self {
        probe.gauge("lives").add(1);
        Self { probe: probe.clone(), handled: probe.gauge("handled") }
    }
}

impl Actor for Robot {
    type Context = Context<Self>;
}

impl Lifecycle for Robot {}

/// Answered with the same number.
struct Echo(u32);
/// Ends the life by a panic.
struct Panic;
/// Ends the life with an error.
struct Fail(&'static str);
/// Ends the life without a word.
struct Quit;
/// Waits for ever, with the mailbox closed off.
struct Freeze;
/// Waits, with the mailbox closed off, until the sender is used or dropped.
struct Hold(oneshot::Receiver<()>);
/// Is answered, with the mailbox open, when the sender is used or dropped.
struct Await(oneshot::Receiver<()>);
/// Blocks the thread until the sender is used or dropped.
struct Block(std_mpsc::Receiver<()>);
/// Answered with the actor's thread.
struct WhichThread;

impl Message for Echo {
    type Result = u32;
}
impl Message for Panic {
    type Result = ();
}
impl Message for Fail {
    type Result = ();
}
impl Message for Quit {
    type Result = ();
}
impl Message for Freeze {
    type Result = ();
}
impl Message for Hold {
    type Result = ();
}
impl Message for Await {
    type Result = ();
}
impl Message for Block {
    type Result = ();
}
impl Message for WhichThread {
    type Result = Option<std::thread::ThreadId>;
}

impl Handler<Echo> for Robot {
    type Result = u32;
    fn handle(&mut self, Echo(number): Echo, _: &mut Context<Self>) -> u32 {
        self.handled.add(1);
        number
    }
}

impl Handler<Panic> for Robot {
    type Result = ();
    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("on purpose");
    }
}

impl Handler<Fail> for Robot {
    type Result = ();
    fn handle(&mut self, Fail(error): Fail, ctx: &mut Context<Self>) {
        self.probe.fail(ctx, error);
    }
}

impl Handler<Quit> for Robot {
    type Result = ();
    fn handle(&mut self, _: Quit, ctx: &mut Context<Self>) {
        actix::ActorContext::stop(ctx);
    }
}

impl Handler<Freeze> for Robot {
    type Result = AtomicResponse<Self, ()>;
    fn handle(&mut self, _: Freeze, _: &mut Context<Self>) -> Self::Result {
        AtomicResponse::new(Box::pin(pending().into_actor(self)))
    }
}

impl Handler<Hold> for Robot {
    type Result = ();
    fn handle(&mut self, Hold(release): Hold, ctx: &mut Context<Self>) {
        self.probe.gauge("held").set(1);
        let released = async {
            let _ = release.await;
        };
        ctx.wait(released.into_actor(self));
    }
}

impl Handler<Await> for Robot {
    type Result = ResponseActFuture<Self, ()>;
    fn handle(&mut self, Await(release): Await, _: &mut Context<Self>) -> Self::Result {
        self.handled.add(1);
        let released = async {
            let _ = release.await;
        };
        Box::pin(released.into_actor(self))
    }
}

impl Handler<Block> for Robot {
    type Result = ();
    fn handle(&mut self, Block(release): Block, _: &mut Context<Self>) {
        let _ = release.recv();
    }
}

impl Handler<WhichThread> for Robot {
    type Result = Option<std::thread::ThreadId>;
    fn handle(&mut self, _: WhichThread, _: &mut Context<Self>) -> Self::Result {
        Some(std::thread::current().id())
    }
}

fn gauge<A: Actor<Context = Context<A>>>(handle: &Handle<A>, name: &str) -> u64 {
    let gauges = handle.state().gauges;
    gauges.iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| *value)
}

/// Makes the actor hold still, with an empty mailbox, until the answered sender is used or dropped.
async fn hold(robot: &Handle<Robot>) -> oneshot::Sender<()> {
    let (release, released) = oneshot::channel();
    robot.try_tell(Hold(released)).unwrap();
    until("held", || gauge(robot, "held") == 1 && robot.state().mailbox_depth == 0).await;
    release
}
