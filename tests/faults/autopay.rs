//! Due rules, two processes, and a `kill -9` in the middle: each rule is charged exactly once.
//!
//! `GENCHARGE_TEST_AUTOPAY_RULES` sets how many (2,000), `GENCHARGE_TEST_PROGRAM` another build of the program.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sqlx::{ConnectOptions as _, PgPool};

use crate::support::database::TestDatabase;
use crate::support::eventually;
use crate::support::folder::TempFolder;
use crate::support::money::verify_all;
use crate::support::process::{Running, free_port, gencharge, healthy, succeed};

const PATIENCE: Duration = Duration::from_secs(300);

fn rules() -> i64 {
    std::env::var("GENCHARGE_TEST_AUTOPAY_RULES").map_or(2_000, |text| text.parse().unwrap())
}

/// A process to be killed, and where it answers.
struct Process {
    address: String,
    running: Running,
}

impl Process {
    async fn start(data: &Path, url: &str) -> Process {
        let address = format!("127.0.0.1:{}", free_port());
        let mut serve = gencharge(data, &["serve"]);
        serve.env("DATABASE_URL", url).env("GENCHARGE_BIND", &address);
        let running = Running::start(serve);
        healthy(&address).await;
        Process { address, running }
    }
}

async fn count(pool: &PgPool, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(pool).await.unwrap()
}

async fn charged(pool: &PgPool) -> i64 {
    count(pool, "SELECT count(*) FROM autopay_occurrences WHERE status = 'charged'").await
}

/// Every load customer gets a rule that is due since a second ago, as if its owner had made it just before.
async fn make_due(pool: &PgPool) {
    sqlx::query(
        "INSERT INTO autopay_rules (user_id, plan_id, phone, tag, next_due_date, anchor, set_at, announce_at, created_at)
         SELECT user_id, 1, phone, CASE WHEN user_id % 2 = 0 THEN 'onetime' ELSE 'regular' END,
             at, at, at - interval '1 minute', at - interval '25 hours', at
         FROM users, (SELECT now() - interval '1 second' AS at) moment WHERE phone BETWEEN 916000000000 AND 916599999999",
    )
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn of_two_processes_that_one_is_killed_charges_nothing_twice() {
    let (folder, database) = (TempFolder::new("autopay"), TestDatabase::new("autopay").await);
    let url = database.options().to_url_lossy().to_string();
    let data = folder.path().join("data");
    let tokens = folder.path().join("tokens");
    let wanted = rules();
    let run = |arguments: &[&str]| {
        let mut command = gencharge(&data, arguments);
        command.env("DATABASE_URL", &url);
        succeed(command)
    };
    run(&["seed", "--demo"]);
    let number = wanted.to_string();
    run(&["seed", "--load-users", &number, "--balance", "1000", "--tokens", tokens.to_str().unwrap()]);
    let pool = &database.pool;
    let mut victim = Process::start(&data, &url).await;
    let survivor = Process::start(&data, &url).await;
    make_due(pool).await;
    let begun = Instant::now();
    eventually("a part of the charges", PATIENCE, async || (charged(pool).await > wanted / 4).then_some(()))
        .await;
    victim.running.signal(Signal::KILL);
    victim.running.ended().await;
    let at_the_kill = charged(pool).await;
    assert!(at_the_kill < wanted, "the kill came too late");
    // The survivor finishes all but what the dead one had claimed.
    let unanswered = "SELECT count(*) FROM autopay_occurrences WHERE status = 'pending' AND asked_at IS NOT NULL AND try_at > now()";
    eventually("the survivor's part", PATIENCE, async || {
        (charged(pool).await + count(pool, unanswered).await >= wanted).then_some(())
    })
    .await;
    let took = begun.elapsed();
    let left = count(pool, unanswered).await;
    let (done, millis) = (wanted - left, i64::try_from(took.as_millis()).unwrap());
    eprintln!(
        "autopay: {wanted} rules, {at_the_kill} charged at the kill, {left} left to their lease; {done} in {took:?}: {}/s",
        done * 1000 / millis.max(1),
    );
    // A lease is 2 minutes; nobody wants to wait for that.
    sqlx::query("UPDATE autopay_occurrences SET try_at = now() WHERE asked_at IS NOT NULL")
        .execute(pool)
        .await
        .unwrap();
    let victim = Process::start(&data, &url).await;
    eventually("every charge", PATIENCE, async || (charged(pool).await == wanted).then_some(())).await;
    let once = "SELECT count(*) FROM (SELECT user_id FROM transactions
        WHERE txn_id > 0 AND source = 'autopay' AND status = 'success' GROUP BY user_id HAVING count(*) = 1) once";
    assert_eq!(count(pool, once).await, wanted, "a rule was charged twice");
    let all = "SELECT count(*) FROM transactions WHERE txn_id > 0 AND source = 'autopay'";
    assert_eq!(count(pool, all).await, wanted);
    let told = "SELECT count(*) FROM outbox_events WHERE type = 'gencharge.autopay.charged.v1'";
    assert_eq!(count(pool, told).await, wanted);
    assert_eq!(
        count(pool, "SELECT count(*) FROM autopay_rules WHERE status = 'enabled' AND phone BETWEEN 916000000000 AND 916599999999").await,
        (wanted + 1) / 2
    );
    verify_all(&mut pool.acquire().await.unwrap()).await;
    assert_ne!(victim.address, survivor.address);
    for mut process in [victim, survivor] {
        process.running.signal(Signal::TERM);
        assert!(process.running.ended().await.success());
    }
}
