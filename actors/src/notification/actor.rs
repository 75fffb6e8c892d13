//! The supervised actor that writes notices, and its face towards the bus.

use std::{sync::Arc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, Message, WrapFuture};
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::{Hub, Notice, NotificationStore, NotificationStoreError, Readers, notices_of};
use crate::relay::{Consumer, DeliverError, Delivery};
use crate::runtime::{AskError, Gauge, Handle, Later, Lifecycle, Probe, later};

/// How long one write may take.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// How long the bus waits for the actor. Longer than a write.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);

/// Makes notices of events and writes them, one delivery after the other.
///
/// Gauges: `written` (new notices), `repeated` (those that were there already), `deliveries`.
pub struct NotificationActor {
    store: Arc<dyn NotificationStore>,
    hub: Hub,
    written: Gauge,
    repeated: Gauge,
    deliveries: Gauge,
    probe: Probe,
}

impl NotificationActor {
    /// An actor that writes to `store` and tells `hub` of it.
    #[must_use]
    pub fn new(store: Arc<dyn NotificationStore>, hub: Hub, probe: &Probe) -> Self {
        Self {
            store,
            hub,
            written: probe.gauge("written"),
            repeated: probe.gauge("repeated"),
            deliveries: probe.gauge("deliveries"),
            probe: probe.clone(),
        }
    }
}

impl Actor for NotificationActor {
    type Context = Context<Self>;
}

impl Lifecycle for NotificationActor {}

/// Write the notices of these batches for these readers. Answered when they are stored.
pub struct Write(pub Delivery, pub Readers);

impl Message for Write {
    type Result = Result<(), DeliverError>;
}

impl Handler<Write> for NotificationActor {
    type Result = Later<Result<(), DeliverError>>;

    fn handle(&mut self, Write(delivery, readers): Write, ctx: &mut Self::Context) -> Self::Result {
        let (answer, reply) = later();
        let theirs = |notice: &Notice| readers.include(notice.recipient);
        let notices: Vec<_> = delivery.iter().flat_map(notices_of).filter(theirs).collect();
        let again = delivery.iter().any(|batch| batch.again);
        let store = Arc::clone(&self.store);
        let (written, repeated) = (self.written.clone(), self.repeated.clone());
        let (hub, probe) = (self.hub.clone(), self.probe.clone());
        self.deliveries.add(1);
        let work = async move {
            if notices.is_empty() {
                return reply.send(Ok(()));
            }
            let all = u64::try_from(notices.len()).unwrap_or(u64::MAX);
            let outcome = match timeout(WRITE_WITHIN, store.put(&notices, again)).await {
                Ok(Ok(new)) => {
                    hub.wake();
                    written.add(new);
                    repeated.add(all.saturating_sub(new));
                    Ok(())
                }
                Ok(Err(NotificationStoreError::Unavailable(text))) => Err(DeliverError::Unavailable(text)),
                Ok(Err(NotificationStoreError::Refused(text))) => Err(DeliverError::Refused(text)),
                Err(_) => Err(DeliverError::Unavailable("no answer in time".to_owned())),
            };
            if let Err(error) = &outcome {
                probe.note(error);
            }
            reply.send(outcome);
        };
        ctx.wait(work.into_actor(self));
        answer
    }
}

/// The actor as a consumer of the bus.
pub struct Notifier(Handle<NotificationActor>, Readers);

impl Notifier {
    /// Hands deliveries to `actor`, for the notices of `readers`.
    #[must_use]
    pub const fn new(actor: Handle<NotificationActor>, readers: Readers) -> Self {
        Self(actor, readers)
    }
}

impl Consumer for Notifier {
    fn name(&self) -> &'static str {
        match self.1 {
            Readers::Everyone => "notifications",
            Readers::Customers => "user-notices",
            Readers::Administrators => "admin-notices",
        }
    }

    fn consume(&self, delivery: Delivery) -> BoxFuture<'_, Result<(), DeliverError>> {
        Box::pin(async move {
            match self.0.ask(Write(delivery, self.1), ANSWER_WITHIN).await {
                Ok(outcome) => outcome,
                Err(error @ (AskError::Full | AskError::Late | AskError::Down)) => {
                    Err(DeliverError::Unavailable(error.to_string()))
                }
                Err(error @ AskError::Unknown) => Err(DeliverError::Unknown(error.to_string())),
            }
        })
    }
}
