//! Figures over HTTP, and the kept sums against a recount.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use chrono_tz::Tz;
use gencharge::analytics::{Analytics, Keeper, PgRollUp, Report};
use gencharge::app::openapi_document;
use gencharge_actors::kernel::Clock as _;
use gencharge_actors::upkeep::Upkeep as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, with_app};

const ADMIN: &str = "9000000001";
const CUSTOMER: &str = "9800000001";

async fn recharge(app: &TestApp, token: &str, key: &str) {
    let request = app
        .request(Method::POST, "/recharge/subscribe")
        .bearer_auth(token)
        .header("Idempotency-Key", key)
        .json(&json!({ "phone_number": CUSTOMER, "plan_id": 1, "payment_method": "UPI" }));
    app.send(request).await.ok();
}

#[test]
fn every_report_has_its_fields_and_its_readers() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let customer = app.sign_in(CUSTOMER).await.access;
        recharge(app, &customer, "analytics").await;
        let document = openapi_document();
        let mut reports = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            if !path.starts_with("/analytics/") {
                continue;
            }
            reports += 1;
            let (reader, stranger) =
                if path == "/analytics/me/users" { (&customer, &admin) } else { (&admin, &customer) };
            assert_eq!(app.get(path, "").await.problem(), "not_authenticated", "{path}");
            assert_eq!(app.get(path, stranger).await.problem(), "forbidden", "{path}");
            let figures = app.get(path, reader).await.ok();
            let schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
            let schema = document.pointer(schema.as_str().unwrap().trim_start_matches('#')).unwrap();
            let mut expected: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
            expected.sort();
            let mut given: Vec<&String> = figures.as_object().unwrap().keys().collect();
            given.sort();
            assert_eq!(given, expected, "{path}");
        }
        assert_eq!(reports, 10);
    });
}

#[test]
fn transactions_are_counted_in_the_windows_of_their_days_and_told_apart() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let customer = app.sign_in(CUSTOMER).await.access;
        let before = app.get("/analytics/transactions", &admin).await.ok();
        for key in ["one", "two"] {
            recharge(app, &customer, key).await;
        }
        let figures = app.get("/analytics/transactions", &admin).await.ok();
        let grew =
            |name: &str| figures["totals"][name].as_f64().unwrap() - before["totals"][name].as_f64().unwrap();
        assert_eq!((grew("total_debits"), grew("total_credits"), grew("failed_count")), (2.0, 0.0, 0.0));
        assert_eq!(grew("total_debit_amount"), 598.0);
        // Today is in no window; tomorrow it is yesterday.
        let yesterday = |figures: &Value| figures["period_stats"]["yesterday"]["count"].as_i64().unwrap();
        assert_eq!(yesterday(&figures), yesterday(&before));
        app.clock.advance(TimeDelta::days(1));
        let admin = app.sign_in(ADMIN).await.access;
        let next = app.get("/analytics/transactions", &admin).await.ok();
        assert_eq!(yesterday(&next) - yesterday(&before), 2);
        assert_eq!(next["trends"]["last_7_days"].as_array().unwrap().len(), 7);
        let top = next["top_users"].as_array().unwrap();
        assert!(top.iter().any(|user| user["total_amount"].as_f64().unwrap() >= 598.0), "{top:?}");

        let customer = app.sign_in(CUSTOMER).await.access;
        let own = app.get("/analytics/me/users", &customer).await.ok();
        assert_eq!(own["transaction_summary"]["total_amount_spent"], 598.0);
        assert_eq!(
            own["spending_by_period"][0],
            json!({ "label": "last_week", "total_spent": 598.0, "txn_count": 2 })
        );
        assert_eq!(own["top_plan"]["usage_count"], 2);
        assert!(own["top_plan"]["plan_name"].is_string());
        assert_eq!(own["recharge_numbers"], json!([{ "phone_number": CUSTOMER, "count": 2 }]));
    });
}

/// All figures but the time of their making.
async fn figures(app: &TestApp, token: &str) -> Value {
    let mut figures = app.get("/analytics/transactions", token).await.ok();
    figures["generated_at"] = Value::Null;
    figures
}

#[test]
fn kept_sums_agree_with_a_full_recount_whatever_was_kept_when() {
    with_app(async |app| {
        let roll_up = PgRollUp::new(app.pool.clone(), Arc::new(app.clock.clone()), Tz::Asia__Kolkata);
        for day in 0..4 {
            let customer = app.sign_in(CUSTOMER).await.access;
            recharge(app, &customer, &format!("day-{day}")).await;
            if day != 1 {
                roll_up.sum_up().await.unwrap();
            }
            recharge(app, &customer, &format!("day-{day}-later")).await;
            let admin = app.sign_in(ADMIN).await.access;
            let kept = figures(app, &admin).await;
            let sums: i64 =
                sqlx::query_scalar("SELECT count(*) FROM analytics_days").fetch_one(&app.pool).await.unwrap();
            assert!(day < 2 || sums > 0, "nothing was kept on day-{day} of {}", app.clock.now());
            let mut connection = app.pool.acquire().await.unwrap();
            sqlx::raw_sql(
                "CREATE TEMP TABLE kept_reach AS TABLE analytics_reach; DELETE FROM analytics_reach;",
            )
            .execute(&mut *connection)
            .await
            .unwrap();
            assert_eq!(figures(app, &admin).await, kept, "day-{day}");
            sqlx::raw_sql("INSERT INTO analytics_reach TABLE kept_reach; DROP TABLE kept_reach;")
                .execute(&mut *connection)
                .await
                .unwrap();
            drop(connection);
            app.clock.advance(TimeDelta::days(1));
        }
    });
}

#[test]
fn kept_figures_are_a_full_recount_of_their_moment_and_made_anew_while_somebody_asks() {
    with_app(async |app| {
        let live = Analytics::new(app.pool.clone(), Arc::new(app.clock.clone()), Tz::Asia__Kolkata);
        let slow = live.clone().keeping_slower_than(Duration::ZERO);
        let reports = [Report::Plans, Report::CurrentPlans, Report::Transactions];
        let count = async || {
            let mut counted = Vec::new();
            for report in reports {
                counted.push(report.make(&live.view()).await.unwrap().get().to_owned());
            }
            counted
        };
        let shown = async || {
            let mut shown = Vec::new();
            for report in reports {
                shown.push(slow.figures(report).await.unwrap().get().to_owned());
            }
            shown
        };
        let keep = async |analytics: &Analytics| {
            let keeper = Keeper::new(analytics.clone());
            while keeper.tidy().await.unwrap().more {}
        };
        let first = shown().await;
        assert_eq!(first, count().await);

        let customer = app.sign_in(CUSTOMER).await.access;
        recharge(app, &customer, "kept").await;
        app.clock.advance(TimeDelta::seconds(5));
        keep(&slow).await;
        assert_eq!(shown().await, first, "shown again while they are fresh");
        app.clock.advance(TimeDelta::seconds(6));
        keep(&slow).await;
        let second = shown().await;
        assert_eq!(second, count().await, "made anew when they are due");
        for (before, after) in first.iter().zip(&second) {
            assert_ne!(before, after);
        }

        app.clock.advance(TimeDelta::minutes(10));
        assert_eq!(shown().await, count().await, "old ones are not shown, whoever keeps them");

        let quick = live.clone().keeping_slower_than(Duration::from_secs(3600));
        app.clock.advance(TimeDelta::seconds(1));
        let moment = quick.figures(Report::Plans).await.unwrap();
        assert_eq!(moment.get(), count().await[0], "what is made quickly is made for every reader");
    });
}

#[test]
fn the_first_to_ask_for_slow_figures_gets_kept_ones() {
    with_app(async |app| {
        let live = Analytics::new(app.pool.clone(), Arc::new(app.clock.clone()), Tz::Asia__Kolkata);
        let slow = live.clone().keeping_slower_than(Duration::ZERO);
        let keeper = Keeper::new(slow.clone());
        let keep = async || while keeper.tidy().await.unwrap().more {};
        let made_at = "SELECT extract(epoch FROM min(made_at))::bigint FROM analytics_kept";
        keep().await;
        let first = app.count(made_at).await;
        assert_eq!(app.count("SELECT count(*) FROM analytics_kept").await, 9);
        let before = Report::Plans.make(&live.view()).await.unwrap();

        app.clock.advance(TimeDelta::seconds(90));
        keep().await;
        assert_eq!(app.count(made_at).await, first, "nobody asks: they rest");
        assert_eq!(slow.figures(Report::Plans).await.unwrap().get(), before.get());
        app.clock.advance(TimeDelta::seconds(11));
        keep().await;
        assert!(app.count(made_at).await > first, "nobody asks, and yet they are made anew");
    });
}
