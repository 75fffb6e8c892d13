//! A dry run: what a recharge would cost and do, by the very code that does it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use gencharge_actors::catalogue::Rewards;
use gencharge_actors::kernel::{Paise, PaymentMethod, PhoneNumber, SubscriptionStatus};
use gencharge_actors::payment::{PaymentRules, Willing};
use gencharge_actors::wallet::{
    Done, Ids, Limits, Loaded, Order, Receipt, Refusal, Touch, WalletStore as _, Writes, decide,
};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::http::json;
use crate::wallet::PgWalletStore;

/// How long a request waits for those before it, and for its own turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Decides orders as a wallet shard does, on the same locked rows, and then writes nothing. One order at a time, on one
/// connection; clones share it.
#[derive(Clone)]
pub struct DryRun(Arc<Mutex<PgWalletStore>>, Limits);

/// What a recharge would do.
pub struct Quoted {
    receipt: Receipt,
    rewards: Rewards,
}

impl DryRun {
    /// On a store of its own.
    #[must_use]
    pub fn new(store: PgWalletStore, limits: Limits) -> Self {
        // Whatever the gateway would say, nobody asks it.
        let payments = PaymentRules { gateway: &Willing, ..limits.payments };
        Self(Arc::new(Mutex::new(store)), Limits { payments, ..limits })
    }

    /// Decides `order` without doing it.
    pub(super) async fn quote(&self, order: Order) -> Result<Quoted, Refusal> {
        let orders = [order];
        let touch = Touch::of(&orders, std::iter::empty());
        let mut answer = Err(Refusal::Unavailable);
        let mut only_decide = |loaded: Loaded, ids: &mut Ids| {
            let catalogue = Arc::clone(&loaded.catalogue);
            let decided = decide(loaded, &orders, &self.1, ids).answers.pop();
            answer = decided.unwrap_or(Err(Refusal::Unavailable)).map(|Done { receipt, .. }| {
                let offer = receipt.transaction.offer_id.and_then(|id| catalogue.offers.get(&id));
                Quoted { rewards: offer.map(|offer| offer.rewards.clone()).unwrap_or_default(), receipt }
            });
            Writes::default()
        };
        let Ok(mut store) = timeout(PATIENCE, self.0.lock()).await else { return Err(Refusal::Overloaded) };
        match timeout(PATIENCE, store.transact(&touch, orders.len(), &mut only_decide)).await {
            Ok(Ok(())) => answer,
            // Whatever went wrong, nothing can have been done.
            Ok(Err(_)) | Err(_) => Err(Refusal::Unavailable),
        }
    }
}

/// What a recharge would cost and do, if it were made now. price = discount + payable; payable = wallet_amount +
/// gateway_amount.
#[derive(Serialize, ToSchema)]
pub struct QuoteOut {
    /// The number that would get the plan.
    #[serde(serialize_with = "json::national")]
    #[schema(value_type = String, example = "9876543210")]
    phone_number: Option<PhoneNumber>,
    /// The plan.
    plan_id: Option<i64>,
    /// The offer.
    offer_id: Option<i64>,
    /// How it would be paid.
    #[schema(value_type = String, example = "Wallet")]
    payment_method: Option<PaymentMethod>,
    /// The plan's price, in rupees.
    #[serde(serialize_with = "json::as_optional_number")]
    #[schema(value_type = f64, example = 299.00)]
    price: Option<Paise>,
    /// What the offer takes off.
    #[serde(serialize_with = "json::as_optional_number")]
    #[schema(value_type = f64, example = 50.00)]
    discount: Option<Paise>,
    /// What is left to pay.
    #[serde(serialize_with = "json::as_number")]
    #[schema(value_type = f64, example = 249.00)]
    payable: Paise,
    /// The part that the wallet would pay.
    #[serde(serialize_with = "json::as_optional_number")]
    #[schema(value_type = f64, example = 249.00)]
    wallet_amount: Option<Paise>,
    /// The part that the payment gateway would pay.
    #[serde(serialize_with = "json::as_optional_number")]
    #[schema(value_type = f64, example = 0.00)]
    gateway_amount: Option<Paise>,
    /// What the owner of the number would get back into the wallet.
    #[serde(serialize_with = "json::as_number")]
    #[schema(value_type = f64, example = 20.00)]
    cashback: Paise,
    /// Data on top.
    #[schema(example = "2GB")]
    extra_data: Option<String>,
    /// The plan would be `active` at once, or `queued`.
    #[schema(value_type = Option<String>, example = "active")]
    status: Option<SubscriptionStatus>,
    /// It would run from here.
    valid_from: Option<DateTime<Utc>>,
    /// It would run to here.
    valid_to: Option<DateTime<Utc>>,
}

impl From<Quoted> for QuoteOut {
    fn from(Quoted { receipt: Receipt { transaction, subscription }, rewards }: Quoted) -> Self {
        Self {
            phone_number: transaction.to_phone,
            plan_id: transaction.plan_id.map(|id| id.get()),
            offer_id: transaction.offer_id.map(|id| id.get()),
            payment_method: transaction.payment_method,
            price: transaction.price,
            discount: transaction.discount,
            payable: transaction.amount,
            wallet_amount: transaction.wallet_amount,
            gateway_amount: transaction.gateway_amount,
            cashback: rewards.cashback(transaction.amount),
            extra_data: rewards.extra_data,
            status: subscription.as_ref().map(|it| it.status),
            valid_from: subscription.as_ref().map(|it| it.valid_from),
            valid_to: subscription.as_ref().map(|it| it.valid_to),
        }
    }
}
