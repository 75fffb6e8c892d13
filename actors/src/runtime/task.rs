//! An actor whose whole work is one future: a loop around something outside (a broker's connection, a feed).

use std::{future::Future, pin::Pin, rc::Rc};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, ResponseActFuture, WrapFuture};
use tokio::sync::watch;

use super::Lifecycle;

/// Tells a task that it is to end.
#[derive(Clone)]
pub struct Ending(watch::Receiver<bool>);

impl Ending {
    /// Whether it is to end.
    #[must_use]
    pub fn asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is to end. May be dropped and asked again.
    pub async fn wait(&self) {
        // An error means that the actor is gone, and with it the task.
        let _ = self.0.clone().wait_for(|asked| *asked).await;
    }

    /// Waits for `time`, or less when the task is to end.
    pub async fn pause(&self, time: std::time::Duration) {
        let _ = tokio::time::timeout(time, self.wait()).await;
    }
}

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// Runs one future and takes no messages. In a shutdown the future is told to end and waited for. A future that ends
/// or panics before that ends this life of the actor: the supervisor begins a fresh one.
pub struct TaskActor {
    work: Option<Work>,
    ask: Rc<watch::Sender<bool>>,
    ended: Rc<watch::Sender<bool>>,
}

impl TaskActor {
    /// An actor that runs the future made by `work`.
    #[must_use]
    pub fn new<F>(work: impl FnOnce(Ending) -> F) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let (ask, asked) = watch::channel(false);
        let work: Work = Box::pin(work(Ending(asked)));
        Self { work: Some(work), ask: Rc::new(ask), ended: Rc::new(watch::Sender::new(false)) }
    }
}

impl Actor for TaskActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(work) = self.work.take() else { return };
        ctx.spawn(work.into_actor(self).map(|(), actor, ctx| {
            actor.ended.send_replace(true);
            if !*actor.ask.borrow() {
                ctx.stop();
            }
        }));
    }
}

impl Lifecycle for TaskActor {
    fn drain(&mut self, _: &mut Context<Self>) -> ResponseActFuture<Self, ()> {
        self.ask.send_replace(true);
        let mut ended = self.ended.subscribe();
        let wait = async move {
            // An error means that the actor is gone.
            let _ = ended.wait_for(|ended| *ended).await;
        };
        Box::pin(wait.into_actor(self))
    }
}
