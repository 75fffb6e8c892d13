//! One-time codes: text messages that cannot wait behind others and are worth nothing after some minutes. They are in no
//! store and no log; one that is lost is asked for again.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, ResponseActFuture, WrapFuture};
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::{Channel, Message, SendError};
use crate::runtime::{Gauge, Lifecycle, Probe};

/// Codes that may wait for delivery.
const QUEUE: usize = 1024;
/// Codes under way at once.
const AT_ONCE: usize = 32;
/// How long one try may take.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// The waits before further tries.
const AGAIN: &[Duration] = &[Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];

/// The way in for codes; clones share the queue.
#[derive(Clone, Debug)]
pub struct Codes(mpsc::Sender<Message>);

/// The queue is full (or the process is stopping): nothing was promised.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("too many text messages wait for delivery")]
pub struct CodesFull;

/// A place in the queue, taken before the message is known to be needed.
#[derive(Debug)]
pub struct CodeSlot<'a>(mpsc::Permit<'a, Message>);

/// The end of the queue that an actor empties, in each of its lives.
#[derive(Clone)]
pub struct CodesOut(Arc<Mutex<mpsc::Receiver<Message>>>);

impl Codes {
    /// A queue and its end.
    #[must_use]
    pub fn new() -> (Self, CodesOut) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), CodesOut(Arc::new(Mutex::new(receiver))))
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`CodesFull`].
    pub fn reserve(&self) -> Result<CodeSlot<'_>, CodesFull> {
        self.0.try_reserve().map(CodeSlot).map_err(|_| CodesFull)
    }
}

impl CodeSlot<'_> {
    /// Puts the message into the place.
    pub fn send(self, message: Message) {
        self.0.send(message);
    }
}

/// Delivers codes. It takes no messages.
///
/// Gauges: `delivered`, `lost`.
pub struct CodesActor {
    channel: Arc<dyn Channel>,
    queue: CodesOut,
    probe: Probe,
    stop: watch::Sender<bool>,
    ended: watch::Sender<bool>,
}

impl CodesActor {
    /// An actor that empties `queue` into `channel`.
    #[must_use]
    pub fn new(channel: Arc<dyn Channel>, queue: CodesOut, probe: &Probe) -> Self {
        let (stop, ended) = (watch::Sender::new(false), watch::Sender::new(false));
        Self { channel, queue, probe: probe.clone(), stop, ended }
    }
}

impl Actor for CodesActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (channel, queue) = (Arc::clone(&self.channel), self.queue.clone());
        let (probe, stop, ended) = (self.probe.clone(), self.stop.subscribe(), self.ended.clone());
        let work = async move {
            deliver_all(channel, queue, &probe, stop).await;
            ended.send_replace(true);
        };
        ctx.spawn(work.into_actor(self));
    }
}

impl Lifecycle for CodesActor {
    /// Delivers what is in the queue and takes no more.
    fn drain(&mut self, _: &mut Context<Self>) -> ResponseActFuture<Self, ()> {
        self.stop.send_replace(true);
        let mut ended = self.ended.subscribe();
        Box::pin(
            async move {
                let _ = ended.wait_for(|ended| *ended).await;
            }
            .into_actor(self),
        )
    }
}

async fn deliver_all(
    channel: Arc<dyn Channel>,
    queue: CodesOut,
    probe: &Probe,
    mut stop: watch::Receiver<bool>,
) {
    let mut queue = queue.0.lock().await;
    let mut stopped = std::pin::pin!(
        async move {
            let _ = stop.wait_for(|stop| *stop).await;
        }
        .fuse()
    );
    let (delivered, lost) = (probe.gauge("delivered"), probe.gauge("lost"));
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            message = queue.recv(), if under_way.len() < AT_ONCE => match message {
                Some(message) => under_way.push(deliver(&*channel, message, probe, &delivered, &lost)),
                None => break,
            },
            Some(()) = under_way.next() => {}
            () = &mut stopped => queue.close(),
        }
    }
    while under_way.next().await.is_some() {}
}

async fn deliver(channel: &dyn Channel, message: Message, probe: &Probe, delivered: &Gauge, lost: &Gauge) {
    let mut waits = AGAIN.iter();
    loop {
        let late = || Err(SendError::Away("no answer in time".to_owned()));
        let error = match timeout(SEND_WITHIN, channel.send(&message)).await.unwrap_or_else(|_| late()) {
            Ok(()) => return delivered.add(1),
            Err(error) => error,
        };
        probe.note(&error);
        match (&error, waits.next()) {
            (SendError::Away(_), Some(wait)) => sleep(*wait).await,
            (SendError::Away(_) | SendError::Refused(_), _) => {
                tracing::error!(error.message = %error, "codes.lost");
                return lost.add(1);
            }
        }
    }
}
