//! Receipts as responses.

use actix_web::HttpResponse;
use actix_web::http::header;
use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{Paise, SubscriptionStatus};
use gencharge_actors::wallet::{Done, Subscription};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::json;
use crate::transactions::{TransactionOut, TransactionRow};

/// The payer's transaction, and what was bought.
#[derive(Serialize, ToSchema)]
pub struct RechargeOut {
    /// The reference's transaction fields.
    #[serde(flatten)]
    transaction: TransactionOut,
    /// The plan on the number.
    subscription: SubscriptionOut,
}

/// A plan just bought.
#[derive(Serialize, ToSchema)]
pub struct SubscriptionOut {
    /// Unique id.
    subscription_id: i64,
    /// Which plan.
    plan_id: i64,
    /// `active` or `queued`.
    #[schema(value_type = String, example = "active")]
    status: SubscriptionStatus,
    /// Rupees, two decimals.
    #[serde(serialize_with = "json::as_number")]
    #[schema(value_type = f64, example = 299.00)]
    total_paid: Paise,
    /// Starts.
    valid_from: DateTime<Utc>,
    /// Ends.
    valid_to: DateTime<Utc>,
}

impl From<Subscription> for SubscriptionOut {
    fn from(subscription: Subscription) -> Self {
        Self {
            subscription_id: subscription.subscription_id.get(),
            plan_id: subscription.plan_id.get(),
            status: subscription.status,
            total_paid: subscription.total_paid,
            valid_from: subscription.valid_from,
            valid_to: subscription.valid_to,
        }
    }
}

/// The answer to an order that was done, or whose payment was begun.
pub fn done(done: Done) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    if done.receipt.is_pending() {
        answer = HttpResponse::Accepted();
        let payment = format!("/payments/{}", done.receipt.transaction.txn_id.get());
        answer.insert_header((header::LOCATION, payment));
    }
    let transaction = TransactionOut::from(TransactionRow::from(done.receipt.transaction));
    if done.replayed {
        answer.insert_header(("Idempotent-Replayed", "true"));
    }
    match done.receipt.subscription {
        Some(subscription) => answer.json(RechargeOut { transaction, subscription: subscription.into() }),
        None => answer.json(transaction),
    }
}
