//! Receipts and refusals as responses.

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{Paise, SubscriptionStatus};
use gencharge_actors::wallet::{Done, Reason, Refusal, Subscription, Transaction};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{Code, Problem, json};
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

fn row(transaction: Transaction) -> TransactionRow {
    TransactionRow {
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

/// The answer to an order that was done.
pub fn done(done: Done) -> HttpResponse {
    let transaction = TransactionOut::from(row(done.receipt.transaction));
    let mut answer = HttpResponse::Ok();
    if done.replayed {
        answer.insert_header(("Idempotent-Replayed", "true"));
    }
    match done.receipt.subscription {
        Some(subscription) => answer.json(RechargeOut { transaction, subscription: subscription.into() }),
        None => answer.json(transaction),
    }
}

/// The problem of an order that was not done, or may not have been.
pub fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Rejected { rejection, replayed } => {
            Problem { replayed, ..Problem::new(code(rejection.reason), rejection.detail) }
        }
        Refusal::KeyReused => Problem::new(
            Code::IdempotencyKeyReused,
            "This Idempotency-Key was used for another request: send a new key for a new request",
        ),
        Refusal::Overloaded => Problem::new(
            Code::Overloaded,
            "Too many requests wait already; nothing was done: try again shortly",
        ),
        Refusal::Unavailable => Problem::new(
            Code::Unavailable,
            "The ledger is away for a moment; nothing was done: try again shortly",
        ),
        Refusal::Unknown => Problem::new(
            Code::OutcomeUnknown,
            "The outcome is not known yet: send the same request with the same Idempotency-Key to learn it; without a \
             key, look at /recharge/my/transactions first",
        ),
    }
}

const fn code(reason: Reason) -> Code {
    match reason {
        Reason::PlanUnavailable => Code::PlanUnavailable,
        Reason::PlanTypeMismatch => Code::PlanTypeMismatch,
        Reason::PlanNotEligible => Code::PlanNotEligible,
        Reason::OfferUnavailable => Code::OfferUnavailable,
        Reason::OfferNotEligible => Code::OfferNotEligible,
        Reason::NumberUnknown => Code::NumberUnknown,
        Reason::QueueFull => Code::QueueFull,
        Reason::InsufficientFunds => Code::InsufficientFunds,
        Reason::PayerNotActive => Code::PayerNotActive,
        Reason::ReceiverNotActive => Code::ReceiverNotActive,
        Reason::SameWallet => Code::SameWallet,
        Reason::LimitExceeded => Code::LimitExceeded,
        Reason::InvalidWalletAmount => Code::InvalidWalletAmount,
        Reason::MessageExpired => Code::MessageExpired,
    }
}
