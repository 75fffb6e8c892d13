//! What wallets promise: sums, transfers, and the truth after an actor has crashed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use gencharge::wallet::PgWalletStore;
use gencharge_actors::kernel::{Digest128, Paise, PaymentMethod, PhoneNumber, SystemRandom, UserId};
use gencharge_actors::payment::PaymentRules;
use gencharge_actors::runtime::Universe;
use gencharge_actors::wallet::{
    Command, Ids, KeyOrigin, Limits, Loaded, Order, OrderKey, Payer, Refusal, RetryLimits, StoreError, TopUp,
    Touch, WalletSettings, WalletStore, Wallets, Writes,
};
use serde_json::json;

use crate::support::app::{TestApp, with_app};
use crate::support::eventually;
use crate::support::money::{ASHA, RAVI, TOP_UP};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_thousand_concurrent_top_ups_of_one_rupee_make_a_thousand() {
    with_app(async |app| {
        let token = app.sign_in(ASHA).await.access;
        let body = json!({ "amount": 1, "payment_method": "UPI" });
        let answers = join_all((0..1_000).map(|_| app.post(TOP_UP, &token, body.clone()))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        assert_eq!(app.balance(ASHA).await, 100_000);
        app.verify().await;
    });
}

#[test]
fn a_thousand_concurrent_top_ups_through_two_applications_make_a_thousand() {
    with_app(async |app| {
        let other = app.start_another().await;
        let elsewhere = format!("http://{}{TOP_UP}", other.addr);
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        // Half by the owner, half given by another customer, whose shard is another.
        let answers = join_all((0..1_000_usize).map(async |number| {
            let path = if number.is_multiple_of(2) { TOP_UP } else { &elsewhere };
            let token = if (number / 2).is_multiple_of(2) { &asha } else { &ravi };
            let body = json!({ "amount": "1.00", "payment_method": "UPI", "phone_number": ASHA });
            app.post(path, token, body).await
        }))
        .await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        assert_eq!(app.balance(ASHA).await, 100_000);
        app.verify().await;
        assert!(other.stop().await);
    });
}

#[test]
fn a_transfer_is_a_debit_here_and_a_credit_there() {
    with_app(async |app| {
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        app.fund(&asha, 100).await;
        let give = |amount: &str, to: &str| json!({ "amount": amount, "payment_method": "Wallet", "phone_number": to });
        let done = app.post(TOP_UP, &asha, give("40.25", RAVI)).await.ok();
        assert_eq!((&done["txn_type"], &done["amount"]), (&json!("debit"), &json!("40.25")));
        assert_eq!((app.balance(ASHA).await, app.balance(RAVI).await), (5_975, 4_025));
        let seen = async |token: &str| {
            let list = app.get("/recharge/my/transactions", token).await.ok();
            let rows = list["transactions"].as_array().unwrap().clone();
            let transfer = rows.iter().find(|row| row["amount"] == "40.25").unwrap();
            transfer["txn_type"].as_str().unwrap().to_owned()
        };
        assert_eq!((seen(&asha).await.as_str(), seen(&ravi).await.as_str()), ("debit", "credit"));
        for (body, code) in [
            (give("59.76", RAVI), "insufficient_funds"),
            (give("1", ASHA), "same_wallet"),
            (give("1", "9812345678"), "number_unknown"),
            (give("1", "9800000003"), "receiver_not_active"),
        ] {
            assert_eq!(app.post(TOP_UP, &asha, body).await.problem(), code);
        }
        assert_eq!(app.balance(ASHA).await, 5_975);
        app.verify().await;
    });
}

#[test]
fn transfers_in_circles_lose_nothing_and_never_wait_for_each_other() {
    with_app(async |app| {
        let other = app.start_another().await;
        let elsewhere = format!("http://{}{TOP_UP}", other.addr);
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        app.fund(&asha, 50).await;
        app.fund(&ravi, 50).await;
        let answers = join_all((0..300_usize).map(async |number| {
            let (token, to) = if number.is_multiple_of(2) { (&asha, RAVI) } else { (&ravi, ASHA) };
            let path = if number.is_multiple_of(3) { TOP_UP } else { &elsewhere };
            let body = json!({ "amount": "0.75", "payment_method": "Wallet", "phone_number": to });
            app.post(path, token, body).await
        }))
        .await;
        for refused in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(refused.problem(), "insufficient_funds");
        }
        assert_eq!(app.balance(ASHA).await + app.balance(RAVI).await, 10_000);
        assert_eq!(
            app.count("SELECT coalesce(sum(amount), 0)::bigint FROM postings WHERE account_id = -6").await,
            0
        );
        assert_eq!(deadlocks(app).await, 0);
        app.verify().await;
        assert!(other.stop().await);
    });
}

async fn deadlocks(app: &TestApp) -> i64 {
    app.count("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await
}

/// Where a store panics.
#[derive(Clone, Copy)]
enum Moment {
    /// Decided, nothing written yet.
    BeforeCommit,
    /// Durable, nobody told yet.
    AfterCommit,
}

/// The real store, which panics once.
struct Faulty {
    inner: PgWalletStore,
    /// The batches before the panic, and where it happens.
    fault: Arc<(AtomicI64, Moment)>,
}

impl WalletStore for Faulty {
    async fn transact<'a>(
        &'a mut self,
        touch: &'a Touch,
        orders: usize,
        decide: &'a mut (dyn FnMut(Loaded, &mut Ids) -> Writes + 'a),
    ) -> Result<(), StoreError> {
        if self.fault.0.fetch_sub(1, Ordering::SeqCst) != 0 {
            return self.inner.transact(touch, orders, decide).await;
        }
        match self.fault.1 {
            Moment::BeforeCommit => {
                let mut decide = |loaded: Loaded, ids: &mut Ids| -> Writes {
                    decide(loaded, ids);
                    panic!("on purpose: decided, not committed")
                };
                self.inner.transact(touch, orders, &mut decide).await
            }
            Moment::AfterCommit => {
                self.inner.transact(touch, orders, decide).await?;
                panic!("on purpose: committed, not answered")
            }
        }
    }
}

fn settings(mailbox: usize) -> WalletSettings {
    WalletSettings {
        shards: 1,
        mailbox,
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
    }
}

async fn payer(app: &TestApp) -> Payer {
    let user: i64 = app.count("SELECT user_id FROM users WHERE phone = 919800000001").await;
    Payer { user: UserId(user), phone: Some(PhoneNumber::parse(ASHA).unwrap()) }
}

/// One rupee from the gateway.
fn rupee(payer: Payer, key: u128) -> Order {
    let top_up =
        TopUp { payer, number: payer.phone.unwrap(), amount: Paise::new(100), method: PaymentMethod::Upi };
    let key = OrderKey { key: Digest128(key), request: Digest128(7), origin: KeyOrigin::Client };
    Order { command: Command::TopUp(top_up), key, asked: None }
}

/// Holds a wallet, so that orders pile up behind the batch that waits for it.
async fn held<T>(app: &TestApp, payer: Payer, work: impl AsyncFnOnce() -> T) -> T {
    let mut holder = app.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM wallets WHERE wallet_id = $1 FOR UPDATE")
        .bind(payer.user.get())
        .execute(&mut *holder)
        .await
        .unwrap();
    let outcome = work().await;
    holder.commit().await.unwrap();
    outcome
}

/// Waits until a session of this database waits for a lock.
async fn waits_for_a_lock(app: &TestApp) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    eventually("a batch that waits for the wallet", PATIENCE, async || {
        (app.count(waiting).await > 0).then_some(())
    })
    .await;
}

fn depth(universe: &Universe) -> usize {
    universe.snapshot().iter().map(|actor| actor.mailbox_depth).sum()
}

fn crash_mid_batch(moment: Moment, committed: i64) {
    with_app(async |app| {
        let payer = payer(app).await;
        let (universe, fault) = (Universe::new(), Arc::new((AtomicI64::new(1), moment)));
        let options = app.pool.connect_options().as_ref().clone();
        let (clock, shared) = (app.clock.clone(), Arc::clone(&fault));
        let factory = move || {
            let inner = PgWalletStore::new(options.clone(), Arc::new(clock.clone()));
            Faulty { inner, fault: Arc::clone(&shared) }
        };
        let wallets = Wallets::start(&universe, &settings(64), factory).unwrap();
        // The first order's batch waits for the wallet; the other twenty make the batch that panics.
        let submit = |key: u128| {
            let (wallets, order) = (wallets.clone(), rupee(payer, key));
            actix_web::rt::spawn(async move { (key, wallets.submit(order).await) })
        };
        let submitted = held(app, payer, async || {
            let mut submitted = vec![submit(0)];
            waits_for_a_lock(app).await;
            submitted.extend((1..=20).map(submit));
            let all = async || (depth(&universe) == 20).then_some(());
            eventually("twenty orders in the mailbox", PATIENCE, all).await;
            submitted
        })
        .await;
        let answers: Vec<_> = join_all(submitted).await.into_iter().map(|answer| answer.unwrap()).collect();
        for (key, answer) in &answers {
            match key {
                0 => assert!(matches!(answer, Ok(done) if !done.replayed), "{answer:?}"),
                _ => assert!(matches!(answer, Err(Refusal::Unknown)), "{key}: {answer:?}"),
            }
        }
        assert_eq!(answers.len(), 21);
        assert_eq!(app.balance(ASHA).await, committed);
        assert_eq!(universe.snapshot().iter().map(|actor| actor.restarts).sum::<u64>(), 1);
        assert!(universe.ready());
        // The retries get the truth: what was committed is a replay, what was not is done now.
        for (key, answer) in
            join_all((0..=20).map(async |key| (key, wallets.submit(rupee(payer, key)).await))).await
        {
            let done = answer.unwrap();
            assert_eq!(done.replayed, key == 0 || committed == 2_100, "{key}");
        }
        assert_eq!(app.balance(ASHA).await, 2_100);
        universe.shutdown(PATIENCE).await.unwrap();
        app.verify().await;
    });
}

#[test]
fn an_actor_that_panics_before_the_commit_restarts_and_the_retries_are_done() {
    crash_mid_batch(Moment::BeforeCommit, 100);
}

#[test]
fn an_actor_that_panics_after_the_commit_restarts_and_the_retries_are_replays() {
    crash_mid_batch(Moment::AfterCommit, 2_100);
}

#[test]
fn a_full_mailbox_refuses_at_once_and_what_it_accepted_is_done() {
    with_app(async |app| {
        let payer = payer(app).await;
        let universe = Universe::new();
        let (options, clock) = (app.pool.connect_options().as_ref().clone(), app.clock.clone());
        let factory = move || PgWalletStore::new(options.clone(), Arc::new(clock.clone()));
        let wallets = Wallets::start(&universe, &settings(4), factory).unwrap();
        let submit = |key: u128| {
            let (wallets, order) = (wallets.clone(), rupee(payer, key));
            actix_web::rt::spawn(async move { wallets.submit(order).await })
        };
        let submitted = held(app, payer, async || {
            let mut submitted = vec![submit(0)];
            waits_for_a_lock(app).await;
            submitted.extend((1..40).map(submit));
            let full = async || (depth(&universe) == 4).then_some(());
            eventually("a full mailbox", PATIENCE, full).await;
            let refused = wallets.submit(rupee(payer, 99)).await;
            assert_eq!(refused.unwrap_err(), Refusal::Overloaded);
            submitted
        })
        .await;
        let answers: Vec<_> = join_all(submitted).await.into_iter().map(|answer| answer.unwrap()).collect();
        // One in the batch that waited, four in the mailbox.
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 5);
        for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            assert_eq!(*refused, Refusal::Overloaded);
        }
        assert_eq!(app.balance(ASHA).await, 500);
        // Nothing of what was refused is remembered: it can be sent again under its key.
        for key in (0..40).chain([99]) {
            wallets.submit(rupee(payer, key)).await.unwrap();
        }
        assert_eq!(app.balance(ASHA).await, 4_100);
        universe.shutdown(PATIENCE).await.unwrap();
        app.verify().await;
    });
}

#[test]
fn the_limit_of_a_wallet_s_balance_holds_under_concurrency() {
    crate::support::app::with_settings(&[("GENCHARGE_MAX_WALLET_BALANCE", "10")], async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let body = json!({ "amount": 3, "payment_method": "UPI" });
        let answers = join_all((0..20).map(|_| app.post(TOP_UP, &asha, body.clone()))).await;
        let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!(done.len(), 3);
        assert!(refused.iter().all(|answer| answer.problem() == "limit_exceeded"));
        app.verify().await;
    });
}
