//! The administrators' figures of transactions: from sums by day, whatever the length of the history.
//!
//! Successful credits, successful debits and failures are told apart; `total_amount` is that of successful transactions.

use chrono::NaiveDate;

use super::figures::{Json, distribution, json, object, ratio, rupees};
use super::series::{PERIODS, Series, Shown, Sum};
use super::store::View;

/// One row of the sums.
#[derive(sqlx::FromRow)]
struct Row {
    day: NaiveDate,
    txn_type: String,
    source: String,
    status: String,
    payment_method: Option<String>,
    service_type: Option<String>,
    count: i64,
    amount: i64,
}

/// Transactions.
pub async fn transactions(view: &View) -> Result<Json, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT day, txn_type, source, status, payment_method, service_type, sum(count)::bigint AS count, \
             sum(amount)::bigint AS amount \
         FROM analytics_all_days($1, $2) GROUP BY 1, 2, 3, 4, 5, 6",
    )
    .bind(view.zone)
    .bind(view.now.checked_add_signed(chrono::TimeDelta::days(1)).unwrap_or(view.now))
    .fetch_all(view.pool())
    .await?;
    let succeeded = |row: &&Row| row.status == "success";
    let sum = |row: &Row| (row.day, Sum { count: row.count, amount: row.amount });
    let all = Series::new(view.today, rows.iter().map(sum));
    let successful = Series::new(view.today, rows.iter().filter(succeeded).map(sum));
    let trend = Shown::CountAndAmount;
    Ok(object([
        ("generated_at", json(&view.now)),
        ("totals", totals(&rows)),
        ("period_stats", successful.periods(&PERIODS, trend)),
        ("trends", successful.trends(trend)),
        ("monthly_trends", successful.monthly_trends(trend)),
        (
            "distributions",
            object([
                ("by_type", shares(&rows, |row| Some(&row.txn_type))),
                ("by_source", shares(&rows, |row| Some(&row.source))),
                ("by_status", shares(&rows, |row| Some(&row.status))),
                ("by_payment_method", shares(&rows, |row| row.payment_method.as_ref())),
                ("by_service_type", shares(&rows, |row| row.service_type.as_ref())),
            ]),
        ),
        ("growth_rates", all.growth_rates()),
        ("averages", averages(&rows)),
        ("top_users", top_users(view).await?),
    ]))
}

fn added<'a>(rows: impl Iterator<Item = &'a Row>) -> Sum {
    rows.fold(Sum::default(), |sum, row| Sum {
        count: sum.count.saturating_add(row.count),
        amount: sum.amount.saturating_add(row.amount),
    })
}

fn totals(rows: &[Row]) -> Json {
    let of = |status: &'static str| added(rows.iter().filter(move |row| row.status == status));
    let way = |word: &'static str| {
        added(rows.iter().filter(move |row| row.status == "success" && row.txn_type == word))
    };
    let (credits, debits) = (way("credit"), way("debit"));
    object([
        ("total_transactions", json(&added(rows.iter()).count)),
        ("total_amount", rupees(of("success").amount)),
        ("total_credits", json(&credits.count)),
        ("total_debits", json(&debits.count)),
        ("total_credit_amount", rupees(credits.amount)),
        ("total_debit_amount", rupees(debits.amount)),
        ("success_count", json(&of("success").count)),
        ("failed_count", json(&of("failed").count)),
        ("pending_count", json(&of("pending").count)),
    ])
}

fn averages(rows: &[Row]) -> Json {
    let sum = added(rows.iter().filter(|row| row.status == "success"));
    // Paise are hundredths of a rupee already.
    object([(
        "avg_transaction_amount",
        ratio(sum.amount.into(), 1, i128::from(sum.count).saturating_mul(100)),
    )])
}

fn shares<'a>(rows: &'a [Row], key: impl Fn(&'a Row) -> Option<&'a String>) -> Json {
    let mut counts: std::collections::BTreeMap<Option<&String>, i64> = std::collections::BTreeMap::new();
    for row in rows {
        let count = counts.entry(key(row)).or_default();
        *count = count.saturating_add(row.count);
    }
    distribution(counts.into_iter().map(|(key, count)| (json(&key), count)))
}

/// The ten customers with the largest successful amounts. Sums only grow, so nobody else than the ten largest kept sums and
/// whoever came since can be among them.
async fn top_users(view: &View) -> Result<Json, sqlx::Error> {
    view.rows(
        "WITH reach AS MATERIALIZED ( \
             SELECT coalesce((SELECT reached FROM analytics_reach r WHERE r.zone = c.zone), '-infinity') AS since FROM c), \
         since AS MATERIALIZED ( \
             SELECT t.user_id, count(*) AS count, sum(t.amount) AS amount FROM c, transactions t \
             WHERE t.txn_id > 0 AND t.created_at >= (SELECT since FROM reach) \
                 AND t.created_at < c.now + interval '1 day' AND t.status = 'success' GROUP BY 1), \
         kept AS (SELECT u.* FROM analytics_users u \
             WHERE EXISTS (SELECT 1 FROM analytics_reach r, c WHERE r.zone = c.zone)), \
         candidates AS ( \
             (SELECT user_id FROM kept ORDER BY amount DESC, user_id LIMIT 10) UNION SELECT user_id FROM since) \
         SELECT user_id, (coalesce(k.count, 0) + coalesce(s.count, 0))::bigint AS total_txns, \
             round((coalesce(k.amount, 0) + coalesce(s.amount, 0)) / 100, 2) AS total_amount \
         FROM candidates LEFT JOIN kept k USING (user_id) LEFT JOIN since s USING (user_id) \
         ORDER BY 3 DESC, 1 LIMIT 10",
    )
    .await
}
