//! The supervised actor that writes notices, and its face towards the bus.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, Message, WrapFuture};
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::channel::{People, PeopleError};
use super::{Hub, Notice, NotificationStore, NotificationStoreError, Readers, Recipient, Rules, notices_of};
use crate::relay::{Consumer, DeliverError, Delivery};
use crate::runtime::{AskError, Gauge, Handle, Later, Lifecycle, Probe, later};

/// How long one write may take.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// How long the bus waits for the actor. Longer than a write.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);

/// What the notification actor works with.
#[derive(Clone)]
pub struct NotificationParts {
    /// Where notices are written.
    pub store: Arc<dyn NotificationStore>,
    /// Whose wishes are followed.
    pub people: Arc<dyn People>,
    /// What is told.
    pub rules: Rules,
    /// Told of what was written.
    pub hub: Hub,
}

impl NotificationParts {
    /// The notices of a delivery, as their receivers wish.
    async fn notices(&self, delivery: &Delivery, readers: Readers) -> Result<Vec<Notice>, PeopleError> {
        let make = |wishes: &HashMap<_, _>| -> Vec<_> {
            let notices = delivery.iter().flat_map(|batch| notices_of(batch, &self.rules, wishes));
            notices.filter(|notice| readers.include(notice.recipient)).collect()
        };
        let usual = make(&HashMap::new());
        let mut people: Vec<_> = usual
            .iter()
            .filter_map(|notice| match notice.recipient {
                Recipient::User(user) => Some(user),
                _ => None,
            })
            .collect();
        people.sort_unstable();
        people.dedup();
        if people.is_empty() {
            return Ok(usual);
        }
        let wishes = self.people.wishes(&people).await?;
        Ok(if wishes.is_empty() { usual } else { make(&wishes) })
    }

    async fn write(
        &self,
        delivery: &Delivery,
        readers: Readers,
        again: bool,
    ) -> Result<(u64, u64), DeliverError> {
        let notices = self
            .notices(delivery, readers)
            .await
            .map_err(|error| DeliverError::Unavailable(error.to_string()))?;
        if notices.is_empty() {
            return Ok((0, 0));
        }
        let new = self.store.put(&notices, again).await.map_err(|error| match error {
            NotificationStoreError::Unavailable(text) => DeliverError::Unavailable(text),
            NotificationStoreError::Refused(text) => DeliverError::Refused(text),
        })?;
        self.hub.wake();
        Ok((new, u64::try_from(notices.len()).unwrap_or(u64::MAX).saturating_sub(new)))
    }
}

/// Makes notices of events and writes them, one delivery after the other.
///
/// Gauges: `written` (new notices), `repeated` (those that were there already), `deliveries`.
pub struct NotificationActor {
    parts: NotificationParts,
    written: Gauge,
    repeated: Gauge,
    deliveries: Gauge,
    probe: Probe,
}

impl NotificationActor {
    /// An actor of these parts.
    #[must_use]
    pub fn new(parts: NotificationParts, probe: &Probe) -> Self {
        Self {
            parts,
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
        let again = delivery.iter().any(|batch| batch.again);
        let parts = self.parts.clone();
        let (written, repeated) = (self.written.clone(), self.repeated.clone());
        let probe = self.probe.clone();
        self.deliveries.add(1);
        let work = async move {
            let outcome = match timeout(WRITE_WITHIN, parts.write(&delivery, readers, again)).await {
                Ok(Ok((new, known))) => {
                    written.add(new);
                    repeated.add(known);
                    Ok(())
                }
                Ok(Err(error)) => Err(error),
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
