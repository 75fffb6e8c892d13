//! `POST /recharge/admin/transactions/{txn_id}/refund`: from a request to an order.

use actix_web::HttpRequest;
use actix_web::web::Bytes;
use gencharge_actors::kernel::{AdminId, KeyScope, Paise};
use gencharge_actors::wallet::{Command, Order, OrderKey, Payer, Refund, Transaction};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::Administrator;
use crate::http::json::{AmountText, parse_body};
use crate::http::{FieldError, Problem, orders::client_key};

/// Longest reason, in characters.
const REASON: usize = 500;

/// Give money back.
#[derive(Deserialize, ToSchema)]
pub struct RefundRequest {
    /// Rupees; absent: all that is left.
    #[schema(value_type = Option<String>, example = "100.00")]
    amount: Option<AmountText>,
    /// Why: kept with the refund, at most 500 characters.
    #[schema(example = "The plan was bought twice")]
    reason: Option<String>,
}

/// A refund that was asked for.
pub struct Asked {
    amount: Option<Paise>,
    reason: Option<String>,
    key: OrderKey,
}

impl Asked {
    /// Reads body and key; the key is demanded, because an administrator's second click must not give twice.
    ///
    /// # Errors
    /// `malformed_body`, or `invalid_input` naming every wrong field.
    pub fn read(request: &HttpRequest, body: &Bytes, admin: AdminId, txn_id: i64) -> Result<Self, Problem> {
        let route = format!("/recharge/admin/transactions/{txn_id}/refund");
        let Some(key) = client_key(request, &route, body, KeyScope::Admin(admin.get()))? else {
            return Err(Problem::field(
                "Idempotency-Key",
                "is needed: send a new one for every refund that you mean",
            ));
        };
        let asked: RefundRequest =
            if body.is_empty() { RefundRequest { amount: None, reason: None } } else { parse_body(body)? };
        let mut faults = Vec::new();
        let mut fault =
            |field: &str, message: String| faults.push(FieldError { field: field.to_owned(), message });
        let amount = asked.amount.map(|amount| amount.paise()).transpose();
        let amount = amount.unwrap_or_else(|error| {
            fault("amount", error.to_string());
            None
        });
        if amount.is_some_and(|amount| !amount.is_positive()) {
            fault("amount", "must be above zero".to_owned());
        }
        let reason = asked.reason.filter(|reason| !reason.trim().is_empty());
        if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON || reason.contains('\0')) {
            fault("reason", format!("must have at most {REASON} characters, and no NUL"));
        }
        if !faults.is_empty() {
            return Err(Problem::fields(faults));
        }
        Ok(Self { amount, reason, key })
    }

    /// The order to the wallet of who paid `of`, which earned `cashback`.
    #[must_use]
    pub fn order(self, of: Transaction, cashback: Paise, by: &Administrator) -> Order {
        let payer = Payer { user: of.user_id, phone: of.from_phone };
        let (amount, reason) = (self.amount, self.reason);
        let (admin, role) = (by.admin_id, by.role.name.clone());
        let refund = Refund { payer, of, cashback, amount, admin, role, reason };
        Order { command: Command::Refund(Box::new(refund)), key: self.key, asked: None }
    }
}
