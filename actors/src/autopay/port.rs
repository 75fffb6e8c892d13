//! What autopay needs of the database and of the wallets.

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::LocalBoxFuture;

use super::settle::{Answer, Try, Verdict};
use crate::kernel::{AutopayId, Digest128, PhoneNumber, PlanId};
use crate::wallet::{Order, Payer, WalletStore, Wallets};

/// The store did not do it, or its answer was lost; everything here may be repeated.
#[derive(Clone, Debug, thiserror::Error)]
#[error("autopay's store: {0}")]
pub struct AutopayError(pub String);

/// A date that this process is to charge now.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Whose.
    pub rule: AutopayId,
    /// Which date.
    pub due: DateTime<Utc>,
    /// Under which key.
    pub key: Digest128,
    /// Which try of this date.
    pub number: i64,
    /// Since when an earlier try is without an answer.
    pub asked_at: Option<DateTime<Utc>>,
    /// What to buy; `None` when the rule is gone.
    pub debit: Option<Debit>,
}

/// What a rule buys.
#[derive(Clone, Copy, Debug)]
pub struct Debit {
    /// Who pays.
    pub payer: Payer,
    /// For which number.
    pub number: PhoneNumber,
    /// Which plan.
    pub plan: PlanId,
}

/// Rules and occurrences. One call is one database transaction; several processes may call at once.
pub trait AutopayStore: Clone + Unpin + 'static {
    /// Tells at most `limit` customers of their next date; answers how many.
    ///
    /// # Errors
    /// [`AutopayError`].
    fn announce(&self, limit: u32) -> impl Future<Output = Result<usize, AutopayError>>;

    /// Takes at most `limit` dates that are to be charged; nobody else gets them for as long as the `lease` holds.
    ///
    /// # Errors
    /// [`AutopayError`]; what was taken comes back when the lease has run out.
    fn claim(&self, limit: u32, lease: Duration) -> impl Future<Output = Result<Vec<Claim>, AutopayError>>;

    /// Writes what came of tries and what follows from it, with the events; answers what followed. Tries that were
    /// settled meanwhile are left out.
    ///
    /// # Errors
    /// [`AutopayError`].
    fn settle(&self, tries: &[Try]) -> impl Future<Output = Result<Vec<(AutopayId, Verdict)>, AutopayError>>;
}

/// Takes orders to the wallets.
pub trait Cashier: Clone + Unpin + 'static {
    /// Has `order` decided and committed.
    fn pay(&self, order: Order) -> LocalBoxFuture<'_, Answer>;
}

impl<S: WalletStore> Cashier for Wallets<S> {
    fn pay(&self, order: Order) -> LocalBoxFuture<'_, Answer> {
        Box::pin(self.submit(order))
    }
}
