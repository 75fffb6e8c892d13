//! Orders that cannot be: each a problem document with its code, and nothing is written.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp, with_app};
use crate::support::money::{ASHA, RAVI, SUBSCRIBE, TOP_UP, recharge, with};

const ADMIN: &str = "9000000001";

/// Every row that an order could leave behind (a sign-in is audited, an order is not), and every paisa in a wallet.
const TRACES: &str = "SELECT (SELECT count(*) FROM transactions) + (SELECT count(*) FROM postings) \
     + (SELECT count(*) FROM subscriptions) + (SELECT count(*) FROM idempotency_keys) \
     + (SELECT count(*) FROM outbox_events WHERE type <> 'gencharge.audit.recorded.v1') \
     + (SELECT sum(balance + seq + transactions + recharges) FROM wallets)::bigint \
     + (SELECT sum(queued + gifts) FROM wallets)::bigint";

/// Runs `test` on a customer with funds and demands that nothing was written.
fn leaves_nothing(test: impl AsyncFnOnce(&TestApp, &str)) {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        app.fund(&asha, 1_000).await;
        let before = app.count(TRACES).await;
        test(app, &asha).await;
        assert_eq!(app.count(TRACES).await, before, "something was written");
        app.verify().await;
    });
}

async fn raw(app: &TestApp, path: &str, token: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = app.request(Method::POST, path).bearer_auth(token);
    app.send(request.header("content-type", "application/json").body(body)).await
}

const AMOUNTS: [&str; 36] = [
    "-1",
    "\"-1\"",
    "-0.01",
    "0",
    "0.00",
    "\"0\"",
    "\"0.00\"",
    "-0",
    "1.001",
    "\"1.001\"",
    "0.009",
    "1e2",
    "1E2",
    "\"1e2\"",
    "1e-2",
    "1e400",
    "\"\u{663}\"",
    "\"\u{967}\u{966}\u{966}\"",
    "\"\u{ff11}\"",
    "\" 1\"",
    "\"1 \"",
    "\"+1\"",
    "\"1,000\"",
    "\"abc\"",
    "\"\"",
    "null",
    "true",
    "[1]",
    "{}",
    "\"NaN\"",
    "\"Infinity\"",
    "99999999999999999999",
    "\"99999999999999999999\"",
    "\"0x10\"",
    "\"1.\"",
    "\".5\"",
];

#[test]
fn amounts_of_top_ups() {
    leaves_nothing(async |app, asha| {
        for amount in AMOUNTS {
            let body = format!("{{\"amount\": {amount}, \"payment_method\": \"UPI\"}}");
            let answer = raw(app, TOP_UP, asha, body).await;
            assert_eq!((answer.status, answer.problem()), (422, "invalid_input"), "{amount}");
        }
        for amount in ["NaN", "Infinity", "01", "+1", "1.", ".5", "0x10", "--1", ""] {
            let body = format!("{{\"amount\": {amount}, \"payment_method\": \"UPI\"}}");
            let answer = raw(app, TOP_UP, asha, body).await;
            assert_eq!((answer.status, answer.problem()), (400, "malformed_body"), "{amount}");
        }
        for amount in ["50000.01", "\"50000.01\"", "50001", "9999999999"] {
            let body = format!("{{\"amount\": {amount}, \"payment_method\": \"UPI\"}}");
            let answer = raw(app, TOP_UP, asha, body).await;
            assert_eq!((answer.status, answer.problem()), (400, "limit_exceeded"), "{amount}");
        }
    });
}

#[test]
fn wallet_parts_of_recharges() {
    leaves_nothing(async |app, asha| {
        for amount in AMOUNTS.iter().filter(|amount| **amount != "null") {
            // Nothing from the wallet is a part too.
            if ["0", "0.00", "\"0\"", "\"0.00\""].contains(amount) {
                continue;
            }
            let body = format!(
                "{{\"phone_number\": \"{ASHA}\", \"plan_id\": 1, \"payment_method\": \"UPI\", \"wallet_amount\": {amount}}}"
            );
            let answer = raw(app, SUBSCRIBE, asha, body).await;
            assert_eq!((answer.status, answer.problem()), (422, "invalid_input"), "{amount}");
        }
    });
}

#[test]
fn plans_and_offers() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        app.fund(&asha, 5_000).await;
        for statement in [
            "UPDATE plans SET status = 'inactive' WHERE plan_id = 2",
            "UPDATE offers SET status = 'inactive' WHERE offer_id = 4",
            "UPDATE offers SET created_at = created_at - interval '1000 days' WHERE offer_id = 3",
        ] {
            sqlx::query(statement).execute(&app.pool).await.unwrap();
        }
        let before = app.count(TRACES).await;
        for (fields, code) in [
            (json!({ "plan_id": 999 }), "plan_unavailable"),
            (json!({ "plan_id": 0 }), "plan_unavailable"),
            (json!({ "plan_id": -1 }), "plan_unavailable"),
            (json!({ "plan_id": i64::MAX }), "plan_unavailable"),
            (json!({ "plan_id": 2 }), "plan_unavailable"),
            (json!({ "plan_id": 12 }), "plan_type_mismatch"),
            (json!({ "phone_number": RAVI }), "plan_type_mismatch"),
            (json!({ "phone_number": "9800000007" }), "plan_type_mismatch"),
            (json!({ "phone_number": "9812345678" }), "number_unknown"),
            (json!({ "phone_number": ADMIN }), "number_unknown"),
            (json!({ "offer_id": 999 }), "offer_unavailable"),
            (json!({ "offer_id": -1 }), "offer_unavailable"),
            (json!({ "offer_id": 4 }), "offer_unavailable"),
            (json!({ "offer_id": 3, "payment_method": "UPI" }), "offer_unavailable"),
            (json!({ "offer_id": 5 }), "offer_not_eligible"),
            (
                json!({ "plan_id": 4 , "payment_method": "UPI", "wallet_amount": "3599.01" }),
                "invalid_wallet_amount",
            ),
            (json!({ "wallet_amount": "100" }), "invalid_wallet_amount"),
        ] {
            let answer = app.post(SUBSCRIBE, &asha, with(recharge(ASHA, 1), fields.clone())).await;
            assert_eq!((answer.status, answer.problem()), (400, code), "{fields}");
        }
        assert_eq!(app.count(TRACES).await, before, "something was written");
        app.verify().await;
    });
}

#[test]
fn fields_that_cannot_be() {
    leaves_nothing(async |app, asha| {
        let huge = json!({ "plan_id": 18_446_744_073_709_551_615_u64 });
        for (fields, field) in [
            (json!({ "plan_id": "one" }), "body"),
            (json!({ "plan_id": 1.5 }), "body"),
            (json!({ "plan_id": null }), "body"),
            (huge, "body"),
            (json!({ "offer_id": "1.0" }), "body"),
            (json!({ "phone_number": 9_800_000_001_i64 }), "body"),
            (json!({ "phone_number": "" }), "phone_number"),
            (json!({ "phone_number": "98000" }), "phone_number"),
            (json!({ "phone_number": "98000000011" }), "phone_number"),
            (json!({ "phone_number": "१८०००००००१" }), "phone_number"),
            (json!({ "phone_number": "9800000001'--" }), "phone_number"),
            (json!({ "payment_method": "Cash" }), "payment_method"),
            (json!({ "payment_method": "" }), "payment_method"),
            (json!({ "payment_method": null }), "body"),
            (json!({ "source": "autopay" }), "source"),
            (json!({ "source": "referral_reward" }), "source"),
            (json!({ "activation_mode": "later" }), "activation_mode"),
        ] {
            let answer = app.post(SUBSCRIBE, asha, with(recharge(ASHA, 1), fields.clone())).await;
            assert_eq!((answer.status, answer.problem()), (422, "invalid_input"), "{fields}");
            assert_eq!(answer.json["errors"][0]["field"], field, "{fields}");
        }
        let all = json!({ "phone_number": "1", "plan_id": 1, "payment_method": "x", "source": "y", "activation_mode": "z",
            "wallet_amount": "-1" });
        let answer = app.post(SUBSCRIBE, asha, all).await;
        assert_eq!(answer.json["errors"].as_array().unwrap().len(), 5, "{answer:?}");
        for (fields, field) in [
            (json!({ "phone_number": "12" }), "phone_number"),
            (json!({ "payment_method": "Wallets" }), "payment_method"),
        ] {
            let body = with(json!({ "amount": 1, "payment_method": "UPI" }), fields);
            let answer = app.post(TOP_UP, asha, body).await;
            assert_eq!(
                (answer.problem(), &answer.json["errors"][0]["field"]),
                ("invalid_input", &json!(field))
            );
        }
    });
}

#[test]
fn bodies_and_tokens() {
    leaves_nothing(async |app, asha| {
        let admin = app.sign_in(ADMIN).await.access;
        for path in [SUBSCRIBE, TOP_UP, "/v1/recharge/subscribe"] {
            for broken in [&b""[..], b"{", b"\xff\xfe", b"{\"amount\": }", b"nothing"] {
                let answer = raw(app, path, asha, broken.to_vec()).await;
                assert_eq!((answer.status, answer.problem()), (400, "malformed_body"), "{path} {broken:?}");
            }
            for other in ["[]", "1", "null", "{}", "\"text\""] {
                let answer = raw(app, path, asha, other).await;
                assert_eq!((answer.status, answer.problem()), (422, "invalid_input"), "{path} {other}");
            }
            let deep = format!("{{\"amount\": {}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
            let answer = raw(app, path, asha, deep).await;
            assert!(["malformed_body", "invalid_input"].contains(&answer.problem()), "{answer:?}");
            let answer = raw(app, path, asha, format!("{{\"x\": \"{}\"}}", "x".repeat(100_000))).await;
            assert_eq!((answer.status, answer.problem()), (413, "body_too_large"));
            for token in ["", "x", "a.b.c"] {
                let answer = app.post(path, token, recharge(ASHA, 1)).await;
                assert_eq!((answer.status, answer.problem()), (401, "not_authenticated"));
            }
            let answer = app.post(path, &admin, recharge(ASHA, 1)).await;
            assert_eq!((answer.status, answer.problem()), (403, "forbidden"));
            assert_eq!(app.get(path, asha).await.problem(), "method_not_allowed");
        }
    });
}

#[test]
fn pages_beyond_the_end_are_empty_and_pages_that_cannot_be_are_refused() {
    leaves_nothing(async |app, asha| {
        let admin = app.sign_in(ADMIN).await.access;
        let lists = [
            ("/recharge/my/transactions", asha),
            ("/recharge/my/plans", asha),
            ("/recharge/admin/transactions", &admin),
            ("/recharge/admin/active-plans", &admin),
        ];
        for (path, token) in lists {
            for page in ["page=2&size=10", "page=4294967295&size=10", "page=99999"] {
                let answer = app.get(&format!("{path}?{page}"), token).await;
                let list = answer.ok();
                let rows = list.as_object().unwrap().values().find_map(Value::as_array).unwrap();
                assert!(rows.is_empty(), "{path}?{page}: {list}");
            }
            for page in
                ["page=-1", "page=x", "size=-1", "size=1e9", "page=4294967296", "size=99999999999999999999"]
            {
                let answer = app.get(&format!("{path}?{page}"), token).await;
                assert_eq!((answer.status, answer.problem()), (422, "invalid_input"), "{path}?{page}");
            }
        }
    });
}
