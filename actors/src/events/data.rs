//! The data of each event type. Ids are numbers, amounts rupees as text with two decimals, times RFC 3339 in UTC,
//! phones E.164 with a plus sign.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::wire;
use crate::kernel::{
    Actor, AdminId, OfferId, Paise, PaymentMethod, PhoneNumber, PlanId, Reason, Source, SubscriptionId,
    SubscriptionStatus, TxnId, UserId,
};

/// How a partner knows the message that it sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct RequestRef {
    /// The partner's user name at the broker.
    pub partner: Arc<str>,
    /// The message's `source`.
    pub source: Arc<str>,
    /// The message's `id`.
    pub id: Arc<str>,
}

/// `gencharge.recharge.completed.v1`: price - discount = wallet amount + gateway amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RechargeCompleted {
    /// The recharge's transaction.
    pub txn_id: TxnId,
    /// The payer's wallet's sequence at this transaction: orders the events of one payer.
    pub wallet_seq: i64,
    /// Who paid.
    pub user_id: UserId,
    /// Owner of the number: the payer, or someone else.
    pub beneficiary_id: UserId,
    /// The number.
    #[serde(with = "wire::phone")]
    #[schemars(schema_with = "wire::phone::schema")]
    pub to_phone: PhoneNumber,
    /// The plan bought for the number.
    pub subscription_id: SubscriptionId,
    /// Running at once, or queued.
    pub subscription_status: SubscriptionStatus,
    /// The plan.
    pub plan_id: PlanId,
    /// Its name at that time.
    pub plan_name: Arc<str>,
    /// The offer used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer_id: Option<OfferId>,
    /// List price.
    #[serde(with = "wire::amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub price: Paise,
    /// Taken off by the offer.
    #[serde(with = "wire::amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub discount: Paise,
    /// Paid from the wallet.
    #[serde(with = "wire::amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub wallet_amount: Paise,
    /// Paid through the gateway.
    #[serde(with = "wire::amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub gateway_amount: Paise,
    /// Put back into the payer's wallet by the offer.
    #[serde(with = "wire::amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub cashback: Paise,
    /// How it was paid.
    pub payment_method: PaymentMethod,
    /// By hand or by autopay.
    pub source: Source,
    /// The plan runs from here.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub valid_from: DateTime<Utc>,
    /// The plan runs to here.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub valid_to: DateTime<Utc>,
    /// The transaction's time.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub occurred_at: DateTime<Utc>,
    /// What the payer's wallet holds afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "wire::optional_amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub wallet_balance: Option<Paise>,
    /// The partner's message that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestRef>,
}

impl RechargeCompleted {
    /// Wallet part and gateway part together.
    #[must_use]
    pub fn paid(&self) -> Paise {
        self.wallet_amount.checked_add(self.gateway_amount).unwrap_or(self.price)
    }
}

/// `gencharge.wallet.topped_up.v1`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WalletToppedUp {
    /// The payer's transaction.
    pub txn_id: TxnId,
    /// The payer's wallet's sequence at this transaction.
    pub wallet_seq: i64,
    /// Who paid.
    pub user_id: UserId,
    /// Whose wallet got the money.
    pub beneficiary_id: UserId,
    /// The receiver's number.
    #[serde(with = "wire::phone")]
    #[schemars(schema_with = "wire::phone::schema")]
    pub to_phone: PhoneNumber,
    /// What arrived.
    #[serde(with = "wire::amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub amount: Paise,
    /// How it was paid (`Wallet`: out of the payer's own).
    pub payment_method: PaymentMethod,
    /// A top-up, refund or reward.
    pub source: Source,
    /// The transaction's time.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub occurred_at: DateTime<Utc>,
    /// What the payer's wallet holds afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "wire::optional_amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub wallet_balance: Option<Paise>,
    /// The partner's message that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestRef>,
}

/// `gencharge.subscription.activated.v1`: a queued plan's turn came (a recharge that starts at once says so itself).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionActivated {
    /// The plan bought for the number.
    pub subscription_id: SubscriptionId,
    /// The transaction that bought it.
    pub txn_id: TxnId,
    /// Owner of the number.
    pub user_id: UserId,
    /// The number.
    #[serde(with = "wire::phone")]
    #[schemars(schema_with = "wire::phone::schema")]
    pub phone: PhoneNumber,
    /// The plan.
    pub plan_id: PlanId,
    /// Its name, unless the plan is gone from the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_name: Option<Arc<str>>,
    /// The plan runs from here.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub valid_from: DateTime<Utc>,
    /// The plan runs to here.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub valid_to: DateTime<Utc>,
    /// When it was activated.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub occurred_at: DateTime<Utc>,
}

/// `gencharge.subscription.expiring.v1`: a running plan ends within a day. Told once of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionExpiring {
    /// The plan bought for the number.
    pub subscription_id: SubscriptionId,
    /// The transaction that bought it.
    pub txn_id: TxnId,
    /// Owner of the number.
    pub user_id: UserId,
    /// The number.
    #[serde(with = "wire::phone")]
    #[schemars(schema_with = "wire::phone::schema")]
    pub phone: PhoneNumber,
    /// The plan.
    pub plan_id: PlanId,
    /// Its name, unless the plan is gone from the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_name: Option<Arc<str>>,
    /// Its end.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub valid_to: DateTime<Utc>,
    /// When it was told.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub occurred_at: DateTime<Utc>,
}

/// `gencharge.subscription.expired.v1`: a running plan reached its end or was superseded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscriptionExpired {
    /// The plan bought for the number.
    pub subscription_id: SubscriptionId,
    /// The transaction that bought it.
    pub txn_id: TxnId,
    /// Owner of the number.
    pub user_id: UserId,
    /// The number.
    #[serde(with = "wire::phone")]
    #[schemars(schema_with = "wire::phone::schema")]
    pub phone: PhoneNumber,
    /// The plan.
    pub plan_id: PlanId,
    /// Its name, unless the plan is gone from the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_name: Option<Arc<str>>,
    /// True when another plan took its place before its time.
    pub superseded: bool,
    /// Its end.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub valid_to: DateTime<Utc>,
    /// When it was marked expired.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub occurred_at: DateTime<Utc>,
}

/// `gencharge.recharge.failed.v1` and `gencharge.wallet.topup.failed.v1`: a partner's command was decided against. The
/// same message again gets the same decision; a new one needs a new `id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommandFailed {
    /// The partner, by the number of its wallet.
    pub partner_id: UserId,
    /// The stable word: the `code` that HTTP answers in the same case.
    pub code: Reason,
    /// What happened and what can be done about it.
    pub detail: String,
    /// When it was decided.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub occurred_at: DateTime<Utc>,
    /// The partner's message.
    pub request: RequestRef,
}

/// `gencharge.partner.funded.v1`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartnerFunded {
    /// The transaction.
    pub txn_id: TxnId,
    /// The partner's wallet's sequence at this transaction.
    pub wallet_seq: i64,
    /// The partner, by the number of its wallet.
    pub partner_id: UserId,
    /// What arrived.
    #[serde(with = "wire::amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub amount: Paise,
    /// The transaction's time.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub occurred_at: DateTime<Utc>,
}

/// `gencharge.audit.recorded.v1`: someone changed something, signed in or was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecorded {
    /// Who: `US_<id>`, `AD_<id>` or `SYSTEM`.
    #[serde(with = "wire::text")]
    #[schemars(with = "String")]
    pub actor: Actor,
    /// The administrator's role at that time, or `user`.
    pub role: String,
    /// What was done: `UPDATE_PLAN`.
    pub action: String,
    /// The part of the system: `plans`.
    pub service: String,
    /// What it was done to: `plan/4`. Never a phone number.
    pub target: String,
    /// `success`, or why not: `blocked`.
    pub status: String,
    /// The fields set and their new values, or other particulars. Never a secret.
    pub changes: Value,
    /// When.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub occurred_at: DateTime<Utc>,
}

/// `gencharge.wallet.closed.v1`: a customer was deleted; what the wallet held is owed to the former customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WalletClosed {
    /// The transaction.
    pub txn_id: TxnId,
    /// The wallet's sequence at this transaction, its last.
    pub wallet_seq: i64,
    /// The former customer.
    pub user_id: UserId,
    /// What it held.
    #[serde(with = "wire::amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub amount: Paise,
    /// The transaction's time.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub occurred_at: DateTime<Utc>,
}

/// `gencharge.referral.rewarded.v1`: a customer who was brought here has paid for a first recharge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReferralRewarded {
    /// The transaction that paid the reward.
    pub txn_id: TxnId,
    /// The referrer's wallet's sequence at this transaction.
    pub wallet_seq: i64,
    /// The reward.
    pub reward_id: i64,
    /// The referrer, who gets it.
    pub user_id: UserId,
    /// Who was brought.
    pub referred_id: UserId,
    /// How much.
    #[serde(with = "wire::amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub amount: Paise,
    /// The transaction's time.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub occurred_at: DateTime<Utc>,
}

/// `gencharge.payment.failed.v1`: a payment through the gateway was declined, or nobody paid in time. No money moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentFailed {
    /// The failed transaction.
    pub txn_id: TxnId,
    /// The payer's wallet's sequence then; a failure does not move it.
    pub wallet_seq: i64,
    /// Who was to pay.
    pub user_id: UserId,
    /// What the gateway was to capture.
    #[serde(with = "wire::amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub amount: Paise,
    /// True when its time was up; otherwise the gateway declined it.
    pub expired: bool,
    /// The transaction's time.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub occurred_at: DateTime<Utc>,
}

/// `gencharge.payment.refunded.v1`: an administrator gave money back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaymentRefunded {
    /// The reversing transaction.
    pub txn_id: TxnId,
    /// The sequence of the wallet that it moved.
    pub wallet_seq: i64,
    /// Who had paid.
    pub user_id: UserId,
    /// Whose wallet the money went into, or came out of.
    pub holder_id: UserId,
    /// The transaction that it reverses.
    pub refunded_txn_id: TxnId,
    /// How much.
    #[serde(with = "wire::amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub amount: Paise,
    /// True: into the payer's wallet. False: out of the holder's wallet, back through the gateway.
    pub to_wallet: bool,
    /// True when nothing is left to be given back.
    pub complete: bool,
    /// True when the plan that was bought ended with it.
    pub plan_cancelled: bool,
    /// Who did it.
    pub admin_id: AdminId,
    /// The transaction's time.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub occurred_at: DateTime<Utc>,
}
