//! Live notices for readers that keep listening: one reading of the store serves them all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, WrapFuture};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use super::{Audience, NotificationStore, NotificationStoreError, Posted, Recipient};
use crate::runtime::{Lifecycle, Probe};

/// Listeners of one process.
pub const LISTENERS: usize = 10_000;
/// Listeners of one reader.
pub const LISTENERS_EACH: usize = 8;
/// Notices that may wait for one listener; with more it has to read them from the store.
const WAITING: usize = 64;
/// Notices read at once.
const PAGE: u32 = 1000;
/// How often the store is asked while somebody listens (what this process writes is seen at once).
const EVERY: Duration = Duration::from_millis(250);
/// How often its last place is asked for while nobody does.
const IDLE: Duration = Duration::from_secs(5);
/// How long one reading may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Hands live notices to listeners; clones share it.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    store: Arc<dyn NotificationStore>,
    listeners: Mutex<Listeners>,
    wake: Notify,
}

#[derive(Default)]
struct Listeners {
    next: u64,
    closed: bool,
    open: HashMap<u64, Listener>,
    by_recipient: HashMap<Recipient, Vec<u64>>,
}

struct Listener {
    audience: Audience,
    way: mpsc::Sender<Arc<Posted>>,
}

/// Why nobody can listen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoListening {
    /// This process has as many listeners as it takes.
    #[error("too many listeners")]
    Full,
    /// This reader has as many as one may have.
    #[error("too many listeners of one reader")]
    FullForReader,
    /// The process is stopping.
    #[error("stopping")]
    Closed,
}

/// An open ear; dropping it ends the listening.
pub struct Listening {
    hub: Hub,
    id: u64,
    way: mpsc::Receiver<Arc<Posted>>,
}

impl Listening {
    /// The next notice; `None` when this listener was too slow or the hub has closed: what follows is in the store.
    pub async fn next(&mut self) -> Option<Arc<Posted>> {
        self.way.recv().await
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.hub.listeners().remove(self.id);
    }
}

impl Hub {
    /// A hub that reads `store`; a [`HubActor`] makes it work.
    #[must_use]
    pub fn new(store: Arc<dyn NotificationStore>) -> Self {
        Self(Arc::new(Inner { store, listeners: Mutex::default(), wake: Notify::new() }))
    }

    /// The store it reads.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn NotificationStore> {
        &self.0.store
    }

    /// Notices were written by this process: they are looked for at once.
    pub fn wake(&self) {
        if self.count() > 0 {
            self.0.wake.notify_one();
        }
    }

    /// Opens an ear. Everything that becomes visible from now on comes to it, in order; what was visible before may
    /// come too.
    ///
    /// # Errors
    /// [`NoListening`].
    pub fn listen(&self, audience: Audience) -> Result<Listening, NoListening> {
        let (sender, way) = mpsc::channel(WAITING);
        let id = self.listeners().add(Listener { audience, way: sender })?;
        self.wake();
        Ok(Listening { hub: self.clone(), id, way })
    }

    /// How many listen.
    #[must_use]
    pub fn count(&self) -> usize {
        self.listeners().open.len()
    }

    /// Ends every listening, and lets nobody listen any more: the process is stopping.
    pub fn close(&self) {
        let mut listeners = self.listeners();
        *listeners = Listeners { closed: true, ..Listeners::default() };
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.listeners().closed
    }

    /// A panic while the lock was held leaves at worst a listener that hears nothing until it looks itself.
    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first place of a new life. Those who listen already may have seen less: they have to look for themselves.
    async fn begin(&self) -> Result<(i64, bool), NotificationStoreError> {
        let head = self.0.store.head().await?;
        let mut listeners = self.listeners();
        *listeners = Listeners { next: listeners.next, closed: listeners.closed, ..Listeners::default() };
        Ok((head, false))
    }

    /// Brings listeners what follows `after`; answers the last place brought and whether there is more.
    async fn bring(&self, after: i64) -> Result<(i64, bool), NotificationStoreError> {
        if self.count() == 0 {
            let head = self.0.store.head().await?;
            // Whoever came meanwhile may have seen less than the head.
            let idle = self.listeners().open.is_empty();
            return Ok(if idle { (head, false) } else { (after, true) });
        }
        let posted = self.0.store.posted(None, after, PAGE).await?;
        let last = posted.last().map_or(after, |last| last.seq);
        let more = posted.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
        let mut listeners = self.listeners();
        for notice in posted {
            listeners.hand(notice);
        }
        Ok((last, more))
    }
}

impl Listeners {
    fn add(&mut self, listener: Listener) -> Result<u64, NoListening> {
        let own = listener.audience.own;
        if self.closed {
            return Err(NoListening::Closed);
        }
        if self.open.len() >= LISTENERS {
            return Err(NoListening::Full);
        }
        if self.by_recipient.get(&own).is_some_and(|ids| ids.len() >= LISTENERS_EACH) {
            return Err(NoListening::FullForReader);
        }
        self.next = self.next.wrapping_add(1);
        for recipient in listener.audience.groups.iter().chain([&own]) {
            self.by_recipient.entry(*recipient).or_default().push(self.next);
        }
        self.open.insert(self.next, listener);
        Ok(self.next)
    }

    fn remove(&mut self, id: u64) {
        let Some(listener) = self.open.remove(&id) else { return };
        for recipient in listener.audience.groups.iter().chain([&listener.audience.own]) {
            if let Some(ids) = self.by_recipient.get_mut(recipient) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.by_recipient.remove(recipient);
                }
            }
        }
    }

    fn hand(&mut self, notice: Posted) {
        let Some(ids) = self.by_recipient.get(&notice.recipient) else { return };
        let notice = Arc::new(notice);
        let mut slow = Vec::new();
        for id in ids {
            let Some(listener) = self.open.get(id) else { continue };
            if listener.audience.sees(&notice) && listener.way.try_send(Arc::clone(&notice)).is_err() {
                slow.push(*id);
            }
        }
        for id in slow {
            self.remove(id);
        }
    }
}

/// Reads the store for a [`Hub`]. It takes no messages.
///
/// Gauges: `listeners`, `failures`.
pub struct HubActor {
    hub: Hub,
    probe: Probe,
}

impl HubActor {
    /// The actor of `hub`.
    #[must_use]
    pub fn new(hub: Hub, probe: &Probe) -> Self {
        Self { hub, probe: probe.clone() }
    }
}

impl Actor for HubActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(read(self.hub.clone(), self.probe.clone()).into_actor(self));
    }
}

impl Lifecycle for HubActor {}

async fn read(hub: Hub, probe: Probe) {
    let (listeners, failures) = (probe.gauge("listeners"), probe.gauge("failures"));
    let mut place = None;
    loop {
        let count = hub.count();
        listeners.set_len(count);
        let brought = async {
            match place {
                Some(after) => hub.bring(after).await,
                None => hub.begin().await,
            }
        };
        let more = match timeout(WITHIN, brought).await {
            Ok(Ok((last, more))) => {
                place = Some(last);
                more
            }
            Ok(Err(error)) => {
                probe.note(&error);
                failures.add(1);
                false
            }
            Err(_) => {
                probe.note("the store did not answer in time");
                failures.add(1);
                false
            }
        };
        if !more {
            let pause = sleep(if count == 0 { IDLE } else { EVERY });
            tokio::select! {
                () = pause => {}
                () = hub.0.wake.notified() => {}
            }
        }
    }
}
