//! Ids as distinct types, so that a plan's id cannot be passed where a user's belongs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(transparent)]
        #[schemars(inline)]
        pub struct $name(pub i64);

        impl $name {
            /// The bare number, as stored and shown.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }
    )*};
}

ids! {
    /// A customer.
    UserId;
    /// An administrator (its own number space).
    AdminId;
    /// A wallet; a customer's wallet has the customer's number.
    WalletId;
    /// A ledger account: a wallet (positive) or one of the business's own (negative).
    AccountId;
    /// A plan.
    PlanId;
    /// An offer.
    OfferId;
    /// A transaction.
    TxnId;
    /// A plan bought for a number.
    SubscriptionId;
    /// An autopay rule.
    AutopayId;
    /// An event in the outbox.
    EventId;
}

impl From<UserId> for WalletId {
    fn from(user: UserId) -> Self {
        Self(user.0)
    }
}

impl From<WalletId> for AccountId {
    fn from(wallet: WalletId) -> Self {
        Self(wallet.0)
    }
}

impl AccountId {
    /// Money at the payment gateway, on its way in or out.
    pub const GATEWAY_CLEARING: Self = Self(-1);
    /// What plans earned, at list price.
    pub const REVENUE: Self = Self(-2);
    /// Discounts and cashback given.
    pub const PROMOTIONS: Self = Self(-3);
    /// Referral rewards given.
    pub const REWARDS: Self = Self(-4);
    /// Balances brought in from before the ledger.
    pub const OPENING_BALANCES: Self = Self(-5);
    /// Between the two transactions of a wallet-to-wallet transfer.
    pub const TRANSFER_CLEARING: Self = Self(-6);
    /// Owed to former customers: what their wallets held when their accounts were deleted.
    pub const CLOSED_WALLETS: Self = Self(-7);
}
