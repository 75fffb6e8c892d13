//! Administrators, roles, customers' accounts and referrals.

mod accounts;
mod admins;
mod deletion;
mod roles;

use reqwest::Method;
use serde_json::Value;

use crate::support::app::{Answer, TestApp};

/// SuperAdmin, Manager, Support, ContentEditor, Viewer: the first of each.
pub const SUPER_ADMIN: &str = "9000000001";
pub const MANAGER: &str = "9000000004";
pub const SUPPORT: &str = "9000000007";
pub const VIEWER: &str = "9000000013";
pub const ASHA: &str = "9800000001";
pub const RAVI: &str = "9800000002";

/// A request with a body.
pub async fn send(app: &TestApp, method: Method, path: &str, token: &str, body: Value) -> Answer {
    let request = app.request(method, path).json(&body);
    app.send(if token.is_empty() { request } else { request.bearer_auth(token) }).await
}

/// A request without one.
pub async fn bare(app: &TestApp, method: Method, path: &str, token: &str) -> Answer {
    let request = app.request(method, path);
    app.send(if token.is_empty() { request } else { request.bearer_auth(token) }).await
}

/// What each of these callers is told: nobody, a customer, an administrator without the right.
pub async fn refused_to_others(app: &TestApp, method: Method, path: &str, without: &str) {
    let customer = app.sign_in(ASHA).await;
    let administrator = app.sign_in(without).await;
    for (token, code) in
        [("", "not_authenticated"), (&customer.access, "forbidden"), (&administrator.access, "forbidden")]
    {
        let answer = bare(app, method.clone(), path, token).await;
        assert_eq!(answer.problem(), code, "{method} {path}");
    }
}

/// One field of every row.
pub fn column(rows: &Value, field: &str) -> Vec<Value> {
    rows.as_array().unwrap().iter().map(|row| row[field].clone()).collect()
}
