//! With a broker and without one the same orders make the same events and tell everybody the same.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use gencharge_actors::events::CloudEvent;
use gencharge_actors::kernel::{Clock as _, EventId, Random as _, SeededRandom, SystemClock, TxnId};
use gencharge_actors::relay::{Batch, OutboxEvent, envelopes};
use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::support::app::{TestApp, with_settings};
use crate::support::broker::{Broker, Client};
use crate::support::eventually;
use crate::support::money::{ASHA, RAVI, SUBSCRIBE, TOP_UP, recharge, with};

const PATIENCE: Duration = Duration::from_secs(60);
const ADMIN: &str = "9000000001";
const ORDERS: u64 = 60;
const SEED: u64 = 3;
/// A queue for everything that goes to the consumers.
const TAP: &str = "tap";

/// What a run of the orders left behind.
#[derive(Debug, PartialEq)]
struct Story {
    answers: Vec<String>,
    events: Vec<Value>,
    notices: Vec<(&'static str, Vec<Value>)>,
}

/// The next order of a series: where to, and what.
fn order(random: &SeededRandom) -> (&'static str, &'static str, Value) {
    let people = [(ASHA, RAVI), (RAVI, ASHA)];
    let (own, other) = people[usize::try_from(random.below(2)).unwrap()];
    let amount = format!("{}.50", 100 + random.below(900));
    let plan = i64::try_from(1 + random.below(12)).unwrap();
    let (path, body) = match random.below(6) {
        0 | 1 => (TOP_UP, json!({ "amount": amount, "payment_method": "UPI" })),
        2 => (TOP_UP, json!({ "amount": amount, "payment_method": "Wallet", "phone_number": other })),
        3 => (SUBSCRIBE, recharge(other, plan)),
        4 => (SUBSCRIBE, with(recharge(own, plan), json!({ "activation_mode": "activate" }))),
        _ => (SUBSCRIBE, recharge(own, plan)),
    };
    (own, path, body)
}

/// The series of orders, from the same moment on, a second apart.
async fn play(app: &TestApp, begin: DateTime<Utc>, tap: Option<&Client>) -> Story {
    app.clock.advance(begin - app.clock.now());
    let mut tokens = HashMap::new();
    for phone in [ASHA, RAVI, ADMIN] {
        tokens.insert(phone, app.sign_in(phone).await.access);
    }
    let random = SeededRandom::new(SEED);
    let mut answers = Vec::new();
    for number in 0..ORDERS {
        app.clock.advance(TimeDelta::seconds(1));
        let (who, path, body) = order(&random);
        let answer = app.order(path, &tokens[who], &format!("order-{number}"), &body).await;
        answers.push(format!("{path} {} {}", answer.status, answer.json["code"]));
    }
    app.delivered(PATIENCE).await;
    let written = written(app).await;
    if let Some(client) = tap {
        let heard = heard(client, written.len()).await;
        assert_eq!(heard, written.iter().map(ToString::to_string).collect(), "written is not what was heard");
    }
    let mut names = Names::default();
    let events = told(written, &mut names);
    let mut notices = Vec::new();
    for phone in [ASHA, RAVI, ADMIN] {
        notices.push((phone, told(quiet(app, &tokens[phone]).await, &mut Names::default())));
    }
    Story { answers, events, notices }
}

/// The outbox's events as the bus tells them.
async fn written(app: &TestApp) -> Vec<Value> {
    let sql = "SELECT batch_id, b.created_at, event_id, type, txn_id, data, addressee
               FROM outbox_batches b JOIN outbox_events e USING (batch_id) ORDER BY batch_id, event_id";
    let mut batches: Vec<Batch> = Vec::new();
    for row in sqlx::query(sql).fetch_all(&app.pool).await.unwrap() {
        let batch_id = row.get(0);
        if batches.last().is_none_or(|batch| batch.batch_id != batch_id) {
            batches.push(Batch { batch_id, created_at: row.get(1), attempts: 1, events: Vec::new() });
        }
        batches.last_mut().unwrap().events.push(OutboxEvent {
            event_id: EventId(row.get(2)),
            type_name: row.get(3),
            txn_id: row.get::<Option<i64>, _>(4).map(TxnId),
            data: row.get(5),
            addressee: row.get(6),
        });
    }
    let all: Vec<CloudEvent> = batches.iter().flat_map(|batch| envelopes(batch).unwrap()).collect();
    all.iter().map(|event| serde_json::to_value(event).unwrap()).collect()
}

/// What went to the consumers through the broker; an event that came twice is one.
async fn heard(client: &Client, events: usize) -> BTreeSet<String> {
    let mut heard = BTreeSet::new();
    eventually("every event at the broker", PATIENCE, async || {
        while let Some(message) =
            client.channel.basic_get(TAP.into(), BasicGetOptions { no_ack: true }).await.unwrap()
        {
            let event: Value = serde_json::from_slice(&message.delivery.data).unwrap();
            heard.insert(event.to_string());
        }
        (heard.len() >= events).then_some(())
    })
    .await;
    heard
}

/// Someone's notices, once no more come: every consumer has then had everything.
async fn quiet(app: &TestApp, token: &str) -> Vec<Value> {
    let mut before = Vec::new();
    let mut same = 0;
    eventually("the last notice", PATIENCE, async || {
        let list = app.get("/notification/my?limit=0", token).await.ok().as_array().unwrap().clone();
        same = if list == before { same + 1 } else { 0 };
        before = list;
        (same == 50).then(|| before.clone())
    })
    .await
}

/// In the order of their times, with names of their own for what has a number from a sequence, which processes draw in
/// blocks, and for sessions, whose names are random.
fn told(mut all: Vec<Value>, names: &mut Names) -> Vec<Value> {
    let moment = |value: &Value| {
        let at = value.get("time").or_else(|| value.get("created_at"));
        at.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let word = |value: &Value| format!("{}{}", value["type"], value["description"]);
    all.sort_by_cached_key(|value| (moment(value), word(value)));
    for value in &mut all {
        names.give(value);
    }
    all
}

/// Names in the order of appearance.
#[derive(Default)]
struct Names(HashMap<String, usize>);

impl Names {
    const NUMBERED: [&str; 9] = [
        "id",
        "_id",
        "notification_id",
        "batchid",
        "batchfirst",
        "batchlast",
        "txn_id",
        "subscription_id",
        "subject",
    ];

    fn give(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let session = value.as_str().is_some_and(|text| text.starts_with("session/"));
                    if session || Self::NUMBERED.contains(&name.as_str()) && !value.is_null() {
                        let next = self.0.len();
                        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        *value = json!(format!("no {}", self.0.entry(text).or_insert(next)));
                    } else {
                        self.give(value);
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.give(value)),
            _ => {}
        }
    }
}

#[test]
fn the_same_orders_make_the_same_events_and_notices_with_a_broker_and_without() {
    let Some(broker) = Broker::of_test() else { return };
    // A whole minute ahead, so that both runs can begin at it.
    let begin = (SystemClock.now() + TimeDelta::minutes(10)).with_nanosecond(0).unwrap();
    let ttl = ("GENCHARGE_ACCESS_TOKEN_TTL", "10h");
    let mut stories = Vec::new();
    with_settings(&[ttl], async |app| stories.push(play(app, begin, None).await));
    let [url, prefix] = broker.settings();
    with_settings(&[ttl, url, prefix], async |app| {
        let client = broker.client().await;
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        client.channel.queue_declare(TAP.into(), options, FieldTable::default()).await.unwrap();
        let (bind, events) = (QueueBindOptions::default(), broker.topology.events().into());
        client.channel.queue_bind(TAP.into(), events, "#".into(), bind, FieldTable::default()).await.unwrap();
        stories.push(play(app, begin, Some(&client)).await);
    });
    let [alone, with_broker] = stories.try_into().unwrap();
    assert_eq!(alone.answers, with_broker.answers);
    assert_eq!(alone.events, with_broker.events);
    assert_eq!(alone.notices, with_broker.notices);
    // Of a series that did nothing all this would say nothing.
    let kinds: BTreeSet<_> = alone.events.iter().map(|event| event["type"].to_string()).collect();
    assert!(kinds.len() >= 4, "{kinds:?}");
    assert!(alone.answers.iter().any(|answer| answer.contains(" 400 ")), "{:?}", alone.answers);
    assert!(alone.notices.iter().all(|(_, notices)| notices.len() > 5));
}
