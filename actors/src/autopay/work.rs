//! Autopay's work, a batch at a time.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::port::{AutopayError, AutopayStore, Cashier, Claim};
use super::settle::{Outcome, Try, Verdict, is_lost};
use crate::kernel::{AutopayId, Clock, PaymentMethod, Source};
use crate::wallet::{Command, KeyOrigin, Order, OrderKey, Recharge};

/// Notices, or charges, in one batch. Charges of a batch are ordered at once, so that they share the wallets' commits.
pub(super) const BATCH: u32 = 512;

/// How long a claim holds. Longer than everything that a batch does together.
const LEASE: Duration = Duration::from_secs(120);

/// How long one call of the store may take.
const STORE_WITHIN: Duration = Duration::from_secs(15);

/// How often answers are tried to be written, and the pause between. What is not written is asked again after the lease.
const SETTLE_TRIES: u32 = 4;
const SETTLE_PAUSE: Duration = Duration::from_millis(500);

/// A try and what followed from it.
#[derive(Clone, Debug)]
pub struct Done {
    /// Whose.
    pub rule: AutopayId,
    /// Which date.
    pub due: DateTime<Utc>,
    /// What came of it.
    pub outcome: Outcome,
    /// What follows; `None` when another process had settled it.
    pub verdict: Option<Verdict>,
}

/// Notices and charges, for the actor and for administrators who do not want to wait for it. Cheap to clone.
#[derive(Clone)]
pub struct Autopay<S, C> {
    store: S,
    cashier: C,
    clock: Arc<dyn Clock>,
}

impl<S: AutopayStore, C: Cashier> Autopay<S, C> {
    /// Over the store and the wallets.
    #[must_use]
    pub fn new(store: S, cashier: C, clock: Arc<dyn Clock>) -> Self {
        Self { store, cashier, clock }
    }

    /// Tells one batch of customers what is due soon; answers how many. Fewer than a full batch means that all are told.
    ///
    /// # Errors
    /// [`AutopayError`].
    pub async fn announce(&self) -> Result<usize, AutopayError> {
        within(self.store.announce(BATCH)).await
    }

    /// Charges at most `limit` dates that are due; answers what came of each. None means that there is nothing to do.
    ///
    /// # Errors
    /// [`AutopayError`]; what was ordered meanwhile is found again by its key.
    pub async fn charge(&self, limit: u32) -> Result<Vec<Done>, AutopayError> {
        let claims = within(self.store.claim(limit.min(BATCH), LEASE)).await?;
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        let tries = join_all(claims.into_iter().map(|claim| self.try_one(claim))).await;
        let verdicts = self.settle(&tries).await?;
        let done = tries.into_iter().map(|tried| {
            let verdict = verdicts.iter().find(|(rule, _)| *rule == tried.rule).map(|(_, verdict)| *verdict);
            Done { rule: tried.rule, due: tried.due, outcome: tried.outcome, verdict }
        });
        Ok(done.collect())
    }

    async fn try_one(&self, claim: Claim) -> Try {
        let outcome = match claim.debit {
            None => Outcome::Lost,
            Some(_) if is_lost(claim.asked_at, self.clock.now()) => Outcome::Lost,
            Some(debit) => {
                let recharge = Recharge {
                    payer: debit.payer,
                    number: debit.number,
                    plan: debit.plan,
                    offer: None,
                    method: PaymentMethod::Wallet,
                    wallet_amount: None,
                    // At once if nothing is active, else behind it: what is paid for already is never cut short.
                    mode: None,
                    source: Source::Autopay,
                };
                let key = OrderKey { key: claim.key, request: claim.key, origin: KeyOrigin::Internal };
                let order = Order { command: Command::Recharge(recharge), key, asked: None };
                self.cashier.pay(order).await.into()
            }
        };
        Try {
            rule: claim.rule,
            due: claim.due,
            claim: claim.number,
            asked_before: claim.asked_at.is_some(),
            outcome,
        }
    }

    async fn settle(&self, tries: &[Try]) -> Result<Vec<(AutopayId, Verdict)>, AutopayError> {
        let mut tried = 1;
        loop {
            match within(self.store.settle(tries)).await {
                Ok(verdicts) => return Ok(verdicts),
                Err(error) if tried >= SETTLE_TRIES => return Err(error),
                Err(_) => {
                    tried = tried.saturating_add(1);
                    sleep(SETTLE_PAUSE).await;
                }
            }
        }
    }
}

async fn within<T>(call: impl Future<Output = Result<T, AutopayError>>) -> Result<T, AutopayError> {
    let late = |_| AutopayError("no answer in time".to_owned());
    timeout(STORE_WITHIN, call).await.map_err(late)?
}
