//! `verify` can fail: each thing that it checks is broken in turn, and exactly that is reported.

use std::time::Duration;

use chrono::TimeDelta;
use gencharge_actors::kernel::Clock as _;
use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::support::app::{TestApp, with_app};
use crate::support::eventually;
use crate::support::money::{ASHA, RAVI, SUBSCRIBE, TOP_UP, findings, recharge, with};

const TABLES: [&str; 15] = [
    "archived_users",
    "partners",
    "wallets",
    "line_wakeups",
    "transactions",
    "postings",
    "subscriptions",
    "idempotency_keys",
    "outbox_events",
    "outbox_batches",
    "autopay_rules",
    "autopay_occurrences",
    "payments",
    "refunds",
    "referral_rewards",
];

const ZERO: &str = "the postings of every transaction sum to zero";
const PAIRED: &str =
    "every successful transaction has postings and no other has, every posting a transaction";
const BALANCE: &str = "every wallet equals the sum of its postings and is not negative";
const COUNTS: &str = "every wallet counts its transactions and recharges";
const CUSTOMER: &str = "every customer has a wallet that knows the customer's status, number and type";
const CLOSED: &str = "every deleted customer has a closed wallet without a number, and what it held is owed";
const PARTNER: &str = "every partner has a wallet of its own that knows its status";
const KEYS: &str = "every key has one outcome, and no two keys share one";
const SUBSCRIPTION: &str = "every successful recharge has one subscription, every subscription one recharge";
const PARTS: &str = "every recharge's discount, wallet part and gateway part add up to its price";
const WINDOWS: &str = "no number has two active plans, or windows that overlap";
const LINE: &str = "every number knows its active plan, its queue and its end";
const WAKE: &str = "every number that waits with nothing active has a wake-up";
const GIFTS: &str = "every number counts the recharges that others paid";
const AUTOPAID: &str = "every autopay date that was charged has one payment, every autopay payment one date";
const WAITS: &str = "every enabled autopay rule waits for its notice or for its charge, and no other does";
const PAYMENT: &str = "every payment that ended has its transaction, with what the gateway captured";
const REFUND: &str = "every refund has its transaction, and no transaction gave back more than it had";
const EARNED: &str = "every earned reward has one transaction, every reward's transaction one reward";
const REWARDS: &str = "the rewards' account has paid what was earned";
const PENDING: &str = "every pending reward is known to the wallet of the customer who was brought";
const EVENT: &str = "every success within the outbox's retention has its event";
const BATCH: &str = "every outbox batch within the retention has all its events";

/// What breaks, and which invariant has to say so.
const CORRUPTIONS: &[(&str, &str)] = &[
    (ZERO, "UPDATE postings SET amount = amount + 1 WHERE account_id = -2 AND txn_id = (SELECT max(txn_id) FROM postings WHERE account_id = -2)"),
    (PAIRED, "INSERT INTO postings VALUES (-7, -2, 5, now()), (-7, -3, -5, now())"),
    (PAIRED, "DELETE FROM postings WHERE txn_id IN (SELECT txn_id FROM transactions WHERE gateway_amount = price)"),
    (BALANCE, "UPDATE wallets SET balance = balance + 1 WHERE balance > 0"),
    (BALANCE, "DELETE FROM postings WHERE txn_id = (SELECT max(txn_id) FROM transactions WHERE source = 'wallet_topup' AND txn_type = 'debit');
        INSERT INTO postings SELECT txn_id, -3, 1, created_at FROM transactions WHERE source = 'wallet_topup' AND txn_type = 'debit';
        INSERT INTO postings SELECT txn_id, -2, -1, created_at FROM transactions WHERE source = 'wallet_topup' AND txn_type = 'debit'"),
    // Below zero, though it equals its postings.
    (BALANCE, "ALTER TABLE wallets DROP CONSTRAINT IF EXISTS wallets_balance_check;
        INSERT INTO postings SELECT txn_id, account_id, -90000000, created_at FROM postings WHERE account_id > 0 LIMIT 1;
        INSERT INTO postings SELECT txn_id, -5, 90000000, created_at FROM postings WHERE amount = -90000000;
        UPDATE wallets SET balance = balance - 90000000 WHERE wallet_id = (SELECT account_id FROM postings WHERE amount = -90000000)"),
    (COUNTS, "UPDATE wallets SET transactions = transactions + 1 WHERE balance > 0"),
    (COUNTS, "UPDATE wallets SET recharges = recharges - 1 WHERE recharges > 0"),
    (CUSTOMER, "UPDATE wallets SET status = 'blocked' WHERE status = 'active' AND phone IS NOT NULL"),
    (CUSTOMER, "UPDATE wallets SET user_type = 'postpaid' WHERE user_type = 'prepaid'"),
    (CUSTOMER, "UPDATE wallets SET phone = NULL WHERE phone = 919800000007"),
    (CUSTOMER, "DELETE FROM wallets WHERE wallet_id = (SELECT user_id FROM users WHERE phone = 919800000007)"),
    (PARTNER, "UPDATE partners SET status = 'blocked'"),
    (PARTNER, "UPDATE wallets SET phone = 919999999999 WHERE wallet_id = (SELECT partner_id FROM partners)"),
    (KEYS, "INSERT INTO idempotency_keys SELECT gen_random_uuid(), request, created_at, txn_id, subscription_status
        FROM idempotency_keys WHERE txn_id IS NOT NULL LIMIT 1"),
    (KEYS, "UPDATE idempotency_keys SET created_at = created_at + interval '1 second' WHERE txn_id IS NOT NULL"),
    (SUBSCRIPTION, "UPDATE transactions SET subscription_id = subscription_id + 1000000 WHERE subscription_id IS NOT NULL"),
    (SUBSCRIPTION, "DELETE FROM subscriptions WHERE status = 'expired'"),
    (SUBSCRIPTION, "INSERT INTO subscriptions SELECT subscription_id + 1000000, phone, user_id, plan_id, txn_id, status, valid_from, valid_from, 0
        FROM subscriptions WHERE status = 'expired'"),
    (PARTS, "UPDATE transactions SET discount = discount + 1 WHERE price IS NOT NULL"),
    (PARTS, "UPDATE subscriptions SET total_paid = total_paid + 1"),
    (WINDOWS, "UPDATE subscriptions SET valid_to = valid_to + interval '1 day' WHERE status = 'expired'"),
    (WINDOWS, "DROP INDEX IF EXISTS subscriptions_one_active;
        UPDATE subscriptions SET status = 'active' WHERE status = 'queued';
        UPDATE wallets l SET queued = 0, active_subscription_id = (SELECT max(subscription_id) FROM subscriptions s
            WHERE s.phone = l.phone AND s.status = 'active') WHERE queued > 0"),
    (LINE, "INSERT INTO line_wakeups SELECT phone FROM wallets WHERE queued > 0;
        UPDATE wallets SET active_subscription_id = NULL WHERE active_subscription_id IS NOT NULL"),
    (WAKE, "UPDATE subscriptions SET status = 'expired' WHERE status = 'active';
        UPDATE wallets SET active_subscription_id = NULL,
            tail_valid_to = CASE WHEN queued > 0 THEN tail_valid_to END WHERE active_subscription_id IS NOT NULL"),
    (LINE, "UPDATE wallets SET queued = queued + 1 WHERE active_subscription_id IS NOT NULL"),
    (LINE, "UPDATE wallets SET tail_valid_to = tail_valid_to + interval '1 microsecond'"),
    (GIFTS, "UPDATE wallets SET gifts = gifts + 1 WHERE gifts > 0"),
    (AUTOPAID, "DELETE FROM autopay_occurrences WHERE status = 'charged'"),
    (AUTOPAID, "UPDATE autopay_occurrences SET txn_id = txn_id + 1000000 WHERE status = 'charged'"),
    (AUTOPAID, "INSERT INTO autopay_occurrences SELECT autopay_id, due_at + interval '1 day', user_id, status, gen_random_uuid(), 0,
        announced_at, try_at, 1, NULL, 0, NULL, txn_id, settled_at FROM autopay_occurrences WHERE status = 'charged'"),
    (WAITS, "UPDATE autopay_rules SET announce_at = NULL WHERE announce_at IS NOT NULL"),
    (WAITS, "INSERT INTO autopay_occurrences (autopay_id, due_at, user_id, status, charge_key, announced_at, try_at)
        SELECT autopay_id, next_due_date + interval '1 day', user_id, 'pending', gen_random_uuid(), now(), 'infinity' FROM autopay_rules WHERE status = 'disabled'"),
    (CLOSED, "UPDATE archived_users SET wallet_balance = wallet_balance + 1"),
    (PAYMENT, "UPDATE payments SET amount = amount + 1"),
    (PAYMENT, "UPDATE payments SET state = 'captured'"),
    (REFUND, "UPDATE refunds SET amount = amount + 1"),
    (REFUND, "UPDATE refunds SET txn_id = -1"),
    (PAIRED, "INSERT INTO postings SELECT txn_id, -2, 5, created_at FROM transactions WHERE status = 'failed';
        INSERT INTO postings SELECT txn_id, -3, -5, created_at FROM transactions WHERE status = 'failed'"),
    (EARNED, "UPDATE referral_rewards SET txn_id = txn_id + 1000000 WHERE status = 'earned'"),
    (EARNED, "UPDATE referral_rewards SET claimed_at = claimed_at + interval '1 second' WHERE status = 'earned'"),
    (REWARDS, "INSERT INTO postings SELECT txn_id, -4, -5, created_at FROM transactions WHERE source = 'referral_reward';
        INSERT INTO postings SELECT txn_id, -3, 5, created_at FROM transactions WHERE source = 'referral_reward'"),
    (PENDING, "UPDATE wallets SET referrer_id = NULL WHERE referrer_id IS NOT NULL"),
    (EVENT, "UPDATE outbox_events SET type = 'gencharge.subscription.expired.v1' WHERE type = 'gencharge.recharge.completed.v1'"),
    (BATCH, "UPDATE outbox_batches SET events = events + 1"),
    (BATCH, "INSERT INTO outbox_batches (batch_id, created_at, events, delivered_at) VALUES (-1, now(), 1, now())"),
];

async fn run(app: &TestApp, statements: &str) {
    let mut tx = app.pool.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

#[test]
fn each_corruption_is_found_by_its_check_alone() {
    with_app(async |app| {
        history(app).await;
        app.verify().await;
        let keep: String =
            TABLES.iter().map(|table| format!("CREATE TABLE kept_{table} AS TABLE {table};")).collect();
        run(app, &keep).await;
        let restore: String = TABLES
            .iter()
            .map(|table| {
                format!(
                    "DELETE FROM {table}; INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE kept_{table};"
                )
            })
            .collect();
        let mut reported = std::collections::BTreeSet::new();
        for (invariant, corruption) in CORRUPTIONS {
            run(app, corruption).await;
            let mut connection = app.pool.acquire().await.unwrap();
            let broken: Vec<_> =
                findings(&mut connection).await.into_iter().filter(|finding| finding.broken > 0).collect();
            let names: Vec<_> = broken.iter().map(|finding| finding.name).collect();
            assert_eq!(names, [*invariant], "after: {corruption}");
            assert!(broken[0].seen > 0);
            reported.insert(*invariant);
            drop(connection);
            run(app, &restore).await;
            app.verify().await;
        }
        let mut connection = app.pool.acquire().await.unwrap();
        let all = findings(&mut connection).await;
        assert!(all.iter().all(|finding| finding.seen > 0), "a check that looks at nothing: {all:#?}");
        let never: Vec<_> = all.iter().filter(|finding| !reported.contains(finding.name)).collect();
        assert!(never.is_empty(), "never broken: {never:?}");
    });
}

/// Some of everything: an active, a queued and a superseded plan, a gift, a transfer, a declined payment, a refund, a
/// rejection, a reward earned (for Ravi, whom Asha brought) and one to come.
async fn history(app: &TestApp) {
    let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
    app.fund(&asha, 2_000).await;
    app.post(SUBSCRIBE, &asha, recharge(ASHA, 1)).await.ok();
    app.post(SUBSCRIBE, &asha, with(recharge(ASHA, 2), json!({ "activation_mode": "activate" }))).await.ok();
    app.post(SUBSCRIBE, &asha, recharge(ASHA, 5)).await.ok();
    app.post(SUBSCRIBE, &ravi, with(recharge(ASHA, 5), json!({ "payment_method": "UPI" }))).await.ok();
    app.post(TOP_UP, &asha, json!({ "amount": 10, "payment_method": "Wallet", "phone_number": RAVI }))
        .await
        .ok();
    let partner = crate::partners::partner(app, "acme", 5_000).await;
    assert!(partner > 0);
    let declined = json!({ "amount": "92.02", "payment_method": "UPI" });
    assert_eq!(app.post(TOP_UP, &asha, declined).await.problem(), "payment_declined");
    let top_up = app.post(TOP_UP, &asha, json!({ "amount": 7, "payment_method": "UPI" })).await.ok();
    let refund = format!("/recharge/admin/transactions/{}/refund", top_up["txn_id"]);
    let admin = app.sign_in("9000000001").await.access;
    let leaver = app.sign_up("9811111111").await.access;
    let leaver = app.get("/user/me", &leaver).await.ok();
    let account = format!("/user/admin/{}", leaver["user_id"]);
    app.send(app.request(reqwest::Method::DELETE, &account).bearer_auth(&admin)).await.ok();
    app.order(&refund, &admin, "refund", &json!({ "amount": 5 })).await.ok();
    let code = app.get("/user/me", &asha).await.ok()["referral_code"].clone();
    let brought = app.sign_up("9811111112").await.access;
    let registration =
        json!({ "name": "New", "email": "new@example.com", "user_type": "prepaid", "referee_code": code });
    app.post("/auth/register", &brought, registration).await.ok();
    let refused = app.order(SUBSCRIBE, &ravi, "refused", &recharge(RAVI, 12)).await;
    assert_eq!(refused.problem(), "insufficient_funds");
    for (tag, plan, days) in [("onetime", 7, 1), ("regular", 1, 20)] {
        let due = app.clock.now() + TimeDelta::days(days) - TimeDelta::hours(1);
        let rule =
            json!({ "plan_id": plan, "phone_number": ASHA, "tag": tag, "next_due_date": due.to_rfc3339() });
        app.post("/autopay/create_autopay", &asha, rule).await.ok();
    }
    app.clock.advance(TimeDelta::hours(23));
    eventually("an autopaid plan", Duration::from_secs(10), async || {
        (app.count("SELECT count(*) FROM autopay_occurrences WHERE status = 'charged'").await == 1)
            .then_some(())
    })
    .await;
    app.delivered(Duration::from_secs(10)).await;
}
