//! What happened, told to the outside: versioned event types, their data, and the CloudEvents envelope.
//!
//! The business transaction writes `type_name()` and `data_json()` into the outbox; the relay delivers them.
//! A type's data only ever gains optional fields; anything else is a new version with a new name.

mod autopay;
mod data;
mod envelope;
mod wire;

pub use autopay::{AutopayCharged, AutopayDisabled, AutopayDueSoon, AutopayFacts, AutopayFailed};
pub use data::{
    AuditRecorded, CommandFailed, PartnerFunded, PaymentFailed, PaymentRefunded, RechargeCompleted,
    ReferralRewarded, RequestRef, SubscriptionActivated, SubscriptionExpired, SubscriptionExpiring,
    WalletClosed, WalletToppedUp,
};
pub use envelope::{CloudEvent, SOURCE};

use schemars::{Schema, schema_for};
use serde::Serialize;
use serde::de::DeserializeOwned;

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident($data:ty), $constant:ident = $word:literal, $capacity:literal;)*) => {
        /// Something that happened and is durable.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Event {
            $($(#[$doc])* $name($data),)*
        }

        impl Event {
            $(#[doc = concat!("Type name of [`Event::", stringify!($name), "`].")]
            pub const $constant: &'static str = $word;)*

            /// Every versioned type, in the order in which they are documented.
            pub const TYPES: &'static [&'static str] = &[$($word,)*];

            /// The versioned type, as in the outbox and in messages.
            #[must_use]
            pub const fn type_name(&self) -> &'static str {
                match self { $(Self::$name(_) => $word,)* }
            }

            /// The data as JSON text. Called for every transaction inside the wallet shards: about a microsecond.
            #[must_use]
            pub fn data_json(&self) -> String {
                match self { $(Self::$name(data) => to_json(data, $capacity),)* }
            }

            /// Reads back what [`Event::type_name`] and [`Event::data_json`] wrote.
            ///
            /// # Errors
            /// [`ParseError::UnknownType`] is to be skipped, [`ParseError::Malformed`] is a defect of the writer.
            pub fn parse(type_name: &str, data: &str) -> Result<Self, ParseError> {
                match type_name {
                    $($word => from_json($word, data).map(Self::$name),)*
                    other => Err(ParseError::UnknownType(other.chars().take(80).collect())),
                }
            }

            /// The JSON Schema of a type's data; none for a type that is not known.
            #[must_use]
            pub fn data_schema(type_name: &str) -> Option<Schema> {
                match type_name { $($word => Some(schema_for!($data)),)* _ => None }
            }
        }
    };
}

// One line a type: what it tells, its data, its name, and about how many bytes its data has.
events! {
    /// A plan was bought for a number.
    RechargeCompleted(RechargeCompleted), RECHARGE_COMPLETED = "gencharge.recharge.completed.v1", 640;
    /// A partner's recharge was decided against. No money moved.
    RechargeFailed(CommandFailed), RECHARGE_FAILED = "gencharge.recharge.failed.v1", 320;
    /// Money was put into a wallet.
    WalletToppedUp(WalletToppedUp), WALLET_TOPPED_UP = "gencharge.wallet.topped_up.v1", 320;
    /// A partner's top-up was decided against. No money moved.
    TopUpFailed(CommandFailed), TOP_UP_FAILED = "gencharge.wallet.topup.failed.v1", 320;
    /// A bought plan began to run after waiting in the queue.
    SubscriptionActivated(SubscriptionActivated), SUBSCRIPTION_ACTIVATED = "gencharge.subscription.activated.v1", 320;
    /// A running plan is about to end.
    SubscriptionExpiring(SubscriptionExpiring), SUBSCRIPTION_EXPIRING = "gencharge.subscription.expiring.v1", 320;
    /// A running plan ended.
    SubscriptionExpired(SubscriptionExpired), SUBSCRIPTION_EXPIRED = "gencharge.subscription.expired.v1", 320;
    /// A debit by autopay is coming.
    AutopayDueSoon(AutopayDueSoon), AUTOPAY_DUE_SOON = "gencharge.autopay.due_soon.v1", 320;
    /// Autopay recharged a number.
    AutopayCharged(AutopayCharged), AUTOPAY_CHARGED = "gencharge.autopay.charged.v1", 320;
    /// Autopay could not recharge a number.
    AutopayFailed(AutopayFailed), AUTOPAY_FAILED = "gencharge.autopay.failed.v1", 320;
    /// An autopay rule was given up.
    AutopayDisabled(AutopayDisabled), AUTOPAY_DISABLED = "gencharge.autopay.disabled.v1", 320;
    /// A partner's money came in.
    PartnerFunded(PartnerFunded), PARTNER_FUNDED = "gencharge.partner.funded.v1", 160;
    /// Someone changed something, signed in or was refused.
    AuditRecorded(AuditRecorded), AUDIT_RECORDED = "gencharge.audit.recorded.v1", 320;
    /// A customer was deleted while the wallet held money.
    WalletClosed(WalletClosed), WALLET_CLOSED = "gencharge.wallet.closed.v1", 160;
    /// A payment was declined, or nobody paid in time. No money moved.
    PaymentFailed(PaymentFailed), PAYMENT_FAILED = "gencharge.payment.failed.v1", 240;
    /// Money was given back.
    PaymentRefunded(PaymentRefunded), PAYMENT_REFUNDED = "gencharge.payment.refunded.v1", 320;
    /// A customer earned a reward for bringing another.
    ReferralRewarded(ReferralRewarded), REFERRAL_REWARDED = "gencharge.referral.rewarded.v1", 200;
}

/// The text is not an event that this version knows.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The type is of another (newer) version, or another system's.
    #[error("unknown event type {0}: a newer version may have written it")]
    UnknownType(String),
    /// The data does not have the fields of its type.
    #[error("malformed data of {type_name}: {reason}")]
    Malformed {
        /// The event's type.
        type_name: &'static str,
        /// What is wrong, without the data itself.
        reason: serde_json::Error,
    },
}

impl Event {
    /// Says that this is what came of a partner's message. Only events of commands take it.
    pub fn answers(&mut self, request: &RequestRef) {
        match self {
            Self::RechargeCompleted(data) => data.request = Some(request.clone()),
            Self::WalletToppedUp(data) => data.request = Some(request.clone()),
            _ => {}
        }
    }

    /// The partner whose message this answers (by its user at the broker), if it answers one: it hears of it too.
    #[must_use]
    pub fn addressee(&self) -> Option<&str> {
        let request = match self {
            Self::RechargeCompleted(data) => data.request.as_ref(),
            Self::WalletToppedUp(data) => data.request.as_ref(),
            Self::RechargeFailed(data) | Self::TopUpFailed(data) => Some(&data.request),
            _ => None,
        };
        request.map(|request| &*request.partner)
    }
}

fn to_json<T: Serialize>(data: &T, capacity: usize) -> String {
    let mut bytes = Vec::with_capacity(capacity);
    // Writing numbers and text into memory cannot fail, and JSON is UTF-8.
    if serde_json::to_writer(&mut bytes, data).is_err() {
        bytes.clear();
    }
    String::from_utf8(bytes).unwrap_or_default()
}

fn from_json<T: DeserializeOwned>(type_name: &'static str, data: &str) -> Result<T, ParseError> {
    serde_json::from_str(data).map_err(|reason| ParseError::Malformed { type_name, reason })
}

#[cfg(test)]
mod tests;
