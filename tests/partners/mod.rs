//! Partners: over HTTP, and what their messages do.

mod commands;
mod http;

use serde_json::json;

use crate::support::app::TestApp;

/// A SuperAdmin of the demo data.
pub const ADMIN: &str = "9000000001";

/// Makes a partner that may do everything, with so many rupees; gives its id.
pub async fn partner(app: &TestApp, user: &str, rupees: i64) -> i64 {
    let admin = app.sign_in(ADMIN).await.access;
    let permissions = json!({ "recharge": true, "wallet_topup": true });
    let body = json!({ "name": user, "broker_user": user, "permissions": permissions });
    let id = app.post("/partners", &admin, body).await.ok()["partner_id"].as_i64().unwrap();
    if rupees > 0 {
        let path = format!("/partners/{id}/funding");
        app.order(&path, &admin, &format!("fund-{user}"), &json!({ "amount": rupees })).await.ok();
    }
    id
}
