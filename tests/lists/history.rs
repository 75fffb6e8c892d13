use chrono::TimeDelta;
use gencharge::cli::seed_history::seed_transactions;
use gencharge_actors::kernel::Clock as _;
use serde_json::json;

use super::world::{World, column};

async fn number(world: &World, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(world.pool()).await.unwrap()
}

#[actix_web::test]
async fn seeded_history_keeps_the_ledger_true() {
    let world = World::new().await;
    let until = world.clock.now() - TimeDelta::days(10);
    let mut heard = Vec::new();
    for _ in 0..2 {
        // Twice: the second time finds no customer without plans of the past, and makes others.
        assert_eq!(
            seed_transactions(world.pool(), 6_001, until, |done| heard.push(done)).await.unwrap(),
            6_002
        );
    }
    assert_eq!(heard, [6_002, 6_002]);
    for (query, expected) in [
        ("SELECT count(*) FROM transactions", 12_004),
        ("SELECT count(*) FROM (SELECT 1 FROM postings GROUP BY txn_id HAVING sum(amount) <> 0) broken", 0),
        (
            "SELECT count(*) FROM (SELECT txn_id, count(*) AS parts FROM postings GROUP BY 1) p FULL JOIN transactions t USING (txn_id) WHERE parts IS DISTINCT FROM 2 OR t.txn_id IS NULL",
            0,
        ),
        (
            "SELECT count(*) FROM wallets w WHERE balance <> COALESCE((SELECT sum(amount) FROM postings \
             WHERE account_id = wallet_id), 0) OR transactions <> (SELECT count(*) FROM transactions \
             WHERE user_id = wallet_id) OR seq <> transactions",
            0,
        ),
        ("SELECT count(*) - count(DISTINCT (user_id, wallet_seq)) FROM transactions", 0),
        ("SELECT count(*) - count(DISTINCT txn_id) FROM transactions", 0),
        (
            "SELECT count(*) FROM transactions t WHERE category = 'service' AND 1 <> (SELECT count(*) \
             FROM subscriptions s WHERE s.txn_id = t.txn_id AND s.subscription_id = t.subscription_id \
             AND s.status = 'expired')",
            0,
        ),
        (
            "SELECT count(*) FROM subscriptions a JOIN subscriptions b ON a.phone = b.phone \
             AND a.subscription_id < b.subscription_id AND b.valid_from < a.valid_to AND a.valid_from < b.valid_to",
            0,
        ),
        ("SELECT count(*) FROM subscriptions WHERE valid_to > now() - interval '9 days'", 0),
    ] {
        assert_eq!(number(&world, query).await, expected, "{query}");
    }
    world.end().await;
}

#[actix_web::test]
async fn everything_is_streamed_whole_and_a_page_touches_few_buffers() {
    let world = World::new().await;
    world.customer(1).await;
    let until = world.clock.now() - TimeDelta::days(10);
    seed_transactions(world.pool(), 10_000, until, |_| ()).await.unwrap();
    let list = world.as_customer(1, "/recharge/my/transactions?size=0").await.1;
    let ids: Vec<i64> = column(&list, "transactions", "txn_id");
    assert_eq!((ids.len(), &list["total"]), (10_000, &json!(10_000)));
    assert!(ids.windows(2).all(|pair| pair[0] > pair[1]), "newest first, each once");
    let asc = world.as_customer(1, "/recharge/my/transactions?size=0&sort_by=amount&sort_order=asc").await.1;
    assert_eq!(column::<i64>(&asc, "transactions", "txn_id").len(), 10_000);
    let plan: serde_json::Value = {
        // The function's plans are made and the catalogue is read at the first call.
        let call = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM own_transactions(1, now(), 11)";
        let mut connection = world.pool().acquire().await.unwrap();
        sqlx::query(call).execute(&mut *connection).await.unwrap();
        sqlx::query_scalar(call).fetch_one(&mut *connection).await.unwrap()
    };
    let root = &plan[0]["Plan"];
    let buffers = root["Shared Hit Blocks"].as_i64().unwrap() + root["Shared Read Blocks"].as_i64().unwrap();
    assert!(buffers < 100, "{buffers} buffers for a page of 11 of 10,000 rows");
    world.end().await;
}

#[actix_web::test]
#[ignore = "takes a minute; a million rows over 100,000 customers, prints its figures"]
async fn a_page_of_a_million_rows_touches_few_buffers() {
    let world = World::new().await;
    world
        .sql(
            "INSERT INTO users (user_id, phone, user_type, referral_code, created_at) \
                 SELECT i, 919800000000 + i, 'prepaid', 'C' || i, now() FROM generate_series(1, 100000) i; \
             INSERT INTO wallets (wallet_id, phone, user_type) \
                 SELECT i, 919800000000 + i, 'prepaid' FROM generate_series(1, 100000) i",
        )
        .await;
    let started = std::time::Instant::now();
    let until = world.clock.now() - TimeDelta::days(10);
    seed_transactions(world.pool(), 1_000_000, until, |_| ()).await.unwrap();
    println!("seeded 1,000,000 in {:?}", started.elapsed());
    world.sql("VACUUM transactions").await;
    let mut connection = world.pool().acquire().await.unwrap();
    let mut buffers = 0;
    for customer in 1..=200_i64 {
        let call = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM own_transactions($1, now(), 10)";
        let plan: serde_json::Value =
            sqlx::query_scalar(call).bind(customer * 499).fetch_one(&mut *connection).await.unwrap();
        let root = &plan[0]["Plan"];
        assert_eq!(root["Actual Rows"], json!(10));
        if customer > 10 {
            buffers +=
                root["Shared Hit Blocks"].as_i64().unwrap() + root["Shared Read Blocks"].as_i64().unwrap();
        }
    }
    println!("buffers a page: {}", buffers / 190);
    assert!(buffers / 190 < 150, "{buffers}");
    drop(connection);
    world.end().await;
}
