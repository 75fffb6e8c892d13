//! Exchanges, queues and bindings: the one description that the application declares and `rabbitmq/definitions.json`
//! repeats (a test compares them).

use std::sync::Arc;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Channel, ExchangeKind};
use serde_json::{Map, Value, json};

use super::link::LinkError;

/// Times that the broker gives out a message anew after a consumer vanished with it; then it is parked.
const DELIVERY_LIMIT: i64 = 50;
/// Bytes that may wait in a queue; beyond that publishers are refused, and keep what they have.
const QUEUE_BYTES: i64 = 2 << 30;
/// Results that wait for a partner who does not fetch them; the oldest give way.
const RESULTS: i64 = 1_000_000;

/// Where a copy of every event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventQueue {
    /// What customers are told.
    UserNotices,
    /// What administrators are told.
    AdminNotices,
    /// The audit log.
    Audit,
}

impl EventQueue {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::UserNotices, Self::AdminNotices, Self::Audit];

    /// The last part of its name, and of its consumer's.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::UserNotices => "user-notices",
            Self::AdminNotices => "admin-notices",
            Self::Audit => "audit",
        }
    }

    /// Which events: a pattern over their types.
    const fn pattern(self) -> &'static str {
        match self {
            Self::UserNotices | Self::AdminNotices => "#",
            Self::Audit => "gencharge.audit.#",
        }
    }
}

/// How long a message waits before it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// A second.
    Short,
    /// Ten seconds.
    Middle,
    /// A minute.
    Long,
}

impl Delay {
    const ALL: [Self; 3] = [Self::Short, Self::Middle, Self::Long];

    /// After so many failed tries.
    #[must_use]
    pub const fn after(tries: u32) -> Self {
        match tries {
            0..=2 => Self::Short,
            3..=5 => Self::Middle,
            _ => Self::Long,
        }
    }

    const fn seconds(self) -> i64 {
        match self {
            Self::Short => 1,
            Self::Middle => 10,
            Self::Long => 60,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Argument {
    Word(String),
    Number(i64),
}

struct Queue {
    name: String,
    arguments: Vec<(&'static str, Argument)>,
}

struct Binding {
    exchange: String,
    queue: String,
    key: String,
}

/// The names under one prefix, and how to make what they name.
#[derive(Clone, Debug)]
pub struct Topology {
    prefix: Arc<str>,
}

impl Topology {
    /// Everything is named `<prefix>.<...>`; at most 100 bytes, or names would become too long for the broker.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.chars().take(100).collect::<String>().into() }
    }

    /// Producers publish here; the queue of commands has the same name.
    #[must_use]
    pub fn commands(&self) -> String {
        self.name("commands")
    }

    /// The exchange of events, by their type.
    #[must_use]
    pub fn events(&self) -> String {
        self.name("events")
    }

    /// The exchange of results, by partner.
    #[must_use]
    pub fn results(&self) -> String {
        self.name("results")
    }

    /// Messages that nobody can take.
    #[must_use]
    pub fn parking(&self) -> String {
        self.name("parking")
    }

    /// One consumer's queue.
    #[must_use]
    pub fn event_queue(&self, queue: EventQueue) -> String {
        self.name(queue.word())
    }

    /// What is published here with a queue's name as the key comes to that queue after the delay.
    #[must_use]
    pub fn retry(&self, delay: Delay) -> String {
        self.name(&format!("retry.{}s", delay.seconds()))
    }

    /// A partner's queue. `None` when the name would be too long for the broker.
    #[must_use]
    pub fn results_of(&self, partner: &str) -> Option<String> {
        let name = format!("{}.{partner}", self.results());
        (name.len() <= 255).then_some(name)
    }

    fn name(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix)
    }

    fn exchanges(&self) -> Vec<(String, ExchangeKind)> {
        let mut all = vec![
            (self.commands(), ExchangeKind::Topic),
            (self.events(), ExchangeKind::Topic),
            (self.results(), ExchangeKind::Direct),
        ];
        all.extend(Delay::ALL.map(|delay| (self.retry(delay), ExchangeKind::Fanout)));
        all
    }

    fn queues(&self) -> Vec<Queue> {
        let mut all = vec![self.consumed(self.commands()), quorum(self.parking(), Vec::new())];
        all.extend(EventQueue::ALL.map(|queue| self.consumed(self.event_queue(queue))));
        all.extend(Delay::ALL.map(|delay| {
            let arguments = vec![
                ("x-message-ttl", Argument::Number(delay.seconds().saturating_mul(1000))),
                // The default exchange: by the message's own key, which is the queue that it came from.
                ("x-dead-letter-exchange", Argument::Word(String::new())),
                ("x-dead-letter-strategy", Argument::Word("at-least-once".to_owned())),
            ];
            quorum(self.retry(delay), arguments)
        }));
        all
    }

    /// A queue whose poison the broker itself parks, when it kills consumers too fast for them to say so.
    fn consumed(&self, name: String) -> Queue {
        let arguments = vec![
            ("x-delivery-limit", Argument::Number(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", Argument::Word(String::new())),
            ("x-dead-letter-routing-key", Argument::Word(self.parking())),
            ("x-dead-letter-strategy", Argument::Word("at-least-once".to_owned())),
        ];
        quorum(name, arguments)
    }

    fn bindings(&self) -> Vec<Binding> {
        let binding =
            |exchange: String, queue: String, key: &str| Binding { exchange, queue, key: key.to_owned() };
        let mut all = vec![binding(self.commands(), self.commands(), "#")];
        all.extend(
            EventQueue::ALL.map(|queue| binding(self.events(), self.event_queue(queue), queue.pattern())),
        );
        all.extend(Delay::ALL.map(|delay| binding(self.retry(delay), self.retry(delay), "")));
        all
    }

    /// Every queue that the application makes at its start.
    #[must_use]
    pub fn queue_names(&self) -> Vec<String> {
        self.queues().into_iter().map(|queue| queue.name).collect()
    }

    /// Every exchange.
    #[must_use]
    pub fn exchange_names(&self) -> Vec<String> {
        self.exchanges().into_iter().map(|(name, _)| name).collect()
    }

    /// Makes what is missing.
    ///
    /// # Errors
    /// The broker is away, forbids it, or has something of that name with other arguments.
    pub async fn declare(&self, channel: &Channel) -> Result<(), LinkError> {
        for (name, kind) in self.exchanges() {
            let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            channel.exchange_declare(short(&name)?, kind, options, FieldTable::default()).await?;
        }
        for queue in self.queues() {
            declare_queue(channel, &queue).await?;
        }
        for binding in self.bindings() {
            bind(channel, &binding).await?;
        }
        Ok(())
    }

    /// Makes a partner's queue of results, if it is missing.
    ///
    /// # Errors
    /// As [`Topology::declare`].
    pub async fn declare_results(&self, channel: &Channel, partner: &str) -> Result<(), LinkError> {
        let name =
            self.results_of(partner).ok_or_else(|| LinkError::new("the partner's name is too long"))?;
        let arguments = vec![
            ("x-queue-type", Argument::Word("quorum".to_owned())),
            ("x-max-length", Argument::Number(RESULTS)),
            ("x-overflow", Argument::Word("drop-head".to_owned())),
        ];
        declare_queue(channel, &Queue { name: name.clone(), arguments }).await?;
        bind(channel, &Binding { exchange: self.results(), queue: name, key: partner.to_owned() }).await
    }

    /// The same as a definitions file of RabbitMQ, without users and permissions.
    #[must_use]
    pub fn definitions(&self, vhost: &str) -> Value {
        let exchanges: Vec<_> = self
            .exchanges()
            .into_iter()
            .map(|(name, kind)| {
                json!({"name": name, "vhost": vhost, "type": word(&kind), "durable": true, "auto_delete": false,
                    "internal": false, "arguments": {}})
            })
            .collect();
        let queues: Vec<_> = self
            .queues()
            .into_iter()
            .map(|queue| {
                let arguments: Map<_, _> = queue
                    .arguments
                    .into_iter()
                    .map(|(name, value)| {
                        let value = match value {
                            Argument::Word(word) => Value::String(word),
                            Argument::Number(number) => Value::from(number),
                        };
                        (name.to_owned(), value)
                    })
                    .collect();
                json!({"name": queue.name, "vhost": vhost, "durable": true, "auto_delete": false,
                    "arguments": arguments})
            })
            .collect();
        let bindings: Vec<_> = self
            .bindings()
            .into_iter()
            .map(|binding| {
                json!({"source": binding.exchange, "vhost": vhost, "destination": binding.queue,
                    "destination_type": "queue", "routing_key": binding.key, "arguments": {}})
            })
            .collect();
        json!({"exchanges": exchanges, "queues": queues, "bindings": bindings})
    }
}

/// A replicated queue that refuses when it is full instead of dropping.
fn quorum(name: String, more: Vec<(&'static str, Argument)>) -> Queue {
    let mut arguments = vec![
        ("x-queue-type", Argument::Word("quorum".to_owned())),
        ("x-max-length-bytes", Argument::Number(QUEUE_BYTES)),
        ("x-overflow", Argument::Word("reject-publish".to_owned())),
    ];
    arguments.extend(more);
    Queue { name, arguments }
}

async fn declare_queue(channel: &Channel, queue: &Queue) -> Result<(), LinkError> {
    let mut table = FieldTable::default();
    for (name, value) in &queue.arguments {
        let value = match value {
            Argument::Word(word) => AMQPValue::LongString(LongString::from(word.as_str())),
            Argument::Number(number) => AMQPValue::LongLongInt(*number),
        };
        table.insert(short(name)?, value);
    }
    channel.queue_declare(short(&queue.name)?, QueueDeclareOptions::durable(), table).await?;
    Ok(())
}

async fn bind(channel: &Channel, binding: &Binding) -> Result<(), LinkError> {
    let (queue, exchange, key) = (short(&binding.queue)?, short(&binding.exchange)?, short(&binding.key)?);
    Ok(channel.queue_bind(queue, exchange, key, QueueBindOptions::default(), FieldTable::default()).await?)
}

const fn word(kind: &ExchangeKind) -> &'static str {
    match kind {
        ExchangeKind::Topic => "topic",
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Headers => "headers",
        ExchangeKind::Direct | ExchangeKind::Custom(_) => "direct",
    }
}

/// A name as the protocol wants it.
///
/// # Errors
/// It is longer than the protocol allows (255 bytes).
pub(super) fn short(text: &str) -> Result<ShortString, LinkError> {
    ShortString::try_new(text).map_err(|error| LinkError::new(error.to_string()))
}
