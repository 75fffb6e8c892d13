//! `/partners` over HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ADMIN, partner};
use crate::support::app::{Answer, TestApp, with_app};
use crate::support::money::ASHA;

const ALL: fn() -> Value = || json!({ "recharge": true, "wallet_topup": true });

async fn call(app: &TestApp, method: Method, path: &str, token: &str, body: Value) -> Answer {
    app.send(app.request(method, path).bearer_auth(token).json(&body)).await
}

#[test]
fn a_partner_is_made_seen_changed_and_removed() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let body = json!({ "name": " Acme Stores ", "broker_user": "acme", "permissions": ALL() });
        let answer = app.post("/partners", &admin, body.clone()).await;
        assert_eq!(answer.status, 201);
        assert!(answer.text.contains(r#""wallet_balance":0.00"#), "{}", answer.text);
        let made = answer.ok();
        assert_eq!((&made["name"], &made["status"]), (&json!("Acme Stores"), &json!("active")));
        let path = format!("/v1/partners/{}", made["partner_id"]);
        assert_eq!(app.get(&path, &admin).await.ok(), made);
        assert_eq!(app.post("/partners", &admin, body).await.problem(), "duplicate");

        let change =
            json!({ "status": "blocked", "permissions": { "recharge": true, "wallet_topup": false } });
        let changed = call(app, Method::PATCH, &path, &admin, change).await.ok();
        assert_eq!((&changed["status"], &changed["name"]), (&json!("blocked"), &json!("Acme Stores")));
        assert_eq!(changed["permissions"]["wallet_topup"], false);
        let list = app.get("/partners?status=blocked&search=ACME", &admin).await.ok();
        assert_eq!((&list["total"], &list["partners"][0]), (&json!(1), &changed));
        assert_eq!(app.get("/partners?search=%25", &admin).await.ok()["total"], 0);
        app.verify().await;

        assert_eq!(call(app, Method::DELETE, &path, &admin, json!({})).await.status, 204);
        assert_eq!(app.get(&path, &admin).await.problem(), "not_found");
        assert_eq!(call(app, Method::DELETE, &path, &admin, json!({})).await.problem(), "not_found");
        let audited = "SELECT count(*) FROM outbox_events WHERE type = 'gencharge.audit.recorded.v1'
            AND data::jsonb ->> 'service' = 'partners'";
        assert_eq!(app.count(audited).await, 3, "made, changed, removed");
        app.verify().await;
    });
}

#[test]
fn customers_and_partners_never_share_a_number() {
    with_app(async |app| {
        let first = partner(app, "acme", 0).await;
        app.sign_up("9812345678").await;
        let second = partner(app, "globex", 0).await;
        assert!(second > first + 1, "one number for the customer between them");
        app.verify().await;
    });
}

#[test]
fn money_comes_in_once_for_a_key_and_is_listed() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let id = partner(app, "acme", 0).await;
        let path = format!("/partners/{id}/funding");
        let body = json!({ "amount": "50000.50", "reference": "UTR 1" });
        let first = app.order(&path, &admin, "f-1", &body).await;
        let again = app.order(&path, &admin, "f-1", &body).await;
        assert!(!first.replayed() && again.replayed());
        let receipt = first.ok();
        assert_eq!(receipt, again.ok());
        assert_eq!((&receipt["amount"], &receipt["user_id"]), (&json!("50000.50"), &json!(id)));
        assert_eq!(receipt["payment_transaction_id"], "UTR 1");
        let other = app.order(&path, &admin, "f-1", &json!({ "amount": 1 })).await;
        assert_eq!(other.problem(), "idempotency_key_reused");

        let shown = app.get(&format!("/partners/{id}"), &admin).await;
        assert!(shown.text.contains(r#""wallet_balance":50000.50"#), "{}", shown.text);
        let list = app.get(&format!("/partners/{id}/transactions"), &admin).await.ok();
        assert_eq!((&list["total"], &list["transactions"][0]["amount"]), (&json!(1), &json!("50000.50")));
        let told =
            app.count("SELECT count(*) FROM outbox_events WHERE type = 'gencharge.partner.funded.v1'").await;
        assert_eq!(told, 1);
        let audited = "SELECT count(*) FROM outbox_events WHERE data::jsonb ->> 'action' = 'FUND_PARTNER'";
        assert_eq!(app.count(audited).await, 1, "written with the money");
        let used = call(app, Method::DELETE, &format!("/partners/{id}"), &admin, json!({})).await;
        assert_eq!((used.status, used.problem()), (409, "state_conflict"));
        app.verify().await;
    });
}

#[test]
fn a_blocked_partner_is_not_funded() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let path = format!("/partners/{}", partner(app, "acme", 100).await);
        call(app, Method::PATCH, &path, &admin, json!({ "status": "blocked" })).await.ok();
        let refused = app.order(&format!("{path}/funding"), &admin, "f-2", &json!({ "amount": 1 })).await;
        assert_eq!(refused.problem(), "receiver_not_active");
        app.verify().await;
    });
}

#[test]
fn bad_input_names_its_fields() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let id = partner(app, "acme", 0).await;
        let bad = json!({ "name": "", "broker_user": "a b", "permissions": ALL() });
        let answer = app.post("/partners", &admin, bad).await;
        assert_eq!((answer.status, answer.problem()), (422, "invalid_input"));
        assert_eq!(answer.json["errors"].as_array().unwrap().len(), 2);
        for body in [json!({}), json!({ "name": "x", "broker_user": "y" }), json!([]), json!({ "name": 7 })] {
            assert_eq!(app.post("/partners", &admin, body).await.problem(), "invalid_input");
        }
        let path = format!("/partners/{id}");
        for body in
            [json!({ "status": "deactive" }), json!({ "name": "a\u{0}b" }), json!({ "broker_user": "" })]
        {
            assert_eq!(call(app, Method::PATCH, &path, &admin, body).await.problem(), "invalid_input");
        }
        let funding = format!("{path}/funding");
        for body in [json!({ "amount": 0 }), json!({ "amount": "-1" }), json!({ "amount": 0.001 }), json!({})]
        {
            assert_eq!(app.post(&funding, &admin, body).await.problem(), "invalid_input");
        }
        assert_eq!(
            app.post("/partners/999999/funding", &admin, json!({ "amount": 1 })).await.problem(),
            "not_found"
        );
        assert_eq!(app.get("/partners/acme", &admin).await.problem(), "invalid_input");
        assert_eq!(
            app.get("/partners?size=501&status=x", &admin).await.json["errors"].as_array().unwrap().len(),
            2
        );
        // A customer's wallet is no partner's.
        let customer = app.count("SELECT user_id FROM users WHERE phone = 919800000001").await;
        let answer = app.post(&format!("/partners/{customer}/funding"), &admin, json!({ "amount": 1 })).await;
        assert_eq!(answer.problem(), "not_found");
        app.verify().await;
    });
}

#[test]
fn only_super_admins_see_partners() {
    with_app(async |app| {
        let id = partner(app, "acme", 0).await;
        let manager = app.sign_in("9000000004").await.access;
        let customer = app.sign_in(ASHA).await.access;
        for (method, path) in [
            (Method::GET, "/partners".to_owned()),
            (Method::POST, "/partners".to_owned()),
            (Method::GET, format!("/partners/{id}")),
            (Method::PATCH, format!("/partners/{id}")),
            (Method::DELETE, format!("/partners/{id}")),
            (Method::POST, format!("/partners/{id}/funding")),
            (Method::GET, format!("/partners/{id}/transactions")),
        ] {
            for token in [&manager, &customer] {
                let answer = call(app, method.clone(), &path, token, json!({})).await;
                assert_eq!((answer.status, answer.problem()), (403, "forbidden"), "{method} {path}");
            }
            let nobody = app.send(app.request(method, &path)).await;
            assert_eq!(nobody.problem(), "not_authenticated");
        }
    });
}
