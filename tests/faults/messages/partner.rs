//! The partner's side: it publishes until the broker has confirmed everything, and reads its answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::world::PATIENCE;
use crate::faults::client::Customer;
use crate::support::eventually_every;

/// Events of one customer's number: fewer than may be queued.
pub const EACH: usize = 10;
/// Published before the confirms are waited for.
const WINDOW: usize = 500;
/// How long the broker may take for one of these.
const ANSWER: Duration = Duration::from_secs(20);

/// A channel with confirms, as soon as the broker is there.
pub async fn channel(url: &str) -> (Connection, Channel) {
    eventually_every(Duration::from_millis(200), "a channel", PATIENCE, async || {
        let opened = async {
            let connection = Connection::connect(url, ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok::<_, lapin::Error>((connection, channel))
        };
        timeout(ANSWER, opened).await.ok()?.ok()
    })
    .await
}

fn event(number: usize, phone: &str) -> Vec<u8> {
    json!({
        "specversion": "1.0", "id": format!("e-{number}"), "source": "/test",
        "type": "gencharge.recharge.requested.v1", "data": { "phone_number": phone, "plan_id": 1 },
    })
    .to_string()
    .into_bytes()
}

/// Publishes every event, every twentieth twice, and each again until the broker has confirmed it.
pub async fn publish(url: &str, customers: &[Customer], events: usize, confirmed: &AtomicUsize) {
    let mut waiting: VecDeque<usize> = (0..events)
        .flat_map(|number| std::iter::repeat_n(number, 1 + usize::from(number % 20 == 0)))
        .collect();
    while !waiting.is_empty() {
        let (_connection, channel) = channel(url).await;
        while !waiting.is_empty() {
            let window: Vec<usize> = waiting.drain(..waiting.len().min(WINDOW)).collect();
            let sent = join_all(window.iter().map(|&number| {
                let body = event(number, &customers[number / EACH].phone);
                publish_one(&channel, body)
            }));
            // Whatever is not known to be taken is sent again: it has the same id.
            let sent = timeout(ANSWER, sent).await.unwrap_or_default();
            let taken = |place: usize| sent.get(place).copied().unwrap_or(false);
            let lost: Vec<usize> =
                (0..).zip(&window).filter(|(place, _)| !taken(*place)).map(|(_, number)| *number).collect();
            confirmed.fetch_add(window.len() - lost.len(), Ordering::Relaxed);
            let whole = lost.is_empty();
            waiting.extend(lost);
            if !whole {
                break;
            }
        }
    }
}

/// Whether the broker has it.
async fn publish_one(channel: &Channel, body: Vec<u8>) -> bool {
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/cloudevents+json".into())
        .with_user_id("guest".into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (exchange, key) = ("gencharge.commands".into(), "recharge.requested".into());
    let Ok(confirm) = channel.basic_publish(exchange, key, options, &body, properties).await else {
        return false;
    };
    confirm.await.is_ok_and(|confirm| confirm.is_ack() && confirm.take_message().is_none())
}

/// Messages that wait in a queue.
pub async fn depth(channel: &Channel, queue: &str) -> usize {
    let options = QueueDeclareOptions::default().passive();
    let queue = channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
    usize::try_from(queue.message_count()).unwrap()
}

/// Reads the partner's queue until every event has its answer and the queue is empty. Gives the answers to each request, by
/// the answer's own id: one that came twice is one.
pub async fn answers(url: &str, events: usize) -> BTreeMap<String, BTreeSet<(String, String)>> {
    let (_connection, channel) = channel(url).await;
    channel.basic_qos(1_000, BasicQosOptions::default()).await.unwrap();
    let queue = "gencharge.results.guest";
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = channel.basic_consume(queue.into(), "".into(), options, arguments).await.unwrap();
    let mut all: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    loop {
        if all.len() >= events && depth(&channel, queue).await == 0 {
            return all;
        }
        let Ok(more) = timeout(PATIENCE, consumer.next()).await else {
            let waiting = depth(&channel, queue).await;
            panic!("{} of {events} events have an answer, {waiting} answers do not come", all.len());
        };
        let message = more.unwrap().unwrap();
        let answer: Value = serde_json::from_slice(&message.data).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let outcome = (text(&answer["id"]), text(&answer["type"]));
        all.entry(text(&answer["data"]["request"]["id"])).or_default().insert(outcome);
        message.acker.ack(BasicAckOptions::default()).await.unwrap();
    }
}
