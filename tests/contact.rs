//! The contact form, at its path and at the misspelt one.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp, with_app};

const FORM: &str = "/contact-form/contacts";
const FROM: &str = "/contact-from/contacts/";

async fn settle(app: &TestApp, id: &str, token: &str, body: Value) -> Answer {
    let request = app.request(Method::PATCH, &format!("{FROM}{id}/resolved"));
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
    app.send(request.json(&body)).await
}

fn names(answer: &Answer) -> Vec<&str> {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json.as_array().unwrap().iter().map(|form| form["name"].as_str().unwrap()).collect()
}

#[test]
fn anyone_writes_and_those_who_may_read_and_settle() {
    with_app(async |app| {
        let form = |name: &str| json!({ "name": name, "email": format!("{name}@example.com"), "description": "Help" });
        let first = app.post(FROM, "", form("ann")).await.ok();
        let id = first["_id"].as_str().unwrap().to_owned();
        assert_eq!(
            (id.len(), &first["resolved"], &first["email"]),
            (24, &json!(false), &json!("ann@example.com"))
        );
        app.clock.advance(chrono::TimeDelta::days(1));
        app.post(&format!("/v1{FORM}"), "", form("bob")).await.ok();
        let admin = app.sign_in("9000000001").await.access;
        let support = app.sign_in("9000000007").await.access;
        let manager = app.sign_in("9000000004").await.access;

        assert_eq!(names(&app.get(FORM, &support).await), ["bob", "ann"]);
        assert_eq!(names(&app.get(&format!("{FROM}?order=asc&limit=1"), &support).await), ["ann"]);
        assert_eq!(names(&app.get(&format!("{FROM}?email=ann@example.com"), &support).await), ["ann"]);
        let day = first["created_at"].as_str().unwrap()[..10].to_owned();
        assert_eq!(names(&app.get(&format!("{FROM}?end_date={day}"), &support).await), ["ann"]);
        for bad in [
            "?email=nonsense",
            "?order=up",
            "?start_date=x",
            "?start_date=2026-02-02&end_date=2026-01-01",
            "?limit=1001",
        ] {
            assert_eq!(app.get(&format!("{FORM}{bad}"), &support).await.problem(), "invalid_input", "{bad}");
        }
        assert_eq!(app.get(FORM, "").await.problem(), "not_authenticated");
        assert_eq!(app.get(FORM, &manager).await.problem(), "forbidden");

        let yes = json!({ "resolved": true });
        assert_eq!(settle(app, &id, "", yes.clone()).await.problem(), "not_authenticated");
        assert_eq!(settle(app, &id, &support, yes.clone()).await.problem(), "forbidden");
        for _ in 0..2 {
            assert_eq!(settle(app, &id, &admin, yes.clone()).await.ok()["resolved"], true);
        }
        assert_eq!(names(&app.get(&format!("{FORM}?resolved=false"), &admin).await), ["bob"]);
        assert_eq!(settle(app, &"0".repeat(24), &admin, yes.clone()).await.problem(), "not_found");
        assert_eq!(settle(app, "12", &admin, yes).await.problem(), "invalid_input");
        assert_eq!(settle(app, &id, &admin, json!({})).await.problem(), "invalid_input");
    });
}

#[test]
fn wrong_fields_are_named_and_floods_end() {
    with_app(async |app| {
        let bad = app.post(FORM, "", json!({ "name": " ", "email": "x", "description": "" })).await;
        assert_eq!((bad.problem(), bad.json["errors"].as_array().unwrap().len()), ("invalid_input", 3));
        assert_eq!(app.post(FORM, "", json!({ "name": "n" })).await.problem(), "invalid_input");
        let form = json!({ "name": "n", "email": "n@example.com", "description": "again" });
        for _ in 0..5 {
            app.post(FORM, "", form.clone()).await.ok();
        }
        let flood = app.post(FORM, "", form.clone()).await;
        assert_eq!((flood.status, flood.problem()), (429, "rate_limited"));
        app.clock.advance(chrono::TimeDelta::hours(1) + chrono::TimeDelta::seconds(1));
        app.post(FORM, "", form).await.ok();
    });
}
