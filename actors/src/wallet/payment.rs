//! Payments that are not captured at once, and money given back.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::command::{Payer, Recharge, TopUp, Transaction};
use crate::kernel::{
    AdminId, Category, Paise, PaymentState, SubscriptionStatus, TxnId, TxnStatus, TxnType, UserId,
};

/// What a payment is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purchase {
    /// A plan for a number.
    Recharge(Recharge),
    /// Money for a wallet.
    TopUp(TopUp),
}

impl Purchase {
    /// Who pays.
    #[must_use]
    pub const fn payer(&self) -> Payer {
        match self {
            Self::Recharge(recharge) => recharge.payer,
            Self::TopUp(top_up) => top_up.payer,
        }
    }
}

/// A payment that the gateway did not capture at once. It never changes; where it stands is a [`PaymentStanding`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its id: that of the transaction it becomes.
    pub payment_id: TxnId,
    /// What the gateway is to capture.
    pub amount: Paise,
    /// The order, kept until the money is there.
    pub purchase: Purchase,
    /// The transaction to be, as it was answered.
    pub transaction: Transaction,
    /// It may be pending until then.
    pub expires_at: DateTime<Utc>,
    /// When the sandbox captures it by itself.
    pub capture_at: Option<DateTime<Utc>>,
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentStanding {
    /// Pending, or how it ended.
    pub state: PaymentState,
    /// The transaction it ended in.
    pub txn_id: Option<TxnId>,
}

/// How a payment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The gateway has the money.
    Captured,
    /// The gateway says that the money does not come.
    Failed,
    /// Its time was up.
    Expired,
}

impl Settlement {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Captured => "captured",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// End `payment`. Money that was captured is never lost: when what it was for cannot be done any more, or at another price,
/// or its time was up, it goes into the payer's wallet.
#[derive(Clone, Debug)]
pub struct Settle {
    /// Which, as it was begun.
    pub payment: Payment,
    /// How.
    pub settlement: Settlement,
}

/// Give back `amount` of a transaction.
#[derive(Clone, Debug)]
pub struct Refund {
    /// Who paid, and from which number.
    pub payer: Payer,
    /// What is reversed: a recharge, or money that came from the gateway into a wallet.
    pub of: Transaction,
    /// What the recharge earned as cashback. It is kept back: it was given for a purchase that is no more.
    pub cashback: Paise,
    /// How much; absent: all that is left.
    pub amount: Option<Paise>,
    /// Who does it.
    pub admin: AdminId,
    /// In which role: the audit log has both.
    pub role: String,
    /// Why, in the administrator's words.
    pub reason: Option<String>,
}

/// Where a refund takes its money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundWay {
    /// A recharge: into the payer's wallet.
    ToWallet,
    /// Money put into a wallet: out of it again, back through the gateway.
    ToGateway,
}

impl Refund {
    /// Whose wallet got the money of a top-up.
    #[must_use]
    pub fn holder(&self) -> UserId {
        self.of.beneficiary_id.unwrap_or(self.of.user_id)
    }

    /// Where the money goes; `None`: a transaction of this kind cannot be refunded.
    #[must_use]
    pub fn way(&self) -> Option<RefundWay> {
        if self.of.status != TxnStatus::Success {
            return None;
        }
        match (self.of.category, self.of.txn_type) {
            (Category::Service, TxnType::Debit) => Some(RefundWay::ToWallet),
            (Category::Wallet, TxnType::Credit) if self.of.gateway_amount.is_some_and(Paise::is_positive) => {
                Some(RefundWay::ToGateway)
            }
            _ => None,
        }
    }
}

/// What a refund finds under its lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefundStanding {
    /// Given back already.
    pub refunded: Paise,
    /// Where the plan stands that the recharge bought.
    pub plan: Option<(SubscriptionStatus, DateTime<Utc>, DateTime<Utc>)>,
}
