//! What happened, told to the outside: versioned event types, their data, and the CloudEvents envelope.
//!
//! The business transaction writes `type_name()` and `data_json()` into the outbox; the relay delivers them.
//! A type's data only ever gains optional fields; anything else is a new version with a new name.

mod data;
mod envelope;
mod wire;

pub use data::{RechargeCompleted, SubscriptionActivated, SubscriptionExpired, WalletToppedUp};
pub use envelope::{CloudEvent, SOURCE};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernel::UserId;

/// Something that happened and is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A plan was bought for a number.
    RechargeCompleted(RechargeCompleted),
    /// Money was put into a wallet.
    WalletToppedUp(WalletToppedUp),
    /// A bought plan began to run after waiting in the queue.
    SubscriptionActivated(SubscriptionActivated),
    /// A running plan ended.
    SubscriptionExpired(SubscriptionExpired),
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
    /// Type name of [`Event::RechargeCompleted`].
    pub const RECHARGE_COMPLETED: &'static str = "gencharge.recharge.completed.v1";
    /// Type name of [`Event::WalletToppedUp`].
    pub const WALLET_TOPPED_UP: &'static str = "gencharge.wallet.topped_up.v1";
    /// Type name of [`Event::SubscriptionActivated`].
    pub const SUBSCRIPTION_ACTIVATED: &'static str = "gencharge.subscription.activated.v1";
    /// Type name of [`Event::SubscriptionExpired`].
    pub const SUBSCRIPTION_EXPIRED: &'static str = "gencharge.subscription.expired.v1";

    /// The versioned type, as in the outbox and in messages.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::RechargeCompleted(_) => Self::RECHARGE_COMPLETED,
            Self::WalletToppedUp(_) => Self::WALLET_TOPPED_UP,
            Self::SubscriptionActivated(_) => Self::SUBSCRIPTION_ACTIVATED,
            Self::SubscriptionExpired(_) => Self::SUBSCRIPTION_EXPIRED,
        }
    }

    /// The customer it is about: the payer, or the owner of the number.
    #[must_use]
    pub const fn user_id(&self) -> UserId {
        match self {
            Self::RechargeCompleted(data) => data.user_id,
            Self::WalletToppedUp(data) => data.user_id,
            Self::SubscriptionActivated(data) => data.user_id,
            Self::SubscriptionExpired(data) => data.user_id,
        }
    }

    /// The data as JSON text. Called for every transaction inside the wallet shards: about a microsecond.
    #[must_use]
    pub fn data_json(&self) -> String {
        match self {
            Self::RechargeCompleted(data) => to_json(data, 640),
            Self::WalletToppedUp(data) => to_json(data, 320),
            Self::SubscriptionActivated(data) => to_json(data, 320),
            Self::SubscriptionExpired(data) => to_json(data, 320),
        }
    }

    /// Reads back what [`Event::type_name`] and [`Event::data_json`] wrote.
    ///
    /// # Errors
    /// [`ParseError::UnknownType`] is to be skipped, [`ParseError::Malformed`] is a defect of the writer.
    pub fn parse(type_name: &str, data: &str) -> Result<Self, ParseError> {
        match type_name {
            Self::RECHARGE_COMPLETED => {
                from_json(Self::RECHARGE_COMPLETED, data).map(Self::RechargeCompleted)
            }
            Self::WALLET_TOPPED_UP => from_json(Self::WALLET_TOPPED_UP, data).map(Self::WalletToppedUp),
            Self::SUBSCRIPTION_ACTIVATED => {
                from_json(Self::SUBSCRIPTION_ACTIVATED, data).map(Self::SubscriptionActivated)
            }
            Self::SUBSCRIPTION_EXPIRED => {
                from_json(Self::SUBSCRIPTION_EXPIRED, data).map(Self::SubscriptionExpired)
            }
            other => Err(ParseError::UnknownType(other.chars().take(80).collect())),
        }
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
