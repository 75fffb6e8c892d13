//! LISTEN on one connection for several features: reconnects by itself, and says how far it can be trusted.
//!
//! A notification is a hint to read again. What was missed while the connection was away cannot be known, so every
//! (re)connection tells all subscribers to read again. A heartbeat notices a connection that died without a word:
//! [`Link::is_connected`] is true only while the last proof of life is younger than a second.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::time::{sleep, timeout, timeout_at};

/// The connection is asked for a sign of life this often.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// How long a proof of life counts.
const TRUST: Duration = Duration::from_secs(1);
/// How long an answer may take before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a connection attempt may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The wait before the first new attempt; doubled each time up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait between attempts.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// What a subscriber hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal<'a> {
    /// Someone notified the channel, with this payload.
    Notified(&'a str),
    /// Connected (again): anything may have been missed, read everything again.
    Resync,
}

type Callback = Box<dyn Fn(Signal<'_>) + Send + Sync>;

/// Tells whether notifications arrive; clones share it.
#[derive(Clone, Debug)]
pub struct Link(Arc<Proof>);

#[derive(Debug)]
struct Proof {
    base: Instant,
    /// Milliseconds after `base` of the last proof of life, plus one; 0: not connected.
    last: AtomicU64,
}

impl Link {
    fn new() -> Self {
        Self(Arc::new(Proof { base: Instant::now(), last: AtomicU64::new(0) }))
    }

    /// True when a change committed elsewhere is sure to be heard, or this turns false, within a second.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match self.0.last.load(Ordering::Acquire) {
            0 => false,
            last => self.0.millis(Instant::now()).saturating_sub(last) < millis(TRUST),
        }
    }

    /// The connection was alive at `moment`.
    fn alive(&self, moment: Instant) {
        self.0.last.store(self.0.millis(moment), Ordering::Release);
    }

    fn lost(&self) {
        self.0.last.store(0, Ordering::Release);
    }
}

impl Proof {
    fn millis(&self, moment: Instant) -> u64 {
        millis(moment.saturating_duration_since(self.base)).saturating_add(1)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The listener of a process. Subscribe, then spawn [`Listener::run`].
pub struct Listener {
    link: Link,
    subscriptions: Vec<(&'static str, Callback)>,
}

impl Default for Listener {
    fn default() -> Self {
        Self::new()
    }
}

impl Listener {
    /// One without subscriptions.
    #[must_use]
    pub fn new() -> Self {
        Self { link: Link::new(), subscriptions: Vec::new() }
    }

    /// Whether it hears; valid before, while and after it runs.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link.clone()
    }

    /// Calls `callback` for every notification of `channel` and for every (re)connection. It must be quick: it runs
    /// between two readings of the connection; hand longer work to a task.
    pub fn subscribe(
        &mut self,
        channel: &'static str,
        callback: impl Fn(Signal<'_>) + Send + Sync + 'static,
    ) {
        self.subscriptions.push((channel, Box::new(callback)));
    }

    /// Listens until `stop` turns true or its sender is gone. Never ends for another reason: a lost connection, an error
    /// or a panicking subscriber leads to a new connection.
    pub async fn run(self, options: PgConnectOptions, mut stop: watch::Receiver<bool>) {
        let mut wait = FIRST_WAIT;
        let mut stopped = std::pin::pin!(async move {
            // An error means that the sender is gone: stop too.
            let _ = stop.wait_for(|stop| *stop).await;
        });
        loop {
            let was_connected = {
                let life = AssertUnwindSafe(self.life(options.clone())).catch_unwind();
                let ended = tokio::select! {
                    () = &mut stopped => return self.link.lost(),
                    ended = life => ended,
                };
                let was_connected = self.link.0.last.load(Ordering::Acquire) > 0;
                self.link.lost();
                match ended {
                    Ok(Ok(())) => tracing::warn!("listener.connection_lost"),
                    Ok(Err(error)) => tracing::warn!(error = %error, "listener.failed"),
                    Err(_) => tracing::error!("listener.subscriber_panicked"),
                }
                was_connected
            };
            wait = if was_connected { FIRST_WAIT } else { wait.saturating_mul(2).min(LAST_WAIT) };
            tokio::select! {
                () = &mut stopped => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// One connection's life; ends when it is lost.
    async fn life(&self, options: PgConnectOptions) -> Result<(), sqlx::Error> {
        let connect = async {
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .max_lifetime(None)
                .idle_timeout(None)
                .acquire_timeout(CONNECT)
                .connect_with(options)
                .await?;
            let mut listener = PgListener::connect_with(&pool).await?;
            // A lost connection must be seen as lost, not silently replaced.
            listener.eager_reconnect(false);
            listener.listen_all(self.channels()).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        let mut listener = timeout(CONNECT, connect).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
        let connected = Instant::now();
        for (_, callback) in &self.subscriptions {
            callback(Signal::Resync);
        }
        self.link.alive(connected);
        let mut next_beat = tokio::time::Instant::now();
        loop {
            match timeout_at(next_beat, listener.try_recv()).await {
                Ok(heard) => match heard? {
                    Some(notification) => {
                        self.tell(notification.channel(), notification.payload());
                    }
                    None => return Ok(()),
                },
                Err(_) => {
                    next_beat = tokio::time::Instant::now() + HEARTBEAT;
                    let asked = Instant::now();
                    match timeout(PATIENCE, sqlx::query("SELECT 1").execute(&mut listener)).await {
                        Ok(answered) => answered?,
                        Err(_) => return Ok(()),
                    };
                    // Hints that came before the answer are told before the answer counts as proof.
                    while let Some(notification) = listener.next_buffered() {
                        self.tell(notification.channel(), notification.payload());
                    }
                    self.link.alive(asked);
                }
            }
        }
    }

    fn channels(&self) -> Vec<&'static str> {
        let mut channels: Vec<_> = self.subscriptions.iter().map(|(channel, _)| *channel).collect();
        channels.sort_unstable();
        channels.dedup();
        channels
    }

    fn tell(&self, channel: &str, payload: &str) {
        for (subscribed, callback) in &self.subscriptions {
            if *subscribed == channel {
                callback(Signal::Notified(payload));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_of_life_ages() {
        let link = Link::new();
        assert!(!link.is_connected());
        link.alive(Instant::now());
        assert!(link.is_connected());
        link.lost();
        assert!(!link.is_connected());
        // One that is older than the trust: the base is moved back instead of waiting.
        let base = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
        let old = Link(Arc::new(Proof { base, last: AtomicU64::new(1) }));
        assert!(!old.is_connected());
    }

    #[test]
    fn channels_are_listened_to_once() {
        let mut listener = Listener::new();
        for channel in ["b", "a", "b"] {
            listener.subscribe(channel, |_| {});
        }
        assert_eq!(listener.channels(), ["a", "b"]);
    }
}
