//! History for measuring at size: past top-ups and recharges, as the ledger would have written them.
//!
//! Each customer in turn tops up the price of a plan through the gateway and, a second later, spends it on the own
//! number, over twelve months: balances end where they were. The same database gives the same rows. Rows come in order
//! of time, as real ones do, and every chunk is one transaction that leaves the ledger balanced.

use chrono::{DateTime, Months, Utc};
use sqlx::{Acquire as _, PgConnection, PgPool, Postgres, Transaction};

/// Pairs of transactions (a top-up and a recharge) written at a time.
const CHUNK_PAIRS: i64 = 50_000;
/// Ids that one value of a sequence stands for.
const ID_BLOCK: i64 = 10_000;
/// Months that the history spans.
const SPAN: Months = Months::new(12);
/// Customers to make when there are none: at most this many, each with about a hundred transactions.
const MOST_CUSTOMERS: i64 = 100_000;

/// Writes `n` transactions (an odd number is rounded up) that end at `until`, which must be older than the outbox
/// keeps events: history has none. Customers with plans from before `until` are left alone; without others, load
/// customers are made. `progress` hears how many transactions are committed.
///
/// # Errors
/// Those of the database; what `progress` has heard of stays.
pub async fn seed_transactions(
    pool: &PgPool,
    n: u64,
    until: DateTime<Utc>,
    mut progress: impl FnMut(u64),
) -> Result<u64, sqlx::Error> {
    let pairs = i64::try_from(n.div_ceil(2)).unwrap_or(i64::MAX);
    let from = until.checked_sub_months(SPAN).unwrap_or(until);
    let mut connection = pool.acquire().await?;
    // Temporary tables and settings end with the session.
    connection.close_on_drop();
    let customers = prepare(&mut connection, pairs, from, until).await?;
    let mut done = 0;
    while done < pairs {
        let count = CHUNK_PAIRS.min(pairs - done);
        let mut work = connection.begin().await?;
        plan_chunk(&mut work, Chunk { first: done, count, customers, pairs, from, until }).await?;
        write_chunk(&mut work).await?;
        work.commit().await?;
        done += count;
        progress(u64::try_from(done.saturating_mul(2)).unwrap_or(u64::MAX));
    }
    // Days that were summed already have grown.
    sqlx::query("DELETE FROM analytics_reach").execute(&mut *connection).await?;
    for table in ["transactions", "postings", "subscriptions", "wallets"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("ANALYZE {table}"))).execute(&mut *connection).await?;
    }
    Ok(u64::try_from(pairs.saturating_mul(2)).unwrap_or(u64::MAX))
}

/// Partitions, plans and customers. Gives the number of customers.
async fn prepare(
    connection: &mut PgConnection,
    pairs: i64,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<i64, sqlx::Error> {
    for setting in ["SET synchronous_commit = off", "SET statement_timeout = 0"] {
        sqlx::query(setting).execute(&mut *connection).await?;
    }
    for parent in ["transactions", "postings"] {
        sqlx::query("SELECT ensure_partitions($1, 'month', $2, $3)")
            .bind(parent)
            .bind(from)
            .bind(until)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query(
        "INSERT INTO plans (plan_name, validity, plan_type, price, created_at) \
         SELECT 'Load 28', 28, 'prepaid', 29900, $1 WHERE NOT EXISTS (SELECT 1 FROM plans WHERE plan_type = 'prepaid')",
    )
    .bind(from)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "CREATE TEMP TABLE history_plans AS \
         SELECT row_number() OVER (ORDER BY plan_id) - 1 AS n, plan_id, price, \
                make_interval(days => COALESCE(validity, 30)) AS validity \
         FROM plans WHERE plan_type = 'prepaid'",
    )
    .execute(&mut *connection)
    .await?;
    let found = find_customers(connection, until).await?;
    if found > 0 {
        return Ok(found);
    }
    make_customers(connection, (pairs / 50).clamp(1, MOST_CUSTOMERS), from).await?;
    find_customers(connection, until).await
}

async fn find_customers(connection: &mut PgConnection, until: DateTime<Utc>) -> Result<i64, sqlx::Error> {
    sqlx::query("DROP TABLE IF EXISTS history_customers").execute(&mut *connection).await?;
    sqlx::query(
        "CREATE TEMP TABLE history_customers (n bigint PRIMARY KEY, user_id bigint NOT NULL, phone bigint NOT NULL)",
    )
    .execute(&mut *connection)
    .await?;
    let found = sqlx::query(
        "INSERT INTO history_customers \
         SELECT row_number() OVER (ORDER BY u.user_id) - 1, u.user_id, u.phone \
         FROM users u JOIN wallets w ON w.wallet_id = u.user_id AND w.phone = u.phone \
         WHERE u.user_type = 'prepaid' AND u.status = 'active' \
           AND NOT EXISTS (SELECT 1 FROM subscriptions s WHERE s.phone = u.phone AND s.valid_from <= $1)",
    )
    .bind(until)
    .execute(&mut *connection)
    .await?;
    sqlx::query("ANALYZE history_customers").execute(&mut *connection).await?;
    Ok(i64::try_from(found.rows_affected()).unwrap_or(i64::MAX))
}

async fn make_customers(
    connection: &mut PgConnection,
    count: i64,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH made AS ( \
             INSERT INTO users (user_id, phone, name, user_type, referral_code, created_at) \
             SELECT id, 917100000000 + id, 'History ' || id, 'prepaid', 'H' || lpad(to_hex(id), 7, '0'), $2 \
             FROM (SELECT nextval('user_id_seq') AS id FROM generate_series(1, $1)) ids \
             ON CONFLICT DO NOTHING RETURNING user_id, phone), \
         preferences AS (INSERT INTO user_preferences (user_id) SELECT user_id FROM made) \
         INSERT INTO wallets (wallet_id, phone, user_type) SELECT user_id, phone, 'prepaid' FROM made",
    )
    .bind(count)
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Which pairs of the whole to write.
struct Chunk {
    first: i64,
    count: i64,
    customers: i64,
    pairs: i64,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

/// Decides every pair of the chunk and raises the customers' counters by them.
async fn plan_chunk(work: &mut Transaction<'_, Postgres>, chunk: Chunk) -> Result<(), sqlx::Error> {
    let txn_blocks = id_blocks(work, "txn_id_seq", chunk.count.saturating_mul(2)).await?;
    let subscription_blocks = id_blocks(work, "subscription_id_seq", chunk.count).await?;
    // Pair p belongs to customer p mod customers; the counters of one who occurs k times in the chunk rise by 2k rows.
    sqlx::query(
        "CREATE TEMP TABLE history_raised (user_id bigint PRIMARY KEY, seq bigint NOT NULL) ON COMMIT DROP",
    )
    .execute(&mut **work)
    .await?;
    sqlx::query(
        "WITH times AS ( \
             SELECT c.user_id, count(*) AS k FROM generate_series($1, $1 + $2 - 1) p \
             JOIN history_customers c ON c.n = p % $3 GROUP BY c.user_id), \
         raised AS ( \
             UPDATE wallets w SET seq = seq + 2 * k, transactions = transactions + 2 * k, recharges = recharges + k \
             FROM times WHERE w.wallet_id = times.user_id RETURNING w.wallet_id, w.seq - 2 * k AS seq) \
         INSERT INTO history_raised SELECT wallet_id, seq FROM raised",
    )
    .bind(chunk.first)
    .bind(chunk.count)
    .bind(chunk.customers)
    .execute(&mut **work)
    .await?;
    // A plan ends before the customer's next one begins, and before the present.
    sqlx::query(
        "CREATE TEMP TABLE history_chunk ( \
             user_id bigint, phone bigint, seq bigint, plan_id bigint, price bigint, at timestamptz, \
             valid_to timestamptz, topup_id bigint, recharge_id bigint, subscription_id bigint) ON COMMIT DROP",
    )
    .execute(&mut **work)
    .await?;
    sqlx::query(
        "INSERT INTO history_chunk \
         SELECT c.user_id, c.phone, r.seq + 2 * (i / $3), pl.plan_id, pl.price, t.at, \
                LEAST(t.at + pl.validity, t.at + ($6 - $5) * (0.9 * $3::float8 / $4), $6), \
                $7[1 + 2 * i / $9] + 2 * i % $9, $7[1 + 2 * i / $9] + 2 * i % $9 + 1, $8[1 + i / $9] + i % $9 \
         FROM generate_series(0, $2 - 1) i \
              CROSS JOIN LATERAL (SELECT $5 + ($6 - $5 - interval '2 seconds') * (($1 + i)::float8 / $4) \
                                         + interval '1 second' AS at) t \
              JOIN history_customers c ON c.n = ($1 + i) % $3 \
              JOIN history_raised r ON r.user_id = c.user_id \
              JOIN history_plans pl ON pl.n = ($1 + i) % (SELECT count(*) FROM history_plans) \
         ORDER BY i",
    )
    .bind(chunk.first)
    .bind(chunk.count)
    .bind(chunk.customers)
    .bind(chunk.pairs)
    .bind(chunk.from)
    .bind(chunk.until)
    .bind(txn_blocks)
    .bind(subscription_blocks)
    .bind(ID_BLOCK)
    .execute(&mut **work)
    .await?;
    Ok(())
}

async fn id_blocks(
    work: &mut Transaction<'_, Postgres>,
    sequence: &'static str,
    ids: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT nextval($1::regclass) FROM generate_series(1, ($2 + $3 - 1) / $3)")
        .bind(sequence)
        .bind(ids)
        .bind(ID_BLOCK)
        .fetch_all(&mut **work)
        .await
}

/// Writes what the chunk decided.
async fn write_chunk(work: &mut Transaction<'_, Postgres>) -> Result<(), sqlx::Error> {
    let statements = [
        "INSERT INTO transactions (txn_id, created_at, user_id, wallet_seq, category, txn_type, amount, gateway_amount, \
             from_phone, to_phone, source, status, payment_method, payment_transaction_id) \
         SELECT topup_id, at - interval '1 second', user_id, seq + 1, 'wallet', 'credit', price, price, \
                phone, phone, 'wallet_topup', 'success', 'UPI', 'TOPUP_' || topup_id FROM history_chunk",
        "INSERT INTO transactions (txn_id, created_at, user_id, wallet_seq, category, txn_type, amount, price, discount, \
             wallet_amount, gateway_amount, service_type, plan_id, from_phone, to_phone, source, status, payment_method, \
             payment_transaction_id, subscription_id) \
         SELECT recharge_id, at, user_id, seq + 2, 'service', 'debit', price, price, 0, price, 0, 'prepaid', plan_id, \
                phone, phone, 'recharge', 'success', 'Wallet', 'PYMT_' || recharge_id, subscription_id \
         FROM history_chunk",
        "INSERT INTO postings (txn_id, account_id, amount, created_at) \
         SELECT p.txn_id, p.account_id, p.amount, p.at FROM history_chunk c CROSS JOIN LATERAL (VALUES \
             (c.topup_id, -1, -c.price, c.at - interval '1 second'), \
             (c.topup_id, c.user_id, c.price, c.at - interval '1 second'), \
             (c.recharge_id, c.user_id, -c.price, c.at), \
             (c.recharge_id, -2, c.price, c.at)) p (txn_id, account_id, amount, at)",
        "INSERT INTO subscriptions (subscription_id, phone, user_id, plan_id, txn_id, status, valid_from, valid_to, \
             total_paid) \
         SELECT subscription_id, phone, user_id, plan_id, recharge_id, 'expired', at, valid_to, price \
         FROM history_chunk",
    ];
    for statement in statements {
        sqlx::query(statement).execute(&mut **work).await?;
    }
    Ok(())
}
