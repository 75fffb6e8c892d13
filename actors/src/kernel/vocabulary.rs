//! The words that rows, messages and answers share. Each is spelt once, here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The text is none of the words of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of: {0}")]
pub struct UnknownWord(pub &'static str);

macro_rules! vocabulary {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[schemars(inline)]
        pub enum $name {
            $($(#[$word_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every word of this kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word as stored and shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(UnknownWord(concat!($($word, " ",)*).trim_ascii_end())),
                }
            }
        }
    )*};
}

vocabulary! {
    /// How a customer is billed, and which plans fit a number.
    UserType {
        /// Pays before use.
        Prepaid = "prepaid",
        /// Pays after use.
        Postpaid = "postpaid",
    }
    /// A customer's state.
    AccountStatus {
        /// May do everything.
        Active = "active",
        /// Stopped by an administrator.
        Blocked = "blocked",
        /// Paused by the customer; the next sign-in wakes it.
        Deactive = "deactive",
    }
    /// How a transaction is paid.
    PaymentMethod {
        /// Unified Payments Interface, through the gateway.
        Upi = "UPI",
        /// Card, through the gateway.
        Card = "Card",
        /// Net banking, through the gateway.
        NetBanking = "NetBanking",
        /// The payer's wallet.
        Wallet = "Wallet",
    }
    /// Why a transaction exists.
    Source {
        /// Someone recharged a number (also the cashback it earned).
        Recharge = "recharge",
        /// Money put into a wallet.
        WalletTopup = "wallet_topup",
        /// Money given back.
        Refund = "refund",
        /// A referral paid off.
        ReferralReward = "referral_reward",
        /// An autopay rule recharged a number.
        Autopay = "autopay",
    }
    /// What a transaction is about.
    Category {
        /// Money in a wallet.
        Wallet = "wallet",
        /// A plan for a number.
        Service = "service",
    }
    /// The direction of a transaction, seen by its user.
    TxnType {
        /// Money in.
        Credit = "credit",
        /// Money out.
        Debit = "debit",
    }
    /// How a transaction ended.
    TxnStatus {
        /// Done.
        Success = "success",
        /// Not done; no money moved.
        Failed = "failed",
        /// Waiting for the gateway.
        Pending = "pending",
    }
    /// Where a payment through the gateway stands.
    PaymentState {
        /// The gateway has not said yet.
        Pending = "pending",
        /// The money is there, and what it was for is done (or it is in the payer's wallet).
        Captured = "captured",
        /// The money came after the payment had failed or its time was up: it is in the payer's wallet.
        LateCapture = "late_capture",
        /// The gateway declined it.
        Failed = "failed",
        /// Nobody paid in time.
        Expired = "expired",
        /// The money was given back.
        Refunded = "refunded",
    }
    /// Where a bought plan stands.
    SubscriptionStatus {
        /// In use: at most one per number.
        Active = "active",
        /// Over, or superseded.
        Expired = "expired",
        /// Waiting for its turn.
        Queued = "queued",
    }
    /// When a bought plan starts.
    ActivationMode {
        /// At once, superseding the active one.
        Activate = "activate",
        /// After everything already bought.
        Queue = "queue",
    }
    /// How often an autopay rule runs.
    AutopayTag {
        /// Once, on its date.
        Onetime = "onetime",
        /// Again and again.
        Regular = "regular",
    }
    /// When a regular autopay rule is due again.
    AutopayRepeat {
        /// When the plan's validity has passed.
        Validity = "validity",
        /// A month later, on the same day.
        Monthly = "monthly",
    }
    /// Whether an autopay rule runs.
    AutopayStatus {
        /// It does.
        Enabled = "enabled",
        /// It does not.
        Disabled = "disabled",
    }
    /// Whether a plan or offer can be used.
    CatalogueStatus {
        /// It can.
        Active = "active",
        /// It cannot.
        Inactive = "inactive",
    }
    /// Why a wallet's command was decided against: the words are the codes of HTTP's problems.
    Reason {
        /// The plan does not exist or is not active.
        PlanUnavailable = "plan_unavailable",
        /// The plan is for the other kind of number.
        PlanTypeMismatch = "plan_type_mismatch",
        /// The plan's own conditions do not hold.
        PlanNotEligible = "plan_not_eligible",
        /// The offer does not exist, is not active or has run out.
        OfferUnavailable = "offer_unavailable",
        /// The offer's conditions do not hold.
        OfferNotEligible = "offer_not_eligible",
        /// The number belongs to no customer.
        NumberUnknown = "number_unknown",
        /// The number has as many plans waiting as it may.
        QueueFull = "queue_full",
        /// The wallet holds less than is needed.
        InsufficientFunds = "insufficient_funds",
        /// The payer is blocked or deactivated.
        PayerNotActive = "payer_not_active",
        /// The receiver cannot take money.
        ReceiverNotActive = "receiver_not_active",
        /// A wallet cannot pay itself.
        SameWallet = "same_wallet",
        /// Above the limit for one top-up or for the balance.
        LimitExceeded = "limit_exceeded",
        /// The wallet part is more than there is to pay, or does not fit the payment method.
        InvalidWalletAmount = "invalid_wallet_amount",
        /// The message came after the time until which its sender wanted it done.
        MessageExpired = "message_expired",
        /// The gateway does not take the payment.
        PaymentDeclined = "payment_declined",
        /// There is no such payment.
        PaymentUnknown = "payment_unknown",
        /// The payment had ended already.
        PaymentSettled = "payment_settled",
        /// The price changed between the order and its payment.
        PriceChanged = "price_changed",
        /// Transactions of this kind cannot be refunded.
        NotRefundable = "not_refundable",
        /// More than is left to be given back.
        RefundExceeded = "refund_exceeded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_round_trip() {
        for word in Source::ALL {
            assert_eq!(word.as_str().parse(), Ok(*word));
            assert_eq!(serde_json::to_string(word).unwrap(), format!("\"{}\"", word.as_str()));
        }
        assert_eq!("PREPAID".parse::<UserType>(), Err(UnknownWord("prepaid postpaid")));
    }
}
