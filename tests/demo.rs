//! The demo data: what is in it, that it is consistent, and the same every time.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use gencharge::cli::demo::{Added, DAYS, seed_history};
use gencharge::contact::CONTACT_FORMS;
use gencharge::content::CONTENT;
use gencharge::platform::documents::postgres::PgDocumentStore;
use gencharge::platform::documents::{DocumentStore as _, Filter};
use gencharge_actors::kernel::{Clock as _, Paise};
use sqlx::{ConnectOptions as _, PgPool};

use crate::support::app::{TestApp, with_app};
use crate::support::database::TestDatabase;
use crate::support::folder::TempFolder;
use crate::support::money::{ASHA, SUBSCRIBE, balance, recharge, verify_all};
use crate::support::process::{gencharge, succeed};

async fn seed(app: &TestApp, now: DateTime<Utc>) -> Added {
    let mut tx = app.pool.begin().await.unwrap();
    let added = seed_history(&mut tx, Paise::new(5_000), now).await.unwrap();
    tx.commit().await.unwrap();
    added
}

/// Every transaction and every customer, with times as they lie before `now`.
async fn fingerprint(pool: &PgPool, now: DateTime<Utc>) -> String {
    sqlx::query_scalar(
        "SELECT md5(
             (SELECT string_agg(concat_ws(' ', created_at - $1, category, txn_type, amount, plan_id, offer_id, from_phone,
                  to_phone, source, status, payment_method), ',' ORDER BY created_at, txn_id) FROM transactions)
             || (SELECT string_agg(concat_ws(' ', phone, name, email, u.user_type, u.status, referee_code, created_at - $1,
                  balance, queued, active_valid_to - $1, p.language, p.sms_notification), ',' ORDER BY phone)
                 FROM users u JOIN wallets w USING (phone) JOIN user_preferences p USING (user_id)
                 WHERE phone >= 919800000008)
             || (SELECT string_agg(concat_ws(' ', plan_id, phone, tag, repeats, status, next_due_date - $1), ','
                  ORDER BY phone, plan_id) FROM autopay_rules))",
    )
    .bind(now)
    .fetch_one(pool)
    .await
    .unwrap()
}

#[test]
fn the_history_follows_the_rules_and_is_the_same_every_time() {
    let fingerprints = Mutex::new(Vec::new());
    for _ in 0..2 {
        with_app(async |app| {
            // To the microsecond, as the database keeps it.
            let now = DateTime::from_timestamp_micros(app.clock.now().timestamp_micros()).unwrap();
            let customers: i64 = app.count("SELECT count(*) FROM users").await;
            // As `gencharge seed` dates the catalogue; the template's is as old as the template.
            sqlx::query("UPDATE offers SET created_at = $1")
                .bind(now - TimeDelta::days(DAYS))
                .execute(&app.pool)
                .await
                .unwrap();
            let added = seed(app, now).await;
            assert_eq!((added.customers, added.refused), (48, 0), "{added:?}");
            assert!(added.orders > 120, "{added:?}");
            assert_eq!(app.count("SELECT count(*) FROM users").await, customers + 43);
            app.verify().await;
            look(app).await;
            let first = fingerprint(&app.pool, now).await;
            assert_eq!(seed(app, now + TimeDelta::hours(1)).await, Added::default());
            assert_eq!(fingerprint(&app.pool, now).await, first, "a second run changes nothing");
            fingerprints.lock().unwrap().push(first);
        });
    }
    let fingerprints = fingerprints.into_inner().unwrap();
    assert_eq!(fingerprints[0], fingerprints[1]);
}

/// Something of everything.
async fn look(app: &TestApp) {
    for (what, least, sql) in [
        ("deleted customers", 5, "SELECT count(*) FROM archived_users"),
        ("deleted customers with money", 1, "SELECT count(*) FROM archived_users WHERE wallet_balance > 0"),
        ("blocked customers", 5, "SELECT count(*) FROM users WHERE status = 'blocked'"),
        ("paused customers", 4, "SELECT count(*) FROM users WHERE status = 'deactive'"),
        ("active plans", 20, "SELECT count(*) FROM subscriptions WHERE status = 'active'"),
        ("queued plans", 3, "SELECT count(*) FROM subscriptions WHERE status = 'queued'"),
        ("ended plans", 10, "SELECT count(*) FROM subscriptions WHERE status = 'expired'"),
        ("plans sold", 8, "SELECT count(DISTINCT plan_id) FROM subscriptions"),
        ("offers used", 5, "SELECT count(DISTINCT offer_id) FROM transactions"),
        ("sources", 4, "SELECT count(DISTINCT source) FROM transactions"),
        ("methods", 4, "SELECT count(DISTINCT payment_method) FROM transactions"),
        ("gifts", 3, "SELECT sum(gifts)::bigint FROM wallets"),
        ("failed payments", 2, "SELECT count(*) FROM transactions WHERE status = 'failed'"),
        ("refunds", 2, "SELECT count(*) FROM refunds"),
        ("rewards", 5, "SELECT count(*) FROM referral_rewards WHERE status = 'earned' AND amount = 5000"),
        ("rewards to come", 2, "SELECT count(*) FROM referral_rewards WHERE status = 'pending'"),
        ("autopay rules", 20, "SELECT count(*) FROM autopay_rules WHERE status = 'enabled'"),
        ("autopay rules that are off", 3, "SELECT count(*) FROM autopay_rules WHERE status = 'disabled'"),
        (
            "customers with wishes",
            10,
            "SELECT count(*) FROM user_preferences WHERE NOT (email_notification AND sms_notification)",
        ),
    ] {
        let found = app.count(sql).await;
        assert!(found >= least, "{what}: {found}");
    }
    // Of history nobody is told.
    let told = "SELECT count(*) FROM outbox_events WHERE type IN ('gencharge.recharge.completed.v1',
        'gencharge.wallet.topped_up.v1', 'gencharge.wallet.closed.v1', 'gencharge.referral.rewarded.v1')";
    assert_eq!(app.count(told).await, 0);
    assert_eq!(app.count("SELECT count(*) FROM autopay_rules WHERE announce_at < now()").await, 0);
}

/// The command, twice, on a database that has nothing: everything is there once, and the first recharge of the README works.
#[tokio::test]
async fn the_command_may_be_repeated() {
    let (folder, database) = (TempFolder::new("demo"), TestDatabase::new("demo").await);
    let url = database.options().to_url_lossy().to_string();
    let run = |arguments: &[&str]| {
        let mut command = gencharge(folder.path(), arguments);
        command.env("DATABASE_URL", &url);
        succeed(command)
    };
    let pool = &database.pool;
    let documents = PgDocumentStore::new(pool.clone());
    let mut counts = Vec::new();
    for _ in 0..2 {
        run(&["seed", "--demo"]);
        let rows: Vec<i64> = sqlx::query_scalar(
            "SELECT count(*) FROM users UNION ALL SELECT count(*) FROM archived_users UNION ALL SELECT count(*) FROM admins
             UNION ALL SELECT count(*) FROM transactions UNION ALL SELECT sum(balance)::bigint FROM wallets
             UNION ALL SELECT count(*) FROM autopay_rules UNION ALL SELECT count(*) FROM offers",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        let content = documents.count(&CONTENT, Filter::Everything).await.unwrap();
        let forms = documents.count(&CONTACT_FORMS, Filter::Everything).await.unwrap();
        counts.push((rows, content, forms));
    }
    assert_eq!(counts[0], counts[1]);
    assert_eq!(counts[0].0[..3], [50, 5, 15]);
    assert!(counts[0].1 >= 5 && counts[0].2 >= 5, "{counts:?}");
    assert_eq!(std::fs::read_dir(folder.path().join("uploads")).unwrap().count(), 2, "pictures");
    run(&["verify"]);
    verify_all(&mut pool.acquire().await.unwrap()).await;
    assert_eq!(balance(pool, ASHA).await, 500_000);
    let asha: i64 = sqlx::query_scalar("SELECT count(*) FROM subscriptions WHERE phone = 919800000001")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(asha, 0);
}

/// The demo's customers go on as any others: their next recharge takes its place behind what they have.
#[test]
fn the_demos_customers_can_go_on() {
    with_app(async |app| {
        seed(app, app.clock.now()).await;
        let phone = "9800000008";
        let token = app.sign_in(phone).await.access;
        app.fund(&token, 500).await;
        let bought = app.post(SUBSCRIBE, &token, recharge(phone, 1)).await.ok();
        assert_eq!(bought["status"], "success");
        let history = app.get("/recharge/my/transactions", &token).await.ok();
        assert!(history["total"].as_i64().unwrap() > 2, "{history}");
        app.verify().await;
    });
}
