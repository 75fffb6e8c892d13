//! Text messages: a bounded queue in front of whoever delivers them, so that no request waits for a provider.

use std::io;
use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use gencharge_actors::kernel::PhoneNumber;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{mpsc, watch};

/// Messages that may wait for delivery.
const QUEUE: usize = 1024;
/// Messages handed over at once.
const AT_ONCE: usize = 64;

/// One message.
#[derive(Clone)]
pub struct Sms {
    /// When it was written.
    pub at: DateTime<Utc>,
    /// To whom.
    pub to: PhoneNumber,
    /// What it says.
    pub text: String,
}

/// Delivers messages (a provider, a file).
pub trait SmsSender: Send + Sync + 'static {
    /// Delivers them, in order.
    fn deliver<'a>(&'a self, messages: &'a [Sms]) -> BoxFuture<'a, io::Result<()>>;
}

/// Development's sender: a line a message, in a file that only its owner can read.
#[derive(Clone, Debug)]
pub struct SmsFile(pub PathBuf);

impl SmsSender for SmsFile {
    fn deliver<'a>(&'a self, messages: &'a [Sms]) -> BoxFuture<'a, io::Result<()>> {
        async move {
            let mut lines = String::new();
            for sms in messages {
                let at = sms.at.to_rfc3339_opts(SecondsFormat::Millis, true);
                lines.push_str(&format!("{at} {} {}\n", sms.to.national(), sms.text));
            }
            let mut file =
                tokio::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&self.0).await?;
            file.write_all(lines.as_bytes()).await?;
            file.flush().await
        }
        .boxed()
    }
}

/// The way in for messages; clones share the queue.
#[derive(Clone, Debug)]
pub struct SmsQueue(mpsc::Sender<Sms>);

/// The queue is full (or the process is stopping): nothing was promised.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("too many text messages wait for delivery")]
pub struct SmsQueueFull;

/// A place in the queue, taken before the message is known to be needed.
#[derive(Debug)]
pub struct SmsSlot<'a>(mpsc::Permit<'a, Sms>);

impl SmsQueue {
    /// A queue, and the end that [`run`] empties.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Sms>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`SmsQueueFull`].
    pub fn reserve(&self) -> Result<SmsSlot<'_>, SmsQueueFull> {
        self.0.try_reserve().map(SmsSlot).map_err(|_| SmsQueueFull)
    }
}

impl SmsSlot<'_> {
    /// Puts the message into the place.
    pub fn send(self, sms: Sms) {
        self.0.send(sms);
    }
}

/// Delivers what comes, until `stop` turns true and the queue is empty.
pub async fn run(mut queue: mpsc::Receiver<Sms>, sender: impl SmsSender, mut stop: watch::Receiver<bool>) {
    let mut batch = Vec::with_capacity(AT_ONCE);
    loop {
        let taken = tokio::select! {
            taken = queue.recv_many(&mut batch, AT_ONCE) => taken,
            // An error means that whoever could tell us to stop is gone: stop too.
            _ = stop.wait_for(|stop| *stop), if !queue.is_closed() => {
                queue.close();
                continue;
            }
        };
        if taken == 0 {
            return;
        }
        if let Err(error) = sender.deliver(&batch).await {
            tracing::error!(error = %error, messages = batch.len(), "sms.delivery_failed");
        }
        batch.clear();
    }
}
