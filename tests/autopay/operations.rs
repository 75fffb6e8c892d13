//! Each operation: the right and the wrong caller, good and bad input.

use chrono::TimeDelta;
use gencharge_actors::kernel::Clock as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::{CREATE, DAY, MONTH, in_days, moment, onetime, rule};
use crate::support::app::{Answer, TestApp, with_app};
use crate::support::money::{ASHA, RAVI, with};

const ADMIN: &str = "9000000001";
const VIEWER: &str = "9000000013";
const CREDENTIALS: &str = "/autopay/autopay_credentials";

async fn send(app: &TestApp, method: Method, path: &str, token: &str, body: Value) -> Answer {
    app.send(app.request(method, path).bearer_auth(token).json(&body)).await
}

async fn patch(app: &TestApp, id: &Value, token: &str, body: Value) -> Answer {
    send(app, Method::PATCH, &format!("/autopay/{id}"), token, body).await
}

fn ids(list: &Value) -> Vec<i64> {
    list["items"].as_array().unwrap().iter().map(|item| item["autopay_id"].as_i64().unwrap()).collect()
}

#[test]
fn a_rule_is_made_shown_changed_and_deleted() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let due = in_days(app, 20);
        let answer = app.post(CREATE, &asha, rule(RAVI, MONTH, due)).await;
        assert_eq!(answer.problem(), "plan_type_mismatch");
        let answer = app.post(CREATE, &asha, rule(ASHA, MONTH, due)).await;
        assert_eq!(answer.status, 201);
        let made = answer.ok();
        let id = &made["autopay_id"];
        assert!(id.is_i64() && made["user_id"].is_i64());
        for (field, value) in [
            ("plan_id", json!(MONTH)),
            ("phone_number", json!(ASHA)),
            ("status", json!("enabled")),
            ("tag", json!("regular")),
            ("repeat", json!("validity")),
        ] {
            assert_eq!(made[field], value, "{field}");
        }
        assert_eq!(moment(&made["next_due_date"]), due);
        assert_eq!(moment(&made["created_at"]), app.clock.now());
        for prefix in ["", "/v1"] {
            assert_eq!(app.get(&format!("{prefix}/autopay/get_autopay/{id}"), &asha).await.ok(), made);
        }
        // A part is enough.
        let changed = patch(app, id, &asha, json!({ "plan_id": DAY })).await.ok();
        assert_eq!(changed, with(made.clone(), json!({ "plan_id": DAY })));
        let later = in_days(app, 30);
        let changes = json!({ "next_due_date": later.to_rfc3339(), "tag": "onetime", "status": "disabled", "repeat": "monthly" });
        let changed = patch(app, id, &asha, changes).await.ok();
        assert_eq!(moment(&changed["next_due_date"]), later);
        assert_eq!(
            (&changed["tag"], &changed["status"], &changed["repeat"]),
            (&json!("onetime"), &json!("disabled"), &json!("monthly"))
        );
        app.verify().await;
        let gone = send(app, Method::DELETE, &format!("/autopay/{id}"), &asha, json!({})).await;
        assert_eq!((gone.status, gone.text.as_str()), (204, ""));
        assert_eq!(app.get(&format!("/autopay/get_autopay/{id}"), &asha).await.problem(), "not_found");
        let gone = send(app, Method::DELETE, &format!("/autopay/{id}"), &asha, json!({})).await;
        assert_eq!(gone.problem(), "not_found");
    });
}

#[test]
fn rules_are_their_owners_alone() {
    with_app(async |app| {
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        let admin = app.sign_in(ADMIN).await.access;
        let due = in_days(app, 20);
        let id = app.post(CREATE, &asha, rule(ASHA, MONTH, due)).await.ok()["autopay_id"].clone();
        let one = format!("/autopay/get_autopay/{id}");
        let it = format!("/autopay/{id}");
        let skip = format!("/autopay/{id}/skip");
        for (method, path, body) in [
            (Method::GET, one.as_str(), json!({})),
            (Method::PATCH, it.as_str(), json!({ "status": "disabled" })),
            (Method::DELETE, it.as_str(), json!({})),
            (Method::POST, skip.as_str(), json!({ "due_date": due.to_rfc3339() })),
        ] {
            assert_eq!(send(app, method.clone(), path, &ravi, body.clone()).await.problem(), "not_found");
            assert_eq!(send(app, method.clone(), path, &admin, body.clone()).await.problem(), "forbidden");
            assert_eq!(send(app, method, path, "", body).await.problem(), "not_authenticated");
        }
        for (method, path) in [
            (Method::POST, CREATE),
            (Method::GET, "/autopay/get_all_autopay"),
            (Method::GET, CREDENTIALS),
            (Method::PUT, CREDENTIALS),
        ] {
            assert_eq!(send(app, method.clone(), path, &admin, json!({})).await.problem(), "forbidden");
            assert_eq!(send(app, method, path, "", json!({})).await.problem(), "not_authenticated");
        }
        let viewer = app.sign_in(VIEWER).await.access;
        for (method, path) in
            [(Method::GET, "/autopay/admin/all"), (Method::POST, "/autopay/admin/process-due")]
        {
            assert_eq!(send(app, method.clone(), path, &asha, json!({})).await.problem(), "forbidden");
            assert_eq!(send(app, method.clone(), path, &viewer, json!({})).await.problem(), "forbidden");
            assert_eq!(send(app, method, path, "", json!({})).await.problem(), "not_authenticated");
        }
        assert_eq!(app.get(CREATE, &asha).await.problem(), "method_not_allowed");
        assert_eq!(app.get("/autopay/get_autopay/x", &asha).await.status, 422);
    });
}

#[test]
fn bad_rules_are_refused_naming_every_field() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let due = in_days(app, 20);
        let good = rule(ASHA, MONTH, due);
        let bad = json!({ "phone_number": "12", "tag": "often", "next_due_date": "soon", "status": "on", "repeat": "yearly" });
        let answer = app.post(CREATE, &asha, with(good.clone(), bad)).await;
        assert_eq!((answer.status, answer.problem()), (422, "invalid_input"));
        let fields: Vec<_> =
            answer.json["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
        assert_eq!(fields, ["phone_number", "tag", "next_due_date", "status", "repeat"]);
        for date in [app.clock.now(), app.clock.now() - TimeDelta::days(1), in_days(app, 4000)] {
            let answer = app.post(CREATE, &asha, rule(ASHA, MONTH, date)).await;
            assert_eq!(answer.json["errors"][0]["field"], "next_due_date", "{answer:?}");
        }
        for missing in ["plan_id", "phone_number", "tag", "next_due_date"] {
            let mut body = good.clone();
            body.as_object_mut().unwrap().remove(missing);
            assert_eq!(app.post(CREATE, &asha, body).await.status, 422, "{missing}");
        }
        for plan in [json!("x"), json!(1.5), json!(null)] {
            assert_eq!(
                app.post(CREATE, &asha, with(good.clone(), json!({ "plan_id": plan }))).await.status,
                422
            );
        }
        let answer = app.send(app.request(Method::POST, CREATE).bearer_auth(&asha).body("{")).await;
        assert_eq!(answer.problem(), "malformed_body");
        let unknown = |fields: Value| with(good.clone(), fields);
        assert_eq!(app.post(CREATE, &asha, unknown(json!({ "plan_id": 999 }))).await.problem(), "not_found");
        assert_eq!(app.post(CREATE, &asha, rule("9111111111", MONTH, due)).await.problem(), "not_found");
        app.post(CREATE, &asha, good.clone()).await.ok();
        assert_eq!(app.post(CREATE, &asha, good.clone()).await.problem(), "duplicate");
        // Of one-time rules only those of the same date are the same.
        app.post(CREATE, &asha, onetime(ASHA, MONTH, due)).await.ok();
        app.post(CREATE, &asha, onetime(ASHA, MONTH, in_days(app, 21))).await.ok();
        assert_eq!(app.post(CREATE, &asha, onetime(ASHA, MONTH, due)).await.problem(), "duplicate");
        sqlx::query("UPDATE plans SET status = 'inactive' WHERE plan_id = 1")
            .execute(&app.pool)
            .await
            .unwrap();
        assert_eq!(app.post(CREATE, &asha, good).await.problem(), "plan_unavailable");
        app.verify().await;
    });
}

#[test]
fn lists_filter_sort_and_page() {
    with_app(async |app| {
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        let mut made = Vec::new();
        for (days, plan, tag) in [(20, MONTH, "regular"), (10, DAY, "onetime"), (30, DAY, "regular")] {
            let body = with(rule(ASHA, plan, in_days(app, days)), json!({ "tag": tag }));
            made.push(app.post(CREATE, &asha, body).await.ok()["autopay_id"].as_i64().unwrap());
            app.clock.advance(TimeDelta::seconds(1));
        }
        patch(app, &json!(made[2]), &asha, json!({ "status": "disabled" })).await.ok();
        let [first, second, third] = made[..] else { panic!() };
        let gift = app.post(CREATE, &ravi, rule(ASHA, DAY, in_days(app, 5))).await.ok()["autopay_id"]
            .as_i64()
            .unwrap();
        let asha = app.sign_in(ASHA).await.access;
        for (query, expected) in [
            ("", vec![third, second, first]),
            ("?sort=created_at_asc", vec![first, second, third]),
            ("?sort=next_due_date_asc", vec![second, first, third]),
            ("?sort=next_due_date_desc", vec![third, first, second]),
            ("?status=enabled", vec![second, first]),
            ("?status=disabled", vec![third]),
            ("?tag=onetime", vec![second]),
            ("?phone_number=0001", vec![third, second, first]),
            ("?phone_number=0002", vec![]),
            ("?page=2&size=2", vec![first]),
            ("?page=9&size=2", vec![]),
        ] {
            let list = app.get(&format!("/autopay/get_all_autopay{query}"), &asha).await.ok();
            assert_eq!(ids(&list), expected, "{query}");
            let total = if query.contains("size") { 3 } else { expected.len() };
            assert_eq!(list["total"], total, "{query}");
        }
        let page = app.get("/autopay/get_all_autopay?page=2&size=2", &asha).await.ok();
        assert_eq!((&page["page"], &page["size"], &page["pages"]), (&json!(2), &json!(2), &json!(2)));
        for query in ["status=on", "tag=x", "sort=price", "size=101", "page=-1", "phone_number=a"] {
            let answer = app.get(&format!("/autopay/get_all_autopay?{query}"), &asha).await;
            assert_eq!((answer.status, answer.problem()), (422, "invalid_input"), "{query}");
        }
        let admin = app.sign_in(ADMIN).await.access;
        let all = app.get("/autopay/admin/all", &admin).await.ok();
        assert_eq!(ids(&all), [gift, third, second, first]);
        let it = &all["items"][0];
        assert_eq!(it["id_user_details"]["phone_number"], RAVI);
        assert_eq!(it["phone_user_details"]["phone_number"], ASHA);
        assert_eq!(it["plan_details"]["plan_id"], DAY);
        assert_eq!(it["plan_details"]["status"], "active");
        assert_eq!(ids(&app.get("/autopay/admin/all?tag=onetime&size=1", &admin).await.ok()), [second]);
        let beyond = app.get("/autopay/admin/all?page=7&size=2", &admin).await.ok();
        assert_eq!((ids(&beyond).len(), &beyond["total"]), (0, &json!(4)));
    });
}

#[test]
fn a_list_of_everything_is_streamed() {
    with_app(async |app| {
        sqlx::query(
            "INSERT INTO autopay_rules (user_id, plan_id, phone, tag, status, next_due_date, anchor, set_at, created_at)
             SELECT u.user_id, 1, u.phone, 'regular', 'disabled', now(), now(), now(), now()
             FROM generate_series(1, 2500), users u WHERE u.phone = 919800000001",
        )
        .execute(&app.pool)
        .await
        .unwrap();
        let admin = app.sign_in(ADMIN).await.access;
        let all = app.get("/autopay/admin/all", &admin).await.ok();
        assert_eq!((all["items"].as_array().unwrap().len(), &all["total"]), (2500, &json!(2500)));
        assert_eq!(all["items"][2400]["id_user_details"]["phone_number"], ASHA);
    });
}

#[test]
fn instruments_are_sealed_and_masked_without_their_security_code() {
    with_app(async |app| {
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        assert_eq!(app.get(CREDENTIALS, &asha).await.problem(), "not_found");
        let put = async |token: &str, body: Value| send(app, Method::PUT, CREDENTIALS, token, body).await;
        let card = json!({ "payment_type": "card", "credentials": {
            "number": "4111111111111234", "holder": "Asha K", "cvv": "987", "expiry": "12/30" } });
        let saved = put(&asha, card).await.ok();
        assert_eq!(saved["payment_type"], "card");
        assert_eq!(saved["credentials"], json!({ "number": "****1234", "holder": "****", "expiry": "****" }));
        assert_eq!(app.get(CREDENTIALS, &asha).await.ok(), saved);
        // Nothing of it is in the database as it is, the security code not even sealed.
        let kept: Vec<u8> =
            sqlx::query_scalar("SELECT sealed FROM autopay_credentials").fetch_one(&app.pool).await.unwrap();
        let shown = String::from_utf8_lossy(&kept).into_owned();
        assert!(!shown.contains("1234") && !shown.contains("number"));
        let without_code = json!({ "number": "4111111111111234", "holder": "Asha K", "expiry": "12/30" });
        assert_eq!(kept.len(), without_code.to_string().len() + 16);
        // Another takes its place; each has one of their own.
        let upi = json!({ "payment_type": "upi", "credentials": { "upi_id": "asha@okbank" } });
        let again = put(&asha, upi).await.ok();
        assert_eq!(
            (&again["id"], &again["credentials"]),
            (&saved["id"], &json!({ "upi_id": "a****@okbank" }))
        );
        assert_eq!(app.get(CREDENTIALS, &ravi).await.problem(), "not_found");
        for (bad, status) in [
            (json!({ "payment_type": "cash", "credentials": { "a": "b" } }), 422),
            (json!({ "payment_type": "upi", "credentials": "asha@okbank" }), 422),
            (json!({ "payment_type": "upi" }), 422),
            (json!({ "payment_type": "card", "credentials": { "cvv": "123" } }), 422),
            (json!({ "payment_type": "card", "credentials": { "note": "x".repeat(5000) } }), 422),
        ] {
            assert_eq!(put(&asha, bad).await.status, status);
        }
        // A record that was moved to another customer does not open.
        sqlx::query(
            "UPDATE autopay_credentials SET user_id = (SELECT user_id FROM users WHERE phone = 919800000002)",
        )
        .execute(&app.pool)
        .await
        .unwrap();
        assert_eq!(app.get(CREDENTIALS, &ravi).await.problem(), "state_conflict");
    });
}
