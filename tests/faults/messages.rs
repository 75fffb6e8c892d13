//! Recharges asked for by message, with duplicates, while the application and the broker are killed again and again: every
//! event has exactly one outcome, nothing is set aside, nothing is lost on the way out.
//!
//! `GENCHARGE_TEST_MESSAGES` sets how many events (3,000; 100,000 for the full size).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _};

use super::client::{Customer, customers};
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::folder::TempFolder;
use crate::support::money::{TOP_UP, verify_all};
use crate::support::own_broker::OwnBroker;
use crate::support::process::{Running, free_port, gencharge, healthy, succeed};

const PATIENCE: Duration = Duration::from_secs(120);
/// Events of one customer's number: fewer than may be queued.
const EACH: usize = 10;
/// Published before the confirms are waited for.
const WINDOW: usize = 500;

fn size() -> usize {
    std::env::var("GENCHARGE_TEST_MESSAGES").map_or(3_000, |text| text.parse().unwrap())
}

struct World {
    data: TempFolder,
    address: String,
    broker: OwnBroker,
    app: Option<Running>,
    customers: Vec<Customer>,
    http: reqwest::Client,
}

impl World {
    async fn new(events: usize) -> Option<World> {
        let broker = OwnBroker::start("messages-broker").await?;
        let data = TempFolder::new("messages");
        let tokens = data.path().join("tokens");
        let users = events.div_ceil(EACH).to_string();
        let seed =
            ["seed", "--load-users", &users, "--balance", "1000", "--tokens", tokens.to_str().unwrap()];
        succeed(gencharge(&data.path().join("data"), &["seed", "--demo"]));
        succeed(gencharge(&data.path().join("data"), &seed));
        let customers = customers(&std::fs::read_to_string(tokens).unwrap());
        let address = format!("127.0.0.1:{}", free_port());
        gencharge::platform::tls::use_ring();
        let http = reqwest::Client::new();
        let mut world = World { data, address, broker, app: None, customers, http };
        world.start().await;
        Some(world)
    }

    async fn start(&mut self) {
        let mut command = gencharge(&self.data.path().join("data"), &["serve"]);
        command
            .env("GENCHARGE_BIND", &self.address)
            .env("AMQP_URL", self.broker.url())
            .env("GENCHARGE_DEV_OTP", "1");
        self.app = Some(Running::start(command));
        healthy(&self.address).await;
    }

    async fn kill_app(&mut self) {
        let mut app = self.app.take().unwrap();
        app.signal(Signal::KILL);
        app.ended().await;
        self.start().await;
    }

    fn cluster(&self) -> Cluster {
        Cluster::of(&self.data.path().join("data"))
    }

    async fn post(&self, path: &str, token: &str, key: &str, body: Value) -> Value {
        let request = self.http.post(format!("http://{}{path}", self.address)).header("idempotency-key", key);
        let answer = request.bearer_auth(token).json(&body).send().await.unwrap();
        let (status, json): (_, Value) = (answer.status(), answer.json().await.unwrap());
        assert!(status.is_success(), "{path}: {json}");
        json
    }

    /// The broker's user as a partner with so many rupees.
    async fn partner(&self, rupees: usize) {
        let login = self.post("/auth/login", "", "a", json!({ "phone_number": "9000000001" })).await;
        let body = json!({ "phone_number": "9000000001", "otp": login["dev_otp"] });
        let token = self.post("/auth/verify-otp-login", "", "b", body).await;
        let token = token["access_token"].as_str().unwrap();
        let permissions = json!({ "recharge": true, "wallet_topup": true });
        let body = json!({ "name": "test", "broker_user": "guest", "permissions": permissions });
        let id = self.post("/partners", token, "c", body).await["partner_id"].clone();
        let part = 500_000;
        for number in 0..rupees.div_ceil(part) {
            let key = format!("fund-{number}");
            self.post(&format!("/partners/{id}/funding"), token, &key, json!({ "amount": part })).await;
        }
    }

    async fn count(&self, sql: &str) -> i64 {
        eventually("an answer of the database", PATIENCE, async || {
            let mut connection = self.cluster().connect().await.ok()?;
            let count =
                sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.ok();
            connection.close().await.ok()?;
            count
        })
        .await
    }
}

async fn channel(url: &str) -> lapin::Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
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
async fn publish(url: &str, customers: &[Customer], events: usize, confirmed: &AtomicUsize) {
    let mut waiting: VecDeque<usize> = (0..events)
        .flat_map(|number| std::iter::repeat_n(number, 1 + usize::from(number % 20 == 0)))
        .collect();
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/cloudevents+json".into())
        .with_user_id("guest".into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    while !waiting.is_empty() {
        let Ok((_connection, channel)) = channel(url).await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        while !waiting.is_empty() {
            let window: Vec<usize> = waiting.drain(..waiting.len().min(WINDOW)).collect();
            let sent = join_all(window.iter().map(|&number| {
                let (properties, channel) = (properties.clone(), &channel);
                async move {
                    let body = event(number, &customers[number / EACH].phone);
                    let (exchange, key) = ("gencharge.commands", "gencharge.recharge.requested.v1");
                    let confirm = channel
                        .basic_publish(exchange.into(), key.into(), options, &body, properties)
                        .await?;
                    confirm.await
                }
            }));
            let sent = tokio::time::timeout(Duration::from_secs(20), sent).await.unwrap_or_default();
            let mut lost = false;
            for (place, number) in window.into_iter().enumerate() {
                match sent.get(place) {
                    Some(Ok(confirm)) if confirm.is_ack() => {
                        confirmed.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => {
                        waiting.push_back(number);
                        lost = true;
                    }
                }
            }
            if lost {
                break;
            }
        }
    }
}

/// Kills each twice, at different points of the work, with orders over HTTP while the broker is away.
async fn interfere(world: &mut World, events: usize) {
    for (round, part) in [1, 2, 3, 4].into_iter().enumerate() {
        let point = i64::try_from(events * part / 6).unwrap();
        eventually("progress", PATIENCE, async || {
            let done = world.count("SELECT count(*) FROM outbox_events WHERE addressee = 'guest'").await;
            (done >= point).then_some(())
        })
        .await;
        if round % 2 == 0 {
            world.broker.kill();
            for (number, customer) in world.customers.iter().take(20).enumerate() {
                let body = json!({ "amount": "10.00", "payment_method": "UPI" });
                world.post(TOP_UP, &customer.token, &format!("away-{round}-{number}"), body).await;
            }
            world.broker.run().await;
        } else {
            world.kill_app().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_has_one_outcome_whatever_is_killed() {
    let events = size();
    let Some(mut world) = World::new(events).await else { return };
    world.partner(events * 300).await;
    let (url, customers) = (world.broker.url(), world.customers.clone());
    let confirmed = Arc::new(AtomicUsize::new(0));
    let began = std::time::Instant::now();
    let publisher = {
        let confirmed = Arc::clone(&confirmed);
        tokio::spawn(async move { publish(&url, &customers, events, &confirmed).await })
    };
    let (published, ()) = join(publisher, interfere(&mut world, events)).await;
    published.unwrap();
    let wanted = i64::try_from(events).unwrap();
    let limit = Duration::from_secs(60) + Duration::from_millis(u64::try_from(events).unwrap() * 5);
    eventually("an answer to every event", limit, async || {
        let told = world.count("SELECT count(*) FROM outbox_events WHERE addressee = 'guest'").await;
        (told >= wanted).then_some(())
    })
    .await;
    println!(
        "{events} events committed in {:?}, {} publishes confirmed",
        began.elapsed(),
        confirmed.load(Ordering::Relaxed)
    );
    eventually("an empty outbox", limit, async || {
        let left = world.count("SELECT count(*) FROM outbox_batches WHERE delivered_at IS NULL").await;
        (left == 0).then_some(())
    })
    .await;
    println!("and the outbox empty in {:?}", began.elapsed());
    let distinct =
        "SELECT count(DISTINCT data::json->'request'->>'id') FROM outbox_events WHERE addressee = 'guest'";
    assert_eq!(world.count(distinct).await, wanted, "an event has no outcome");
    let all = "SELECT count(*) FROM outbox_events WHERE addressee = 'guest'";
    assert_eq!(world.count(all).await, wanted, "an event has two outcomes");
    let done = "SELECT count(*) FROM outbox_events WHERE addressee = 'guest' AND type = 'gencharge.recharge.completed.v1'";
    assert_eq!(world.count(done).await, wanted, "an event failed that had no reason to");
    assert_eq!(world.count("SELECT count(*) FROM parked_messages").await, 0, "something was set aside");
    let (_connection, channel) = channel(&world.broker.url()).await.unwrap();
    for (queue, least) in
        [("gencharge.commands", 0), ("gencharge.parking", 0), ("gencharge.results.guest", events)]
    {
        let options = QueueDeclareOptions::default().passive();
        let queue = eventually(queue, PATIENCE, async || {
            let found = channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
            let depth = usize::try_from(found.message_count()).unwrap();
            (if least == 0 { depth == 0 } else { depth >= least }).then_some(found)
        });
        queue.await;
    }
    eventually("a notice for every recharge", limit, async || {
        let notices = "SELECT count(*) FROM notifications WHERE document::jsonb->>'description' LIKE 'Your number % was recharged%'";
        (world.count(notices).await >= wanted).then_some(())
    })
    .await;
    let mut connection = world.cluster().connect().await.unwrap();
    verify_all(&mut connection).await;
    connection.close().await.unwrap();
    let mut app = world.app.take().unwrap();
    app.signal(Signal::TERM);
    assert!(app.ended().await.success());
}
