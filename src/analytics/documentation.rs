//! What OpenAPI says of the figures.

use serde_json::{Map, Value, json};
use utoipa::OpenApi;

/// The documentation of these routes.
pub struct Docs;

/// What the figures are, field by field, is told by their names.
const ANY: [&str; 5] = ["object", "array", "string", "number", "null"];

/// Path, who may read it, what it tells, its fields.
const REPORTS: [(&str, &str, &str, &[&str]); 10] = [
    (
        "admins",
        "needs Admins:read",
        "Administrators",
        &["totals", "period_counts", "trends", "distributions", "growth_rates"],
    ),
    (
        "backup",
        "needs Backup:read",
        "Backups",
        &[
            "totals",
            "period_counts",
            "period_sizes",
            "trends",
            "monthly_trends",
            "distributions",
            "growth_rates",
            "last_backup",
            "total_storage_mb",
            "avg_backup_size_mb",
            "top_largest_backups",
            "recent_failures",
            "backups_by_creator",
        ],
    ),
    (
        "current-active-plans",
        "needs Plans:read",
        "Plans on numbers",
        &[
            "totals",
            "period_activations",
            "period_expirations",
            "trends",
            "monthly_trends",
            "distributions",
            "growth_rates",
            "avg_plan_duration_days",
            "upcoming_expirations",
            "top_users",
            "phone_number_duplicates",
        ],
    ),
    (
        "offers",
        "needs Offers:read",
        "Offers",
        &[
            "totals",
            "period_counts",
            "trends",
            "monthly_trends",
            "distributions",
            "growth_rates",
            "averages",
            "top_recent_specials",
            "offers_by_creator",
            "offers_by_type_detailed",
        ],
    ),
    (
        "plans",
        "needs Plans:read",
        "Plans",
        &[
            "totals",
            "period_counts",
            "activation_counts",
            "expiration_counts",
            "trends",
            "monthly_trends",
            "distributions",
            "averages",
            "growth_rates",
            "most_popular_plans",
            "top_plans_by_active_count",
            "plans_by_creator",
        ],
    ),
    (
        "referrals",
        "needs Referral:read",
        "Referral rewards",
        &[
            "totals",
            "period_counts",
            "trends",
            "monthly_trends",
            "distributions",
            "growth_rates",
            "averages",
            "top_referrers",
        ],
    ),
    (
        "transactions",
        "needs Recharge:read",
        "Transactions: credits, debits and failures told apart; amounts are those of successful ones",
        &[
            "totals",
            "period_stats",
            "trends",
            "monthly_trends",
            "distributions",
            "growth_rates",
            "averages",
            "top_users",
        ],
    ),
    (
        "users-archive",
        "needs Users:read",
        "Deleted customers",
        &[
            "totals",
            "period_deletions",
            "trends",
            "monthly_trends",
            "distributions",
            "averages",
            "growth_rates",
            "top_by_wallet",
            "recent_deleted",
            "phone_number_duplicates",
        ],
    ),
    (
        "users",
        "needs Users:read",
        "Customers",
        &["totals", "averages", "period_counts", "trends", "distributions", "growth_rates", "top_referrers"],
    ),
    (
        "me/users",
        "for customers",
        "The customer's own figures",
        &[
            "profile",
            "transaction_summary",
            "spending_by_period",
            "recharge_numbers",
            "top_plan",
            "top_offer",
            "top_payment_methods",
            "top_sources",
            "plan_usage_count",
            "avg_recharge_amount",
            "first_txn_date",
            "last_txn_date",
        ],
    ),
];

impl OpenApi for Docs {
    fn openapi() -> utoipa::openapi::OpenApi {
        let paths: Map<String, Value> = REPORTS
            .iter()
            .map(|(path, who, about, fields)| {
                (format!("/analytics/{path}"), operation(path, who, about, fields))
            })
            .collect();
        let document =
            json!({ "openapi": "3.1.0", "info": { "title": "Analytics", "version": "1" }, "paths": paths });
        serde_json::from_value(document).unwrap_or_default()
    }
}

fn operation(path: &str, who: &str, about: &str, fields: &[&str]) -> Value {
    let mut properties: Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), json!({ "type": ANY }))).collect();
    properties.insert("generated_at".to_owned(), json!({ "type": "string", "format": "date-time" }));
    let required: Vec<&String> = properties.keys().collect();
    let schema = json!({ "type": "object", "required": required, "properties": properties });
    json!({ "get": {
        "tags": ["Analytics"],
        "operationId": format!("analytics_{}", path.replace(['/', '-'], "_")),
        "summary": about,
        "description": "Windows end with yesterday, in the zone of GENCHARGE_TIMEZONE; empty days and months are shown.",
        "security": [{ "bearer": [] }],
        "responses": {
            "200": { "description": "the figures", "content": { "application/json": { "schema": schema } } },
            "401": { "description": "not_authenticated" },
            "403": { "description": format!("forbidden: {who}") },
            "503": { "description": "unavailable: try again shortly" },
        },
    }})
}
