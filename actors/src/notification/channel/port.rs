//! What channels need of the outside.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use super::super::{Language, Wishes};
use super::Message;
use crate::kernel::{PhoneNumber, UserId};

/// Why a message was not delivered. The text names neither the receiver nor what the message says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The provider is away, too busy, or its answer was lost: try again later.
    #[error("away: {0}")]
    Away(String),
    /// The provider will never take this message.
    #[error("refused: {0}")]
    Refused(String),
}

/// A way to the outside.
pub trait Channel: Send + Sync {
    /// Delivers a message; `Ok` when the provider has it. The same message may come again after a crash.
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<(), SendError>>;
}

/// How a customer is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The number.
    pub phone: PhoneNumber,
    /// The e-mail address, if the customer gave one.
    pub email: Option<String>,
    /// What the customer wants now.
    pub wishes: Wishes,
}

/// The people could not be asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the customers cannot be read: {0}")]
pub struct PeopleError(pub String);

/// What notifications ask about customers.
pub trait People: Send + Sync {
    /// The wishes of those customers who have unusual ones.
    fn wishes<'a>(&'a self, of: &'a [UserId]) -> BoxFuture<'a, Result<HashMap<UserId, Wishes>, PeopleError>>;

    /// How these customers are reached; those who are gone are left out.
    fn contacts<'a>(
        &'a self,
        of: &'a [UserId],
    ) -> BoxFuture<'a, Result<HashMap<UserId, Contact>, PeopleError>>;
}

/// A copy that was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The notice: 24 hex digits.
    pub notice: String,
    /// To whom.
    pub to: UserId,
    /// What it says.
    pub text: String,
    /// When what it tells happened.
    pub at: DateTime<Utc>,
    /// Tries so far.
    pub attempts: u32,
    /// Why the last one failed.
    pub error: String,
    /// When it is tried again; `None`: never, it is dead.
    pub next: Option<DateTime<Utc>>,
}

/// What a round came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Everything up to this place was delivered, failed or not for this channel.
    pub position: i64,
    /// Notices of earlier failures that are done with now.
    pub done: Vec<String>,
    /// New failures, and earlier ones that failed again.
    pub failed: Vec<Failure>,
}

/// The store of deliveries did not do it, or its answer was lost. Everything here may be repeated.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store of deliveries: {0}")]
pub struct DeliveryError(pub String);

/// How far a channel has come, and what failed. One method is one transaction.
pub trait DeliveryStore: Send + Sync {
    /// Takes the channel for `owner` for the length of `lease`, or holds on to it; answers its position, nothing while
    /// another process has it. A channel that is new begins behind `head`: nobody gets the news of last year.
    fn claim<'a>(
        &'a self,
        channel: &'static str,
        owner: i64,
        lease: Duration,
        head: i64,
    ) -> BoxFuture<'a, Result<Option<i64>, DeliveryError>>;

    /// Failures to be tried again by `now`, the longest waiting first.
    fn due<'a>(
        &'a self,
        channel: &'static str,
        now: DateTime<Utc>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Failure>, DeliveryError>>;

    /// Gives the channel back, for another process to take at once.
    fn release<'a>(&'a self, channel: &'static str, owner: i64) -> BoxFuture<'a, Result<(), DeliveryError>>;

    /// Writes what a round came to. False, and nothing written, when the channel is another process' by now. Of dead
    /// failures the store keeps the last ten thousand of a channel.
    fn settle<'a>(
        &'a self,
        channel: &'static str,
        owner: i64,
        settled: &'a Settled,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<bool, DeliveryError>>;
}

impl Contact {
    /// The one chosen, or `usual`.
    #[must_use]
    pub fn language(&self, usual: Language) -> Language {
        self.wishes.language.unwrap_or(usual)
    }
}
