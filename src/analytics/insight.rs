//! A customer's own figures.
//!
//! Spent is what successful debits of the customer amount to, however they were paid. Credited is what arrived in the wallet,
//! from the customer or from others. Failed and pending ones only count.

use gencharge_actors::kernel::UserId;
use serde_json::value::RawValue;

use super::figures::Json;
use super::store::View;

/// One statement, so that every figure is of the same moment. $1 customer, $2 now.
const INSIGHT: &str = r#"
WITH own AS MATERIALIZED (
    SELECT * FROM transactions
    WHERE (user_id = $1 OR beneficiary_id = $1) AND created_at < $2::timestamptz + interval '1 day'
), spent AS MATERIALIZED (
    SELECT * FROM own WHERE user_id = $1 AND txn_type = 'debit' AND status = 'success'
), credited AS MATERIALIZED (
    SELECT * FROM own WHERE status = 'success' AND txn_type = 'credit'
        AND ((user_id = $1 AND beneficiary_id IS NULL) OR (beneficiary_id = $1 AND category = 'wallet'))
), recharges AS MATERIALIZED (
    SELECT * FROM spent WHERE category = 'service'
)
SELECT json_build_object(
    'generated_at', to_char($2 AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'profile', (
        SELECT json_build_object('user_id', user_id, 'name', coalesce(name, ''), 'email', coalesce(email, ''),
            'user_type', coalesce(u.user_type, ''), 'status', u.status,
            'wallet_balance', round(coalesce(balance, 0) / 100.0, 2),
            'created_at', to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'account_age_days', greatest(floor(extract(epoch FROM $2 - created_at) / 86400), 0)::bigint)
        FROM users u LEFT JOIN wallets ON wallet_id = user_id WHERE user_id = $1),
    'transaction_summary', json_build_object(
        'success', (SELECT count(*) FROM own WHERE status = 'success'),
        'failed', (SELECT count(*) FROM own WHERE status = 'failed'),
        'pending', (SELECT count(*) FROM own WHERE status = 'pending'),
        'credit_count', (SELECT count(*) FROM credited),
        'debit_count', (SELECT count(*) FROM spent),
        'total_amount_spent', (SELECT coalesce(round(sum(amount) / 100, 2), 0.00) FROM spent),
        'total_amount_credited', (SELECT coalesce(round(sum(amount) / 100, 2), 0.00) FROM credited)),
    'spending_by_period', (
        SELECT json_agg(json_build_object('label', label, 'total_spent', total, 'txn_count', count) ORDER BY days)
        FROM (VALUES ('last_week', 7), ('last_30_days', 30), ('last_3_months', 90), ('last_6_months', 183),
                ('last_year', 365)) AS periods (label, days)
        CROSS JOIN LATERAL (
            SELECT coalesce(round(sum(amount) / 100, 2), 0.00) AS total, count(*) FROM spent
            WHERE created_at >= $2 - days * interval '1 day') AS found),
    'recharge_numbers', (
        SELECT coalesce(json_agg(json_build_object('phone_number', number, 'count', count) ORDER BY count DESC, number), '[]')
        FROM (SELECT right(to_phone::text, 10) AS number, count(*) FROM recharges WHERE to_phone IS NOT NULL
              GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 100) AS numbers),
    'top_plan', (
        SELECT json_build_object('plan_id', t.plan_id, 'plan_name', plan_name, 'usage_count', count)
        FROM (SELECT plan_id, count(*) FROM recharges GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1) AS t
        LEFT JOIN plans USING (plan_id)),
    'top_offer', (
        SELECT json_build_object('offer_id', offer_id, 'usage_count', count)
        FROM (SELECT offer_id, count(*) FROM recharges WHERE offer_id IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1) AS t),
    'top_payment_methods', (
        SELECT coalesce(json_agg(json_build_object('payment_method', method, 'total_amount', total) ORDER BY total DESC), '[]')
        FROM (SELECT payment_method AS method, round(sum(amount) / 100, 2) AS total FROM spent GROUP BY 1) AS methods),
    'top_sources', (
        SELECT coalesce(json_agg(json_build_object('source', source, 'total_amount', total) ORDER BY total DESC), '[]')
        FROM (SELECT source, round(sum(amount) / 100, 2) AS total FROM spent GROUP BY 1) AS sources),
    'plan_usage_count', (SELECT count(DISTINCT plan_id) FROM recharges),
    'avg_recharge_amount', (SELECT coalesce(round(avg(amount) / 100, 2), 0.00) FROM recharges),
    'first_txn_date', (SELECT to_char(min(created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM own),
    'last_txn_date', (SELECT to_char(max(created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM own)
)::text"#;

/// The figures of a customer.
///
/// # Errors
/// Those of the database.
pub async fn insight(view: &View, user: UserId) -> Result<Json, sqlx::Error> {
    let text: String =
        sqlx::query_scalar(INSIGHT).bind(user.get()).bind(view.now).fetch_one(view.pool()).await?;
    RawValue::from_string(text).map_err(|error| sqlx::Error::Decode(error.into()))
}
