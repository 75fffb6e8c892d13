//! Announcements: to whom, when, and by whom.

use std::time::Duration;

use chrono::TimeDelta;
use gencharge_actors::kernel::Clock as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::own::notices;
use super::streams::Stream;
use crate::support::app::{TestApp, with_app, with_settings};
use crate::support::eventually;
use crate::support::money::{ASHA, RAVI};

const ADMIN: &str = "9000000001";
const PATH: &str = "/notification/announcement";

async fn texts(app: &TestApp, token: &str) -> Vec<String> {
    let list = app.get("/notification/my", token).await.ok();
    let text = |notice: &Value| notice["description"].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(text).collect()
}

fn body(text: &str, to: &str) -> Value {
    json!({ "description": text, "recipient_type": to })
}

#[test]
fn every_group_gets_its_own_and_nobody_anothers() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        let groups = [
            ("all_users", "all_user"),
            ("prepaid_users", "prepaid_users"),
            ("postpaid_users", "postpaid_users"),
            ("blocked", "blocked"),
            ("all_admin", "all_admin"),
        ];
        for (to, shown) in groups {
            let answer = app.post(PATH, &admin, body(to, to)).await;
            assert_eq!(answer.status, 201);
            let notice = answer.ok();
            assert_eq!(notice["recipient_type"], shown);
            assert_eq!(notice["_id"].as_str().unwrap().len(), 24);
            assert_eq!((&notice["sender_type"], &notice["type"]), (&json!("admin"), &json!("announcement")));
            assert_eq!((&notice["status"], &notice["attachments"]), (&json!("delivered"), &json!({})));
            assert_eq!((&notice["recipient_id"], &notice["scheduled_at"]), (&Value::Null, &Value::Null));
        }
        // Published with the answer: nobody has to wait.
        assert_eq!(texts(app, &asha).await, ["prepaid_users", "all_users"]);
        assert_eq!(texts(app, &ravi).await, ["postpaid_users", "all_users"]);
        assert_eq!(texts(app, &admin).await, ["all_admin"]);
        if std::env::var("GENCHARGE_TEST_MONGODB_URL").is_err() {
            assert_eq!(app.count("SELECT count(*) FROM notifications").await, 5);
        }

        let customer = app.post(PATH, &asha, body("no", "all_users")).await;
        assert_eq!(customer.problem(), "forbidden");
        assert_eq!(app.post(PATH, "", body("no", "all_users")).await.problem(), "not_authenticated");
    });
}

#[test]
fn a_scheduled_one_is_seen_by_nobody_before_its_time_and_by_all_then() {
    with_settings(&[("GENCHARGE_ACCESS_TOKEN_TTL", "4h")], async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let asha = app.sign_in(ASHA).await.access;
        let (mut stream, _) = Stream::open(app, "", &asha, None).await;
        let at = |hours| app.clock.now() + TimeDelta::hours(hours);
        let scheduled = |text: &str, hours| json!({ "description": text, "recipient_type": "all_users", "scheduled_at": at(hours) });
        let first = app.post(PATH, &admin, scheduled("in an hour", 1)).await.ok();
        let second = app.post(PATH, &admin, scheduled("in two hours", 2)).await.ok();
        app.post(PATH, &admin, scheduled("yesterday", -24)).await.ok();
        assert_eq!(stream.says().await, "yesterday");
        app.clock.advance(TimeDelta::minutes(59));
        // What comes later is behind it, so it was not seen before.
        app.post(PATH, &admin, body("now", "all_users")).await.ok();
        assert_eq!(stream.says().await, "now");
        assert_eq!(texts(app, &asha).await, ["now", "yesterday"]);
        let waiting = app.get("/notification/announcements?size=2", &admin).await;
        assert_eq!(waiting.headers["x-total-count"], "4");

        // One that is taken back is never seen.
        let path = format!("/notification/announcements/{}", second["_id"].as_str().unwrap());
        let delete =
            async |token: &str| app.send(app.request(Method::DELETE, &path).bearer_auth(token)).await;
        assert_eq!(delete(&asha).await.problem(), "forbidden");
        assert_eq!(delete(&admin).await.status, 204);
        assert_eq!(delete(&admin).await.problem(), "not_found");

        app.clock.advance(TimeDelta::minutes(2));
        let event = stream.next().await.unwrap();
        assert_eq!(event.data["description"], "in an hour");
        assert_eq!(event.data["_id"], first["_id"]);
        app.clock.advance(TimeDelta::hours(2));
        app.post(PATH, &admin, body("the last", "all_users")).await.ok();
        assert_eq!(stream.says().await, "the last");
        assert_eq!(notices(app, &asha, 4).await.len(), 4);
        let audited = eventually("the audit", Duration::from_secs(10), async || {
            let log = app.get("/audit-logs?service=notifications", &admin).await.ok();
            (log["count"].as_u64()? >= 6).then_some(log)
        })
        .await;
        assert!(audited.to_string().contains("DELETE_ANNOUNCEMENT"));
    });
}

#[test]
fn promotions_are_for_those_who_wish_for_them() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        sqlx::query(
            "UPDATE user_preferences SET promotional_offers = true
             WHERE user_id = (SELECT user_id FROM users WHERE phone = 919800000001)",
        )
        .execute(&app.pool)
        .await
        .unwrap();
        let (mut of_asha, _) = Stream::open(app, "", &asha, None).await;
        let (mut of_ravi, _) = Stream::open(app, "", &ravi, None).await;
        let promotion = json!({
            "description": "10 % off", "recipient_type": "all_users", "attachments": { "category": "promotion" }
        });
        app.post(PATH, &admin, promotion).await.ok();
        app.post(PATH, &admin, body("maintenance", "all_users")).await.ok();
        assert_eq!(of_asha.says().await, "10 % off");
        assert_eq!(of_ravi.says().await, "maintenance");
        assert_eq!(texts(app, &asha).await, ["maintenance", "10 % off"]);
        assert_eq!(texts(app, &ravi).await, ["maintenance"]);
    });
}

#[test]
fn what_cannot_be_announced_is_refused_with_the_field() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let with = |field: &str, value: Value| {
            let mut body = body("text", "all_users");
            body[field] = value;
            body
        };
        for (field, value) in [
            ("description", json!("")),
            ("description", json!("  \n")),
            ("description", json!("x".repeat(2001))),
            ("description", json!("a\u{0}b")),
            ("recipient_type", json!("user")),
            ("recipient_type", json!("everybody")),
            ("attachments", json!([1])),
            ("attachments", json!("text")),
            ("attachments", json!({ "a": "\u{0}" })),
            ("scheduled_at", json!("tomorrow")),
            ("scheduled_at", json!("2026-02-30T10:00:00Z")),
            ("scheduled_at", json!("9999-01-01T00:00:00Z")),
        ] {
            let answer = app.post(PATH, &admin, with(field, value.clone())).await;
            assert_eq!(answer.problem(), "invalid_input", "{field} {value}");
            assert_eq!(answer.json["errors"][0]["field"], field, "{value}");
        }
        for body in [json!({}), json!({ "description": 1, "recipient_type": "all_users" }), json!(null)] {
            assert_eq!(app.post(PATH, &admin, body).await.problem(), "invalid_input");
        }
        assert_eq!(app.get(PATH, &admin).await.problem(), "method_not_allowed");
        assert_eq!(app.count("SELECT count(*) FROM notifications").await, 0);
    });
}
