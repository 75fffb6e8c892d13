//! Recharges asked for by message, with duplicates, while the application and the broker are killed again and again: every
//! event has exactly one outcome, nothing is set aside, nothing is lost on the way out. And a broker that is away for a
//! while under load.
//!
//! `GENCHARGE_TEST_MESSAGES` sets how many events (2,000; 100,000 for the full size), `GENCHARGE_TEST_OUTAGE` for how many
//! seconds the broker is away (5; 60 for the full size), `GENCHARGE_TEST_PROGRAM` an optimised build of the program.

mod partner;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use serde_json::json;

use super::client::Customer;
use crate::support::money::{TOP_UP, UNDELIVERED};
use crate::support::{eventually, eventually_every};
use partner::{EACH, publish};
use world::{LOOK, PATIENCE, TOLD, World, post};

/// Notices of recharges that somebody else paid.
const RECHARGED: &str = "SELECT count(*) FROM notifications WHERE document::jsonb->>'description' LIKE 'Your number % was recharged%'";
/// The age of the oldest event that is not delivered.
const LAG: &str = "gencharge_outbox_lag_milliseconds";

fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// How long it may take until so many events are done, even by a build that is not optimised and shares two cores.
fn patience_for(events: usize) -> Duration {
    PATIENCE + Duration::from_millis(u64::try_from(events).unwrap() * 10)
}

/// Kills each twice, at different points of the work, with orders over HTTP while the broker is away.
async fn interfere(world: &mut World, events: usize) {
    for round in 0..4_usize {
        let point = i64::try_from(events * (round + 1) / 6).unwrap();
        world.until("progress", patience_for(events), TOLD, |told| told >= point).await;
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
    let events = setting("GENCHARGE_TEST_MESSAGES", 2_000);
    let Some(mut world) = World::new("messages", events.div_ceil(EACH)).await else { return };
    world.partner(events * 300).await;
    let (url, customers) = (world.broker.url(), world.customers.clone());
    let (confirmed, began) = (AtomicUsize::new(0), Instant::now());
    join(publish(&url, &customers, events, &confirmed), interfere(&mut world, events)).await;
    let wanted = i64::try_from(events).unwrap();
    let limit = patience_for(events);
    world.until("an answer to every event", limit, TOLD, |told| told >= wanted).await;
    let taken = confirmed.load(Ordering::Relaxed);
    println!("{events} events committed in {:?}, {taken} publishes confirmed", began.elapsed());
    world.until("an empty outbox", limit, UNDELIVERED, |left| left == 0).await;
    println!("and the outbox empty in {:?}", began.elapsed());
    world.until("a notice for every recharge", limit, RECHARGED, |told| told >= wanted).await;
    println!("and everybody told in {:?}", began.elapsed());
    assert_eq!(world.count(RECHARGED).await, wanted, "somebody was told twice");
    world.one_outcome_each(events).await;
    world.verify().await;
    world.stop().await;
}

/// Top-ups of a rupee in many lanes, whatever the broker does.
struct Load {
    http: reqwest::Client,
    address: String,
    customers: Vec<Customer>,
    acknowledged: AtomicI64,
    stop: AtomicBool,
}

impl Load {
    const LANES: usize = 32;

    fn of(world: &World) -> Arc<Load> {
        let (http, address, customers) = (world.http(), world.address.clone(), world.customers.clone());
        let (acknowledged, stop) = (AtomicI64::new(0), AtomicBool::new(false));
        Arc::new(Load { http, address, customers, acknowledged, stop })
    }

    fn acknowledged(&self) -> i64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    async fn run(self: Arc<Self>) {
        join_all((0..Self::LANES).map(async |lane| {
            let mut turn = lane;
            while !self.stop.load(Ordering::Relaxed) {
                let token = &self.customers[turn % self.customers.len()].token;
                let body = json!({ "amount": "1.00", "payment_method": "UPI" });
                let key = format!("load-{turn}");
                post(&self.http, &self.address, TOP_UP, (token, &key), body).await.unwrap();
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                turn += Self::LANES;
            }
        }))
        .await;
    }

    async fn more(&self, count: i64) {
        let before = self.acknowledged();
        eventually("more acknowledged orders", PATIENCE, async || {
            (self.acknowledged() >= before + count).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_away_under_load_loses_nothing_and_the_lag_drains() {
    const EVENTS: usize = 500;
    let outage = Duration::from_secs(u64::try_from(setting("GENCHARGE_TEST_OUTAGE", 5)).unwrap());
    let Some(mut world) = World::new("outage", EVENTS / EACH).await else { return };
    world.partner(EVENTS * 300).await;
    let load = Load::of(&world);
    let running = tokio::spawn(Arc::clone(&load).run());
    load.more(100).await;
    // Confirmed, and the broker dies with what of it is not done yet.
    publish(&world.broker.url(), &world.customers, EVENTS, &AtomicUsize::new(0)).await;
    world.broker.kill();
    let (away, before) = (Instant::now(), load.acknowledged());
    let mut most = 0;
    eventually_every(LOOK, "the outage", outage + PATIENCE, async || {
        most = most.max(world.metric(LAG).await.unwrap());
        (away.elapsed() >= outage).then_some(())
    })
    .await;
    load.more(100).await;
    world.broker.run().await;
    let (back, during) = (Instant::now(), load.acknowledged() - before);
    println!("the broker was away for {:?}; meanwhile {during} orders acknowledged", back - away);
    assert!(Duration::from_millis(most) > outage / 2, "the lag is not told: {most} ms");
    load.more(100).await;
    load.stop.store(true, Ordering::Relaxed);
    running.await.unwrap();
    let (limit, stopped) = (patience_for(usize::try_from(load.acknowledged()).unwrap()), Instant::now());
    eventually_every(LOOK, "an empty outbox", limit, async || {
        most = most.max(world.metric(LAG).await.unwrap());
        (world.count(UNDELIVERED).await == 0).then_some(())
    })
    .await;
    println!(
        "the lag was {most} ms at its most; drained {:?} after the broker was back, {:?} after the load of {} ended",
        back.elapsed(),
        stopped.elapsed(),
        load.acknowledged()
    );
    let top_ups = "SELECT count(*) FROM notifications WHERE document::jsonb->>'description' LIKE 'Top-up successful: Rs 1.00 %'";
    for (notices, wanted) in [(top_ups, load.acknowledged()), (RECHARGED, i64::try_from(EVENTS).unwrap())] {
        world.until("a notice for everything", limit, notices, |told| told >= wanted).await;
        assert_eq!(world.count(notices).await, wanted, "somebody was told twice");
    }
    println!("and everybody told {:?} after the broker was back", back.elapsed());
    world.one_outcome_each(EVENTS).await;
    world.verify().await;
    world.stop().await;
}
