//! What a batch writes, set by set.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::command::{Reason, Rejection, Subscription, Transaction};
use super::payment::{Payment, PaymentStanding};
use super::state::{LineState, WalletState};
use crate::events::Event;
use crate::kernel::{
    AccountId, AdminId, Digest128, EventId, OfferId, Paise, PaymentState, PhoneNumber, SubscriptionId,
    SubscriptionStatus, TxnId, TxnStatus, UserId, WalletId,
};

/// Everything one batch changes. All of it is written in one database transaction, or none.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// The batch's time: `created_at` of all its rows.
    pub now: DateTime<Utc>,
    /// New values of the wallets that changed.
    pub wallets: BTreeMap<WalletId, WalletState>,
    /// New values of the lines that changed.
    pub lines: BTreeMap<PhoneNumber, LineState>,
    /// New transactions.
    pub transactions: Vec<Transaction>,
    /// Their postings; they sum to zero for each transaction.
    pub postings: Vec<NewPosting>,
    /// Subscriptions of earlier batches that end now; written before the new ones.
    pub expired: Vec<ExpireSubscription>,
    /// Queues of earlier batches that move; written before the new ones.
    pub shifted: BTreeMap<PhoneNumber, ShiftQueue>,
    /// New subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Numbers with something queued and nothing active: to be activated at once by the lifecycle actor.
    pub wake_ups: Vec<PhoneNumber>,
    /// Uses of offers that have a limit per user.
    pub offer_uses: BTreeMap<(OfferId, UserId), OfferUse>,
    /// Wallets closed, each empty now: their owners' accounts are archived after everything else is written.
    pub closed: Vec<ClosedWallet>,
    /// Payments that were begun.
    pub payments: Vec<NewPayment>,
    /// Payments that ended.
    pub settled: Vec<SettledPayment>,
    /// Money given back.
    pub refunds: Vec<NewRefund>,
    /// Plans that end because their money was given back.
    pub cancelled: Vec<CancelPlan>,
    /// Referrals that ended.
    pub referrals: Vec<EndedReferral>,
    /// What keys decided.
    pub keys: Vec<NewKey>,
    /// What happened, for the outbox.
    pub events: Vec<NewEvent>,
}

impl Writes {
    /// True when there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.transactions.is_empty()
    }

    /// True when the postings of every transaction sum to zero; each that moved money has some, each that failed has none.
    #[must_use]
    pub fn balanced(&self) -> bool {
        let mut sums: BTreeMap<TxnId, i128> = BTreeMap::new();
        for posting in &self.postings {
            let sum = sums.entry(posting.txn_id).or_default();
            *sum = sum.saturating_add(i128::from(posting.amount.get()));
        }
        let done = self.transactions.iter().filter(|txn| txn.status == TxnStatus::Success).count();
        sums.len() == done && sums.values().all(|sum| *sum == 0)
    }
}

/// One side of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewPosting {
    /// Of which transaction.
    pub txn_id: TxnId,
    /// Which account.
    pub account: AccountId,
    /// Positive puts money into the account.
    pub amount: Paise,
}

/// A stored subscription that ends now because another took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpireSubscription {
    /// Which.
    pub subscription_id: SubscriptionId,
    /// When.
    pub valid_to: DateTime<Utc>,
}

/// How far the waiting plans of a number move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShiftQueue {
    /// Added to both ends of every queued window.
    pub by: TimeDelta,
}

/// A wallet closed, because its owner's account is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedWallet {
    /// Whose.
    pub user: UserId,
    /// What it held.
    pub held: Paise,
    /// The administrator who did it; `None`: the customer.
    pub by: Option<AdminId>,
}

/// A payment that was begun and not captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPayment {
    /// It.
    pub payment: Payment,
    /// Pending, or failed at once.
    pub standing: PaymentStanding,
}

/// A payment that ended, or came late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledPayment {
    /// Which.
    pub payment_id: TxnId,
    /// Where it stands now.
    pub state: PaymentState,
    /// Its transaction.
    pub txn_id: TxnId,
    /// Why the money is in the payer's wallet instead of what it was for.
    pub credited: Option<Reason>,
}

/// Money given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRefund {
    /// The reversing transaction.
    pub refund_txn_id: TxnId,
    /// What it reverses.
    pub txn_id: TxnId,
    /// How much.
    pub amount: Paise,
    /// True when nothing is left to be given back.
    pub complete: bool,
    /// By whom.
    pub admin: AdminId,
    /// Why.
    pub reason: Option<String>,
}

/// A plan that ends before its time or its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CancelPlan {
    /// Which.
    pub subscription_id: SubscriptionId,
    /// For which number.
    pub phone: PhoneNumber,
    /// Its end, until now.
    pub old_valid_to: DateTime<Utc>,
    /// Its end, from now on: now, or its own start.
    pub valid_to: DateTime<Utc>,
}

impl CancelPlan {
    /// Added to both ends of the windows of plans that wait behind it.
    #[must_use]
    pub fn shift(&self) -> TimeDelta {
        self.valid_to.signed_duration_since(self.old_valid_to)
    }
}

/// A customer who was brought here has paid for a recharge: the reward was earned, or lapsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndedReferral {
    /// Who was brought.
    pub referred: UserId,
    /// Which reward, unless it lapsed before.
    pub reward_id: Option<i64>,
    /// The transaction that paid it; `None`: it lapses.
    pub txn_id: Option<TxnId>,
}

/// One more use of an offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfferUse {
    /// How many more.
    pub added: u64,
}

/// What a key decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// The key.
    pub key: Digest128,
    /// The request it came with.
    pub request: Digest128,
    /// The effect, with its subscription as it was answered, or the rejection.
    pub outcome: Result<(TxnId, Option<Bought>), Rejection>,
}

/// What of a subscription may change after it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bought {
    /// Where it stood.
    pub status: SubscriptionStatus,
    /// Its start.
    pub valid_from: DateTime<Utc>,
    /// Its end.
    pub valid_to: DateTime<Utc>,
}

/// An event for the outbox.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its id.
    pub event_id: EventId,
    /// The transaction it tells of, if there is one.
    pub txn_id: Option<TxnId>,
    /// What happened.
    pub event: Event,
}
