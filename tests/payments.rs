//! Payments that the gateway does not capture at once, its callbacks, refunds, and repeating a recharge.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use gencharge_actors::kernel::Clock as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::app::{Answer, TestApp, with_app, with_settings};
use crate::support::eventually;
use crate::support::money::{ASHA, RAVI, SUBSCRIBE, TOP_UP, recharge, with};

const ADMIN: &str = "9000000001";
const SECRET: &str = "a callback secret of the tests, 32 bytes or more";
const PATIENCE: Duration = Duration::from_secs(10);

fn with_gateway(test: impl AsyncFnOnce(&TestApp)) {
    // Tokens outlive the clock's leaps.
    let settings = [("GENCHARGE_PAYMENT_CALLBACK_SECRET", SECRET), ("GENCHARGE_ACCESS_TOKEN_TTL", "1d")];
    with_settings(&settings, test);
}

fn top_up(amount: &str) -> Value {
    json!({ "amount": amount, "payment_method": "UPI" })
}

fn signature(secret: &str, timestamp: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{timestamp}.{body}").as_bytes());
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={digits}")
}

async fn call_signed(app: &TestApp, timestamp: i64, signature: &str, body: &str) -> Answer {
    let request = app.request(Method::POST, "/payments/callback").header("content-type", "application/json");
    let request = request.header("x-payment-timestamp", timestamp).header("x-payment-signature", signature);
    app.send(request.body(body.to_owned())).await
}

/// A callback as the gateway sends it.
async fn call(app: &TestApp, event: &str, kind: &str, payment: &Value, amount: &str) -> Answer {
    let body =
        json!({ "event_id": event, "type": kind, "payment_id": payment, "amount": amount }).to_string();
    let now = app.clock.now().timestamp();
    call_signed(app, now, &signature(SECRET, now, &body), &body).await
}

/// Begins a payment that stays pending; gives its id.
async fn begin(app: &TestApp, token: &str, path: &str, body: Value) -> Value {
    let answer = app.post(path, token, body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(answer.json["status"], "pending");
    assert_eq!(location, format!("/payments/{}", answer.json["txn_id"]));
    let payment = app.get(&location, token).await.ok();
    assert_eq!(payment["state"], "pending");
    // The next thing is not of the same microsecond.
    app.clock.advance(TimeDelta::seconds(1));
    answer.json["txn_id"].clone()
}

async fn state(app: &TestApp, token: &str, payment: &Value) -> String {
    let payment = app.get(&format!("/payments/{payment}"), token).await.ok();
    payment["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_pending_top_up_is_money_when_the_gateway_says_so_and_once() {
    with_gateway(async |app| {
        let token = app.sign_in(ASHA).await.access;
        let answer = app.order(TOP_UP, &token, "k", &top_up("191.01")).await;
        let payment = answer.json["txn_id"].clone();
        assert_eq!(answer.status, 202);
        assert_eq!(app.balance(ASHA).await, 0);
        app.clock.advance(TimeDelta::seconds(1));
        // Two callbacks at once for the same event, and one of another.
        let answers = join_all(["e1", "e1", "e2"].map(|event| {
            let payment = payment.clone();
            async move { call(app, event, "payment.captured", &payment, "191.01").await }
        }))
        .await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
        for refused in answers.iter().filter(|answer| answer.status != 200) {
            assert!(["callback_replayed", "payment_settled"].contains(&refused.problem()));
        }
        assert_eq!(app.balance(ASHA).await, 19_101);
        assert_eq!(state(app, &token, &payment).await, "captured");
        // The client's own retry gets what it got.
        let again = app.order(TOP_UP, &token, "k", &top_up("191.01")).await;
        assert_eq!((again.status, again.replayed()), (202, true));
        assert_eq!(again.json, answer.json);
        let failed = call(app, "e3", "payment.failed", &payment, "191.01").await;
        assert_eq!((failed.status, failed.problem()), (409, "payment_settled"));
        app.verify().await;
    });
}

#[test]
fn a_pending_recharge_holds_nothing_and_commits_when_captured() {
    with_gateway(async |app| {
        let token = app.sign_in(ASHA).await.access;
        app.fund(&token, 500).await;
        let mixed =
            json!({ "phone_number": ASHA, "plan_id": 1, "payment_method": "UPI", "wallet_amount": "207.99" });
        let first = begin(app, &token, SUBSCRIBE, mixed.clone()).await;
        let second = begin(app, &token, SUBSCRIBE, mixed).await;
        assert_eq!(app.balance(ASHA).await, 50_000, "nothing is held");
        assert_eq!(app.count("SELECT count(*) FROM subscriptions").await, 0);
        assert_eq!(call(app, "a", "payment.captured", &first, "91.01").await.status, 200);
        assert_eq!(app.balance(ASHA).await, 50_000 - 20_799);
        assert_eq!(app.count("SELECT count(*) FROM subscriptions WHERE status = 'active'").await, 1);
        // The wallet's part is not there any more: what was captured is the payer's.
        let all = json!({ "amount": "200", "payment_method": "Wallet", "phone_number": RAVI });
        app.post(TOP_UP, &token, all).await.ok();
        let paid = call(app, "b", "payment.captured", &second, "91.01").await.ok();
        assert_eq!(
            (&paid["state"], &paid["credited_because"]),
            (&json!("captured"), &json!("insufficient_funds"))
        );
        assert_eq!(app.balance(ASHA).await, 50_000 - 20_799 - 20_000 + 9_101);
        assert_eq!(app.count("SELECT count(*) FROM subscriptions").await, 1);
        app.verify().await;
    });
}

#[test]
fn what_is_true_at_the_capture_decides() {
    with_gateway(async |app| {
        let token = app.sign_in(ASHA).await.access;
        app.fund(&token, 1_000).await;
        let body = json!({ "phone_number": ASHA, "plan_id": 1, "payment_method": "Card", "wallet_amount": "207.99" });
        let dearer = begin(app, &token, SUBSCRIBE, body.clone()).await;
        let gone = begin(app, &token, SUBSCRIBE, body).await;
        sqlx::query("UPDATE plans SET price = price + 100 WHERE plan_id = 1")
            .execute(&app.pool)
            .await
            .unwrap();
        let paid = call(app, "a", "payment.captured", &dearer, "91.01").await.ok();
        assert_eq!(paid["credited_because"], "price_changed");
        sqlx::query("UPDATE plans SET status = 'inactive' WHERE plan_id = 1")
            .execute(&app.pool)
            .await
            .unwrap();
        let paid = call(app, "b", "payment.captured", &gone, "91.01").await.ok();
        assert_eq!(paid["credited_because"], "plan_unavailable");
        assert_eq!(app.balance(ASHA).await, 100_000 + 2 * 9_101);
        let list = app.get("/recharge/my/transactions?source=refund", &token).await.ok();
        assert_eq!(list["total"], 2);
        assert_eq!(
            (&list["transactions"][0]["amount"], &list["transactions"][0]["plan_id"]),
            (&json!("91.01"), &json!(1))
        );
        app.verify().await;
    });
}

#[test]
fn a_declined_payment_charges_nothing_and_says_so() {
    with_gateway(async |app| {
        let token = app.sign_in(ASHA).await.access;
        let declined = app.order(TOP_UP, &token, "k", &top_up("92.02")).await;
        assert_eq!((declined.status, declined.problem()), (402, "payment_declined"));
        let again = app.order(TOP_UP, &token, "k", &top_up("92.02")).await;
        assert!(again.replayed() && again.problem() == "payment_declined");
        let list = app.get("/recharge/my/transactions?status=failed", &token).await.ok();
        assert_eq!((&list["total"], &list["transactions"][0]["amount"]), (&json!(1), &json!("92.02")));
        let payment = list["transactions"][0]["txn_id"].clone();
        assert_eq!(state(app, &token, &payment).await, "failed");
        // The gateway may be wrong: money that comes after all is the payer's.
        app.clock.advance(TimeDelta::seconds(1));
        let late = call(app, "late", "payment.captured", &payment, "92.02").await.ok();
        assert_eq!(late["state"], "late_capture");
        assert_eq!(app.balance(ASHA).await, 9_202);
        app.verify().await;
    });
}

#[test]
fn what_nobody_pays_expires_and_may_come_late() {
    with_gateway(async |app| {
        let token = app.sign_in(ASHA).await.access;
        let told = begin(app, &token, TOP_UP, top_up("91.01")).await;
        let by_itself = begin(app, &token, TOP_UP, top_up("93.03")).await;
        app.clock.advance(TimeDelta::minutes(15));
        for payment in [&told, &by_itself] {
            let expired = async || (state(app, &token, payment).await == "expired").then_some(());
            eventually("the end of a payment", PATIENCE, expired).await;
        }
        assert_eq!(app.balance(ASHA).await, 0);
        app.verify().await;
        app.clock.advance(TimeDelta::minutes(2));
        let late = async || (state(app, &token, &by_itself).await == "late_capture").then_some(());
        eventually("a late capture", PATIENCE, late).await;
        assert_eq!(call(app, "e", "payment.captured", &told, "91.01").await.ok()["state"], "late_capture");
        assert_eq!(app.balance(ASHA).await, 9_101 + 9_303);
        let own = app.get("/payments/my?state=late_capture", &token).await.ok();
        assert_eq!((&own["total"], own["payments"].as_array().unwrap().len()), (&json!(2), 2));
        app.verify().await;
    });
}

#[test]
fn callbacks_that_cannot_be_believed_are_problems() {
    with_gateway(async |app| {
        let token = app.sign_in(ASHA).await.access;
        let payment = begin(app, &token, TOP_UP, top_up("91.01")).await;
        let body =
            json!({ "event_id": "e", "type": "payment.captured", "payment_id": payment, "amount": "91.01" });
        let (body, now) = (body.to_string(), app.clock.now().timestamp());
        let good = signature(SECRET, now, &body);
        let old = now - 301;
        for (timestamp, signature) in [
            (now, signature("another secret that is as long as it must be", now, &body)),
            (now, good.replace("v1=", "")),
            (now, "v1=zz".to_owned()),
            (now, format!("v1={}", "é".repeat(32))),
            (now + 1, good.clone()),
            (old, signature(SECRET, old, &body)),
        ] {
            let answer = call_signed(app, timestamp, &signature, &body).await;
            assert_eq!((answer.status, answer.problem()), (401, "invalid_signature"));
        }
        let unsigned = app.send(app.request(Method::POST, "/payments/callback").body(body.clone())).await;
        assert_eq!(unsigned.problem(), "invalid_signature");
        for (body, status, code) in [
            ("nonsense".to_owned(), 400, "malformed_body"),
            (body.replace("payment.captured", "payment.eaten"), 422, "invalid_input"),
            (body.replace("91.01", "91.02"), 422, "invalid_input"),
            (body.replace("91.01", "-1e3"), 422, "invalid_input"),
            (body.replace("\"e\"", "\"\""), 422, "invalid_input"),
            (body.replace(&format!("\"payment_id\":{payment}"), "\"payment_id\":77"), 404, "payment_unknown"),
        ] {
            let answer = call_signed(app, now, &signature(SECRET, now, &body), &body).await;
            assert_eq!((answer.status, answer.problem()), (status, code), "{body}");
        }
        assert_eq!(state(app, &token, &payment).await, "pending");
        assert_eq!(call_signed(app, now, &good, &body).await.status, 200);
        let replayed = call_signed(app, now, &good, &body).await;
        assert_eq!((replayed.status, replayed.problem()), (409, "callback_replayed"));
        assert_eq!(app.balance(ASHA).await, 9_101);
    });
    with_app(async |app| {
        let answer = call(app, "e", "payment.captured", &json!(1), "1").await;
        assert_eq!(answer.problem(), "invalid_signature", "no secret, no callbacks");
    });
}

#[test]
fn payments_are_seen_by_those_who_may() {
    with_gateway(async |app| {
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        let admin = app.sign_in(ADMIN).await.access;
        let payment = begin(app, &asha, TOP_UP, top_up("91.01")).await;
        let path = format!("/v1/payments/{payment}");
        assert_eq!(app.get(&path, "").await.problem(), "not_authenticated");
        assert_eq!(app.get(&path, &ravi).await.problem(), "payment_unknown");
        assert_eq!(app.get(&path, &admin).await.ok()["amount"].to_string(), "91.01");
        assert_eq!(app.get("/payments/x", &admin).await.problem(), "invalid_input");
        assert_eq!(app.get("/payments", &asha).await.problem(), "forbidden");
        let all = app.get("/payments?state=pending&size=1", &admin).await.ok();
        assert_eq!((&all["total"], &all["payments"][0]["payment_id"]), (&json!(1), &payment));
        assert_eq!(
            app.get("/payments?state=eaten&size=0", &admin).await.json["errors"].as_array().unwrap().len(),
            2
        );
        assert_eq!(app.get("/payments?user_id=999", &admin).await.ok()["total"], 0);
    });
}

fn refund(txn: &Value) -> String {
    format!("/recharge/admin/transactions/{txn}/refund")
}

#[test]
fn a_refund_gives_all_back_once_and_ends_the_plan() {
    with_gateway(async |app| {
        let (asha, admin) = (app.sign_in(ASHA).await.access, app.sign_in(ADMIN).await.access);
        app.fund(&asha, 2_000).await;
        let bought = app.post(SUBSCRIBE, &asha, recharge(ASHA, 1)).await.ok();
        let waiting = app.post(SUBSCRIBE, &asha, recharge(ASHA, 1)).await.ok();
        let last = app.post(SUBSCRIBE, &asha, recharge(ASHA, 1)).await.ok();
        let before = app.balance(ASHA).await;
        app.clock.advance(TimeDelta::hours(1));
        let path = refund(&bought["txn_id"]);
        let answers =
            join_all(["a", "b", "a"].map(|key| async { app.order(&path, &admin, key, &json!({})).await }))
                .await;
        let fresh: Vec<_> =
            answers.iter().filter(|answer| answer.status == 200 && !answer.replayed()).collect();
        assert_eq!(fresh.len(), 1, "{answers:?}");
        assert!(answers.iter().any(|answer| answer.status == 400 && answer.problem() == "refund_exceeded"));
        assert_eq!(
            (&fresh[0].json["source"], &fresh[0].json["txn_type"]),
            (&json!("refund"), &json!("credit"))
        );
        assert_eq!(app.balance(ASHA).await, before + 29_900);
        // The next one begins at once, the one behind it moves up.
        let active = async || {
            let now = app.count("SELECT subscription_id FROM subscriptions WHERE status = 'active'").await;
            (json!(now) == waiting["subscription"]["subscription_id"]).then_some(())
        };
        let clock = app.clock.now();
        eventually("the next plan", PATIENCE, active).await;
        let from: chrono::DateTime<chrono::Utc> =
            sqlx::query_scalar("SELECT valid_from FROM subscriptions WHERE status = 'active'")
                .fetch_one(&app.pool)
                .await
                .unwrap();
        assert_eq!(from, clock);
        app.verify().await;
        // A waiting one leaves the queue.
        app.order(&refund(&last["txn_id"]), &admin, "c", &json!({ "reason": "twice" })).await.ok();
        assert_eq!(app.count("SELECT count(*) FROM subscriptions WHERE status = 'queued'").await, 0);
        assert_eq!(app.count("SELECT queued::bigint FROM wallets WHERE phone = 919800000001").await, 0);
        app.verify().await;
    });
}

#[test]
fn parts_of_a_recharge_are_given_back_until_nothing_is_left() {
    with_app(async |app| {
        let (asha, admin) = (app.sign_in(ASHA).await.access, app.sign_in(ADMIN).await.access);
        app.fund(&asha, 500).await;
        let bought = app.post(SUBSCRIBE, &asha, recharge(ASHA, 1)).await.ok();
        let path = refund(&bought["txn_id"]);
        app.order(&path, &admin, "a", &json!({ "amount": "100.50" })).await.ok();
        assert_eq!(app.count("SELECT count(*) FROM subscriptions WHERE status = 'active'").await, 1);
        let too_much = app.order(&path, &admin, "b", &json!({ "amount": "198.51" })).await;
        assert_eq!(too_much.problem(), "refund_exceeded");
        app.order(&path, &admin, "c", &json!({ "amount": "198.50" })).await.ok();
        assert_eq!(app.balance(ASHA).await, 50_000);
        assert_eq!(app.count("SELECT count(*) FROM subscriptions WHERE status = 'active'").await, 0);
        assert_eq!(
            app.count("SELECT sum(amount)::bigint FROM postings WHERE account_id IN (-2, -3)").await,
            0
        );
        app.verify().await;
        for (key, body, code) in [
            ("d", json!({ "amount": "0" }), "invalid_input"),
            ("e", json!({ "amount": "1e3" }), "invalid_input"),
            ("f", json!({ "reason": "x".repeat(501) }), "invalid_input"),
            ("g", json!({}), "refund_exceeded"),
        ] {
            assert_eq!(app.order(&path, &admin, key, &body).await.problem(), code);
        }
        assert_eq!(app.post(&path, &admin, json!({})).await.problem(), "invalid_input", "a key is needed");
        assert_eq!(app.order(&path, &asha, "h", &json!({})).await.problem(), "forbidden");
        assert_eq!(app.order(&refund(&json!(5)), &admin, "i", &json!({})).await.problem(), "not_found");
    });
}

#[test]
fn a_top_up_goes_back_through_the_gateway_while_the_wallet_holds_it() {
    with_app(async |app| {
        let (asha, admin) = (app.sign_in(ASHA).await.access, app.sign_in(ADMIN).await.access);
        let gift = with(top_up("100"), json!({ "phone_number": RAVI }));
        let done = app.post(TOP_UP, &asha, gift).await.ok();
        assert_eq!(app.balance(RAVI).await, 10_000);
        let refunded =
            app.order(&refund(&done["txn_id"]), &admin, "a", &json!({ "amount": "60" })).await.ok();
        assert_eq!((&refunded["txn_type"], &refunded["source"]), (&json!("debit"), &json!("refund")));
        assert_eq!(app.balance(RAVI).await, 4_000);
        let ravi = app.sign_in(RAVI).await.access;
        app.post(TOP_UP, &ravi, json!({ "amount": "1", "payment_method": "Wallet", "phone_number": ASHA }))
            .await
            .ok();
        let rest = app.order(&refund(&done["txn_id"]), &admin, "b", &json!({})).await;
        assert_eq!(rest.problem(), "insufficient_funds");
        let transfer = app.get("/recharge/my/transactions?payment_method=Wallet", &ravi).await.ok();
        let transfer = &transfer["transactions"][0]["txn_id"];
        assert_eq!(app.order(&refund(transfer), &admin, "c", &json!({})).await.problem(), "not_refundable");
        app.verify().await;
    });
}

#[test]
fn a_receipt_is_a_pdf_for_those_who_may_see_it() {
    with_app(async |app| {
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        let admin = app.sign_in(ADMIN).await.access;
        app.fund(&asha, 500).await;
        for name in ["आशा राव", "தமிழ்ச்செல்வி", "王小明", "محمد علي 12", "😀 \u{202E}x\u{10FFFF}", ""]
        {
            let set = "UPDATE users SET name = $1 WHERE phone = 919800000001";
            sqlx::query(set).bind(name).execute(&app.pool).await.unwrap();
            let list = app.get("/recharge/my/transactions", &asha).await.ok();
            let path = format!("/recharge/transactions/{}/receipt", list["transactions"][0]["txn_id"]);
            let receipt = app.get(&path, &asha).await;
            assert_eq!(
                (receipt.status, receipt.headers["content-type"].to_str().unwrap()),
                (200, "application/pdf")
            );
            assert!(receipt.text.starts_with("%PDF-") && receipt.text.trim_end().ends_with("%%EOF"));
            assert_eq!(app.get(&path, &admin).await.status, 200);
            assert_eq!(app.get(&path, &ravi).await.problem(), "not_found");
            assert_eq!(app.get(&path, "").await.problem(), "not_authenticated");
        }
        assert_eq!(app.get("/recharge/transactions/77/receipt", &asha).await.problem(), "not_found");
        assert_eq!(app.get("/recharge/transactions/x/receipt", &asha).await.problem(), "invalid_input");
    });
}

#[test]
fn the_last_recharge_is_repeated_as_it_was() {
    with_app(async |app| {
        let token = app.sign_in(ASHA).await.access;
        const REPEAT: &str = "/recharge/repeat";
        assert_eq!(app.post(REPEAT, &token, json!({})).await.problem(), "not_found");
        app.fund(&token, 1_000).await;
        app.post(SUBSCRIBE, &token, recharge(ASHA, 1)).await.ok();
        app.clock.advance(TimeDelta::seconds(1));
        let first = app.order(REPEAT, &token, "k", &json!({})).await;
        let second = app.order(REPEAT, &token, "k", &json!({})).await;
        assert!(!first.replayed() && second.replayed());
        assert_eq!(first.json["txn_id"], second.json["txn_id"]);
        let done = first.ok();
        assert_eq!((&done["plan_id"], &done["payment_method"]), (&json!(1), &json!("Wallet")));
        assert_eq!(done["subscription"]["status"], "queued");
        assert_eq!(app.balance(ASHA).await, 100_000 - 2 * 29_900);
        sqlx::query("UPDATE plans SET status = 'inactive' WHERE plan_id = 1")
            .execute(&app.pool)
            .await
            .unwrap();
        assert_eq!(app.order(REPEAT, &token, "l", &json!({})).await.problem(), "plan_unavailable");
        app.verify().await;
    });
}
