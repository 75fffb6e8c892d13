//! Rules over time: the clock is moved, the scheduler does the rest.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gencharge_actors::kernel::Clock as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::{CREATE, DAY, MONTH, in_days, moment, onetime, rule};
use crate::support::app::{TestApp, with_app};
use crate::support::eventually;
use crate::support::money::{ASHA, RAVI, TOP_UP, with};

const ADMIN: &str = "9000000001";
const PATIENCE: Duration = Duration::from_secs(15);

/// Moves the clock to `to`; partitions come first, as the upkeep makes them ahead of time.
async fn go(app: &TestApp, to: DateTime<Utc>) {
    for (table, step) in [("outbox_events", "day"), ("transactions", "month"), ("postings", "month")] {
        sqlx::query("SELECT ensure_partitions($1, $2, $3, $3 + interval '1 day')")
            .bind(table)
            .bind(step)
            .bind(to)
            .execute(&app.pool)
            .await
            .unwrap();
    }
    app.clock.advance(to - app.clock.now());
}

async fn pass(app: &TestApp, hours: i64) {
    go(app, app.clock.now() + TimeDelta::hours(hours)).await;
}

/// Waits until the scheduler has nothing to do at this time of the clock.
async fn settled(app: &TestApp) {
    eventually("nothing to tell or charge", PATIENCE, async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM autopay_rules WHERE announce_at <= $1)
                  + (SELECT count(*) FROM autopay_occurrences WHERE status = 'pending' AND (try_at <= $1 OR asked_at IS NOT NULL))",
        )
        .bind(app.clock.now())
        .fetch_one(&app.pool)
        .await
        .unwrap();
        (waiting == 0).then_some(())
    })
    .await;
}

/// How many recharges autopay has paid.
async fn charges(app: &TestApp) -> i64 {
    app.count("SELECT count(*) FROM transactions WHERE source = 'autopay' AND status = 'success'").await
}

async fn told(app: &TestApp, kind: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM outbox_events WHERE type = $1")
        .bind(format!("gencharge.autopay.{kind}.v1"))
        .fetch_one(&app.pool)
        .await
        .unwrap()
}

async fn made(app: &TestApp, body: Value) -> i64 {
    let asha = app.sign_in(ASHA).await.access;
    app.post(CREATE, &asha, body).await.ok()["autopay_id"].as_i64().unwrap()
}

async fn shown(app: &TestApp, id: i64) -> Value {
    let asha = app.sign_in(ASHA).await.access;
    app.get(&format!("/autopay/get_autopay/{id}"), &asha).await.ok()
}

async fn due(app: &TestApp, id: i64) -> DateTime<Utc> {
    moment(&shown(app, id).await["next_due_date"])
}

async fn fund(app: &TestApp, rupees: i64) {
    let asha = app.sign_in(ASHA).await.access;
    app.fund(&asha, rupees).await;
}

#[test]
fn a_rule_is_told_a_day_before_charged_on_its_date_and_goes_on() {
    with_app(async |app| {
        fund(app, 1_000).await;
        let date = in_days(app, 10);
        let id = made(app, rule(ASHA, MONTH, date)).await;
        go(app, date - TimeDelta::hours(26)).await;
        settled(app).await;
        assert_eq!(told(app, "due_soon").await, 0);
        go(app, date - TimeDelta::hours(25)).await;
        settled(app).await;
        assert_eq!(told(app, "due_soon").await, 1);
        go(app, date - TimeDelta::seconds(1)).await;
        settled(app).await;
        assert_eq!(charges(app).await, 0);
        go(app, date).await;
        settled(app).await;
        assert_eq!((charges(app).await, told(app, "charged").await), (1, 1));
        assert_eq!(app.balance(ASHA).await, 70_100);
        // From the date, not from when it was charged.
        assert_eq!(due(app, id).await, date + TimeDelta::days(28));
        let asha = app.sign_in(ASHA).await.access;
        let paid = app.get("/recharge/my/transactions?source=autopay", &asha).await.ok();
        assert_eq!((&paid["total"], &paid["transactions"][0]["amount"]), (&json!(1), &json!("299.00")));
        eventually("the notices", PATIENCE, async || {
            let notices = app.get("/notification/my?size=50", &asha).await.ok().to_string();
            (notices.contains("Autopay will recharge") && notices.contains("Autopay: recharge successful"))
                .then_some(())
        })
        .await;
        app.verify().await;
    });
}

#[test]
fn a_one_time_rule_runs_once_and_is_done() {
    with_app(async |app| {
        fund(app, 1_000).await;
        // In three hours: the customer's own word is notice enough.
        let date = app.clock.now() + TimeDelta::hours(3);
        let id = made(app, onetime(ASHA, MONTH, date)).await;
        settled(app).await;
        assert_eq!((told(app, "due_soon").await, charges(app).await), (1, 0));
        pass(app, 3).await;
        settled(app).await;
        let rule = shown(app, id).await;
        assert_eq!((charges(app).await, &rule["status"]), (1, &json!("disabled")));
        pass(app, 24 * 40).await;
        settled(app).await;
        assert_eq!(charges(app).await, 1);
        // Once more needs a new date.
        let asha = app.sign_in(ASHA).await.access;
        let path = format!("/autopay/{id}");
        let enable = async |body: Value| {
            app.send(app.request(Method::PATCH, &path).bearer_auth(&asha).json(&body)).await
        };
        let refused = enable(json!({ "status": "enabled" })).await;
        assert_eq!(refused.json["errors"][0]["field"], "next_due_date");
        let date = app.clock.now() + TimeDelta::hours(1);
        enable(json!({ "status": "enabled", "next_due_date": date.to_rfc3339() })).await.ok();
        pass(app, 1).await;
        settled(app).await;
        assert_eq!(charges(app).await, 2);
        app.verify().await;
    });
}

#[test]
fn a_monthly_rule_of_the_31st_stays_on_it_across_a_leap_february() {
    with_app(async |app| {
        fund(app, 2_000).await;
        let day = |text: &str| format!("{text}T04:00:00Z").parse::<DateTime<Utc>>().unwrap();
        go(app, day("2027-12-20")).await;
        let body = with(rule(ASHA, MONTH, day("2027-12-31")), json!({ "repeat": "monthly" }));
        let id = made(app, body).await;
        let dates = ["2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30", "2028-05-31"];
        for (number, pair) in dates.windows(2).enumerate() {
            assert_eq!(due(app, id).await, day(pair[0]));
            go(app, day(pair[0]) - TimeDelta::hours(25)).await;
            settled(app).await;
            go(app, day(pair[0])).await;
            settled(app).await;
            assert_eq!(charges(app).await, i64::try_from(number).unwrap() + 1, "{}", pair[0]);
            assert_eq!(due(app, id).await, day(pair[1]));
        }
        app.verify().await;
    });
}

#[test]
fn three_days_of_downtime_are_one_charge() {
    with_app(async |app| {
        fund(app, 1_000).await;
        let date = in_days(app, 5);
        let id = made(app, rule(ASHA, DAY, date)).await;
        // Nobody was told before: a whole day of notice comes first.
        pass(app, 24 * 8 + 3).await;
        settled(app).await;
        assert_eq!((told(app, "due_soon").await, charges(app).await), (1, 0));
        pass(app, 23).await;
        settled(app).await;
        assert_eq!(charges(app).await, 0);
        pass(app, 1).await;
        settled(app).await;
        assert_eq!(charges(app).await, 1);
        let next = due(app, id).await;
        assert_eq!(next, date + TimeDelta::days(5));
        // Told before, and then three days of nothing: one charge as well.
        pass(app, 24 * 3).await;
        settled(app).await;
        assert_eq!(charges(app).await, 2);
        assert!(due(app, id).await > app.clock.now());
        assert_eq!((due(app, id).await - date).num_seconds() % 86_400, 0, "the dates moved");
        app.verify().await;
    });
}

#[test]
fn an_empty_wallet_is_tried_again_by_day_and_then_the_rule_is_disabled() {
    with_app(async |app| {
        let date = in_days(app, 10);
        let id = made(app, rule(ASHA, MONTH, date)).await;
        go(app, date - TimeDelta::hours(25)).await;
        settled(app).await;
        go(app, date).await;
        for tries in 1..=3 {
            settled(app).await;
            assert_eq!(told(app, "failed").await, tries);
            let rule = shown(app, id).await;
            assert_eq!((&rule["status"], moment(&rule["next_due_date"])), (&json!("enabled"), date));
            let next: DateTime<Utc> = sqlx::query_scalar("SELECT try_at FROM autopay_occurrences")
                .fetch_one(&app.pool)
                .await
                .unwrap();
            assert!(next > app.clock.now() && next - app.clock.now() < TimeDelta::days(3));
            go(app, next).await;
        }
        settled(app).await;
        assert_eq!((told(app, "failed").await, told(app, "disabled").await), (4, 1));
        assert_eq!(shown(app, id).await["status"], "disabled");
        let asha = app.sign_in(ASHA).await.access;
        eventually("the notice", PATIENCE, async || {
            let notices = app.get("/notification/my?size=50", &asha).await.ok().to_string();
            (notices.contains("is switched off: your wallet holds too little")
                && notices.contains("It is tried again on"))
            .then_some(())
        })
        .await;
        // Money later changes nothing until the customer says so; then the rule goes on with its next date.
        fund(app, 1_000).await;
        pass(app, 24).await;
        settled(app).await;
        assert_eq!(charges(app).await, 0);
        let body = json!({ "status": "enabled" });
        let path = format!("/autopay/{id}");
        let enabled = app.send(app.request(Method::PATCH, &path).bearer_auth(&asha).json(&body)).await;
        let asha = app.sign_in(ASHA).await.access;
        let enabled = if enabled.status == 401 {
            app.send(app.request(Method::PATCH, &path).bearer_auth(&asha).json(&body)).await.ok()
        } else {
            enabled.ok()
        };
        assert_eq!(moment(&enabled["next_due_date"]), date + TimeDelta::days(28));
        app.verify().await;
    });
}

#[test]
fn a_wallet_filled_between_two_tries_is_charged_for_the_same_date() {
    with_app(async |app| {
        let date = in_days(app, 10);
        let id = made(app, rule(ASHA, MONTH, date)).await;
        go(app, date - TimeDelta::hours(25)).await;
        settled(app).await;
        go(app, date).await;
        settled(app).await;
        assert_eq!(told(app, "failed").await, 1);
        fund(app, 1_000).await;
        pass(app, 30).await;
        settled(app).await;
        assert_eq!(charges(app).await, 1);
        // Late, and yet the next date is counted from the date.
        assert_eq!(due(app, id).await, date + TimeDelta::days(28));
        app.verify().await;
    });
}

#[test]
fn a_plan_that_is_gone_disables_the_rule_at_once() {
    with_app(async |app| {
        fund(app, 1_000).await;
        let date = app.clock.now() + TimeDelta::hours(2);
        let id = made(app, rule(ASHA, MONTH, date)).await;
        settled(app).await;
        sqlx::query("UPDATE plans SET status = 'inactive' WHERE plan_id = 1")
            .execute(&app.pool)
            .await
            .unwrap();
        pass(app, 2).await;
        settled(app).await;
        assert_eq!((charges(app).await, told(app, "disabled").await), (0, 1));
        assert_eq!(shown(app, id).await["status"], "disabled");
        assert_eq!(app.balance(ASHA).await, 100_000);
        app.verify().await;
    });
}

#[test]
fn a_date_can_be_left_out_once() {
    with_app(async |app| {
        fund(app, 1_000).await;
        let date = in_days(app, 3);
        let id = made(app, rule(ASHA, MONTH, date)).await;
        go(app, date - TimeDelta::hours(20)).await;
        settled(app).await;
        let asha = app.sign_in(ASHA).await.access;
        let skip = async |when: &str| {
            app.post(&format!("/autopay/{id}/skip"), &asha, json!({ "due_date": when })).await
        };
        assert_eq!(skip("never").await.json["errors"][0]["field"], "due_date");
        assert_eq!(skip(&in_days(app, 9).to_rfc3339()).await.problem(), "state_conflict");
        let after = date + TimeDelta::days(28);
        for _ in 0..2 {
            assert_eq!(moment(&skip(&date.to_rfc3339()).await.ok()["next_due_date"]), after);
        }
        go(app, date + TimeDelta::days(1)).await;
        settled(app).await;
        assert_eq!(charges(app).await, 0);
        go(app, after - TimeDelta::hours(25)).await;
        settled(app).await;
        go(app, after).await;
        settled(app).await;
        assert_eq!(charges(app).await, 1);
        app.verify().await;
    });
}

#[test]
fn what_is_disabled_changed_or_deleted_after_its_notice_is_not_charged_as_told() {
    with_app(async |app| {
        fund(app, 1_000).await;
        let date = in_days(app, 3);
        let disabled = made(app, rule(ASHA, MONTH, date)).await;
        let deleted = made(app, onetime(ASHA, MONTH, date)).await;
        let moved = made(app, rule(ASHA, DAY, date)).await;
        go(app, date - TimeDelta::hours(20)).await;
        settled(app).await;
        assert_eq!(told(app, "due_soon").await, 3);
        let asha = app.sign_in(ASHA).await.access;
        let change = async |method: Method, id: i64, body: Value| {
            app.send(app.request(method, &format!("/autopay/{id}")).bearer_auth(&asha).json(&body)).await.ok()
        };
        change(Method::PATCH, disabled, json!({ "status": "disabled" })).await;
        change(Method::DELETE, deleted, json!({})).await;
        let later = date + TimeDelta::days(4);
        change(Method::PATCH, moved, json!({ "next_due_date": later.to_rfc3339() })).await;
        go(app, date + TimeDelta::hours(1)).await;
        settled(app).await;
        assert_eq!(charges(app).await, 0);
        go(app, later - TimeDelta::hours(25)).await;
        settled(app).await;
        go(app, later).await;
        settled(app).await;
        assert_eq!(charges(app).await, 1);
        app.verify().await;
    });
}

#[test]
fn a_customer_who_pauses_the_account_pays_nothing_until_the_rule_is_enabled_again() {
    with_app(async |app| {
        fund(app, 1_000).await;
        let date = in_days(app, 3);
        let id = made(app, rule(ASHA, MONTH, date)).await;
        go(app, date - TimeDelta::hours(20)).await;
        settled(app).await;
        let asha = app.sign_in(ASHA).await.access;
        app.post("/user/me/deactivate", &asha, json!({})).await.ok();
        go(app, date + TimeDelta::hours(1)).await;
        settled(app).await;
        assert_eq!((charges(app).await, told(app, "failed").await), (0, 0));
        // The next sign-in wakes the account, not the rule.
        let asleep = shown(app, id).await;
        assert_eq!(asleep["status"], "disabled");
        app.verify().await;
    });
}

#[test]
fn administrators_foresee_and_process_what_is_due() {
    with_app(async |app| {
        fund(app, 300).await;
        let date = in_days(app, 3);
        let first = made(app, rule(ASHA, MONTH, date)).await;
        let ravi = app.sign_in(RAVI).await.access;
        let gift = app.post(CREATE, &ravi, rule(ASHA, DAY, date)).await.ok()["autopay_id"].as_i64().unwrap();
        let admin = app.sign_in(ADMIN).await.access;
        let process = async |query: &str| {
            app.post(&format!("/autopay/admin/process-due{query}"), &admin, json!({})).await
        };
        assert_eq!(process("").await.ok(), json!([]));
        assert_eq!(process("?dry_run=true").await.ok(), json!([]));
        let until = (date + TimeDelta::hours(1)).format("%Y-%m-%dT%H:%M:%SZ");
        let foreseen = process(&format!("?dry_run=true&until={until}")).await.ok();
        assert_eq!(
            foreseen
                .as_array()
                .unwrap()
                .iter()
                .map(|it| (it["autopay_id"].as_i64(), it["status"].clone(), it["error"].clone()))
                .collect::<Vec<_>>(),
            [
                (Some(first), json!("success"), Value::Null),
                (Some(gift), json!("failed"), json!("insufficient_funds"))
            ]
        );
        assert_eq!(process("?dry_run=maybe").await.status, 422);
        assert_eq!(process("?dry_run=true&until=then").await.status, 422);
        assert_eq!(charges(app).await, 0, "a dry run charged");
        go(app, date - TimeDelta::hours(25)).await;
        settled(app).await;
        go(app, date).await;
        // Whether this call or the scheduler comes first: every rule once.
        let admin = app.sign_in(ADMIN).await.access;
        let answer = app.post("/autopay/admin/process-due", &admin, json!({})).await.ok();
        for it in answer.as_array().unwrap() {
            match it["autopay_id"].as_i64() {
                Some(id) if id == first => assert!(it["status"] == "success" && it["tx_id"].is_i64(), "{it}"),
                Some(id) if id == gift => {
                    assert!(it["status"] == "failed" && it["error"] == "insufficient_funds", "{it}")
                }
                _ => panic!("{it}"),
            }
        }
        settled(app).await;
        assert_eq!((charges(app).await, told(app, "failed").await), (1, 1));
        app.verify().await;
    });
}

#[test]
fn two_processes_and_an_administrator_charge_each_rule_once() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        app.post(TOP_UP, &asha, json!({ "amount": 50_000, "payment_method": "UPI" })).await.ok();
        let other = app.start_another().await;
        let date = app.clock.now() + TimeDelta::hours(2);
        sqlx::query(
            "INSERT INTO autopay_rules (user_id, plan_id, phone, tag, next_due_date, anchor, set_at, announce_at, created_at)
             SELECT p.user_id, 7, u.phone, 'onetime', $1 + n * interval '1 microsecond',
                 $1 + n * interval '1 microsecond', $2, $2, $2
             FROM users p, users u, generate_series(1, 8) n
             WHERE p.phone = 919800000001 AND u.user_type = 'prepaid'",
        )
        .bind(date)
        .bind(app.clock.now())
        .execute(&app.pool)
        .await
        .unwrap();
        let rules = app.count("SELECT count(*) FROM autopay_rules").await;
        assert!(rules >= 8);
        settled(app).await;
        pass(app, 3).await;
        let admin = app.sign_in(ADMIN).await.access;
        let calls =
            (0..4).map(async |_| app.post("/autopay/admin/process-due", &admin, json!({})).await.ok());
        futures_util::future::join_all(calls).await;
        settled(app).await;
        assert_eq!(charges(app).await, rules);
        assert_eq!(told(app, "charged").await, rules);
        app.verify().await;
        assert!(other.stop().await);
    });
}
