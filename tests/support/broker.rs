//! Exchanges and queues of its own for one test, on the broker of `GENCHARGE_TEST_AMQP_URL`; without that setting, tests
//! of the broker say so and do nothing.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gencharge::config::Secret;
use gencharge::platform::bus::rabbit::{Rabbit, Topology};
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

use super::eventually;

const URL: &str = "GENCHARGE_TEST_AMQP_URL";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The names of one test.
pub struct Broker {
    pub url: String,
    pub prefix: String,
    pub topology: Topology,
}

impl Broker {
    /// Names for this test, if there is a broker.
    pub fn of_test() -> Option<Broker> {
        let Ok(url) = std::env::var(URL) else {
            eprintln!("skipped: {URL} is not set (amqp://guest:guest@127.0.0.1:5672/%2f)");
            return None;
        };
        Some(Self::at(url))
    }

    /// Names at this broker.
    pub fn at(url: String) -> Broker {
        let prefix = format!("gct.{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let topology = Topology::new(&prefix);
        Broker { url, prefix, topology }
    }

    /// The settings of an application that uses them.
    pub fn settings(&self) -> [(&str, &str); 2] {
        [("AMQP_URL", &self.url), ("GENCHARGE_AMQP_PREFIX", &self.prefix)]
    }

    pub fn rabbit(&self) -> Rabbit {
        Rabbit::new(&Secret::new(&self.url), &self.prefix).unwrap()
    }

    /// A client of one's own, with everything declared.
    pub async fn client(&self) -> Client {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        self.topology.declare(&channel).await.unwrap();
        Client { channel, _connection: connection }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let (url, topology) = (self.url.clone(), self.topology.clone());
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(remove(&url, &topology));
        });
        let _ = removed.join();
    }
}

async fn remove(url: &str, topology: &Topology) {
    let Ok(connection) = Connection::connect(url, ConnectionProperties::default()).await else { return };
    let Ok(channel) = connection.create_channel().await else { return };
    for queue in topology.queue_names() {
        let _ = channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
    }
    for partner in ["acme", "guest"] {
        let queue = topology.results_of(partner).unwrap();
        let _ = channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
    }
    for exchange in topology.exchange_names() {
        let _ = channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await;
    }
    let _ = connection.close(200, "done".into()).await;
}

/// A producer and reader of queues that knows nothing of the application.
pub struct Client {
    pub channel: Channel,
    _connection: Connection,
}

impl Client {
    /// Publishes as the broker's user, and waits for the confirm.
    pub async fn publish(&self, exchange: &str, key: &str, properties: BasicProperties, body: &[u8]) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent = self.channel.basic_publish(exchange.into(), key.into(), options, body, properties).await;
        let confirm = sent.unwrap().await.unwrap();
        assert!(confirm.is_ack() && confirm.take_message().is_none(), "the message was not taken");
    }

    /// Messages that wait in a queue.
    pub async fn depth(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions::default().passive();
        self.channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await
            .unwrap()
            .message_count()
    }

    /// The next message of a queue, taken off it.
    pub async fn get(&self, queue: &str) -> BasicGetMessage {
        eventually(&format!("a message in {queue}"), Duration::from_secs(20), async || {
            let message = self.channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap()?;
            message.delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
            Some(message)
        })
        .await
    }
}
