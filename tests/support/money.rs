//! Orders over HTTP, what they left in the ledger, and the check of every invariant.

use std::time::Duration;

use chrono::DateTime;
use gencharge::verify::{Finding, verify};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};

use super::app::{Answer, TestApp};
use super::eventually;

pub const SUBSCRIBE: &str = "/recharge/subscribe";
pub const TOP_UP: &str = "/recharge/wallet/topup";

/// Demo customers: prepaid, and postpaid.
pub const ASHA: &str = "9800000001";
pub const RAVI: &str = "9800000002";

/// How many batches of the outbox wait.
pub const UNDELIVERED: &str = "SELECT count(*) FROM outbox_batches WHERE delivered_at IS NULL";

/// The body of a recharge of `phone`, paid from the wallet.
pub fn recharge(phone: &str, plan: i64) -> Value {
    json!({ "phone_number": phone, "plan_id": plan, "payment_method": "Wallet" })
}

/// `value` with these fields besides (or instead).
pub fn with(mut value: Value, fields: Value) -> Value {
    value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    value
}

impl Answer {
    /// Whether it says that it was given before.
    pub fn replayed(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
    }
}

impl TestApp {
    /// POST under an idempotency key.
    pub async fn order(&self, path: &str, token: &str, key: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, path).bearer_auth(token);
        self.send(request.header("idempotency-key", key).json(body)).await
    }

    /// Puts rupees into the own wallet, from the gateway.
    pub async fn fund(&self, token: &str, rupees: i64) {
        let body = json!({ "amount": rupees, "payment_method": "UPI" });
        self.post(TOP_UP, token, body).await.ok();
    }

    /// What the wallet of a ten-digit number's owner holds, in paise.
    pub async fn balance(&self, phone: &str) -> i64 {
        balance(&self.pool, phone).await
    }

    /// One number from the database.
    pub async fn count(&self, statement: &'static str) -> i64 {
        sqlx::query_scalar(statement).fetch_one(&self.pool).await.unwrap()
    }

    /// Waits until the outbox is empty.
    pub async fn delivered(&self, limit: Duration) {
        let empty = async || (self.count(UNDELIVERED).await == 0).then_some(());
        eventually("an empty outbox", limit, empty).await;
    }

    /// Demands that every invariant holds.
    pub async fn verify(&self) {
        verify_all(&mut self.pool.acquire().await.unwrap()).await;
    }
}

/// What the wallet of a ten-digit number's owner holds, in paise.
pub async fn balance(pool: &PgPool, phone: &str) -> i64 {
    sqlx::query_scalar("SELECT balance FROM wallets WHERE phone = 910000000000 + $1::bigint")
        .bind(phone.parse::<i64>().unwrap())
        .fetch_one(pool)
        .await
        .unwrap()
}

/// What every check finds.
pub async fn findings(connection: &mut PgConnection) -> Vec<Finding> {
    verify(connection, DateTime::UNIX_EPOCH, |_| ()).await.unwrap()
}

/// Demands that every invariant holds.
pub async fn verify_all(connection: &mut PgConnection) {
    let broken: Vec<_> =
        findings(connection).await.into_iter().filter(|finding| finding.broken > 0).collect();
    assert!(broken.is_empty(), "broken invariants: {broken:#?}");
}
