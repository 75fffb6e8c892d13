//! How events get from the outbox to their consumers: inside the process, or through the broker.

use std::sync::Arc;

use gencharge_actors::messages::CommandHandler;
use gencharge_actors::notification::{NotificationActor, Notifier, Readers};
use gencharge_actors::relay::{
    Bus, Consumer, LocalBus, OutboxSignal, Pace, Relay, RelayActor, RelaySettings,
};
use gencharge_actors::runtime::{Handle, Probe, Spec, Stage, StartError, TaskActor, Universe};
use sqlx::PgPool;

use super::Parts;
use super::stores::Stores;
use crate::messages::PgArchive;
use crate::platform::bus::outbox::PgOutbox;
use crate::platform::bus::rabbit::{CommandFeed, EventFeed, EventQueue, ParkingFeed, Rabbit, RabbitBus};

/// The relay's bus, for each of its lives.
type BusFactory = Box<dyn Fn(&Probe) -> Arc<dyn Bus> + Send>;

/// Who consumes events. Without a broker each gets everything; with one, what its queue is bound to.
pub(super) struct Consumers {
    /// Writes notices.
    pub notifications: Handle<NotificationActor>,
    /// Writes the audit log.
    pub audit: Arc<dyn Consumer>,
}

impl Consumers {
    fn notifier(&self, readers: Readers) -> Arc<dyn Consumer> {
        Arc::new(Notifier::new(self.notifications.clone(), readers))
    }

    fn in_process(&self) -> Vec<Arc<dyn Consumer>> {
        vec![self.notifier(Readers::Everyone), Arc::clone(&self.audit)]
    }

    fn by_queue(&self) -> Vec<(EventQueue, Arc<dyn Consumer>)> {
        vec![
            (EventQueue::UserNotices, self.notifier(Readers::Customers)),
            (EventQueue::AdminNotices, self.notifier(Readers::Administrators)),
            (EventQueue::Audit, Arc::clone(&self.audit)),
        ]
    }
}

/// Starts the relay and, with a broker, the feeds of its queues.
pub(super) fn start(
    universe: &Universe,
    parts: &Parts,
    stores: &Stores,
    (pool, signal): (&PgPool, &OutboxSignal),
    consumers: &Consumers,
) -> Result<(), StartError> {
    let bus: BusFactory = if let Some(rabbit) = stores.rabbit.clone() {
        start_feeds(universe, parts, &rabbit, consumers)?;
        start_parking(universe, parts, &rabbit)?;
        Box::new(move |probe| Arc::new(RabbitBus::new(rabbit.clone(), probe)))
    } else {
        let bus = Arc::new(LocalBus::new(consumers.in_process()));
        Box::new(move |_| Arc::<LocalBus>::clone(&bus))
    };
    let (pool, signal, clock) = (pool.clone(), signal.clone(), Arc::clone(&parts.clock));
    universe.supervise(Spec::new("relay").stage(Stage::Outflow), move |probe| {
        let outbox = PgOutbox::new(pool.clone());
        let relay = Relay::new(Arc::new(outbox), bus(probe), Arc::clone(&clock), RelaySettings::default());
        RelayActor::new(relay, signal.clone(), Pace::default(), probe)
    })?;
    Ok(())
}

/// One actor for each queue of events.
fn start_feeds(
    universe: &Universe,
    parts: &Parts,
    rabbit: &Rabbit,
    consumers: &Consumers,
) -> Result<(), StartError> {
    for (queue, consumer) in consumers.by_queue() {
        let (rabbit, clock) = (rabbit.clone(), Arc::clone(&parts.clock));
        let name = format!("consumer-{}", queue.word());
        universe.supervise(Spec::new(name).stage(Stage::Intake), move |probe| {
            let feed =
                EventFeed::new(rabbit.clone(), queue, Arc::clone(&consumer), Arc::clone(&clock), probe);
            TaskActor::new(|ending| feed.run(ending))
        })?;
    }
    Ok(())
}

/// The actor that takes partners' commands from their queue.
pub(super) fn start_commands(
    universe: &Universe,
    parts: &Parts,
    rabbit: &Rabbit,
    handler: &Arc<dyn CommandHandler>,
) -> Result<(), StartError> {
    let (rabbit, handler, clock) = (rabbit.clone(), Arc::clone(handler), Arc::clone(&parts.clock));
    universe.supervise(Spec::new("consumer-commands").stage(Stage::Intake), move |probe| {
        let feed = CommandFeed::new(rabbit.clone(), Arc::clone(&handler), Arc::clone(&clock), probe);
        TaskActor::new(|ending| feed.run(ending))
    })?;
    Ok(())
}

/// Keeps what is set aside where administrators find it.
fn start_parking(universe: &Universe, parts: &Parts, rabbit: &Rabbit) -> Result<(), StartError> {
    let (rabbit, clock) = (rabbit.clone(), Arc::clone(&parts.clock));
    let archive = PgArchive::new(parts.pool.clone());
    universe.supervise(Spec::new("parking").stage(Stage::Intake), move |probe| {
        let feed = ParkingFeed::new(rabbit.clone(), Arc::new(archive.clone()), Arc::clone(&clock), probe);
        TaskActor::new(|ending| feed.run(ending))
    })?;
    Ok(())
}
