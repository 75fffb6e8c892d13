//! Rewards for bringing customers: when they are paid, that they are paid once, and when they are not.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp, with_app, with_settings};
use crate::support::eventually;
use crate::support::money::{ASHA, SUBSCRIBE, TOP_UP, recharge, with};

const ADMIN: &str = "9000000001";
/// Nobody's before.
const NEW: &str = "9870000001";

/// Signs a prepaid customer up whom the owner of `code` has brought, with 1,000 rupees; gives the access token.
async fn bring(app: &TestApp, phone: &str, code: &str) -> String {
    let token = app.sign_up(phone).await.access;
    let email = format!("{phone}@example.com");
    let body = json!({ "name": "New One", "email": email, "user_type": "prepaid", "referee_code": code });
    app.post("/auth/register", &token, body).await.ok();
    app.fund(&token, 1_000).await;
    token
}

async fn bare(app: &TestApp, method: Method, path: &str, token: &str) -> Answer {
    app.send(app.request(method, path).bearer_auth(token)).await
}

/// What the list says of each of Asha's rewards, oldest first: number brought, status, whether a transaction paid it.
async fn rewards(app: &TestApp) -> Vec<(String, String, bool)> {
    let admin = app.sign_in(ADMIN).await.access;
    let all = app.get("/referrals/admin/all?sort=created_at_asc", &admin).await.ok();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = all["items"].as_array().unwrap().iter();
    let rows = rows.filter(|row| row["referrer_user_phone_number"] == ASHA);
    rows.map(|row| {
        assert_eq!(row["txn_id"].is_i64(), row["claimed_at"].is_string());
        let number = text(&row["referred_user_phone_number"]);
        (number, text(&row["status"]), row["txn_id"].is_i64())
    })
    .collect()
}

/// Of the customer who was brought in these tests.
async fn reward(app: &TestApp) -> (String, bool) {
    let found = rewards(app).await.into_iter().find(|(number, ..)| number == NEW);
    let (_, status, paid) = found.expect("a reward");
    (status, paid)
}

async fn id_of(app: &TestApp, phone: &str) -> i64 {
    sqlx::query_scalar("SELECT wallet_id FROM wallets WHERE phone = 910000000000 + $1::bigint")
        .bind(phone.parse::<i64>().unwrap())
        .fetch_one(&app.pool)
        .await
        .unwrap()
}

#[test]
fn the_first_paid_recharge_pays_the_reward() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let token = bring(app, NEW, "DEMO0001").await;
        assert_eq!(app.balance(ASHA).await, 0, "neither signing up nor a top-up earns anything");
        assert_eq!(reward(app).await, ("pending".to_owned(), false));
        app.post(SUBSCRIBE, &token, recharge(NEW, 1)).await.ok();
        assert_eq!(app.balance(ASHA).await, 5_000);
        assert_eq!(reward(app).await, ("earned".to_owned(), true));
        let mine = app.get("/recharge/my/transactions", &asha).await.ok();
        let paid = &mine["transactions"][0];
        assert_eq!(
            (&paid["source"], &paid["category"], &paid["txn_type"], &paid["amount"]),
            (&json!("referral_reward"), &json!("wallet"), &json!("credit"), &json!("50.00"))
        );
        assert_eq!(paid["to_phone_number"], ASHA);
        let own = app.get("/referrals/me?status=earned", &asha).await.ok();
        assert_eq!(own["items"][0]["txn_id"], paid["txn_id"]);
        // It is told, once.
        let told = eventually("the notice of the reward", Duration::from_secs(10), async || {
            let notices = app.get("/notification/my", &asha).await.ok().to_string();
            notices.contains("Referral reward: Rs 50.00").then_some(notices)
        })
        .await;
        assert_eq!(told.matches("Referral reward").count(), 1);
        // The next recharge brings nothing more.
        app.post(SUBSCRIBE, &token, recharge(NEW, 7)).await.ok();
        assert_eq!(app.balance(ASHA).await, 5_000);
        app.verify().await;
    });
}

/// Two recharges at once, in two processes and under two keys, and each of them repeated.
#[test]
fn of_two_first_recharges_at_once_one_pays_the_reward() {
    with_app(async |app| {
        let other = app.start_another().await;
        let token = bring(app, NEW, "DEMO0001").await;
        let order = recharge(NEW, 7);
        let elsewhere = format!("http://{}{SUBSCRIBE}", other.addr);
        let places = [SUBSCRIBE, elsewhere.as_str()];
        let answers = join_all((0..12).map(|number| {
            let (place, key) = (places[number % 2], format!("key-{}", number % 6));
            let (token, order) = (&token, &order);
            async move { app.order(place, token, &key, order).await }
        }))
        .await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| !answer.replayed()).count(), 6);
        assert_eq!(app.balance(ASHA).await, 5_000);
        assert_eq!(app.count("SELECT count(*) FROM transactions WHERE source = 'referral_reward'").await, 1);
        app.verify().await;
        assert!(other.stop().await);
    });
}

/// Many customers of one referrer begin at once: every reward is paid, none is lost in the referrer's wallet.
#[test]
fn rewards_of_many_at_once_all_arrive() {
    with_app(async |app| {
        let phones: Vec<String> = (1..=8).map(|number| format!("987000000{number}")).collect();
        let mut tokens = Vec::new();
        for phone in &phones {
            tokens.push(bring(app, phone, "DEMO0001").await);
        }
        let asha = app.sign_in(ASHA).await.access;
        let recharges = join_all(
            phones.iter().zip(&tokens).map(|(phone, token)| app.post(SUBSCRIBE, token, recharge(phone, 1))),
        );
        // Meanwhile the referrer's own wallet moves.
        let top_ups = join_all((0..8).map(|_| app.fund(&asha, 10)));
        let (answers, _) = futures_util::future::join(recharges, top_ups).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!(app.balance(ASHA).await, 8 * 5_000 + 8 * 1_000);
        app.verify().await;
    });
}

#[test]
fn what_costs_nothing_earns_nothing() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let criteria =
            json!({ "conditions": {}, "rewards": { "discount_type": "percent", "discount_value": 100 } });
        let body = json!({ "offer_name": "Free", "offer_type_id": 1, "criteria": criteria });
        let made = app.post("/offers/offers", &admin, body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let offer = made.json["offer_id"].clone();
        let token = bring(app, NEW, "DEMO0001").await;
        let free = with(recharge(NEW, 7), json!({ "offer_id": offer }));
        app.post(SUBSCRIBE, &token, free).await.ok();
        assert_eq!(reward(app).await.0, "pending");
        // Somebody else's gift is not the customer's own money.
        let asha = app.sign_in(ASHA).await.access;
        app.fund(&asha, 100).await;
        app.post(SUBSCRIBE, &asha, recharge(NEW, 7)).await.ok();
        assert_eq!((reward(app).await.0.as_str(), app.balance(ASHA).await), ("pending", 8_100));
        app.post(SUBSCRIBE, &token, recharge(NEW, 7)).await.ok();
        assert_eq!((reward(app).await.0.as_str(), app.balance(ASHA).await), ("earned", 13_100));
        app.verify().await;
    });
}

#[test]
fn a_payment_through_the_gateway_pays_it_when_it_is_captured() {
    with_settings(&[("GENCHARGE_ACCESS_TOKEN_TTL", "1d")], async |app| {
        let token = bring(app, NEW, "DEMO0001").await;
        // 93.03 of it through the sandbox: pending, and captured too late.
        let mixed = json!({ "payment_method": "UPI", "wallet_amount": "205.97" });
        let answer = app.post(SUBSCRIBE, &token, with(recharge(NEW, 1), mixed)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(reward(app).await.0, "pending");
        for (minutes, state) in [(15, "expired"), (2, "late_capture")] {
            app.clock.advance(chrono::TimeDelta::minutes(minutes));
            eventually(state, Duration::from_secs(10), async || {
                let payment = app.get(&format!("/payments/{}", answer.json["txn_id"]), &token).await.ok();
                (payment["state"] == state).then_some(())
            })
            .await;
        }
        assert_eq!(reward(app).await.0, "pending", "money in the wallet is no recharge");
        let upi = json!({ "payment_method": "UPI" });
        app.post(SUBSCRIBE, &token, with(recharge(NEW, 1), upi)).await.ok();
        assert_eq!((reward(app).await.0.as_str(), app.balance(ASHA).await), ("earned", 5_000));
        app.verify().await;
    });
}

/// A referrer who may not be paid at that moment is never paid: the first paid recharge decides.
#[test]
fn a_blocked_or_paused_referrer_earns_nothing() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let token = bring(app, NEW, "DEMO0001").await;
        let asha = id_of(app, ASHA).await;
        app.post(&format!("/user/admin/block/{asha}"), &admin, json!({})).await.ok();
        app.post(SUBSCRIBE, &token, recharge(NEW, 7)).await.ok();
        assert_eq!(reward(app).await, ("lapsed".to_owned(), false));
        app.post(&format!("/user/admin/unblock/{asha}"), &admin, json!({})).await.ok();
        app.post(SUBSCRIBE, &token, recharge(NEW, 7)).await.ok();
        assert_eq!((reward(app).await.0.as_str(), app.balance(ASHA).await), ("lapsed", 0));
        // Dev Patel has paused his account.
        let token = bring(app, "9870000002", "DEMO0006").await;
        app.post(SUBSCRIBE, &token, recharge("9870000002", 7)).await.ok();
        assert_eq!(app.balance("9800000006").await, 0);
        let lapsed = "SELECT count(*) FROM referral_rewards WHERE status = 'lapsed'";
        assert_eq!(app.count(lapsed).await, 2);
        app.verify().await;
    });
}

#[test]
fn a_deleted_referrer_and_a_deleted_customer_leave_lapsed_rewards() {
    with_app(async |app| {
        let first = bring(app, NEW, "DEMO0001").await;
        let second = bring(app, "9870000002", "DEMO0001").await;
        // One of the two goes before paying for anything, with money in the wallet.
        bare(app, Method::DELETE, "/user/me", &second).await.ok();
        assert!(rewards(app).await.contains(&("9870000002".to_owned(), "lapsed".to_owned(), false)));
        let asha = app.sign_in(ASHA).await.access;
        app.fund(&asha, 10).await;
        bare(app, Method::DELETE, "/user/me", &asha).await.ok();
        app.post(SUBSCRIBE, &first, recharge(NEW, 7)).await.ok();
        assert_eq!(reward(app).await, ("lapsed".to_owned(), false));
        assert_eq!(app.count("SELECT count(*) FROM transactions WHERE source = 'referral_reward'").await, 0);
        // The customer's wallet does not look for it any more.
        assert_eq!(app.count("SELECT count(referrer_id) FROM wallets WHERE phone = 919870000001").await, 0);
        app.verify().await;
    });
}

/// Deleting the account and signing up again with the same number earns no second reward.
#[test]
fn a_number_brings_one_reward() {
    with_app(async |app| {
        for round in 0..2 {
            let token = bring(app, NEW, "DEMO0001").await;
            app.post(SUBSCRIBE, &token, recharge(NEW, 7)).await.ok();
            bare(app, Method::DELETE, "/user/me", &token).await.ok();
            assert_eq!(app.balance(ASHA).await, 5_000, "round {round}");
            app.clock.advance(chrono::TimeDelta::minutes(1));
        }
        app.verify().await;
    });
}

#[test]
fn nobody_earns_more_rewards_than_the_setting_says() {
    with_settings(
        &[("GENCHARGE_REFERRAL_MAX_REWARDS", "2"), ("GENCHARGE_REFERRAL_REWARD", "75.50")],
        async |app| {
            let mut tokens = Vec::new();
            for number in 1..=4 {
                let phone = format!("987000000{number}");
                let token = bring(app, &phone, "DEMO0001").await;
                tokens.push((phone, token));
            }
            let orders = tokens.iter().map(|(phone, token)| app.post(SUBSCRIBE, token, recharge(phone, 1)));
            for answer in join_all(orders).await {
                answer.ok();
            }
            assert_eq!(app.balance(ASHA).await, 2 * 7_550);
            let count =
                async |status: &str| rewards(app).await.iter().filter(|reward| reward.1 == status).count();
            assert_eq!((count("earned").await, count("lapsed").await), (2, 2));
            app.verify().await;
        },
    );
}

/// The referrer did what the reward is for, whatever becomes of the recharge; and a refund does not earn another.
#[test]
fn a_refunded_first_recharge_leaves_the_reward() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let token = bring(app, NEW, "DEMO0001").await;
        let bought = app.post(SUBSCRIBE, &token, recharge(NEW, 1)).await.ok();
        let refund = format!("/recharge/admin/transactions/{}/refund", bought["txn_id"]);
        app.order(&refund, &admin, "refund", &json!({})).await.ok();
        assert_eq!((app.balance(NEW).await, app.balance(ASHA).await), (100_000, 5_000));
        app.post(SUBSCRIBE, &token, recharge(NEW, 1)).await.ok();
        assert_eq!((reward(app).await.0.as_str(), app.balance(ASHA).await), ("earned", 5_000));
        // The reward itself cannot be refunded.
        let mine = app.get("/recharge/admin/transactions?source=referral_reward", &admin).await.ok();
        let refund = format!("/recharge/admin/transactions/{}/refund", mine["transactions"][0]["txn_id"]);
        assert_eq!(app.order(&refund, &admin, "reward", &json!({})).await.problem(), "not_refundable");
        // A top-up alone moves nothing of it.
        app.post(TOP_UP, &token, json!({ "amount": 10, "payment_method": "UPI" })).await.ok();
        app.verify().await;
    });
}
