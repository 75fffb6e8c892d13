//! What a recharge promises: funds are spent once, the catalogue and blocks hold at commit, offers and gifts are booked as
//! they are shown.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use gencharge_actors::kernel::Clock as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp, actor, with_app, with_settings};
use crate::support::eventually;
use crate::support::money::{ASHA, RAVI, SUBSCRIBE, TOP_UP, recharge, with};

const ADMIN: &str = "9000000001";
const PATIENCE: Duration = Duration::from_secs(20);
const WAITING_FOR_A_LOCK: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";

#[test]
fn of_64_concurrent_recharges_from_funds_for_one_exactly_one_succeeds() {
    with_app(async |app| {
        let other = app.start_another().await;
        let elsewhere = format!("http://{}{SUBSCRIBE}", other.addr);
        let token = app.sign_in(ASHA).await.access;
        for round in 1..=6 {
            app.fund(&token, 299).await;
            // Two numbers: only the payer's wallet is common to all.
            let answers = join_all((0..64).map(async |number: usize| {
                let (path, phone) = if number.is_multiple_of(2) {
                    (SUBSCRIBE, ASHA)
                } else {
                    (elsewhere.as_str(), "9800000003")
                };
                let body = with(recharge(phone, 1), json!({ "activation_mode": "activate" }));
                app.order(path, &token, &format!("one-of-{round}-{number}"), &body).await
            }))
            .await;
            let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
            assert_eq!(done.len(), 1, "round {round}");
            assert!(refused.iter().all(|answer| answer.problem() == "insufficient_funds"));
            assert_eq!(app.balance(ASHA).await, 0);
            assert_eq!(app.count("SELECT count(*) FROM subscriptions").await, round);
        }
        app.verify().await;
        assert!(other.stop().await);
    });
}

/// Holds Asha's wallet until it is committed.
async fn lock_asha(app: &TestApp) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut held = app.pool.begin().await.unwrap();
    let lock = "SELECT 1 FROM wallets WHERE phone = 919800000001 FOR UPDATE";
    sqlx::query(lock).execute(&mut *held).await.unwrap();
    held
}

async fn waits_for_a_lock(app: &TestApp) -> Option<()> {
    (app.count(WAITING_FOR_A_LOCK).await > 0).then_some(())
}

/// The only wallet shard, as `/readyz` shows it.
async fn shard(app: &TestApp) -> Value {
    actor(&app.get("/readyz", "").await.ok(), "wallet-0").clone()
}

/// Waits for `what`, which is to come before any of the answers.
async fn before_answers(
    answers: &mut FuturesUnordered<impl Future<Output = Answer>>,
    what: &str,
    ask: impl AsyncFnMut() -> Option<()>,
) {
    tokio::select! {
        answer = answers.next() => panic!("answered before {what}: {answer:?}"),
        () = eventually(what, PATIENCE, ask) => {}
    }
}

#[test]
fn a_full_mailbox_refuses_at_once_and_what_it_took_is_done() {
    with_settings(&[("GENCHARGE_WALLET_SHARDS", "1"), ("GENCHARGE_WALLET_MAILBOX", "2")], async |app| {
        let token = app.sign_in(ASHA).await.access;
        app.fund(&token, 3 * 299).await;
        let held = lock_asha(app).await;
        let body = recharge(ASHA, 1);
        // One type of future, by whichever way it is made: an async closure has one for each.
        let order = |number: usize| {
            let (token, body) = (&token, &body);
            async move { app.order(SUBSCRIBE, token, &format!("full-{number}"), body).await }
        };
        let mut answers = FuturesUnordered::from_iter([order(0)]);
        before_answers(&mut answers, "the wait for the wallet", async || waits_for_a_lock(app).await).await;
        answers.extend((1..=8).map(order));
        for _ in 0..6 {
            let refused = answers.next().await.unwrap();
            assert_eq!((refused.status, refused.problem()), (503, "overloaded"));
            assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
        }
        held.commit().await.unwrap();
        while let Some(answer) = answers.next().await {
            answer.ok();
        }
        assert_eq!(app.balance(ASHA).await, 0);
        app.verify().await;
    });
}

#[test]
fn an_actor_that_panics_mid_batch_answers_unknown_restarts_and_the_retries_get_the_truth() {
    with_settings(&[("GENCHARGE_WALLET_SHARDS", "1")], async |app| {
        let token = app.sign_in(ASHA).await.access;
        app.fund(&token, 12 * 299).await;
        let held = lock_asha(app).await;
        let body = recharge(ASHA, 1);
        let order = |number: usize| {
            let (token, body) = (&token, &body);
            async move { app.order(SUBSCRIBE, token, &format!("panic-{number}"), body).await }
        };
        let mut answers = FuturesUnordered::from_iter([order(0)]);
        before_answers(&mut answers, "the wait for the wallet", async || waits_for_a_lock(app).await).await;
        // The first order's batch goes through; the others, which wait in the mailbox, are the batch that panics.
        answers.extend((1..12).map(order));
        let queued = async || (shard(app).await["mailbox_depth"] == 11).then_some(());
        before_answers(&mut answers, "eleven orders in the mailbox", queued).await;
        app.trap.panic_in_batch(2);
        held.commit().await.unwrap();
        let (mut done, mut unknown) = (0, 0);
        while let Some(answer) = answers.next().await {
            if answer.status == 200 {
                done += 1;
            } else {
                assert_eq!((answer.status, answer.problem()), (503, "outcome_unknown"));
                assert!(answer.json["detail"].as_str().unwrap().contains("same"), "{answer:?}");
                unknown += 1;
            }
        }
        assert_eq!((done, unknown), (1, 11));
        assert_eq!(app.balance(ASHA).await, 11 * 29_900);
        for number in 0..12 {
            let answer = order(number).await;
            assert_eq!(answer.headers.contains_key("idempotent-replayed"), number == 0, "{answer:?}");
            answer.ok();
        }
        assert_eq!(app.balance(ASHA).await, 0);
        assert_eq!(shard(app).await["restarts"], 1);
        app.verify().await;
    });
}

/// Keeps recharging until `end`; both applications, several requests in flight.
struct Load<'a> {
    app: &'a TestApp,
    paths: [&'a str; 2],
    done: AtomicUsize,
    end: AtomicBool,
}

impl<'a> Load<'a> {
    fn new(app: &'a TestApp, elsewhere: &'a str) -> Self {
        Self { app, paths: [SUBSCRIBE, elsewhere], done: AtomicUsize::new(0), end: AtomicBool::new(false) }
    }

    /// `seen` gets what was true before the request was sent, and the answer.
    async fn run<T>(&self, token: &str, body: &Value, before: impl Fn() -> T, seen: impl Fn(T, Answer)) {
        let (before, seen) = (&before, &seen);
        join_all((0..8_usize).map(async |worker| {
            while !self.end.load(Ordering::Relaxed) {
                let known = before();
                let answer = self.app.post(self.paths[worker % 2], token, body.clone()).await;
                self.done.fetch_add(1, Ordering::Relaxed);
                seen(known, answer);
            }
        }))
        .await;
    }

    async fn more(&self, count: usize) {
        let from = self.done.load(Ordering::Relaxed);
        eventually("more recharges", PATIENCE, async || {
            (self.done.load(Ordering::Relaxed) >= from + count).then_some(())
        })
        .await;
    }
}

#[test]
fn a_price_change_answered_200_holds_for_every_later_commit() {
    with_settings(&[("GENCHARGE_ACCESS_TOKEN_TTL", "2h")], async |app| {
        let other = app.start_another().await;
        let elsewhere = format!("http://{}{SUBSCRIBE}", other.addr);
        let (asha, admin) = (app.sign_in(ASHA).await.access, app.sign_in(ADMIN).await.access);
        let load = Load::new(app, &elsewhere);
        // The price that holds, in rupees: set only after the administrator has the 200.
        let holds = AtomicUsize::new(299);
        let body = with(recharge(ASHA, 1), json!({ "payment_method": "UPI", "activation_mode": "activate" }));
        let before = || holds.load(Ordering::SeqCst);
        let checked = load.run(&asha, &body, before, |known, answer| {
            let price: f64 = answer.ok()["price"].as_f64().unwrap();
            // Prices only rise: a request sent after a 200 never pays less.
            assert!(price >= f64::from(u32::try_from(known).unwrap()), "{price} after {known}");
        });
        let change = async {
            for price in 300..306_usize {
                load.more(12).await;
                let put = app.request(Method::PUT, "/plans/plan/1").bearer_auth(&admin);
                app.send(put.json(&json!({ "price": price }))).await.ok();
                holds.store(price, Ordering::SeqCst);
                let old = "SELECT count(*) FROM transactions t, plans p WHERE p.plan_id = t.plan_id AND t.price < p.price";
                let committed = app.count(old).await;
                // What is decided from here on is later than the 200 by the rows' own clock too.
                app.clock.advance(TimeDelta::seconds(1));
                let moment = app.clock.now();
                load.more(24).await;
                assert_eq!(app.count(old).await, committed, "a commit at the old price after the 200");
                let late: i64 = sqlx::query_scalar(
                    "SELECT count(*) FROM transactions WHERE created_at >= $1 AND price < $2",
                )
                .bind(moment)
                .bind(i64::try_from(price).unwrap() * 100)
                .fetch_one(&app.pool)
                .await
                .unwrap();
                assert_eq!(late, 0);
            }
            load.end.store(true, Ordering::Relaxed);
        };
        futures_util::join!(checked, change);
        app.verify().await;
        assert!(other.stop().await);
    });
}

#[test]
fn a_withdrawn_plan_and_a_block_hold_for_every_later_commit() {
    with_settings(&[("GENCHARGE_ACCESS_TOKEN_TTL", "2h")], async |app| {
        let other = app.start_another().await;
        let elsewhere = format!("http://{}{SUBSCRIBE}", other.addr);
        let admin = app.sign_in(ADMIN).await.access;
        let user = app.get("/user/me", &app.sign_in(ASHA).await.access).await.ok()["user_id"].clone();
        let body = with(recharge(ASHA, 1), json!({ "payment_method": "UPI", "activation_mode": "activate" }));
        let all = "SELECT count(*) FROM transactions";
        for round in 0..3 {
            let asha = app.sign_in(ASHA).await.access;
            let (load, blocked) = (Load::new(app, &elsewhere), AtomicBool::new(false));
            let checked = load.run(
                &asha,
                &body,
                || blocked.load(Ordering::SeqCst),
                |blocked, answer| {
                    if blocked {
                        let refused = ["payer_not_active", "not_authenticated"];
                        assert!(refused.contains(&answer.problem()), "{answer:?}");
                    }
                },
            );
            let block = async {
                load.more(20).await;
                let path = format!("/user/admin/block/{user}");
                app.post(&path, &admin, json!({})).await.ok();
                blocked.store(true, Ordering::SeqCst);
                let committed = app.count(all).await;
                load.more(24).await;
                load.end.store(true, Ordering::Relaxed);
                committed
            };
            let ((), committed) = futures_util::join!(checked, block);
            assert!(committed > 0);
            assert_eq!(app.count(all).await, committed, "a commit of a blocked payer, round {round}");
            app.post(&format!("/user/admin/unblock/{user}"), &admin, json!({})).await.ok();
        }
        let asha = app.sign_in(ASHA).await.access;
        let (load, gone) = (Load::new(app, &elsewhere), AtomicBool::new(false));
        let checked = load.run(
            &asha,
            &body,
            || gone.load(Ordering::SeqCst),
            |gone, answer| {
                assert!(!gone || answer.problem() == "plan_unavailable", "{answer:?}");
            },
        );
        let withdraw = async {
            load.more(20).await;
            let put = app.request(Method::PUT, "/plans/plan/1").bearer_auth(&admin);
            app.send(put.json(&json!({ "status": "inactive" }))).await.ok();
            gone.store(true, Ordering::SeqCst);
            let committed = app.count(all).await;
            load.more(24).await;
            load.end.store(true, Ordering::Relaxed);
            committed
        };
        let ((), committed) = futures_util::join!(checked, withdraw);
        assert_eq!(app.count(all).await, committed, "a commit of a withdrawn plan");
        app.verify().await;
        assert!(other.stop().await);
    });
}

#[test]
fn an_offer_s_discount_is_recorded_part_by_part() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        app.fund(&asha, 1_000).await;
        // 25 % of 299.00 is 74.75, below the offer's 75.
        let body = with(recharge(ASHA, 1), json!({ "offer_id": 2 }));
        let done = app.post(SUBSCRIBE, &asha, body).await;
        assert_eq!(done.json["amount"], "224.25");
        for part in
            ["\"price\":299.00", "\"discount\":74.75", "\"wallet_amount\":224.25", "\"gateway_amount\":0.00"]
        {
            assert!(done.text.contains(part), "{part}: {}", done.text);
        }
        assert_eq!(done.json["subscription"]["total_paid"], 224.25);
        assert_eq!(app.balance(ASHA).await, 100_000 - 22_425);
        // It is for first recharges, and this is the second.
        let again = app.post(SUBSCRIBE, &asha, with(recharge(ASHA, 1), json!({ "offer_id": 2 }))).await;
        assert_eq!(again.problem(), "offer_not_eligible");
        // Offer 1 wants a plan of 299 rupees; plan 5 costs 100.
        let cheap = app.post(SUBSCRIBE, &asha, with(recharge(ASHA, 5), json!({ "offer_id": 1 }))).await;
        assert_eq!(cheap.problem(), "offer_not_eligible");
        let postings: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT least(account_id, 1), postings.amount FROM postings JOIN transactions USING (txn_id) WHERE category = 'service' ORDER BY 1",
        )
        .fetch_all(&app.pool)
        .await
        .unwrap();
        // Promotions, revenue, the wallet.
        assert_eq!(postings, [(-3, -7_475), (-2, 29_900), (1, -22_425)]);
        app.verify().await;
    });
}

#[test]
fn cashback_goes_to_the_owner_of_the_number_and_not_to_the_payer() {
    with_app(async |app| {
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        app.fund(&ravi, 10).await;
        let body = with(recharge(ASHA, 1), json!({ "offer_id": 3, "payment_method": "UPI" }));
        let done = app.post(SUBSCRIBE, &ravi, body).await.ok();
        assert_eq!((&done["amount"], &done["to_phone_number"]), (&json!("299.00"), &json!(ASHA)));
        // And the reward for having brought Ravi, who pays for the first time.
        assert_eq!((app.balance(ASHA).await, app.balance(RAVI).await), (2_000 + 5_000, 1_000));
        let wrong = with(recharge(ASHA, 1), json!({ "offer_id": 3, "payment_method": "Card" }));
        assert_eq!(app.post(SUBSCRIBE, &ravi, wrong).await.problem(), "offer_not_eligible");
        let own = app.get("/recharge/my/transactions", &asha).await.ok();
        let amounts: Vec<&Value> =
            own["transactions"].as_array().unwrap().iter().map(|row| &row["amount"]).collect();
        assert!(amounts.contains(&&json!("20.00")), "{own}");
        app.verify().await;
    });
}

#[test]
fn an_offer_with_a_limit_per_user_is_used_that_often_under_concurrency() {
    with_app(async |app| {
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        let admin = app.sign_in(ADMIN).await.access;
        let criteria = json!({ "criteria": { "conditions": { "max_uses_per_user": 2 },
            "rewards": { "discount_type": "flat", "discount_value": 50 } } });
        app.send(app.request(Method::PUT, "/offers/offers/1").bearer_auth(&admin).json(&criteria)).await.ok();
        let body = with(
            recharge(ASHA, 1),
            json!({ "offer_id": 1, "payment_method": "UPI", "activation_mode": "activate" }),
        );
        let answers = join_all((0..12).map(|_| app.post(SUBSCRIBE, &asha, body.clone()))).await;
        let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!(done.len(), 2);
        assert!(refused.iter().all(|answer| answer.problem() == "offer_unavailable"));
        // The limit is each payer's own.
        app.post(SUBSCRIBE, &ravi, body).await.ok();
        app.verify().await;
    });
}

#[test]
fn a_first_recharge_offer_is_used_once_under_concurrency() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let body = with(
            recharge(ASHA, 1),
            json!({ "offer_id": 2, "payment_method": "UPI", "activation_mode": "activate" }),
        );
        let answers = join_all((0..16).map(|_| app.post(SUBSCRIBE, &asha, body.clone()))).await;
        let done = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(done, 1);
        app.verify().await;
    });
}

#[test]
fn wallet_and_gateway_share_a_recharge_as_told() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        app.fund(&asha, 150).await;
        let mixed = |wallet: &str, method: &str| {
            with(
                recharge(ASHA, 1),
                json!({ "wallet_amount": wallet, "payment_method": method, "activation_mode": "activate" }),
            )
        };
        let done = app.post(SUBSCRIBE, &asha, mixed("100.50", "Card")).await;
        assert!(done.text.contains("\"wallet_amount\":100.50,\"gateway_amount\":198.50"), "{}", done.text);
        assert_eq!(app.balance(ASHA).await, 4_950);
        for (wallet, method, code) in [
            ("49.51", "UPI", "insufficient_funds"),
            ("299.01", "UPI", "invalid_wallet_amount"),
            ("49.50", "Wallet", "invalid_wallet_amount"),
        ] {
            assert_eq!(app.post(SUBSCRIBE, &asha, mixed(wallet, method)).await.problem(), code, "{wallet}");
        }
        app.post(SUBSCRIBE, &asha, mixed("49.50", "NetBanking")).await.ok();
        app.post(SUBSCRIBE, &asha, mixed("0", "UPI")).await.ok();
        assert_eq!(app.balance(ASHA).await, 0);
        app.verify().await;
    });
}

#[test]
fn a_gift_is_seen_by_the_giver_and_by_the_owner_of_the_number() {
    with_app(async |app| {
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        app.fund(&ravi, 299).await;
        let gift = app.post(SUBSCRIBE, &ravi, recharge(ASHA, 1)).await.ok();
        assert_eq!((&gift["from_phone_number"], &gift["to_phone_number"]), (&json!(RAVI), &json!(ASHA)));
        for token in [&asha, &ravi] {
            let list = app.get("/recharge/my/transactions", token).await.ok();
            let ids: Vec<&Value> =
                list["transactions"].as_array().unwrap().iter().map(|row| &row["txn_id"]).collect();
            assert!(ids.contains(&&gift["txn_id"]), "{list}");
        }
        assert_eq!(app.balance(RAVI).await, 0);
        let plans = app.get("/recharge/my/plans", &asha).await.ok();
        assert!(plans.to_string().contains(&gift["subscription_id"].to_string()), "{plans}");
        // The plan must fit the number, not the payer.
        let wrong = with(recharge(ASHA, 12), json!({ "payment_method": "UPI" }));
        assert_eq!(app.post(SUBSCRIBE, &ravi, wrong).await.problem(), "plan_type_mismatch");
        app.verify().await;
    });
}

#[test]
fn the_same_key_and_request_get_the_same_answer() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        app.fund(&asha, 300).await;
        for (path, body) in
            [(SUBSCRIBE, recharge(ASHA, 1)), (TOP_UP, json!({ "amount": "5", "payment_method": "UPI" }))]
        {
            let first = app.order(path, &asha, "key-1", &body).await;
            if path == TOP_UP {
                assert_eq!((first.status, first.problem()), (422, "idempotency_key_reused"));
            }
            let key = format!("key for {path}").replace(' ', "-");
            let first = if path == TOP_UP { app.order(path, &asha, &key, &body).await } else { first };
            let key = if path == TOP_UP { key.as_str() } else { "key-1" };
            assert!(!first.replayed());
            for _ in 0..2 {
                let again = app.order(path, &asha, key, &body).await;
                assert_eq!((again.status, &again.text), (200, &first.text));
                assert!(again.replayed());
            }
        }
        assert_eq!(app.balance(ASHA).await, 600);
        // A decided rejection stays decided, even when there is money now.
        let body = with(recharge(ASHA, 1), json!({ "activation_mode": "queue" }));
        let refused = app.order(SUBSCRIBE, &asha, "no-money", &body).await;
        assert_eq!((refused.problem(), refused.replayed()), ("insufficient_funds", false));
        app.fund(&asha, 1_000).await;
        let again = app.order(SUBSCRIBE, &asha, "no-money", &body).await;
        assert_eq!((again.problem(), again.replayed()), ("insufficient_funds", true));
        assert_eq!(again.json["detail"], refused.json["detail"]);
        assert_eq!(app.order(SUBSCRIBE, &asha, "with-money", &body).await.status, 200);
        // Another request under a used key is neither done nor remembered.
        let other = with(recharge(ASHA, 5), json!({ "activation_mode": "queue" }));
        let reused = app.order(SUBSCRIBE, &asha, "with-money", &other).await;
        assert_eq!((reused.status, reused.problem()), (422, "idempotency_key_reused"));
        assert_eq!(app.count("SELECT count(*) FROM subscriptions").await, 2);
        app.verify().await;
    });
}

#[test]
fn what_is_wrong_with_a_request_is_not_remembered_under_its_key() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let wrong = json!({ "amount": "-5", "payment_method": "UPI" });
        assert_eq!(app.order(TOP_UP, &asha, "again", &wrong).await.problem(), "invalid_input");
        let right = json!({ "amount": "5", "payment_method": "UPI" });
        let done = app.order(TOP_UP, &asha, "again", &right).await;
        assert_eq!((done.status, done.replayed()), (200, false));
        for key in ["", &"k".repeat(256), "schl\u{fc}ssel", "a b\u{7f}"] {
            let request = app.request(Method::POST, TOP_UP).bearer_auth(&asha).json(&right);
            let value = reqwest::header::HeaderValue::from_bytes(key.as_bytes());
            let Ok(value) = value else { continue };
            let answer = app.send(request.header("idempotency-key", value)).await;
            assert_eq!((answer.status, answer.problem()), (422, "invalid_input"), "{key:?}");
        }
        assert_eq!(app.balance(ASHA).await, 500);
        app.verify().await;
    });
}

#[test]
fn keys_of_two_customers_do_not_meet_and_requests_without_one_are_all_done() {
    with_app(async |app| {
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        let body = json!({ "amount": "7.25", "payment_method": "UPI" });
        let mine = app.order(TOP_UP, &asha, "shared", &body).await;
        let theirs = app.order(TOP_UP, &ravi, "shared", &body).await;
        assert!(mine.status == 200 && theirs.status == 200 && !theirs.replayed());
        assert_ne!(mine.json["txn_id"], theirs.json["txn_id"]);
        for _ in 0..3 {
            let answer = app.post(TOP_UP, &asha, body.clone()).await;
            assert!(answer.status == 200 && !answer.replayed());
        }
        assert_eq!((app.balance(ASHA).await, app.balance(RAVI).await), (4 * 725, 725));
        app.verify().await;
    });
}

#[test]
fn concurrent_duplicates_of_a_key_have_one_effect_and_one_answer() {
    with_app(async |app| {
        let other = app.start_another().await;
        let elsewhere = format!("http://{}{SUBSCRIBE}", other.addr);
        let asha = app.sign_in(ASHA).await.access;
        app.fund(&asha, 5_000).await;
        for round in 0..4 {
            let key = format!("round-{round}");
            let body = with(recharge(ASHA, 1), json!({ "activation_mode": "queue" }));
            let answers = join_all((0..24_usize).map(async |number| {
                let path = if number.is_multiple_of(2) { SUBSCRIBE } else { &elsewhere };
                app.order(path, &asha, &key, &body).await
            }))
            .await;
            assert!(answers.iter().all(|answer| answer.status == 200));
            assert_eq!(answers.iter().filter(|answer| !answer.replayed()).count(), 1);
            assert!(answers.iter().all(|answer| answer.text == answers[0].text));
        }
        assert_eq!(app.balance(ASHA).await, 500_000 - 4 * 29_900);
        assert_eq!(app.count("SELECT count(*) FROM subscriptions").await, 4);
        app.verify().await;
        assert!(other.stop().await);
    });
}

#[test]
fn an_answer_is_the_same_though_its_plan_has_moved_since() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let body = with(recharge(ASHA, 1), json!({ "payment_method": "UPI" }));
        let active = app.order(SUBSCRIBE, &asha, "active", &body).await;
        let queued = app.order(SUBSCRIBE, &asha, "queued", &body).await;
        app.clock.advance(TimeDelta::seconds(5));
        app.post(
            SUBSCRIBE,
            &asha,
            with(body.clone(), json!({ "activation_mode": "activate", "plan_id": 7 })),
        )
        .await
        .ok();
        let again = app.order(SUBSCRIBE, &asha, "queued", &body).await;
        assert_eq!(again.text, queued.text);
        let again = app.order(SUBSCRIBE, &asha, "active", &body).await;
        assert_eq!(again.text, active.text);
        app.verify().await;
    });
}
