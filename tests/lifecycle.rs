//! Plans over time: where they are put, when they start and end, and who is told.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use gencharge_actors::kernel::Clock as _;
use serde_json::{Value, json};

use crate::support::app::{TestApp, with_app, with_settings};
use crate::support::eventually;
use crate::support::money::{ASHA, RAVI, SUBSCRIBE, recharge, with};

const PATIENCE: Duration = Duration::from_secs(10);
/// Plan 1 lasts 28 days, plan 7 one day.
const MONTH: i64 = 28;

/// Paid by the gateway, put where `mode` says.
fn buy(phone: &str, plan: i64, mode: &str) -> Value {
    let body = with(recharge(phone, plan), json!({ "payment_method": "UPI" }));
    if mode.is_empty() { body } else { with(body, json!({ "activation_mode": mode })) }
}

/// The plans of a number in the order of their windows: plan, status, and days from `start` to both ends.
async fn windows(app: &TestApp, phone: &str, start: DateTime<Utc>) -> Vec<(i64, String, i64, i64)> {
    let rows: Vec<(i64, String, DateTime<Utc>, DateTime<Utc>)> = sqlx::query_as(
        "SELECT plan_id, status, valid_from, valid_to FROM subscriptions WHERE phone = 910000000000 + $1::bigint
         ORDER BY valid_from, valid_to",
    )
    .bind(phone.parse::<i64>().unwrap())
    .fetch_all(&app.pool)
    .await
    .unwrap();
    let days = |moment: DateTime<Utc>| {
        let after = moment - start;
        assert_eq!(after, TimeDelta::days(after.num_days()), "not on the day");
        after.num_days()
    };
    rows.into_iter().map(|(plan, status, from, to)| (plan, status, days(from), days(to))).collect()
}

async fn comes_to(app: &TestApp, phone: &str, start: DateTime<Utc>, expected: &[(i64, &str, i64, i64)]) {
    let what = format!("{expected:?}");
    eventually(&what, PATIENCE, async || {
        let now = windows(app, phone, start).await;
        let same = now
            .iter()
            .map(|(plan, status, from, to)| (*plan, status.as_str(), *from, *to))
            .eq(expected.iter().copied());
        same.then_some(())
    })
    .await;
}

/// Moves the clock; the outbox gets its partitions first, as the upkeep makes them ahead of time.
async fn days_pass(app: &TestApp, days: i64) {
    app.clock.advance(TimeDelta::days(days));
    sqlx::query("SELECT ensure_partitions('outbox_events', 'day', $1, $1 + interval '1 day')")
        .bind(app.clock.now())
        .execute(&app.pool)
        .await
        .unwrap();
}

/// How many events of a type there are.
async fn told(app: &TestApp, kind: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM outbox_events WHERE type = $1")
        .bind(format!("gencharge.subscription.{kind}.v1"))
        .fetch_one(&app.pool)
        .await
        .unwrap()
}

#[test]
fn plans_queue_behind_each_other_and_start_and_end_on_time() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let start = app.clock.now();
        for (plan, status) in [(1, "active"), (7, "queued"), (2, "queued")] {
            let done = app.post(SUBSCRIBE, &asha, buy(ASHA, plan, "")).await.ok();
            assert_eq!(done["subscription"]["status"], status);
        }
        let queue = [(1, "active", 0, 28), (7, "queued", 28, 29), (2, "queued", 29, 57)];
        comes_to(app, ASHA, start, &queue).await;
        app.clock.advance(TimeDelta::days(MONTH) - TimeDelta::microseconds(1));
        comes_to(app, ASHA, start, &queue).await;
        app.clock.advance(TimeDelta::microseconds(1));
        days_pass(app, 0).await;
        comes_to(app, ASHA, start, &[(1, "expired", 0, 28), (7, "active", 28, 29), (2, "queued", 29, 57)])
            .await;
        assert_eq!((told(app, "expired").await, told(app, "activated").await), (1, 1));
        app.verify().await;
        days_pass(app, 1).await;
        comes_to(app, ASHA, start, &[(1, "expired", 0, 28), (7, "expired", 28, 29), (2, "active", 29, 57)])
            .await;
        days_pass(app, 28).await;
        comes_to(app, ASHA, start, &[(1, "expired", 0, 28), (7, "expired", 28, 29), (2, "expired", 29, 57)])
            .await;
        assert_eq!((told(app, "expired").await, told(app, "activated").await), (3, 2));
        let idle = "SELECT count(*) FROM wallets WHERE active_subscription_id IS NULL AND active_valid_to IS NULL \
                    AND tail_valid_to IS NULL AND queued = 0 AND phone = 919800000001";
        assert_eq!(app.count(idle).await, 1);
        app.verify().await;
    });
}

#[test]
fn the_owner_is_told_of_starts_and_ends() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        app.post(SUBSCRIBE, &asha, buy(ASHA, 7, "")).await.ok();
        app.post(SUBSCRIBE, &asha, buy(ASHA, 1, "")).await.ok();
        days_pass(app, 1).await;
        let asha = app.sign_in(ASHA).await.access;
        // Two recharges, an end and a start.
        eventually("four notices", PATIENCE, async || {
            let list = app.get("/notification/my", &asha).await;
            let total = list.headers.get("x-total-count")?.to_str().ok()?.to_owned();
            (total == "4").then_some(())
        })
        .await;
        app.verify().await;
    });
}

#[test]
fn activate_supersedes_the_active_plan_and_moves_the_queue() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let start = app.clock.now();
        for plan in [1, 2, 5] {
            app.post(SUBSCRIBE, &asha, buy(ASHA, plan, "")).await.ok();
        }
        days_pass(app, 3).await;
        let asha = app.sign_in(ASHA).await.access;
        let done = app.post(SUBSCRIBE, &asha, buy(ASHA, 7, "activate")).await.ok();
        assert_eq!(done["subscription"]["status"], "active");
        let moved = [(1, "expired", 0, 3), (7, "active", 3, 4), (2, "queued", 4, 32), (5, "queued", 32, 60)];
        comes_to(app, ASHA, start, &moved).await;
        app.verify().await;
        // A longer one pushes the queue back.
        app.post(SUBSCRIBE, &asha, buy(ASHA, 3, "activate")).await.ok();
        let pushed = [
            (1, "expired", 0, 3),
            (7, "expired", 3, 3),
            (3, "active", 3, 87),
            (2, "queued", 87, 115),
            (5, "queued", 115, 143),
        ];
        comes_to(app, ASHA, start, &pushed).await;
        // One more queues behind all of them.
        app.post(SUBSCRIBE, &asha, buy(ASHA, 7, "queue")).await.ok();
        assert_eq!(windows(app, ASHA, start).await.last().unwrap().2, 143);
        app.verify().await;
        days_pass(app, 84).await;
        eventually("the next plan", PATIENCE, async || {
            let plans = windows(app, ASHA, start).await;
            (plans[3].1 == "active" && plans[2].1 == "expired").then_some(())
        })
        .await;
        app.verify().await;
    });
}

#[test]
fn queue_on_an_idle_number_waits_only_for_the_wake_up() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let start = app.clock.now();
        let done = app.post(SUBSCRIBE, &asha, buy(ASHA, 1, "queue")).await.ok();
        assert_eq!(done["subscription"]["status"], "queued");
        // The clock stands still: nothing but the wake-up makes the actor look at it.
        comes_to(app, ASHA, start, &[(1, "active", 0, 28)]).await;
        assert_eq!(told(app, "activated").await, 1);
        assert_eq!(app.count("SELECT count(*) FROM line_wakeups").await, 0);
        app.verify().await;
    });
}

#[test]
fn the_queue_has_its_bound_under_concurrency_and_activate_does_not_need_it() {
    with_settings(&[("GENCHARGE_MAX_QUEUED_PLANS", "3")], async |app| {
        let other = app.start_another().await;
        let elsewhere = format!("http://{}{SUBSCRIBE}", other.addr);
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        let start = app.clock.now();
        app.post(SUBSCRIBE, &asha, buy(ASHA, 1, "")).await.ok();
        let answers = join_all((0..12_usize).map(async |number| {
            let (path, token) =
                if number.is_multiple_of(2) { (SUBSCRIBE, &asha) } else { (elsewhere.as_str(), &ravi) };
            app.post(path, token, buy(ASHA, 7, if number < 6 { "" } else { "queue" })).await
        }))
        .await;
        let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!(done.len(), 3);
        assert!(refused.iter().all(|answer| answer.problem() == "queue_full"));
        app.post(SUBSCRIBE, &asha, buy(ASHA, 1, "activate")).await.ok();
        let full = [
            (1, "expired", 0, 0),
            (1, "active", 0, 28),
            (7, "queued", 28, 29),
            (7, "queued", 29, 30),
            (7, "queued", 30, 31),
        ];
        comes_to(app, ASHA, start, &full).await;
        app.verify().await;
        assert!(other.stop().await);
    });
}

#[test]
fn of_concurrent_activations_one_stays_active() {
    with_app(async |app| {
        let other = app.start_another().await;
        let elsewhere = format!("http://{}{SUBSCRIBE}", other.addr);
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        app.post(SUBSCRIBE, &asha, buy(ASHA, 7, "")).await.ok();
        app.post(SUBSCRIBE, &asha, buy(ASHA, 7, "")).await.ok();
        let answers = join_all((0..20_usize).map(async |number| {
            let (path, token) =
                if number.is_multiple_of(2) { (SUBSCRIBE, &asha) } else { (elsewhere.as_str(), &ravi) };
            app.post(path, token, buy(ASHA, 1, "activate")).await
        }))
        .await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        assert_eq!(app.count("SELECT count(*) FROM subscriptions WHERE status = 'active'").await, 1);
        // Half of them were another's gifts: those wait behind what the owner uses, and end nothing.
        assert_eq!(app.count("SELECT count(*) FROM subscriptions WHERE status = 'expired'").await, 10);
        assert_eq!(app.count("SELECT count(*) FROM subscriptions WHERE status = 'queued'").await, 11);
        app.verify().await;
        assert!(other.stop().await);
    });
}

#[test]
fn windows_that_passed_unseen_are_over_and_a_recharge_finds_the_number_idle() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let start = app.clock.now();
        for _ in 0..3 {
            app.post(SUBSCRIBE, &asha, buy(ASHA, 7, "")).await.ok();
        }
        days_pass(app, 40).await;
        let asha = app.sign_in(ASHA).await.access;
        let done = app.post(SUBSCRIBE, &asha, buy(ASHA, 1, "")).await.ok();
        assert_eq!(done["subscription"]["status"], "active");
        let all = [(7, "expired", 0, 1), (7, "expired", 1, 2), (7, "expired", 2, 3), (1, "active", 40, 68)];
        comes_to(app, ASHA, start, &all).await;
        assert_eq!(told(app, "expired").await, 3);
        app.verify().await;
    });
}

#[test]
fn my_plans_show_what_is_active_and_what_waits() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        for plan in [1, 7] {
            app.post(SUBSCRIBE, &asha, buy(ASHA, plan, "")).await.ok();
        }
        let list = app.get("/recharge/my/plans", &asha).await.ok();
        let states: Vec<_> = list["plans"]
            .as_array()
            .unwrap()
            .iter()
            .map(|plan| (plan["plan_id"].clone(), plan["status"].clone()))
            .collect();
        assert!(
            states.contains(&(json!(1), json!("active"))) && states.contains(&(json!(7), json!("queued"))),
            "{list}"
        );
        app.verify().await;
    });
}
