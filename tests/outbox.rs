//! The outbox, its relay and its upkeep on a real PostgreSQL.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use gencharge::notifications::{PgNotificationStore, PgPeople};
use gencharge::platform::bus::outbox::{PgOutbox, relay_pool};
use gencharge::platform::postgres::upkeep::PgUpkeep;
use gencharge_actors::events::{Event, RechargeCompleted};
use gencharge_actors::kernel::{
    Clock, Paise, PaymentMethod, PhoneNumber, PlanId, Source, SubscriptionId, SubscriptionStatus,
    SystemClock, TxnId, UserId,
};
use gencharge_actors::notification::{
    Hub, Language, NotificationActor, NotificationParts, NotificationStore as _, Notifier, Readers, Rules,
    notices_of,
};
use gencharge_actors::relay::{
    Batch, Bus, ClaimLimits, Consumer, DeliverError, Delivery, LocalBus, Outbox as _, OutboxSignal, Pace,
    Relay, RelayActor, RelaySettings,
};
use gencharge_actors::runtime::{Spec, Stage, Universe};
use gencharge_actors::upkeep::Upkeep as _;
use sqlx::{PgConnection, PgPool};

use crate::support::database::TestDatabase;
use crate::support::eventually;
use crate::support::money::UNDELIVERED;

const LIMITS: ClaimLimits = ClaimLimits { batches: 100, events: 1000 };

pub fn recharge(user: i64, at: DateTime<Utc>) -> Event {
    Event::RechargeCompleted(RechargeCompleted {
        txn_id: TxnId(user),
        wallet_seq: 1,
        user_id: UserId(user),
        beneficiary_id: UserId(user),
        to_phone: PhoneNumber::parse("9876543210").unwrap(),
        subscription_id: SubscriptionId(9),
        subscription_status: SubscriptionStatus::Active,
        plan_id: PlanId(4),
        plan_name: "Truly Unlimited 299".into(),
        offer_id: None,
        price: Paise::new(29_900),
        discount: Paise::ZERO,
        wallet_amount: Paise::new(29_900),
        gateway_amount: Paise::ZERO,
        cashback: Paise::ZERO,
        payment_method: PaymentMethod::Wallet,
        source: Source::Recharge,
        valid_from: at,
        valid_to: at,
        occurred_at: at,
        wallet_balance: None,
        request: None,
    })
}

/// Writes a batch of `count` recharges as a wallet's transaction does.
pub async fn write(connection: &mut PgConnection, batch_id: i64, count: i64, at: DateTime<Utc>) {
    let events: Vec<_> =
        (0..count).map(|number| (batch_id * 1000 + number, recharge(number + 1, at))).collect();
    sqlx::query("INSERT INTO outbox_batches (batch_id, created_at, events) VALUES ($1, $2, $3)")
        .bind(batch_id)
        .bind(at)
        .bind(i32::try_from(count).unwrap())
        .execute(&mut *connection)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO outbox_events (event_id, batch_id, created_at, type, txn_id, data)
         SELECT event_id, $1, $2, type, event_id, data FROM unnest($3::bigint[], $4::text[], $5::text[])
             AS event (event_id, type, data)",
    )
    .bind(batch_id)
    .bind(at)
    .bind(events.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(events.iter().map(|(_, event)| event.type_name()).collect::<Vec<_>>())
    .bind(events.iter().map(|(_, event)| event.data_json()).collect::<Vec<_>>())
    .execute(&mut *connection)
    .await
    .unwrap();
}

async fn number(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

fn rules() -> Rules {
    Rules {
        language: Language::English,
        low_balance: Paise::ZERO,
        day: Arc::new(|at: DateTime<Utc>| at.date_naive()),
    }
}

/// Writes notices without an actor in between, and records what was delivered.
pub struct Writer {
    pub store: PgNotificationStore,
    seen: Mutex<Vec<i64>>,
}

impl Writer {
    pub fn to(pool: &PgPool) -> Arc<Writer> {
        Arc::new(Writer { store: PgNotificationStore::new(pool.clone()), seen: Mutex::default() })
    }

    fn seen(&self) -> Vec<i64> {
        let mut seen = self.seen.lock().unwrap().clone();
        seen.sort_unstable();
        seen
    }
}

impl Consumer for Writer {
    fn name(&self) -> &'static str {
        "writer"
    }

    fn consume(&self, delivery: Delivery) -> BoxFuture<'_, Result<(), DeliverError>> {
        Box::pin(async move {
            let notices: Vec<_> =
                delivery.iter().flat_map(|batch| notices_of(batch, &rules(), &HashMap::new())).collect();
            self.store
                .put(&notices, false)
                .await
                .map_err(|error| DeliverError::Refused(error.to_string()))?;
            self.seen.lock().unwrap().extend(delivery.iter().map(|batch| batch.batch_id));
            Ok(())
        })
    }
}

fn relay(pool: &PgPool, writer: &Arc<Writer>, settings: RelaySettings) -> Relay {
    let bus = LocalBus::new(vec![Arc::<Writer>::clone(writer)]);
    Relay::new(Arc::new(PgOutbox::new(pool.clone())), Arc::new(bus), Arc::new(SystemClock), settings)
}

#[tokio::test]
async fn what_was_delivered_and_not_marked_comes_again_and_tells_nobody_twice() {
    let database = TestDatabase::new("crash").await;
    let pool = &database.pool;
    let mut connection = pool.acquire().await.unwrap();
    let now = SystemClock.now();
    write(&mut connection, 1, 3, now).await;
    write(&mut connection, 2, 8, now).await;
    let (outbox, writer) = (PgOutbox::new(pool.clone()), Writer::to(pool));

    // Claimed with a lease that ends at once, delivered, and then the process is gone.
    let batches: Arc<[Batch]> = outbox.claim(LIMITS, Duration::ZERO).await.unwrap().into();
    let sizes: Vec<_> =
        batches.iter().map(|batch| (batch.batch_id, batch.events.len(), batch.attempts)).collect();
    assert_eq!(sizes, [(1, 3, 1), (2, 8, 1)]);
    LocalBus::new(vec![Arc::<Writer>::clone(&writer)]).deliver(batches).await.unwrap();
    let notices = number(pool, "SELECT count(*) FROM notifications").await;
    assert_eq!(notices, 3 + 3 + 8 + 1, "three told one by one, eight in a digest");

    let cycle = relay(pool, &writer, RelaySettings::default()).cycle().await.unwrap();
    assert_eq!((cycle.batches, cycle.events), (2, 11));
    assert_eq!(writer.seen(), [1, 1, 2, 2]);
    assert_eq!(number(pool, "SELECT count(*) FROM notifications").await, notices);
    assert_eq!(number(pool, UNDELIVERED).await, 0);
    assert_eq!(relay(pool, &writer, RelaySettings::default()).cycle().await.unwrap().claimed, 0);
}

#[tokio::test]
async fn a_lease_keeps_others_away() {
    let database = TestDatabase::new("lease").await;
    write(&mut database.pool.acquire().await.unwrap(), 1, 1, SystemClock.now()).await;
    let outbox = PgOutbox::new(database.pool.clone());
    assert_eq!(outbox.claim(LIMITS, Duration::from_secs(60)).await.unwrap().len(), 1);
    assert_eq!(outbox.claim(LIMITS, Duration::from_secs(60)).await.unwrap().len(), 0);
    outbox.release(&[1], Duration::ZERO, false, "not now").await.unwrap();
    let again = outbox.claim(LIMITS, Duration::from_secs(60)).await.unwrap();
    assert_eq!(again[0].attempts, 1, "a release that does not count takes the attempt back");
    outbox.park(1, "nobody wants it").await.unwrap();
    assert_eq!(outbox.standing().await.unwrap().parked, 1);
    assert_eq!(outbox.claim(LIMITS, Duration::ZERO).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_claim_is_bounded_by_events_and_takes_at_least_one_batch() {
    let database = TestDatabase::new("bounds").await;
    for batch_id in 1..=5 {
        write(&mut database.pool.acquire().await.unwrap(), batch_id, 10, SystemClock.now()).await;
    }
    let outbox = PgOutbox::new(database.pool.clone());
    let claim = async |events| {
        let limits = ClaimLimits { batches: 100, events };
        let claimed = outbox.claim(limits, Duration::from_secs(60)).await.unwrap();
        claimed.iter().map(|batch| batch.batch_id).collect::<Vec<_>>()
    };
    assert_eq!(claim(15).await, [1, 2]);
    assert_eq!(claim(1).await, [3]);
    assert_eq!(claim(1000).await, [4, 5]);
}

#[tokio::test]
async fn two_relays_share_the_work_and_lose_nothing() {
    let database = TestDatabase::new("two").await;
    let pool = &database.pool;
    let mut connection = pool.acquire().await.unwrap();
    let now = SystemClock.now();
    for batch_id in 1..=60 {
        write(&mut connection, batch_id, 10, now).await;
    }
    let settings =
        RelaySettings { claim: ClaimLimits { batches: 4, events: 1000 }, ..RelaySettings::default() };
    let writer = Writer::to(pool);
    let until_empty = async || {
        let pool = relay_pool(database.options());
        let relay = relay(&pool, &writer, settings);
        while relay.cycle().await.unwrap().claimed > 0 {}
        pool.close().await;
    };
    tokio::join!(until_empty(), until_empty());
    assert_eq!(writer.seen(), (1..=60).collect::<Vec<_>>(), "each batch by one of them, once");
    assert_eq!(number(pool, "SELECT count(*) FROM notifications").await, 60 * 11);
}

#[tokio::test]
async fn a_batch_that_commits_late_is_delivered_though_later_ones_were() {
    let database = TestDatabase::new("late").await;
    let pool = &database.pool;
    let writer = Writer::to(pool);
    let relay = relay(pool, &writer, RelaySettings::default());
    let mut slow = pool.begin().await.unwrap();
    write(&mut slow, 1, 1, SystemClock.now()).await;
    write(&mut pool.acquire().await.unwrap(), 2, 1, SystemClock.now()).await;
    assert_eq!(relay.cycle().await.unwrap().batches, 1);
    slow.commit().await.unwrap();
    assert_eq!(relay.cycle().await.unwrap().batches, 1);
    assert_eq!(writer.seen(), [1, 2]);
}

#[test]
fn supervised_relay_and_notifications_deliver_when_woken_and_once_more_at_the_end() {
    actix::System::new().block_on(async {
        let database = TestDatabase::new("woken").await;
        let universe = Universe::new();
        let pool = relay_pool(database.options());
        let store = Arc::new(PgNotificationStore::new(pool.clone()));
        let told = NotificationParts {
            store: Arc::<PgNotificationStore>::clone(&store),
            people: Arc::new(PgPeople::new(pool.clone())),
            rules: rules(),
            hub: Hub::new(store),
        };
        let actor = universe
            .supervise(Spec::new("notifications").stage(Stage::Sink), move |probe| {
                NotificationActor::new(told.clone(), probe)
            })
            .unwrap();
        let signal = OutboxSignal::default();
        let parts = (pool.clone(), signal.clone());
        let pace = Pace { poll: Duration::from_secs(3600), ..Pace::default() };
        universe
            .supervise(Spec::new("relay").stage(Stage::Outflow), move |probe| {
                let bus = LocalBus::new(vec![Arc::new(Notifier::new(actor.clone(), Readers::Everyone))]);
                let outbox = PgOutbox::new(parts.0.clone());
                let settings = RelaySettings::default();
                let relay = Relay::new(Arc::new(outbox), Arc::new(bus), Arc::new(SystemClock), settings);
                RelayActor::new(relay, parts.1.clone(), pace, probe)
            })
            .unwrap();
        write(&mut database.pool.acquire().await.unwrap(), 1, 2, SystemClock.now()).await;
        signal.wake();
        eventually("the notices", Duration::from_secs(10), async || {
            (number(&database.pool, "SELECT count(*) FROM notifications").await == 4).then_some(())
        })
        .await;
        // Nobody wakes the relay for this one: only the shutdown's flush can find it.
        write(&mut database.pool.acquire().await.unwrap(), 2, 2, SystemClock.now()).await;
        universe.shutdown(Duration::from_secs(10)).await.unwrap();
        assert_eq!(number(&database.pool, "SELECT count(*) FROM notifications").await, 8);
        assert_eq!(number(&database.pool, UNDELIVERED).await, 0);
        pool.close().await;
    });
}

#[tokio::test]
async fn retention_drops_delivered_days_and_nothing_that_still_waits() {
    let database = TestDatabase::new("retention").await;
    let pool = &database.pool;
    let now = SystemClock.now();
    sqlx::query("SELECT ensure_partitions('outbox_events', 'day', $1, $2)")
        .bind(now - TimeDelta::days(10))
        .bind(now)
        .execute(pool)
        .await
        .unwrap();
    let noon = |days_ago| {
        let day = now.date_naive() - Days::new(days_ago);
        day.and_time(NaiveTime::from_hms_opt(12, 0, 0).unwrap()).and_utc()
    };
    let mut connection = pool.acquire().await.unwrap();
    // 9 days ago delivered, 8 waiting, 7 parked, 6 delivered, yesterday delivered.
    for (batch_id, days_ago) in [(1, 9), (2, 8), (3, 7), (4, 6), (5, 1)] {
        write(&mut connection, batch_id, 2, noon(days_ago)).await;
    }
    let outbox = PgOutbox::new(pool.clone());
    outbox.delivered(&[1, 4, 5]).await.unwrap();
    outbox.park(3, "broken").await.unwrap();
    for (key, days_ago) in [(1_i64, 31), (2, 29)] {
        sqlx::query(
            "INSERT INTO idempotency_keys (key, request, created_at, txn_id)
             VALUES (lpad($1::text, 32, '0')::uuid, gen_random_uuid(), $2, 1)",
        )
        .bind(key)
        .bind(now - TimeDelta::days(days_ago))
        .execute(pool)
        .await
        .unwrap();
    }

    let upkeep = PgUpkeep::new(pool.clone(), Arc::new(SystemClock), Duration::from_secs(2 * 24 * 3600));
    upkeep.tidy().await.unwrap();
    let kept: Vec<i64> = sqlx::query_scalar("SELECT DISTINCT batch_id FROM outbox_events ORDER BY 1")
        .fetch_all(pool)
        .await
        .unwrap();
    assert_eq!(kept, [2, 3, 5]);
    let kept: Vec<i64> =
        sqlx::query_scalar("SELECT batch_id FROM outbox_batches ORDER BY 1").fetch_all(pool).await.unwrap();
    assert_eq!(kept, [2, 3, 5]);
    assert_eq!(number(pool, "SELECT count(*) FROM idempotency_keys").await, 1);

    // Once it is delivered, the day goes.
    outbox.delivered(&[2]).await.unwrap();
    assert_eq!(upkeep.tidy().await.unwrap().dropped, 1);
    assert_eq!(upkeep.tidy().await.unwrap().dropped, 0);
    assert_eq!(number(pool, "SELECT count(*) FROM outbox_events").await, 4);
}
