//! The dry run of a recharge: the same figures and the same rejections as the real one, and nothing done.

use serde_json::{Value, json};

use crate::support::app::{TestApp, with_app};
use crate::support::money::{ASHA, RAVI, SUBSCRIBE, recharge, with};

const QUOTE: &str = "/recharge/quote";

async fn traces(app: &TestApp) -> Vec<i64> {
    let mut traces = vec![app.balance(ASHA).await, app.balance(RAVI).await];
    for statement in [
        "SELECT count(*) FROM transactions",
        "SELECT count(*) FROM subscriptions",
        "SELECT count(*) FROM idempotency_keys",
        "SELECT count(*) FROM outbox_events",
        "SELECT count(*) FROM offer_uses",
    ] {
        traces.push(app.count(statement).await);
    }
    traces
}

#[test]
fn a_quote_says_what_the_recharge_then_does() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        app.fund(&asha, 5_000).await;
        // Diwali: flat 50 from 299 on; UPI: cashback 20; weekend: data on top.
        for order in [
            recharge(ASHA, 1),
            with(recharge(ASHA, 1), json!({ "offer_id": 1 })),
            with(
                recharge(ASHA, 2),
                json!({ "payment_method": "UPI", "offer_id": 3, "wallet_amount": "10.50" }),
            ),
            with(recharge(ASHA, 7), json!({ "offer_id": 4, "activation_mode": "queue" })),
            with(recharge(RAVI, 12), json!({ "activation_mode": "activate" })),
        ] {
            let before = traces(app).await;
            let quote = app.post(QUOTE, &asha, order.clone()).await.ok();
            assert_eq!(app.post(&format!("/v1{QUOTE}"), &asha, order.clone()).await.ok(), quote);
            assert_eq!(traces(app).await, before, "a quote left something behind");
            let owner = app.balance(ASHA).await;
            let done = app.post(SUBSCRIBE, &asha, order.clone()).await.ok();
            for field in [
                "price",
                "discount",
                "wallet_amount",
                "gateway_amount",
                "plan_id",
                "offer_id",
                "payment_method",
            ] {
                assert_eq!(quote[field], done[field], "{field} of {order}");
            }
            assert_eq!(quote["phone_number"], order["phone_number"]);
            let subscription = &done["subscription"];
            assert_eq!(
                (&quote["payable"], &quote["status"]),
                (&subscription["total_paid"], &subscription["status"])
            );
            assert_eq!(
                (&quote["valid_from"], &quote["valid_to"]),
                (&subscription["valid_from"], &subscription["valid_to"])
            );
            let rupees = |field: &str| quote[field].as_f64().unwrap();
            let paise = |field: &str| format!("{:.0}", rupees(field) * 100.0).parse::<i64>().unwrap();
            assert_eq!(
                app.balance(ASHA).await,
                owner - paise("wallet_amount") + paise("cashback"),
                "{quote}"
            );
        }
        let upi = with(recharge(ASHA, 2), json!({ "payment_method": "UPI", "offer_id": 3 }));
        assert_eq!(app.post(QUOTE, &asha, upi).await.ok()["cashback"], 20.0);
        let weekend = with(recharge(ASHA, 7), json!({ "offer_id": 4 }));
        assert!(app.post(QUOTE, &asha, weekend).await.ok()["extra_data"].is_string());
        app.verify().await;
    });
}

#[test]
fn a_quote_is_refused_as_the_recharge_is() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let admin = app.sign_in("9000000001").await.access;
        for (order, status) in [
            (recharge("9999999999", 1), 400),
            (recharge(ASHA, 999), 400),
            (recharge(ASHA, 11), 400),
            (with(recharge(ASHA, 1), json!({ "offer_id": 999 })), 400),
            (with(recharge(ASHA, 7), json!({ "offer_id": 1 })), 400),
            (with(recharge(ASHA, 1), json!({ "payment_method": "UPI", "wallet_amount": 100_000 })), 400),
            (with(recharge(ASHA, 1), json!({ "payment_method": "Cash" })), 422),
            (with(recharge("12", 1), json!({ "source": "refund" })), 422),
            (json!({}), 422),
            (recharge(ASHA, 4), 400),
        ] {
            let quote = app.post(QUOTE, &asha, order.clone()).await;
            let real = app.post(SUBSCRIBE, &asha, order.clone()).await;
            assert_eq!((quote.status, quote.problem()), (status, real.problem()), "{order} {quote:?}");
            let same = |value: &Value| (value["detail"].clone(), value["errors"].clone());
            assert_eq!(same(&quote.json), same(&real.json));
        }
        assert_eq!(app.post(QUOTE, "", recharge(ASHA, 1)).await.problem(), "not_authenticated");
        assert_eq!(app.post(QUOTE, &admin, recharge(ASHA, 1)).await.problem(), "forbidden");
        assert_eq!(app.get(QUOTE, &asha).await.problem(), "method_not_allowed");
    });
}
