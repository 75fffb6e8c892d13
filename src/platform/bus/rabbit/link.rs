//! Connections to the broker: one for each actor that needs it, made anew by that actor when it is lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use lapin::message::BasicReturnMessage;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, PublisherConfirm,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::topology::{Topology, short};
use crate::config::Secret;

/// How long connecting and declaring may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the broker may take to confirm what was published together. Shorter than a delivery of the relay.
const CONFIRM_WITHIN: Duration = Duration::from_secs(10);
/// How long a queue that was just made is left alone: RabbitMQ confirms messages in it at once, but writes down that there is
/// such a queue up to a second later (`ra_directory`, `auto_save`), and one that is killed before that comes back with an
/// empty queue of this name that gets no leader.
pub const SETTLE: Duration = Duration::from_secs(2);
/// How long an orderly close may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// A connection without a sign for twice as long is lost.
const HEARTBEAT_SECONDS: u16 = 10;

/// The broker is away or did not do it. Nothing is known of what was under way.
#[derive(Clone, Debug, thiserror::Error)]
#[error("broker: {0}")]
pub struct LinkError(String);

impl LinkError {
    /// With what is known of it; no secrets.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<lapin::Error> for LinkError {
    fn from(error: lapin::Error) -> Self {
        Self(error.to_string())
    }
}

/// The broker's address and the names on it. Clones know the same connections.
#[derive(Clone)]
pub struct Rabbit(Arc<Inner>);

struct Inner {
    uri: AMQPUri,
    topology: Topology,
    /// Who has a connection, and who should have one.
    links: Mutex<BTreeMap<&'static str, bool>>,
}

impl Rabbit {
    /// The broker at `url`; everything on it is named with `prefix`.
    ///
    /// # Errors
    /// The address cannot be read; says why without showing it.
    pub fn new(url: &Secret, prefix: &str) -> Result<Self, String> {
        let mut uri: AMQPUri = url.expose().parse()?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Ok(Self(Arc::new(Inner { uri, topology: Topology::new(prefix), links: Mutex::default() })))
    }

    /// The names.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.0.topology
    }

    /// The user that this process is to the broker.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.0.uri.authority.userinfo.username
    }

    /// Whether everyone who needs a connection has one.
    #[must_use]
    pub fn reachable(&self) -> bool {
        let links = self.0.links.lock().unwrap_or_else(PoisonError::into_inner);
        !links.is_empty() && links.values().all(|up| *up)
    }

    fn note(&self, name: &'static str, up: bool) {
        self.0.links.lock().unwrap_or_else(PoisonError::into_inner).insert(name, up);
    }

    /// A connection for `name`, who needs one all the time, with everything declared.
    ///
    /// # Errors
    /// [`LinkError`]; until the next success `name` counts as without a connection.
    pub async fn connect(&self, name: &'static str) -> Result<Link, LinkError> {
        self.note(name, false);
        let (connection, side) = self.open(name).await?;
        self.note(name, true);
        Ok(Link { rabbit: self.clone(), keeper: Some(name), connection, side })
    }

    /// A connection for one piece of work, with everything declared.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn visit(&self, name: &'static str) -> Result<Link, LinkError> {
        let (connection, side) = self.open(name).await?;
        Ok(Link { rabbit: self.clone(), keeper: None, connection, side })
    }

    async fn open(&self, name: &'static str) -> Result<(Connection, Channel), LinkError> {
        let opened = async {
            let properties =
                ConnectionProperties::default().with_connection_name(format!("gencharge {name}").into());
            let connection = Connection::connect_uri(self.0.uri.clone(), properties).await?;
            let side = connection.create_channel().await?;
            self.topology().declare(&side).await?;
            Ok((connection, side))
        };
        timeout(CONNECT_WITHIN, opened).await.map_err(|_| LinkError::new("no connection in time"))?
    }

    /// Makes a partner's queue of results, if it is missing. It may be used when this has returned ([`SETTLE`]).
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn make_results(&self, partner: &str) -> Result<(), LinkError> {
        let link = self.visit("partners").await?;
        link.declare_results(partner).await?;
        link.close().await;
        sleep(SETTLE).await;
        Ok(())
    }
}

/// One connection.
pub struct Link {
    rabbit: Rabbit,
    /// Who counts as connected by it.
    keeper: Option<&'static str>,
    connection: Connection,
    /// For declarations and looks at queues.
    side: Channel,
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper {
            self.rabbit.note(keeper, false);
        }
    }
}

impl Link {
    /// A channel whose messages are confirmed.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn publisher(&self) -> Result<Publisher, LinkError> {
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Publisher { channel })
    }

    /// The messages of `queue`, at most `prefetch` of them not settled.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn consume(&self, queue: &str, prefetch: u16) -> Result<(Channel, Consumer), LinkError> {
        let channel = self.connection.create_channel().await?;
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(short(queue)?, short("")?, options, arguments).await?;
        Ok((channel, consumer))
    }

    /// Messages of `queue` that wait and are with nobody.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn depth(&self, queue: &str) -> Result<u64, LinkError> {
        let options = QueueDeclareOptions::default().passive();
        let queue = self.side.queue_declare(short(queue)?, options, FieldTable::default()).await?;
        Ok(queue.message_count().into())
    }

    /// Makes a partner's queue, if it is missing.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn declare_results(&self, partner: &str) -> Result<(), LinkError> {
        self.rabbit.topology().declare_results(&self.side, partner).await
    }

    /// Ends it in order; what was not settled goes back to its queue.
    pub async fn close(self) {
        let Ok(reason) = short("done") else { return };
        // Lost already, or too slow: dropping it ends it as well.
        let _ = timeout(CLOSE_WITHIN, self.connection.close(200, reason)).await;
    }
}

/// A message to be published.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// To which exchange; empty: straight to the queue named by the key.
    pub exchange: String,
    /// Where to.
    pub key: String,
    /// Its properties.
    pub properties: BasicProperties,
    /// Its body.
    pub body: Vec<u8>,
}

/// What the broker did with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on disk in every queue that it belongs to.
    Confirmed,
    /// No queue takes it.
    Unroutable,
    /// A queue is full.
    Refused,
    /// Nothing is known: the broker did not say in time.
    Silent,
}

/// A channel whose messages are confirmed.
pub struct Publisher {
    channel: Channel,
}

impl Publisher {
    /// Publishes all of `messages` before it waits for the first confirm. A message that is not confirmed in time is
    /// [`Fate::Silent`]: a queue may have no leader while the others go on.
    ///
    /// # Errors
    /// The connection was lost: each message may have been taken or not.
    pub async fn publish(&self, messages: &[Outgoing]) -> Result<Vec<Fate>, LinkError> {
        let until = Instant::now() + CONFIRM_WITHIN;
        let Ok(confirms) = timeout_at(until, self.publish_all(messages)).await else {
            return Ok(vec![Fate::Silent; messages.len()]);
        };
        let fates = confirms?.into_iter().map(|confirm| async move {
            match timeout_at(until, confirm).await {
                Ok(confirm) => fate(&confirm?),
                Err(_) => Ok(Fate::Silent),
            }
        });
        join_all(fates).await.into_iter().collect()
    }

    async fn publish_all(&self, messages: &[Outgoing]) -> Result<Vec<PublisherConfirm>, LinkError> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent = join_all(messages.iter().map(|message| async move {
            let (exchange, key) = (short(&message.exchange)?, short(&message.key)?);
            let properties = message.properties.clone();
            Ok::<_, LinkError>(
                self.channel.basic_publish(exchange, key, options, &message.body, properties).await?,
            )
        }))
        .await;
        sent.into_iter().collect()
    }
}

fn fate(confirm: &Confirmation) -> Result<Fate, LinkError> {
    match confirm {
        Confirmation::Ack(None) => Ok(Fate::Confirmed),
        Confirmation::Ack(Some(returned)) if unroutable(returned) => Ok(Fate::Unroutable),
        Confirmation::Ack(Some(_)) | Confirmation::Nack(_) => Ok(Fate::Refused),
        Confirmation::NotRequested => Err(LinkError::new("the channel does not confirm")),
    }
}

fn unroutable(returned: &BasicReturnMessage) -> bool {
    const NO_ROUTE: u16 = 312;
    returned.reply_code == NO_ROUTE
}
