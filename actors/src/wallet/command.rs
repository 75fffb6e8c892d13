//! What can be asked of a wallet, and the answers.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::payment::{Refund, Settle};
use crate::events::{Event, RequestRef};
pub use crate::kernel::Reason;
use crate::kernel::{
    ActivationMode, AdminId, Category, Digest128, OfferId, Paise, PaymentMethod, PhoneNumber, PlanId, Source,
    SubscriptionId, SubscriptionStatus, TxnId, TxnStatus, TxnType, UserId, UserType,
};

/// A command with the key that makes it safe to repeat.
#[derive(Clone, Debug)]
pub struct Order {
    /// What to do.
    pub command: Command,
    /// Under which key.
    pub key: OrderKey,
    /// The message that asked, when it was a partner's: its outcome is told to the partner.
    pub asked: Option<Box<Asked>>,
}

/// A partner's message that asked for something. Whatever is decided under its key for the first time is told in an event
/// of the same transaction; a repeated message is told nothing new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How the partner knows it.
    pub request: RequestRef,
    /// Not to be done after this moment.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The key of an order and the digest of the request that carried it.
#[derive(Clone, Copy, Debug)]
pub struct OrderKey {
    /// Of principal and key.
    pub key: Digest128,
    /// Of method, route and body.
    pub request: Digest128,
    /// Who made it.
    pub origin: KeyOrigin,
}

/// Who made an order's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// The client sent it: rejections are stored under it too, so that a retry answers the same.
    Client,
    /// Made here for a request without one, so that an unknown commit can be looked up. Rejections are not stored.
    Internal,
}

/// What can be asked.
#[derive(Clone, Debug)]
pub enum Command {
    /// Buy a plan for a number.
    Recharge(Recharge),
    /// Put money into a wallet.
    TopUp(TopUp),
    /// Bring a partner's money in.
    Fund(Fund),
    /// Set aside what a customer's wallet holds, and delete the customer.
    Close(Close),
    /// End a payment that was pending.
    Settle(Box<Settle>),
    /// Give money back.
    Refund(Box<Refund>),
}

impl Command {
    /// Whose wallet decides the shard.
    #[must_use]
    pub const fn payer(&self) -> Payer {
        match self {
            Self::Recharge(recharge) => recharge.payer,
            Self::TopUp(top_up) => top_up.payer,
            Self::Fund(fund) => Payer { user: fund.partner, phone: None },
            Self::Close(close) => Payer { user: close.user, phone: Some(close.phone) },
            Self::Settle(settle) => settle.payment.purchase.payer(),
            Self::Refund(refund) => refund.payer,
        }
    }

    /// True when it must have a batch of its own: it looks at a bought plan's window, which others of its batch may move.
    #[must_use]
    pub const fn alone(&self) -> bool {
        match self {
            Self::Refund(_) => true,
            Self::Recharge(_) | Self::TopUp(_) | Self::Settle(_) | Self::Fund(_) | Self::Close(_) => false,
        }
    }
}

/// Who asks and pays: a customer, or a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payer {
    /// Who: the owner of the wallet of that number.
    pub user: UserId,
    /// From which number; partners have none.
    pub phone: Option<PhoneNumber>,
}

/// Buy `plan` for `number`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recharge {
    /// Who pays.
    pub payer: Payer,
    /// Which number gets the plan.
    pub number: PhoneNumber,
    /// Which plan.
    pub plan: PlanId,
    /// With which offer.
    pub offer: Option<OfferId>,
    /// `Wallet`: all from the payer's wallet; otherwise the gateway pays what the wallet does not.
    pub method: PaymentMethod,
    /// With a gateway method: the part taken from the wallet.
    pub wallet_amount: Option<Paise>,
    /// When it starts; absent: at once if nothing is active, else after everything bought.
    pub mode: Option<ActivationMode>,
    /// `recharge`, or `autopay` from the scheduler.
    pub source: Source,
}

/// Put `amount` into the wallet of `number`'s owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopUp {
    /// Who pays.
    pub payer: Payer,
    /// Whose wallet: the payer's own number, or another registered one.
    pub number: PhoneNumber,
    /// How much; above zero.
    pub amount: Paise,
    /// `Wallet`: moved from the payer's wallet; otherwise captured by the gateway.
    pub method: PaymentMethod,
}

/// Put `amount`, which has arrived outside, into the wallet of a partner.
#[derive(Clone, Debug)]
pub struct Fund {
    /// The partner, by the number of its wallet.
    pub partner: UserId,
    /// How much; above zero.
    pub amount: Paise,
    /// What the bank calls the payment.
    pub reference: Option<String>,
    /// What the audit log is to know of it: written with the effect.
    pub audit: Option<Event>,
}

/// Close the wallet of a customer whose account is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// Whose.
    pub user: UserId,
    /// The customer's number, which becomes free.
    pub phone: PhoneNumber,
    /// The administrator who does it; `None`: the customer.
    pub by: Option<AdminId>,
}

/// A transaction row. It is never edited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the columns of the table, documented there")]
pub struct Transaction {
    pub txn_id: TxnId,
    pub created_at: DateTime<Utc>,
    pub user_id: UserId,
    pub beneficiary_id: Option<UserId>,
    pub wallet_seq: i64,
    pub category: Category,
    pub txn_type: TxnType,
    pub amount: Paise,
    pub price: Option<Paise>,
    pub discount: Option<Paise>,
    pub wallet_amount: Option<Paise>,
    pub gateway_amount: Option<Paise>,
    pub service_type: Option<UserType>,
    pub plan_id: Option<PlanId>,
    pub offer_id: Option<OfferId>,
    pub from_phone: Option<PhoneNumber>,
    pub to_phone: Option<PhoneNumber>,
    pub source: Source,
    pub status: TxnStatus,
    pub payment_method: Option<PaymentMethod>,
    pub payment_transaction_id: Option<String>,
    pub subscription_id: Option<SubscriptionId>,
}

/// A plan bought for a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub subscription_id: SubscriptionId,
    /// For which number.
    pub phone: PhoneNumber,
    /// The number's owner.
    pub user_id: UserId,
    /// Which plan.
    pub plan_id: PlanId,
    /// Paid by which transaction.
    pub txn_id: TxnId,
    /// Where it stands.
    pub status: SubscriptionStatus,
    /// From when.
    pub valid_from: DateTime<Utc>,
    /// Until when.
    pub valid_to: DateTime<Utc>,
    /// Wallet part and gateway part together.
    pub total_paid: Paise,
}

/// What a successful command did, as it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The payer's transaction.
    pub transaction: Transaction,
    /// What was bought, as it stood then; its window may move later when a queue is shifted.
    pub subscription: Option<Subscription>,
}

impl Receipt {
    /// True while the gateway has not said whether the money comes: the transaction is one to be, and stands in no list.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.transaction.status == TxnStatus::Pending
    }
}

/// A success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What was done.
    pub receipt: Receipt,
    /// True when it had been done before under the same key.
    pub replayed: bool,
}

/// Why a command was decided against. No money moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The stable word.
    pub reason: Reason,
    /// What the caller can do about it.
    pub detail: String,
}

impl Rejection {
    /// With a sentence for the caller.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Why an order has no receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Decided against. With a client's key the same answer comes again.
    Rejected {
        /// Why.
        rejection: Rejection,
        /// True when it had been decided before under the same key.
        replayed: bool,
    },
    /// The key belongs to another request.
    KeyReused,
    /// Too much waits already. Certainly not done.
    Overloaded,
    /// The store is away. Certainly not done.
    Unavailable,
    /// It may or may not have been done: ask again with the same key.
    Unknown,
}
