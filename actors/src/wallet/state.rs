//! What a batch loads under its locks.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::command::{Command, Order, Payer, Receipt, Recharge, Rejection};
use super::payment::{PaymentStanding, Purchase, RefundStanding};
use crate::catalogue::Catalogue;
use crate::kernel::{
    AccountStatus, Digest128, EventId, OfferId, Paise, PhoneNumber, SubscriptionId, TxnId, UserId, UserType,
    WalletId,
};

/// What a batch touches. Lists are sorted and without repeats: that is the order in which locks are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touch {
    /// Wallets known by id: the payers'.
    pub wallets: Vec<WalletId>,
    /// Numbers of others: whoever owns them is locked and loaded too. (A payer's own number comes with the payer.)
    pub numbers: Vec<PhoneNumber>,
    /// Idempotency keys to be looked up.
    pub keys: Vec<Digest128>,
    /// Offer and payer, where an offer is used (only those with a limit per user are looked up).
    pub offers: Vec<(OfferId, UserId)>,
    /// Payments that are to be ended.
    pub payments: Vec<TxnId>,
    /// Transactions that are to be refunded, with the plan they bought.
    pub refunds: Vec<(TxnId, Option<SubscriptionId>)>,
    /// Customers who pay for a recharge: one who was brought here may have to be paid for.
    pub buyers: Vec<UserId>,
}

impl Touch {
    /// What these orders touch, with the `keys` to be looked up.
    #[must_use]
    pub fn of(orders: &[Order], keys: impl Iterator<Item = Digest128>) -> Self {
        let mut touch = Self { keys: keys.collect(), ..Self::default() };
        for order in orders {
            let payer = order.command.payer();
            touch.wallets.push(payer.user.into());
            match &order.command {
                Command::Recharge(recharge) => touch.recharge(recharge),
                Command::TopUp(top_up) => touch.number(top_up.number, payer),
                Command::Settle(settle) => {
                    touch.payments.push(settle.payment.payment_id);
                    match &settle.payment.purchase {
                        Purchase::Recharge(recharge) => touch.recharge(recharge),
                        Purchase::TopUp(top_up) => touch.number(top_up.number, payer),
                    }
                }
                Command::Refund(refund) => {
                    touch.refunds.push((refund.of.txn_id, refund.of.subscription_id));
                    touch.wallets.push(refund.holder().into());
                    touch.numbers.extend(refund.of.to_phone.filter(|number| Some(*number) != payer.phone));
                }
                Command::Fund(_) | Command::Close(_) => {}
            }
        }
        sort_unique(&mut touch.wallets);
        sort_unique(&mut touch.numbers);
        sort_unique(&mut touch.keys);
        sort_unique(&mut touch.offers);
        touch
    }

    /// The same with `more` wallets, where that must be locked too which only the locked wallets tell.
    #[must_use]
    pub fn and_wallets(&self, more: impl IntoIterator<Item = WalletId>) -> Self {
        let mut touch = self.clone();
        touch.wallets.extend(more);
        sort_unique(&mut touch.wallets);
        touch
    }

    fn recharge(&mut self, order: &Recharge) {
        self.number(order.number, order.payer);
        self.buyers.push(order.payer.user);
        self.offers.extend(order.offer.map(|offer| (offer, order.payer.user)));
    }

    fn number(&mut self, number: PhoneNumber, payer: Payer) {
        // A payer's own number comes with the payer.
        if Some(number) != payer.phone {
            self.numbers.push(number);
        }
    }
}

fn sort_unique<T: Ord>(items: &mut Vec<T>) {
    items.sort_unstable();
    items.dedup();
}

/// A locked wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletState {
    /// Never below zero.
    pub balance: Paise,
    /// Transactions that moved it.
    pub seq: i64,
    /// Rows of its owner's own list.
    pub transactions: i64,
    /// Successful recharges its owner paid.
    pub recharges: i64,
    /// Its owner's status.
    pub status: AccountStatus,
}

/// A locked number. Loaded lines are up to date: what has run out is expired and what is due is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineState {
    /// Whose it is.
    pub owner: UserId,
    /// Which plans fit; unknown until its owner registers.
    pub user_type: Option<UserType>,
    /// The plan in use and when it ends (always later than now).
    pub active: Option<(SubscriptionId, DateTime<Utc>)>,
    /// When everything bought has run out.
    pub tail_valid_to: Option<DateTime<Utc>>,
    /// Plans waiting.
    pub queued: i32,
    /// Recharges that others paid.
    pub gifts: i64,
}

/// Who brought a customer, until the first recharge that the customer pays ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Referral {
    /// Who gets the reward.
    pub referrer: UserId,
    /// Which reward is pending, and how much it is; `None`: it lapsed meanwhile.
    pub reward: Option<(i64, Paise)>,
}

/// What a key decided earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// Digest of the request it came with.
    pub request: Digest128,
    /// What was answered.
    pub outcome: StoredOutcome,
}

/// What was answered under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredOutcome {
    /// It was done.
    Done(Box<Receipt>),
    /// It was decided against.
    Rejected(Rejection),
}

/// Everything a batch has locked and read.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The batch's time: later than every lock's acquisition.
    pub now: DateTime<Utc>,
    /// By id; absent: there is no such wallet.
    pub wallets: HashMap<WalletId, WalletState>,
    /// By number; absent: not registered.
    pub lines: HashMap<PhoneNumber, LineState>,
    /// Keys that were used before.
    pub keys: HashMap<Digest128, StoredKey>,
    /// How often a payer has used an offer that has a limit.
    pub offer_uses: HashMap<(OfferId, UserId), u64>,
    /// Where the payments stand that are to be ended; absent: there is no such payment.
    pub payments: HashMap<TxnId, PaymentStanding>,
    /// What was refunded of a transaction, and where its plan stands.
    pub refunds: HashMap<TxnId, RefundStanding>,
    /// The batch's buyers who were brought here and have not paid for a recharge yet, with whoever brought them: that
    /// wallet is locked and loaded too.
    pub referrals: HashMap<UserId, Referral>,
    /// Rewards that those have earned so far.
    pub rewards_earned: HashMap<UserId, i64>,
    /// Prices and rules, as of this batch.
    pub catalogue: Arc<Catalogue>,
}

/// A range of ids that this writer owns.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdBlock {
    next: i64,
    end: i64,
}

impl IdBlock {
    /// The `size` ids from `first` on.
    #[must_use]
    pub const fn new(first: i64, size: i64) -> Self {
        Self { next: first, end: first.saturating_add(size) }
    }

    /// How many are left.
    #[must_use]
    pub const fn left(&self) -> i64 {
        self.end.saturating_sub(self.next)
    }

    /// The next id; `None` when the block is used up.
    pub fn take(&mut self) -> Option<i64> {
        if self.next >= self.end {
            return None;
        }
        let id = self.next;
        self.next = self.next.saturating_add(1);
        Some(id)
    }
}

/// The ids a writer gives out. Its store keeps them filled: a batch needs at most three transactions (a recharge,
/// its cashback, a reward), one subscription and three events for each order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ids {
    /// For transactions.
    pub transactions: IdBlock,
    /// For subscriptions.
    pub subscriptions: IdBlock,
    /// For events.
    pub events: IdBlock,
}

impl Ids {
    /// True when `orders` orders can be decided.
    #[must_use]
    pub fn enough_for(&self, orders: usize) -> bool {
        let orders = i64::try_from(orders).unwrap_or(i64::MAX);
        self.transactions.left() >= orders.saturating_mul(3)
            && self.subscriptions.left() >= orders
            && self.events.left() >= orders.saturating_mul(3)
    }

    pub(super) fn transaction(&mut self) -> Option<TxnId> {
        self.transactions.take().map(TxnId)
    }

    pub(super) fn subscription(&mut self) -> Option<SubscriptionId> {
        self.subscriptions.take().map(SubscriptionId)
    }

    pub(super) fn event(&mut self) -> Option<EventId> {
        self.events.take().map(EventId)
    }
}
