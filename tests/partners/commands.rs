//! What messages of partners do: the real handler on the real database, without a broker between.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use gencharge::partners::{PartnerBook, PartnerCommands, PartnerStore};
use gencharge::wallet::PgWalletStore;
use gencharge_actors::kernel::{Clock as _, Paise, SystemRandom};
use gencharge_actors::messages::{CommandHandler as _, IncomingCommand, Outcome};
use gencharge_actors::partner::{CONTENT_TYPE, MAX_BYTES};
use gencharge_actors::payment::PaymentRules;
use gencharge_actors::runtime::Universe;
use gencharge_actors::wallet::{Limits, RetryLimits, WalletSettings, Wallets};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row as _;

use super::{ADMIN, partner};
use crate::support::app::{TestApp, with_app};
use crate::support::money::{ASHA, RAVI};

const PATIENCE: Duration = Duration::from_secs(10);

/// The handler with wallets of its own, as another process would have.
struct Desk<'a> {
    app: &'a TestApp,
    universe: Universe,
    commands: PartnerCommands<PgWalletStore>,
}

impl<'a> Desk<'a> {
    fn open(app: &'a TestApp) -> Self {
        let universe = Universe::new();
        let settings = WalletSettings {
            shards: 2,
            mailbox: 4096,
            limits: Limits {
                max_queued: 12,
                max_top_up: Paise::new(5_000_000),
                max_balance: None,
                max_rewards: None,
                payments: PaymentRules::default(),
            },
            retry: RetryLimits::default(),
            random: Arc::new(SystemRandom),
            committed: Arc::new(|| ()),
        };
        let (options, clock) = (app.pool.connect_options().as_ref().clone(), app.clock.clone());
        let store = move || PgWalletStore::new(options.clone(), Arc::new(clock.clone()));
        let wallets = Wallets::start(&universe, &settings, store).unwrap();
        let book = PartnerBook::new(PartnerStore::new(app.pool.clone()));
        Self { app, universe, commands: PartnerCommands::new(wallets, book) }
    }

    async fn send(&self, user: &str, message: &Value) -> Outcome {
        self.send_raw(Some(user), Some(CONTENT_TYPE), message.to_string().as_bytes()).await
    }

    async fn send_raw(&self, user: Option<&str>, kind: Option<&str>, body: &[u8]) -> Outcome {
        let command = IncomingCommand {
            user_id: user.map(Arc::from),
            content_type: kind.map(str::to_owned),
            body: body.into(),
            ..IncomingCommand::default()
        };
        self.commands.handle(command).await
    }

    /// What `user` was told: type, data.
    async fn told(&self, user: &str) -> Vec<(String, Value)> {
        let rows = sqlx::query("SELECT type, data FROM outbox_events WHERE addressee = $1 ORDER BY event_id")
            .bind(user)
            .fetch_all(&self.app.pool)
            .await
            .unwrap();
        let read = |data: &str| serde_json::from_str(data).unwrap();
        rows.iter().map(|row| (row.get(0), read(row.get(1)))).collect()
    }

    async fn balance(&self, partner: i64) -> i64 {
        let sql = "SELECT balance FROM wallets WHERE wallet_id = $1";
        sqlx::query_scalar(sql).bind(partner).fetch_one(&self.app.pool).await.unwrap()
    }

    async fn close(self) {
        self.app.verify().await;
        drop(self.commands);
        self.universe.shutdown(PATIENCE).await.unwrap();
    }
}

fn recharge(id: &str, phone: &str, plan: i64) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/acme/shop", "type": "gencharge.recharge.requested.v1",
        "data": { "phone_number": phone, "plan_id": plan },
    })
}

fn top_up(id: &str, phone: &str, amount: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/acme/shop", "type": "gencharge.wallet.topup.requested.v1",
        "data": { "phone_number": phone, "amount": amount },
    })
}

#[track_caller]
fn parked(outcome: Outcome) -> &'static str {
    let Outcome::Park(reason) = outcome else { panic!("not parked: {outcome:?}") };
    assert!(!reason.detail.is_empty());
    reason.code
}

#[test]
fn a_recharge_and_a_top_up_are_paid_by_the_partner_and_told() {
    with_app(async |app| {
        let acme = partner(app, "acme", 1_000).await;
        let desk = Desk::open(app);
        assert_eq!(desk.send("acme", &recharge("r-1", ASHA, 1)).await, Outcome::Done);
        assert_eq!(desk.send("acme", &top_up("t-1", RAVI, "100.50")).await, Outcome::Done);
        let told = desk.told("acme").await;
        let kinds: Vec<_> = told.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["gencharge.recharge.completed.v1", "gencharge.wallet.topped_up.v1"]);
        let (done, moved) = (&told[0].1, &told[1].1);
        assert_eq!(done["request"], json!({ "partner": "acme", "source": "/acme/shop", "id": "r-1" }));
        assert_eq!((&done["user_id"], &done["wallet_amount"]), (&json!(acme), &json!("299.00")));
        assert_eq!((&moved["amount"], &moved["request"]["id"]), (&json!("100.50"), &json!("t-1")));
        assert_eq!(desk.balance(acme).await, 100_000 - 29_900 - 10_050);
        assert_eq!(app.balance(RAVI).await, 10_050);
        let asha = app.sign_in(ASHA).await.access;
        let seen = app.get("/recharge/my/plans", &asha).await.ok();
        assert_eq!((&seen["total"], &seen["plans"][0]["status"]), (&json!(1), &json!("active")));
        desk.close().await;
    });
}

#[test]
fn a_repeated_message_does_nothing_and_tells_nothing_new() {
    with_app(async |app| {
        let acme = partner(app, "acme", 1_000).await;
        let desk = Desk::open(app);
        let message = top_up("t-1", RAVI, "1");
        let outcomes = join_all((0..20).map(|_| desk.send("acme", &message))).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done));
        let unfunded = recharge("r-9", ASHA, 12);
        for _ in 0..2 {
            assert_eq!(desk.send("acme", &unfunded).await, Outcome::Done);
        }
        assert_eq!((app.balance(RAVI).await, desk.balance(acme).await), (100, 99_900));
        assert_eq!(desk.told("acme").await.len(), 2, "one for each message");
        // The same source and id with another request is somebody's mistake.
        assert_eq!(parked(desk.send("acme", &top_up("t-1", RAVI, "2")).await), "idempotency_key_reused");
        // Another partner's messages have keys of their own.
        partner(app, "globex", 10).await;
        assert_eq!(desk.send("globex", &top_up("t-1", RAVI, "1")).await, Outcome::Done);
        assert_eq!(app.balance(RAVI).await, 200);
        desk.close().await;
    });
}

#[test]
fn decisions_against_are_told_with_the_codes_of_http() {
    with_app(async |app| {
        let acme = partner(app, "acme", 50).await;
        let desk = Desk::open(app);
        for (message, code) in [
            (recharge("1", ASHA, 1), "insufficient_funds"),
            (recharge("2", ASHA, 999), "plan_unavailable"),
            (recharge("3", "9812345678", 1), "number_unknown"),
            (top_up("4", RAVI, "50.01"), "insufficient_funds"),
            (top_up("5", "9800000003", "1"), "receiver_not_active"),
            (top_up("6", RAVI, "50000.01"), "limit_exceeded"),
        ] {
            let id = message["id"].as_str().unwrap().to_owned();
            assert_eq!(desk.send("acme", &message).await, Outcome::Done, "{id}");
            let told = desk.told("acme").await;
            let (kind, data) = told.last().unwrap();
            let failed = if message["type"].as_str().unwrap().contains("recharge") {
                "recharge"
            } else {
                "wallet.topup"
            };
            assert_eq!(*kind, format!("gencharge.{failed}.failed.v1"));
            assert_eq!(
                (data["code"].as_str(), data["request"]["id"].as_str()),
                (Some(code), Some(id.as_str()))
            );
            assert_eq!(data["partner_id"], acme);
        }
        assert_eq!(desk.balance(acme).await, 5_000);
        desk.close().await;
    });
}

#[test]
fn what_nobody_can_do_is_parked_and_moves_nothing() {
    with_app(async |app| {
        let acme = partner(app, "acme", 1_000).await;
        let admin = app.sign_in(ADMIN).await.access;
        partner(app, "globex", 1_000).await;
        let desk = Desk::open(app);
        let plus = |object: &str, field: &str, value: Value| {
            let mut message = recharge("x", ASHA, 1);
            let object = message.pointer_mut(object).unwrap().as_object_mut().unwrap();
            object.insert(field.to_owned(), value);
            message
        };
        for (message, code) in [
            (plus("", "specversion", json!("0.3")), "unsupported_specversion"),
            (plus("", "type", json!("gencharge.recharge.requested.v2")), "unknown_version"),
            (plus("", "type", json!("gencharge.wallet.emptied.v1")), "unknown_type"),
            (plus("", "priority", json!(9)), "unknown_field"),
            (plus("/data", "discount", json!(9)), "unknown_field"),
            (plus("/data", "plan_id", json!("one")), "invalid_input"),
            (plus("", "id", json!(5)), "invalid_input"),
            (plus("/data", "partner", json!("globex")), "partner_mismatch"),
            (json!("text"), "invalid_input"),
        ] {
            assert_eq!(parked(desk.send("acme", &message).await), code, "{message}");
        }
        let good = recharge("x", ASHA, 1).to_string();
        let large = vec![b'x'; MAX_BYTES + 1];
        for (user, kind, body, code) in [
            (Some("acme"), Some(CONTENT_TYPE), &good.as_bytes()[..30], "malformed_body"),
            (Some("acme"), Some(CONTENT_TYPE), &b"\x00\xff"[..], "malformed_body"),
            (Some("acme"), Some(CONTENT_TYPE), &large[..], "body_too_large"),
            (Some("acme"), Some("application/json"), good.as_bytes(), "unsupported_media_type"),
            (Some("acme"), None, good.as_bytes(), "unsupported_media_type"),
            (Some("nobody"), Some(CONTENT_TYPE), good.as_bytes(), "unknown_partner"),
            (None, Some(CONTENT_TYPE), good.as_bytes(), "unknown_partner"),
        ] {
            assert_eq!(parked(desk.send_raw(user, kind, body).await), code);
        }
        let body = json!({ "permissions": { "recharge": false, "wallet_topup": true } });
        let change = app.request(Method::PATCH, &format!("/partners/{acme}")).bearer_auth(&admin).json(&body);
        app.send(change).await.ok();
        let other = Desk::open(app);
        assert_eq!(parked(other.send("acme", &recharge("y", ASHA, 1)).await), "permission_missing");
        assert_eq!(other.send("acme", &top_up("y", RAVI, "1")).await, Outcome::Done);
        assert_eq!(desk.told("acme").await.len(), 1);
        assert_eq!(app.count("SELECT count(*) FROM subscriptions").await, 0);
        other.close().await;
        desk.close().await;
    });
}

#[test]
fn a_message_that_is_too_late_is_told_so_and_parked() {
    with_app(async |app| {
        let acme = partner(app, "acme", 1_000).await;
        let desk = Desk::open(app);
        let until = |id: &str, delta: TimeDelta| {
            let mut message = top_up(id, RAVI, "1");
            message["expiresat"] = json!((app.clock.now() + delta).to_rfc3339());
            message
        };
        let late = until("late", TimeDelta::seconds(-1));
        assert_eq!(parked(desk.send("acme", &late).await), "message_expired");
        let early = until("early", TimeDelta::seconds(60));
        assert_eq!(desk.send("acme", &early).await, Outcome::Done);
        // Done in time: that it comes again after its time changes nothing.
        app.clock.advance(TimeDelta::seconds(61));
        assert_eq!(desk.send("acme", &early).await, Outcome::Done);
        assert_eq!(parked(desk.send("acme", &late).await), "message_expired");
        let told = desk.told("acme").await;
        assert_eq!((told.len(), &told[0].1["code"]), (2, &json!("message_expired")));
        assert_eq!(desk.balance(acme).await, 99_900);
        desk.close().await;
    });
}

#[test]
fn of_64_messages_with_funds_for_one_one_is_done() {
    with_app(async |app| {
        let acme = partner(app, "acme", 299).await;
        let (desk, other) = (Desk::open(app), Desk::open(app));
        let outcomes = join_all((0..64_usize).map(async |number| {
            let desk = if number.is_multiple_of(2) { &desk } else { &other };
            desk.send("acme", &recharge(&number.to_string(), ASHA, 1)).await
        }))
        .await;
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
        let told = desk.told("acme").await;
        assert_eq!(told.len(), 64);
        let done = told.iter().filter(|(kind, _)| kind == "gencharge.recharge.completed.v1").count();
        let unfunded = told.iter().filter(|(_, data)| data["code"] == "insufficient_funds").count();
        assert_eq!((done, unfunded, desk.balance(acme).await), (1, 63, 0));
        other.close().await;
        desk.close().await;
    });
}

#[test]
fn a_blocked_partner_pays_for_nothing() {
    with_app(async |app| {
        let acme = partner(app, "acme", 1_000).await;
        let admin = app.sign_in(ADMIN).await.access;
        let desk = Desk::open(app);
        assert_eq!(desk.send("acme", &top_up("1", RAVI, "1")).await, Outcome::Done);
        let change = app.request(Method::PATCH, &format!("/partners/{acme}")).bearer_auth(&admin);
        app.send(change.json(&json!({ "status": "blocked" }))).await.ok();
        assert_eq!(desk.send("acme", &top_up("2", RAVI, "1")).await, Outcome::Done);
        assert_eq!(desk.told("acme").await.last().unwrap().1["code"], "payer_not_active");
        assert_eq!(desk.balance(acme).await, 99_900);
        desk.close().await;
    });
}
