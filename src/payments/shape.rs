//! How a payment looks to clients.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{Paise, PaymentMethod, PaymentState, PhoneNumber};
use gencharge_actors::wallet::{Purchase, Transaction};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row as _};
use utoipa::ToSchema;

use crate::http::json;
use crate::platform::postgres::columns::word;

/// The columns of [`PaymentOut`], in the order that its reader counts on.
pub const COLUMNS: &str = "payment_id, user_id, state, amount, purchase, transaction, created_at, expires_at, settled_at, \
     txn_id, credited";

/// A payment through the gateway that was not captured at once.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentOut {
    /// Unique id: that of the transaction it becomes.
    pub payment_id: i64,
    /// Who pays.
    pub user_id: i64,
    /// `pending`, `captured`, `late_capture`, `failed`, `expired` or `refunded`.
    #[schema(value_type = String, example = "pending")]
    pub state: PaymentState,
    /// What the gateway is to capture, rupees.
    #[serde(serialize_with = "json::as_number")]
    #[schema(value_type = f64, example = 91.01)]
    pub amount: Paise,
    /// What the wallet is to pay besides, when the money is captured; nothing is held for it.
    #[serde(serialize_with = "json::as_number")]
    #[schema(value_type = f64, example = 0.00)]
    pub wallet_amount: Paise,
    /// `UPI`, `Card` or `NetBanking`.
    #[schema(value_type = Option<String>, example = "UPI")]
    pub payment_method: Option<PaymentMethod>,
    /// `recharge` or `wallet_topup`.
    #[schema(value_type = String, example = "recharge")]
    pub purpose: &'static str,
    /// The number to be recharged, or whose wallet is to be filled.
    #[serde(serialize_with = "json::national")]
    #[schema(value_type = Option<String>, example = "9876543210")]
    pub to_phone_number: Option<PhoneNumber>,
    /// The plan to be bought.
    pub plan_id: Option<i64>,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// It may be pending until then.
    pub expires_at: DateTime<Utc>,
    /// When it ended.
    pub settled_at: Option<DateTime<Utc>>,
    /// The transaction it ended in.
    pub txn_id: Option<i64>,
    /// Why the money went into the payer's wallet instead of what it was for: the code that the order would have had.
    pub credited_because: Option<String>,
}

impl FromRow<'_, PgRow> for PaymentOut {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let Json(purchase): Json<Purchase> = row.try_get(4)?;
        let Json(transaction): Json<Transaction> = row.try_get(5)?;
        Ok(Self {
            payment_id: row.try_get(0)?,
            user_id: row.try_get(1)?,
            state: word(row, 2)?,
            amount: Paise::new(row.try_get(3)?),
            wallet_amount: transaction.wallet_amount.unwrap_or_default(),
            payment_method: transaction.payment_method,
            purpose: match purchase {
                Purchase::Recharge(_) => "recharge",
                Purchase::TopUp(_) => "wallet_topup",
            },
            to_phone_number: transaction.to_phone,
            plan_id: transaction.plan_id.map(|id| id.get()),
            created_at: row.try_get(6)?,
            expires_at: row.try_get(7)?,
            settled_at: row.try_get(8)?,
            txn_id: row.try_get(9)?,
            credited_because: row.try_get(10)?,
        })
    }
}
