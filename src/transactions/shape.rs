//! How a transaction looks to clients, and how it is read from its row.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{
    AccountStatus, Category, Paise, PaymentMethod, PhoneNumber, Source, TxnStatus, TxnType, UserType,
};
use gencharge_actors::wallet::Transaction;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use utoipa::ToSchema;

use crate::http::json;
use crate::platform::postgres::columns::{optional_word, phone, word};

/// The columns of [`TransactionRow`], in the order that its reader counts on.
pub const COLUMNS: &str = "txn_id, created_at, user_id, category, txn_type, amount, price, discount, wallet_amount, \
     gateway_amount, service_type, plan_id, offer_id, from_phone, to_phone, source, status, payment_method, \
     payment_transaction_id, subscription_id";

/// How many columns [`COLUMNS`] names; further ones of a statement start at this index.
pub const COLUMN_COUNT: usize = 20;

/// A row of `transactions`, its words and numbers checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRow {
    /// Unique over all partitions.
    pub txn_id: i64,
    /// When it was decided.
    pub created_at: DateTime<Utc>,
    /// Whose transaction it is: the payer, or the wallet's owner.
    pub user_id: i64,
    /// Wallet or service.
    pub category: Category,
    /// Seen by `user_id`.
    pub txn_type: TxnType,
    /// What the payer gave in all, or the wallet got.
    pub amount: Paise,
    /// The plan's price at that moment.
    pub price: Option<Paise>,
    /// Taken off the price by the offer.
    pub discount: Option<Paise>,
    /// The part that the wallet paid.
    pub wallet_amount: Option<Paise>,
    /// The part that the payment gateway captured.
    pub gateway_amount: Option<Paise>,
    /// The kind of the recharged number.
    pub service_type: Option<UserType>,
    /// The plan bought.
    pub plan_id: Option<i64>,
    /// The offer applied.
    pub offer_id: Option<i64>,
    /// The payer's number.
    pub from_phone: Option<PhoneNumber>,
    /// The number recharged or credited.
    pub to_phone: Option<PhoneNumber>,
    /// Why it exists.
    pub source: Source,
    /// How it ended.
    pub status: TxnStatus,
    /// How it was paid.
    pub payment_method: Option<PaymentMethod>,
    /// The gateway's or our own reference.
    pub payment_transaction_id: Option<String>,
    /// The plan's entry on the number.
    pub subscription_id: Option<i64>,
}

/// As it was just decided.
impl From<Transaction> for TransactionRow {
    fn from(transaction: Transaction) -> Self {
        Self {
            txn_id: transaction.txn_id.get(),
            created_at: transaction.created_at,
            user_id: transaction.user_id.get(),
            category: transaction.category,
            txn_type: transaction.txn_type,
            amount: transaction.amount,
            price: transaction.price,
            discount: transaction.discount,
            wallet_amount: transaction.wallet_amount,
            gateway_amount: transaction.gateway_amount,
            service_type: transaction.service_type,
            plan_id: transaction.plan_id.map(|id| id.get()),
            offer_id: transaction.offer_id.map(|id| id.get()),
            from_phone: transaction.from_phone,
            to_phone: transaction.to_phone,
            source: transaction.source,
            status: transaction.status,
            payment_method: transaction.payment_method,
            payment_transaction_id: transaction.payment_transaction_id,
            subscription_id: transaction.subscription_id.map(|id| id.get()),
        }
    }
}

impl<'r> FromRow<'r, PgRow> for TransactionRow {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            txn_id: row.try_get(0)?,
            created_at: row.try_get(1)?,
            user_id: row.try_get(2)?,
            category: word(row, 3)?,
            txn_type: word(row, 4)?,
            amount: Paise::new(row.try_get(5)?),
            price: paise(row, 6)?,
            discount: paise(row, 7)?,
            wallet_amount: paise(row, 8)?,
            gateway_amount: paise(row, 9)?,
            service_type: optional_word(row, 10)?,
            plan_id: row.try_get(11)?,
            offer_id: row.try_get(12)?,
            from_phone: phone(row, 13)?,
            to_phone: phone(row, 14)?,
            source: word(row, 15)?,
            status: word(row, 16)?,
            payment_method: optional_word(row, 17)?,
            payment_transaction_id: row.try_get(18)?,
            subscription_id: row.try_get(19)?,
        })
    }
}

fn paise(row: &PgRow, index: usize) -> Result<Option<Paise>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(index)?.map(Paise::new))
}

/// A transaction as clients see it. `amount` is a string with two decimals, the other amounts are numbers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TransactionOut {
    /// Unique id.
    pub txn_id: i64,
    /// Whose transaction it is: the payer, or the wallet's owner.
    pub user_id: Option<i64>,
    /// `wallet` or `service`.
    #[schema(value_type = String, example = "service")]
    pub category: Category,
    /// `credit` or `debit`, seen by `user_id`.
    #[schema(value_type = String, example = "debit")]
    pub txn_type: TxnType,
    /// Rupees, two decimals.
    #[serde(serialize_with = "json::as_string")]
    #[schema(value_type = String, example = "299.00")]
    pub amount: Paise,
    /// `prepaid` or `postpaid`.
    #[schema(value_type = Option<String>, example = "prepaid")]
    pub service_type: Option<UserType>,
    /// The plan bought.
    pub plan_id: Option<i64>,
    /// The offer applied.
    pub offer_id: Option<i64>,
    /// The payer's number.
    #[serde(serialize_with = "json::national")]
    #[schema(value_type = Option<String>, example = "9876543210")]
    pub from_phone_number: Option<PhoneNumber>,
    /// The number recharged or credited.
    #[serde(serialize_with = "json::national")]
    #[schema(value_type = Option<String>, example = "9876543210")]
    pub to_phone_number: Option<PhoneNumber>,
    /// Why it exists.
    #[schema(value_type = String, example = "recharge")]
    pub source: Source,
    /// `success`, `failed` or `pending`.
    #[schema(value_type = String, example = "success")]
    pub status: TxnStatus,
    /// How it was paid.
    #[schema(value_type = Option<String>, example = "Wallet")]
    pub payment_method: Option<PaymentMethod>,
    /// The payment's reference.
    pub payment_transaction_id: Option<String>,
    /// When it was decided, UTC.
    pub created_at: DateTime<Utc>,
    /// The customer behind `user_id`; only administrators get it; a deleted one as it was.
    pub user: Option<Box<UserResponse>>,
    /// The plan's price, rupees.
    #[serde(serialize_with = "json::as_optional_number")]
    #[schema(value_type = Option<f64>, example = 349.00)]
    pub price: Option<Paise>,
    /// Taken off by the offer, rupees.
    #[serde(serialize_with = "json::as_optional_number")]
    #[schema(value_type = Option<f64>, example = 50.00)]
    pub discount: Option<Paise>,
    /// The wallet's part, rupees.
    #[serde(serialize_with = "json::as_optional_number")]
    #[schema(value_type = Option<f64>, example = 299.00)]
    pub wallet_amount: Option<Paise>,
    /// The payment gateway's part, rupees.
    #[serde(serialize_with = "json::as_optional_number")]
    #[schema(value_type = Option<f64>, example = 0.00)]
    pub gateway_amount: Option<Paise>,
    /// The plan's entry on the number.
    pub subscription_id: Option<i64>,
    /// What a plan cost in the end, rupees; null for wallet movements.
    #[serde(serialize_with = "json::as_optional_number")]
    #[schema(value_type = Option<f64>, example = 299.00)]
    pub total_paid: Option<Paise>,
}

impl From<TransactionRow> for TransactionOut {
    fn from(row: TransactionRow) -> Self {
        let total_paid = match (row.category, row.txn_type) {
            (Category::Service, TxnType::Debit) => Some(row.amount),
            _ => None,
        };
        Self {
            txn_id: row.txn_id,
            user_id: Some(row.user_id),
            category: row.category,
            txn_type: row.txn_type,
            amount: row.amount,
            service_type: row.service_type,
            plan_id: row.plan_id,
            offer_id: row.offer_id,
            from_phone_number: row.from_phone,
            to_phone_number: row.to_phone,
            source: row.source,
            status: row.status,
            payment_method: row.payment_method,
            payment_transaction_id: row.payment_transaction_id,
            created_at: row.created_at,
            user: None,
            price: row.price,
            discount: row.discount,
            wallet_amount: row.wallet_amount,
            gateway_amount: row.gateway_amount,
            subscription_id: row.subscription_id,
            total_paid,
        }
    }
}

/// A customer as administrators see one beside a transaction.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TransactionCustomer)]
pub struct UserResponse {
    /// Full name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Ten digits.
    #[serde(serialize_with = "json::national")]
    #[schema(value_type = String, example = "9876543210")]
    pub phone_number: Option<PhoneNumber>,
    /// What the customer gives to friends.
    pub referral_code: Option<String>,
    /// `prepaid` or `postpaid`.
    #[schema(value_type = Option<String>)]
    pub user_type: Option<UserType>,
    /// `active`, `blocked` or `deactive`.
    #[schema(value_type = String)]
    pub status: AccountStatus,
    /// Rupees, two decimals.
    #[serde(serialize_with = "json::as_number")]
    #[schema(value_type = f64)]
    pub wallet_balance: Paise,
    /// Who brought the customer.
    pub referee_code: Option<String>,
    /// Unique id.
    pub user_id: i64,
    /// When the customer signed up.
    pub created_at: DateTime<Utc>,
    /// When the profile last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recharge() -> TransactionRow {
        TransactionRow {
            txn_id: 7,
            created_at: "2026-01-31T10:00:00.25Z".parse().unwrap(),
            user_id: 3,
            category: Category::Service,
            txn_type: TxnType::Debit,
            amount: Paise::new(24_900),
            price: Some(Paise::new(29_900)),
            discount: Some(Paise::new(5_000)),
            wallet_amount: Some(Paise::new(24_900)),
            gateway_amount: Some(Paise::ZERO),
            service_type: Some(UserType::Prepaid),
            plan_id: Some(2),
            offer_id: None,
            from_phone: Some(PhoneNumber::parse("9876543210").unwrap()),
            to_phone: None,
            source: Source::Recharge,
            status: TxnStatus::Success,
            payment_method: Some(PaymentMethod::Wallet),
            payment_transaction_id: Some("PYMT_1".into()),
            subscription_id: Some(9),
        }
    }

    #[test]
    fn a_recharge_as_clients_see_it() {
        let json = serde_json::to_string(&TransactionOut::from(recharge())).unwrap();
        assert_eq!(
            json,
            "{\"txn_id\":7,\"user_id\":3,\"category\":\"service\",\"txn_type\":\"debit\",\"amount\":\"249.00\",\
             \"service_type\":\"prepaid\",\"plan_id\":2,\"offer_id\":null,\"from_phone_number\":\"9876543210\",\
             \"to_phone_number\":null,\"source\":\"recharge\",\"status\":\"success\",\"payment_method\":\"Wallet\",\
             \"payment_transaction_id\":\"PYMT_1\",\"created_at\":\"2026-01-31T10:00:00.250Z\",\"user\":null,\
             \"price\":299.00,\"discount\":50.00,\"wallet_amount\":249.00,\"gateway_amount\":0.00,\
             \"subscription_id\":9,\"total_paid\":249.00}"
        );
    }

    #[test]
    fn wallet_movements_have_no_total_paid() {
        let topup = TransactionRow { category: Category::Wallet, txn_type: TxnType::Credit, ..recharge() };
        assert_eq!(TransactionOut::from(topup).total_paid, None);
    }
}
