//! What OpenAPI says of the figures.

use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::shapes::Shapes;

/// The documentation of these routes.
pub struct Docs;

/// Path, who may read it, what it tells, its shape.
const REPORTS: [(&str, &str, &str, &str); 10] = [
    ("admins", "needs Admins:read", "Administrators", "AdminsReport"),
    ("backup", "needs Backup:read", "Backups", "BackupsReport"),
    ("current-active-plans", "needs Plans:read", "Plans on numbers", "CurrentActivePlansReport"),
    ("offers", "needs Offers:read", "Offers", "OffersReport"),
    ("plans", "needs Plans:read", "Plans", "PlansReport"),
    ("referrals", "needs Referral:read", "Referral rewards", "ReferralsReport"),
    (
        "transactions",
        "needs Recharge:read",
        "Transactions: credits, debits and failures told apart; amounts are those of successful ones",
        "TransactionsReport",
    ),
    ("users-archive", "needs Users:read", "Deleted customers", "UsersArchiveReport"),
    ("users", "needs Users:read", "Customers", "UsersReport"),
    ("me/users", "for customers", "The customer's own figures", "UserInsightReport"),
];

impl OpenApi for Docs {
    fn openapi() -> utoipa::openapi::OpenApi {
        let paths: Map<String, Value> = REPORTS
            .iter()
            .map(|(path, who, about, shape)| {
                (format!("/analytics/{path}"), operation(path, who, about, shape))
            })
            .collect();
        let document =
            json!({ "openapi": "3.1.0", "info": { "title": "Analytics", "version": "1" }, "paths": paths });
        let mut document: utoipa::openapi::OpenApi = serde_json::from_value(document).unwrap_or_default();
        document.merge(Shapes::openapi());
        document
    }
}

fn operation(path: &str, who: &str, about: &str, shape: &str) -> Value {
    let schema = json!({ "$ref": format!("#/components/schemas/{shape}") });
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
