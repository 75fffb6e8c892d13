//! What is recorded of sign-ins and of administrators' changes.

use std::time::Duration;

use gencharge_actors::events::{AuditRecorded, Event};
use serde_json::json;

use crate::support::app::{TestApp, with_app};
use crate::support::eventually;

const SUPER_ADMIN: &str = "9000000001";

/// The audit events so far, oldest first.
async fn recorded(app: &TestApp) -> Vec<AuditRecorded> {
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT data FROM outbox_events WHERE type = $1 ORDER BY event_id")
            .bind(Event::AUDIT_RECORDED)
            .fetch_all(&app.pool)
            .await
            .unwrap();
    let parsed = rows.iter().map(|data| match Event::parse(Event::AUDIT_RECORDED, data).unwrap() {
        Event::AuditRecorded(entry) => entry,
        other => panic!("{other:?}"),
    });
    parsed.collect()
}

async fn told(app: &TestApp) -> Vec<String> {
    let entries = recorded(app).await;
    entries.iter().map(|it| format!("{} {} {} {}", it.actor, it.role, it.action, it.status)).collect()
}

#[test]
fn sign_ins_and_outs_are_recorded_with_who_and_how_they_ended() {
    with_app(async |app| {
        let customer = app.sign_up("9876501234").await;
        let id: i64 = sqlx::query_scalar("SELECT user_id FROM users WHERE phone = 919876501234")
            .fetch_one(&app.pool)
            .await
            .unwrap();
        let admin = app.sign_in(SUPER_ADMIN).await;
        app.post("/auth/logout", &customer.access, json!({})).await.ok();
        let again = app.sign_in("9876501234").await;
        app.post("/auth/logout?all=true", &again.access, json!({})).await.ok();
        app.post("/auth/logout", &admin.access, json!({})).await.ok();
        assert_eq!(
            told(app).await,
            [
                format!("US_{id} user SIGNUP success"),
                "AD_1 SuperAdmin LOGIN success".to_owned(),
                format!("US_{id} user LOGOUT success"),
                format!("US_{id} user LOGIN success"),
                format!("US_{id} user LOGOUT_ALL success"),
                "AD_1 SuperAdmin LOGOUT success".to_owned(),
            ]
        );
        let first = &recorded(app).await[0];
        assert_eq!(
            (first.service.as_str(), first.occurred_at),
            ("auth", gencharge_actors::kernel::Clock::now(&app.clock))
        );
        assert!(first.target.starts_with("session/"), "{first:?}");
    });
}

#[test]
fn a_blocked_sign_in_and_a_stolen_token_are_recorded_and_wrong_codes_are_not() {
    with_app(async |app| {
        let customer = app.sign_up("9876501234").await;
        let refresh = json!({ "refresh_token": customer.refresh });
        app.post("/auth/refresh", "", refresh.clone()).await.ok();
        app.clock.advance(chrono::TimeDelta::seconds(11));
        assert_eq!(app.post("/auth/refresh", "", refresh).await.problem(), "not_authenticated");
        app.clock.advance(chrono::TimeDelta::seconds(31));
        let otp = app.login_code("9876501234").await;
        let wrong = json!({ "phone_number": "9876501234", "otp": "x" });
        assert_eq!(app.post("/auth/verify-otp-login", "", wrong).await.problem(), "invalid_otp");
        sqlx::query("UPDATE users SET status = 'blocked' WHERE phone = 919876501234")
            .execute(&app.pool)
            .await
            .unwrap();
        let body = json!({ "phone_number": "9876501234", "otp": otp });
        assert_eq!(app.post("/auth/verify-otp-login", "", body).await.problem(), "forbidden");
        let ends: Vec<_> =
            told(app).await.iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
        assert_eq!(ends, ["user SIGNUP success", "user REFRESH token_reused", "user LOGIN blocked"]);
    });
}

#[test]
fn a_paused_account_that_wakes_is_recorded_once() {
    with_app(async |app| {
        app.sign_up("9876501234").await;
        sqlx::query("UPDATE users SET status = 'deactive' WHERE phone = 919876501234")
            .execute(&app.pool)
            .await
            .unwrap();
        app.sign_in("9876501234").await;
        let ends: Vec<_> =
            told(app).await.iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
        assert_eq!(ends, ["user SIGNUP success", "user LOGIN success"]);
    });
}

#[test]
fn the_log_is_read_by_those_who_may_with_every_filter() {
    with_app(async |app| {
        let customer = app.sign_up("9876501234").await;
        let id: i64 = sqlx::query_scalar("SELECT user_id FROM users WHERE phone = 919876501234")
            .fetch_one(&app.pool)
            .await
            .unwrap();
        app.clock.advance(chrono::TimeDelta::days(2));
        let admin = app.sign_in(SUPER_ADMIN).await.access;
        let manager = app.sign_in("9000000004").await.access;
        eventually("three entries", Duration::from_secs(10), async || {
            (app.get("/audit-logs", &admin).await.ok()["count"] == 3).then_some(())
        })
        .await;
        let log = app.get("/v1/audit-logs/", &admin).await;
        assert_eq!(log.headers["x-total-count"], "3");
        let first = &log.json["logs"][2];
        assert_eq!(
            (&first["action"], &first["service"], &first["user_id"], &first["status"], &first["role"]),
            (&json!("SIGNUP"), &json!("auth"), &json!(format!("US_{id}")), &json!("success"), &json!("user"))
        );
        assert_eq!(first["_id"].as_str().unwrap().len(), 24);
        let day = first["timestamp"].as_str().unwrap()[..10].to_owned();
        let now = log.json["logs"][0]["timestamp"].as_str().unwrap().to_owned();
        for (query, actions) in [
            ("?limit=1".to_owned(), vec!["AD_4"]),
            ("?limit=1&offset=1".to_owned(), vec!["AD_1"]),
            (format!("?user_id=US_{id}"), vec!["US"]),
            ("?user_id=AD_1&service=auth&action=LOGIN&status=success".to_owned(), vec!["AD_1"]),
            ("?service=plans".to_owned(), vec![]),
            (format!("?end_date={day}"), vec!["US"]),
            (format!("?start_date={day}&end_date={now}"), vec!["US"]),
            (format!("?start_date={now}"), vec!["AD_4", "AD_1"]),
        ] {
            let found = app.get(&format!("/audit-logs{query}"), &admin).await.ok();
            let who: Vec<_> =
                found["logs"].as_array().unwrap().iter().map(|it| it["user_id"].as_str().unwrap()).collect();
            assert_eq!(who.len(), actions.len(), "{query} {found}");
            assert!(who.iter().zip(&actions).all(|(who, wanted)| who.starts_with(wanted)), "{query} {found}");
        }
        for bad in [
            "?limit=201",
            "?limit=0",
            "?user_id=7",
            "?start_date=soon",
            "?start_date=2026-02-02&end_date=2026-01-01",
        ] {
            let answer = app.get(&format!("/audit-logs{bad}"), &admin).await;
            assert_eq!((answer.status, answer.problem()), (422, "invalid_input"), "{bad}");
        }
        assert_eq!(app.get("/audit-logs", "").await.problem(), "not_authenticated");
        assert_eq!(app.get("/audit-logs", &manager).await.problem(), "forbidden");
        assert_eq!(app.get("/audit-logs", &customer.access).await.status, 401);
        let fresh = app.sign_in("9876501234").await.access;
        assert_eq!(app.get("/audit-logs", &fresh).await.problem(), "forbidden");
    });
}
