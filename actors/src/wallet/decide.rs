//! The rules of money, pure: locked state and orders in, answers and writes out.
//!
//! Orders are decided one after the other on an overlay of the loaded state, so that the tenth of a batch sees what the
//! nine before it did. Each decision first computes everything and only then changes the overlay: a rejected order leaves
//! no trace but its key (and, when its payment was declined, a failed transaction).
//!
//! Here is what all commands share; `recharge`, `line` (where a bought plan goes), `top_up`, `payment` (what is not captured
//! at once), `refund`, `referral` (what bringing the payer earns), `partner` and `close` hold the commands' own rules.

mod close;
mod line;
mod partner;
mod payment;
mod recharge;
mod referral;
mod refund;
mod top_up;

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::command::{Command, Done, KeyOrigin, Order, Payer, Reason, Refusal, Rejection, Transaction};
use super::state::{Ids, LineState, Loaded, StoredOutcome, WalletState};
use super::writes::{Bought, NewKey, NewPosting, Writes};
use crate::kernel::{
    AccountId, AccountStatus, Category, Digest128, Paise, PhoneNumber, Source, SubscriptionId, TxnId,
    TxnStatus, TxnType, UserId, WalletId,
};
use crate::payment::PaymentRules;

/// Bounds from the settings.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Plans that may wait for one number.
    pub max_queued: i32,
    /// The largest single top-up.
    pub max_top_up: Paise,
    /// The most a wallet may hold after a top-up; `None`: no limit.
    pub max_balance: Option<Paise>,
    /// The most rewards that one customer may earn by bringing others; `None`: no limit.
    pub max_rewards: Option<i64>,
    /// How payments are taken.
    pub payments: PaymentRules,
}

/// What a batch answers and writes.
#[derive(Debug)]
pub struct Decisions {
    /// One answer for each order, in order.
    pub answers: Vec<Result<Done, Refusal>>,
    /// What makes them true.
    pub writes: Writes,
}

/// Decides `orders` in turn.
#[must_use]
pub fn decide(loaded: Loaded, orders: &[Order], limits: &Limits, ids: &mut Ids) -> Decisions {
    let writes = Writes { now: loaded.now, ..Writes::default() };
    let mut batch =
        Batch { loaded, limits, ids, writes, new_subscriptions: HashMap::new(), keys: HashMap::new() };
    let mut answers: Vec<Result<Done, Refusal>> = Vec::with_capacity(orders.len());
    for (index, order) in orders.iter().enumerate() {
        let answer = match batch.earlier(order, orders, &answers) {
            Some(answer) => answer,
            None => batch.fresh(index, order),
        };
        answers.push(answer);
    }
    Decisions { answers, writes: batch.writes }
}

/// The overlay and what it owes the database.
struct Batch<'a> {
    loaded: Loaded,
    limits: &'a Limits,
    ids: &'a mut Ids,
    writes: Writes,
    /// Where this batch's own subscriptions stand in `writes`: they may still change within the batch.
    new_subscriptions: HashMap<SubscriptionId, usize>,
    /// Which order of this batch first used a key.
    keys: HashMap<Digest128, usize>,
}

type Decided<T> = Result<T, Rejection>;

impl Batch<'_> {
    /// The answer of an order whose key was used before, by an earlier batch or in this one.
    fn earlier(
        &self,
        order: &Order,
        orders: &[Order],
        answers: &[Result<Done, Refusal>],
    ) -> Option<Result<Done, Refusal>> {
        if let Some(stored) = self.loaded.keys.get(&order.key.key) {
            if stored.request != order.key.request {
                return Some(Err(Refusal::KeyReused));
            }
            return Some(match &stored.outcome {
                StoredOutcome::Done(receipt) => Ok(Done { receipt: (**receipt).clone(), replayed: true }),
                StoredOutcome::Rejected(rejection) => {
                    Err(Refusal::Rejected { rejection: rejection.clone(), replayed: true })
                }
            });
        }
        let first = *self.keys.get(&order.key.key)?;
        if orders.get(first)?.key.request != order.key.request {
            return Some(Err(Refusal::KeyReused));
        }
        Some(match answers.get(first)?.clone() {
            Ok(done) => Ok(Done { replayed: true, ..done }),
            Err(Refusal::Rejected { rejection, .. }) => Err(Refusal::Rejected { rejection, replayed: true }),
            Err(other) => Err(other),
        })
    }

    /// Decides an order that was never seen.
    fn fresh(&mut self, index: usize, order: &Order) -> Result<Done, Refusal> {
        if !self.ids.enough_for(1) {
            // The store fills the blocks before every batch; if it ever did not, nothing has been done yet.
            return Err(Refusal::Overloaded);
        }
        let told = self.writes.events.len();
        let decided = match &order.command {
            _ if self.too_late(order) => Err(Rejection::new(
                Reason::MessageExpired,
                "The message came after its expiresat: send a new one, under a new id",
            )),
            Command::Recharge(recharge) => self.recharge(recharge),
            Command::TopUp(top_up) => self.top_up(top_up),
            Command::Fund(fund) => self.fund(fund),
            Command::Close(close) => self.close(close),
            Command::Settle(settle) => self.settle(settle),
            Command::Refund(refund) => self.refund(refund),
        };
        let (key, request) = (order.key.key, order.key.request);
        match decided {
            Ok(receipt) => {
                self.keys.insert(key, index);
                let bought = receipt.subscription.as_ref().map(|subscription| Bought {
                    status: subscription.status,
                    valid_from: subscription.valid_from,
                    valid_to: subscription.valid_to,
                });
                let outcome = Ok((receipt.transaction.txn_id, bought));
                self.writes.keys.push(NewKey { key, request, outcome });
                self.tell_done(order, told);
                Ok(Done { receipt, replayed: false })
            }
            Err(rejection) => {
                // A declined payment has left a transaction: a second try must find it.
                if order.key.origin == KeyOrigin::Client || rejection.reason == Reason::PaymentDeclined {
                    self.keys.insert(key, index);
                    self.writes.keys.push(NewKey { key, request, outcome: Err(rejection.clone()) });
                    self.tell_rejected(order, &rejection);
                }
                Err(Refusal::Rejected { rejection, replayed: false })
            }
        }
    }

    /// The receiver's wallet and what it would hold.
    fn receive(&self, receiver: UserId, amount: Paise) -> Decided<(WalletState, Paise)> {
        let cannot = || Rejection::new(Reason::ReceiverNotActive, "The receiving account cannot take money");
        let wallet = self.loaded.wallets.get(&receiver.into()).cloned().ok_or_else(cannot)?;
        if wallet.status == AccountStatus::Blocked {
            return Err(cannot());
        }
        let balance = wallet.balance.checked_add(amount);
        match balance.filter(|balance| self.limits.max_balance.is_none_or(|limit| *balance <= limit)) {
            Some(balance) => Ok((wallet, balance)),
            None => Err(Rejection::new(
                Reason::LimitExceeded,
                "The wallet would hold more than it may: top up less",
            )),
        }
    }

    fn active_payer(&self, payer: Payer) -> Decided<WalletState> {
        match self.loaded.wallets.get(&payer.user.into()) {
            Some(wallet) if wallet.status == AccountStatus::Active => Ok(wallet.clone()),
            _ => Err(Rejection::new(
                Reason::PayerNotActive,
                "Your account is not active: reactivate it or ask support",
            )),
        }
    }

    fn line(&self, number: PhoneNumber) -> Decided<LineState> {
        self.loaded.lines.get(&number).cloned().ok_or_else(|| {
            Rejection::new(
                Reason::NumberUnknown,
                "The number is not registered: its owner must sign up first",
            )
        })
    }

    /// What the customer's wallet holds now.
    fn wallet_balance(&self, user: UserId) -> Option<Paise> {
        self.loaded.wallets.get(&user.into()).map(|wallet| wallet.balance)
    }

    fn set_wallet(&mut self, id: WalletId, wallet: WalletState) {
        self.loaded.wallets.insert(id, wallet.clone());
        self.writes.wallets.insert(id, wallet);
    }

    fn post(&mut self, txn_id: TxnId, account: AccountId, amount: Option<Paise>) -> Decided<()> {
        let amount = amount.ok_or_else(too_large)?;
        if amount != Paise::ZERO {
            self.writes.postings.push(NewPosting { txn_id, account, amount });
        }
        Ok(())
    }
}

fn insufficient(balance: Paise, needed: Paise) -> Rejection {
    Rejection::new(
        Reason::InsufficientFunds,
        format!("The wallet holds {balance} and {needed} is needed: top up, then try again under a new key"),
    )
}

fn too_large() -> Rejection {
    Rejection::new(Reason::LimitExceeded, "The amount is too large")
}

/// Only when the store broke its promise to keep the blocks filled.
fn out_of_ids() -> Rejection {
    Rejection::new(Reason::LimitExceeded, "The batch was larger than its ids: try again")
}

/// The wallet after a movement that leaves `balance`.
fn credited(wallet: WalletState, balance: Paise) -> WalletState {
    WalletState {
        balance,
        seq: wallet.seq.saturating_add(1),
        transactions: wallet.transactions.saturating_add(1),
        ..wallet
    }
}

/// A successful wallet transaction of the payer, to be filled in.
fn blank(txn_id: TxnId, now: DateTime<Utc>, payer: Payer, txn_type: TxnType, amount: Paise) -> Transaction {
    Transaction {
        txn_id,
        created_at: now,
        user_id: payer.user,
        beneficiary_id: None,
        wallet_seq: 0,
        category: Category::Wallet,
        txn_type,
        amount,
        price: None,
        discount: None,
        wallet_amount: None,
        gateway_amount: None,
        service_type: None,
        plan_id: None,
        offer_id: None,
        from_phone: payer.phone,
        to_phone: None,
        source: Source::Recharge,
        status: TxnStatus::Success,
        payment_method: None,
        payment_transaction_id: None,
        subscription_id: None,
    }
}
