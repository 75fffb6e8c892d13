//! The rules of money, pure: locked state and orders in, answers and writes out.
//!
//! Orders are decided one after the other on an overlay of the loaded state, so that the tenth of a batch sees what the
//! nine before it did. Each decision first computes everything and only then changes the overlay: a rejected order leaves
//! no trace but its key.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::command::{
    Command, Done, KeyOrigin, Order, Payer, Reason, Receipt, Recharge, Refusal, Rejection, Subscription,
    TopUp, Transaction,
};
use super::state::{Ids, LineState, Loaded, StoredOutcome, WalletState};
use super::writes::{Bought, ExpireSubscription, NewEvent, NewKey, NewPosting, ShiftQueue, Writes};
use crate::catalogue::{Buyer, Offer, Plan, Quote, quote};
use crate::events::{Event, RechargeCompleted, SubscriptionExpired, WalletToppedUp};
use crate::kernel::{
    AccountId, AccountStatus, ActivationMode, Category, Digest128, Paise, PaymentMethod, PhoneNumber, Source,
    SubscriptionId, SubscriptionStatus, TxnId, TxnStatus, TxnType, UserId, WalletId,
};

/// Bounds from the settings.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Plans that may wait for one number.
    pub max_queued: i32,
    /// The largest single top-up.
    pub max_top_up: Paise,
    /// The most a wallet may hold after a top-up; `None`: no limit.
    pub max_balance: Option<Paise>,
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

/// Where a new plan's window goes, and what it does to the line.
struct Placement {
    status: SubscriptionStatus,
    valid_from: DateTime<Utc>,
    valid_to: DateTime<Utc>,
    /// The active plan that ends now.
    supersedes: Option<SubscriptionId>,
    /// How far waiting plans move.
    shift: Option<TimeDelta>,
    /// Nothing is active, yet it waits: the lifecycle actor must look at once.
    wake_up: bool,
}

/// The parts of a recharge's price.
#[derive(Clone, Copy)]
struct Parts {
    wallet: Paise,
    gateway: Paise,
}

type Decided<T> = Result<T, Rejection>;

/// Why the engine's quote was refused, as a rejection of the order.
impl From<crate::catalogue::Refusal> for Rejection {
    fn from(refusal: crate::catalogue::Refusal) -> Self {
        use crate::catalogue::Refusal as Quote;
        let reason = match refusal {
            Quote::PlanInactive => Reason::PlanUnavailable,
            Quote::PlanTypeMismatch { .. } => Reason::PlanTypeMismatch,
            Quote::PlanNotEligible { .. } => Reason::PlanNotEligible,
            Quote::OfferInactive | Quote::OfferExpired | Quote::OfferUsedUp => Reason::OfferUnavailable,
            Quote::OfferNotEligible { .. } => Reason::OfferNotEligible,
        };
        Self::new(reason, refusal.to_string())
    }
}

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
        let decided = match &order.command {
            Command::Recharge(recharge) => self.recharge(recharge),
            Command::TopUp(top_up) => self.top_up(top_up),
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
                Ok(Done { receipt, replayed: false })
            }
            Err(rejection) => {
                if order.key.origin == KeyOrigin::Client {
                    self.keys.insert(key, index);
                    self.writes.keys.push(NewKey { key, request, outcome: Err(rejection.clone()) });
                }
                Err(Refusal::Rejected { rejection, replayed: false })
            }
        }
    }

    fn recharge(&mut self, order: &Recharge) -> Decided<Receipt> {
        let payer = self.active_payer(order.payer)?;
        let line = self.line(order.number)?;
        let catalogue = self.loaded.catalogue.clone();
        let plan = catalogue.plans.get(&order.plan).ok_or_else(|| {
            Rejection::new(Reason::PlanUnavailable, "There is no such plan: choose one of /plans/public/all")
        })?;
        let offer = match order.offer {
            None => None,
            Some(id) => Some(catalogue.offers.get(&id).ok_or_else(|| {
                Rejection::new(
                    Reason::OfferUnavailable,
                    "There is no such offer: choose one of /offers/offers/public",
                )
            })?),
        };
        let quote = self.quote(order, plan, offer, &payer, &line)?;
        let parts = split(order, quote.payable)?;
        let rest = payer.balance.checked_sub(parts.wallet).filter(|rest| !rest.is_negative());
        let rest = rest.ok_or_else(|| insufficient(payer.balance, parts.wallet))?;
        let placement = self.place(order, &line, plan.days())?;
        let (txn_id, subscription_id) = (self.ids.transaction(), self.ids.subscription());
        let (Some(txn_id), Some(subscription_id)) = (txn_id, subscription_id) else {
            return Err(out_of_ids());
        };

        let payer = WalletState {
            balance: rest,
            seq: payer.seq.saturating_add(1),
            transactions: payer.transactions.saturating_add(1),
            recharges: payer.recharges.saturating_add(1),
            ..payer
        };
        let wallet_seq = payer.seq;
        self.set_wallet(order.payer.user.into(), payer);
        let beneficiary_id = (line.owner != order.payer.user).then_some(line.owner);
        self.use_line(order.number, &line, subscription_id, &placement, beneficiary_id.is_some());
        let subscription = Subscription {
            subscription_id,
            phone: order.number,
            user_id: line.owner,
            plan_id: order.plan,
            txn_id,
            status: placement.status,
            valid_from: placement.valid_from,
            valid_to: placement.valid_to,
            total_paid: quote.payable,
        };
        let transaction = Transaction {
            beneficiary_id,
            wallet_seq,
            category: Category::Service,
            price: Some(quote.price),
            discount: Some(quote.discount),
            wallet_amount: Some(parts.wallet),
            gateway_amount: Some(parts.gateway),
            service_type: Some(plan.plan_type),
            plan_id: Some(order.plan),
            offer_id: order.offer,
            to_phone: Some(order.number),
            source: order.source,
            payment_method: Some(order.method),
            payment_transaction_id: Some(format!("PYMT_{}", txn_id.get())),
            subscription_id: Some(subscription_id),
            ..blank(txn_id, self.loaded.now, order.payer, TxnType::Debit, quote.payable)
        };
        self.post_recharge(txn_id, order.payer.user, &quote, parts)?;
        self.writes.transactions.push(transaction.clone());
        self.new_subscriptions.insert(subscription_id, self.writes.subscriptions.len());
        self.writes.subscriptions.push(subscription.clone());
        self.count_offer_use(order, offer);
        self.cash_back(order, line.owner, quote.cashback)?;
        self.tell_recharge(order, &transaction, &subscription, (plan, &quote, parts));
        Ok(Receipt { transaction, subscription: Some(subscription) })
    }

    fn quote(
        &self,
        order: &Recharge,
        plan: &Plan,
        offer: Option<&Offer>,
        payer: &WalletState,
        line: &LineState,
    ) -> Decided<Quote> {
        let used = order.offer.and_then(|offer| self.loaded.offer_uses.get(&(offer, order.payer.user)));
        let buyer = Buyer {
            now: self.loaded.now,
            number_type: line.user_type,
            successful_recharges: u64::try_from(payer.recharges).unwrap_or(0),
            source: order.source,
            payment_method: order.method,
            offer_uses: used.copied().unwrap_or(0),
        };
        quote(plan, offer, &buyer).map_err(Rejection::from)
    }

    /// Where the plan goes: see the design of queueing in `docs/recharge.md`.
    fn place(&self, order: &Recharge, line: &LineState, days: u32) -> Decided<Placement> {
        let now = self.loaded.now;
        let validity = TimeDelta::days(i64::from(days));
        let end = |from: DateTime<Utc>| {
            from.checked_add_signed(validity).ok_or_else(|| {
                Rejection::new(Reason::PlanUnavailable, "The plan's validity cannot be represented")
            })
        };
        let idle = line.active.is_none() && line.queued == 0;
        let at_once = match order.mode {
            // Somebody else's gift never ends a plan that its owner is using: it waits behind it.
            Some(ActivationMode::Activate) => idle || line.owner == order.payer.user,
            Some(ActivationMode::Queue) => false,
            None => idle,
        };
        if at_once {
            let valid_to = end(now)?;
            let old_start_of_queue = line.active.map_or(now, |(_, ends)| ends);
            return Ok(Placement {
                status: SubscriptionStatus::Active,
                valid_from: now,
                valid_to,
                supersedes: line.active.map(|(id, _)| id),
                shift: (line.queued > 0).then(|| valid_to.signed_duration_since(old_start_of_queue)),
                wake_up: false,
            });
        }
        if line.queued >= self.limits.max_queued {
            return Err(Rejection::new(
                Reason::QueueFull,
                format!("{} plans wait for this number already: wait until one has started", line.queued),
            ));
        }
        let valid_from = line.tail_valid_to.map_or(now, |tail| tail.max(now));
        Ok(Placement {
            status: SubscriptionStatus::Queued,
            valid_from,
            valid_to: end(valid_from)?,
            supersedes: None,
            shift: None,
            wake_up: idle,
        })
    }

    fn use_line(
        &mut self,
        number: PhoneNumber,
        line: &LineState,
        subscription: SubscriptionId,
        placement: &Placement,
        gift: bool,
    ) {
        let mut line = line.clone();
        if let Some(old) = placement.supersedes {
            self.supersede(old);
        }
        if let Some(by) = placement.shift {
            self.shift_queue(number, by);
        }
        match placement.status {
            SubscriptionStatus::Active => {
                line.active = Some((subscription, placement.valid_to));
                let moved = placement
                    .shift
                    .and_then(|by| line.tail_valid_to.and_then(|tail| tail.checked_add_signed(by)));
                line.tail_valid_to = Some(moved.unwrap_or(placement.valid_to));
            }
            SubscriptionStatus::Queued => {
                line.queued = line.queued.saturating_add(1);
                line.tail_valid_to = Some(placement.valid_to);
            }
            SubscriptionStatus::Expired => {}
        }
        if placement.wake_up {
            self.writes.wake_ups.push(number);
        }
        if gift {
            line.gifts = line.gifts.saturating_add(1);
        }
        self.loaded.lines.insert(number, line.clone());
        self.writes.lines.insert(number, line);
    }

    /// Ends a plan now, whether it is stored or of this very batch. The store tells of a stored one, which it reads.
    fn supersede(&mut self, old: SubscriptionId) {
        let now = self.loaded.now;
        let index = self.new_subscriptions.get(&old);
        let Some(subscription) = index.and_then(|index| self.writes.subscriptions.get_mut(*index)) else {
            self.writes.expired.push(ExpireSubscription { subscription_id: old, valid_to: now });
            return;
        };
        subscription.status = SubscriptionStatus::Expired;
        subscription.valid_to = now;
        let Some(event_id) = self.ids.event() else { return };
        let plan = self.loaded.catalogue.plans.get(&subscription.plan_id);
        let event = Event::SubscriptionExpired(SubscriptionExpired {
            subscription_id: old,
            txn_id: subscription.txn_id,
            user_id: subscription.user_id,
            phone: subscription.phone,
            plan_id: subscription.plan_id,
            plan_name: plan.map(|plan| plan.name.as_str().into()),
            superseded: true,
            valid_to: now,
            occurred_at: now,
        });
        self.writes.events.push(NewEvent { event_id, txn_id: subscription.txn_id, event });
    }

    fn shift_queue(&mut self, number: PhoneNumber, by: TimeDelta) {
        let shift = self.writes.shifted.entry(number).or_insert(ShiftQueue { by: TimeDelta::zero() });
        shift.by = shift.by.checked_add(&by).unwrap_or(shift.by);
        for subscription in &mut self.writes.subscriptions {
            if subscription.phone == number && subscription.status == SubscriptionStatus::Queued {
                let move_by = |time: DateTime<Utc>| time.checked_add_signed(by).unwrap_or(time);
                subscription.valid_from = move_by(subscription.valid_from);
                subscription.valid_to = move_by(subscription.valid_to);
            }
        }
    }

    fn post_recharge(&mut self, txn: TxnId, payer: UserId, quote: &Quote, parts: Parts) -> Decided<()> {
        self.post(txn, AccountId::REVENUE, Some(quote.price))?;
        self.post(txn, AccountId::PROMOTIONS, quote.discount.checked_neg())?;
        self.post(txn, WalletId::from(payer).into(), parts.wallet.checked_neg())?;
        self.post(txn, AccountId::GATEWAY_CLEARING, parts.gateway.checked_neg())
    }

    fn count_offer_use(&mut self, order: &Recharge, offer: Option<&Offer>) {
        let Some(offer) = offer.filter(|offer| offer.max_uses_per_user.is_some()) else { return };
        let key = (offer.id, order.payer.user);
        let uses = self.loaded.offer_uses.entry(key).or_insert(0);
        *uses = uses.saturating_add(1);
        let write = self.writes.offer_uses.entry(key).or_default();
        write.added = write.added.saturating_add(1);
    }

    /// Cashback is a transaction of its own: it goes to the number's owner, who may not be the payer.
    fn cash_back(&mut self, order: &Recharge, owner: UserId, amount: Paise) -> Decided<()> {
        if !amount.is_positive() {
            return Ok(());
        }
        let Some(wallet) = self.loaded.wallets.get(&owner.into()).cloned() else { return Ok(()) };
        let Some(balance) = wallet.balance.checked_add(amount) else { return Ok(()) };
        let txn_id = self.ids.transaction().ok_or_else(out_of_ids)?;
        let wallet = credited(wallet, balance);
        let wallet_seq = wallet.seq;
        self.set_wallet(owner.into(), wallet);
        self.post(txn_id, AccountId::PROMOTIONS, amount.checked_neg())?;
        self.post(txn_id, WalletId::from(owner).into(), Some(amount))?;
        self.writes.transactions.push(Transaction {
            user_id: owner,
            wallet_seq,
            offer_id: order.offer,
            plan_id: Some(order.plan),
            to_phone: Some(order.number),
            source: order.source,
            payment_method: Some(PaymentMethod::Wallet),
            ..blank(txn_id, self.loaded.now, order.payer, TxnType::Credit, amount)
        });
        Ok(())
    }

    fn tell_recharge(
        &mut self,
        order: &Recharge,
        transaction: &Transaction,
        subscription: &Subscription,
        (plan, quote, parts): (&Plan, &Quote, Parts),
    ) {
        let Some(event_id) = self.ids.event() else { return };
        let event = Event::RechargeCompleted(RechargeCompleted {
            txn_id: transaction.txn_id,
            wallet_seq: transaction.wallet_seq,
            user_id: transaction.user_id,
            beneficiary_id: subscription.user_id,
            to_phone: subscription.phone,
            subscription_id: subscription.subscription_id,
            subscription_status: subscription.status,
            plan_id: plan.id,
            plan_name: plan.name.as_str().into(),
            offer_id: transaction.offer_id,
            price: quote.price,
            discount: quote.discount,
            wallet_amount: parts.wallet,
            gateway_amount: parts.gateway,
            cashback: quote.cashback,
            payment_method: order.method,
            source: order.source,
            valid_from: subscription.valid_from,
            valid_to: subscription.valid_to,
            occurred_at: transaction.created_at,
        });
        self.writes.events.push(NewEvent { event_id, txn_id: transaction.txn_id, event });
    }

    fn top_up(&mut self, order: &TopUp) -> Decided<Receipt> {
        let payer = self.active_payer(order.payer)?;
        if !order.amount.is_positive() || order.amount > self.limits.max_top_up {
            return Err(Rejection::new(
                Reason::LimitExceeded,
                format!("A top-up must be between 0.01 and {} rupees", self.limits.max_top_up),
            ));
        }
        let receiver =
            if order.number == order.payer.phone { order.payer.user } else { self.line(order.number)?.owner };
        if order.method == PaymentMethod::Wallet {
            self.transfer(order, payer, receiver)
        } else {
            self.capture(order, receiver)
        }
    }

    /// From the gateway into the receiver's wallet: one transaction, seen by both.
    fn capture(&mut self, order: &TopUp, receiver: UserId) -> Decided<Receipt> {
        let (wallet, balance) = self.receive(receiver, order.amount)?;
        let txn_id = self.ids.transaction().ok_or_else(out_of_ids)?;
        let wallet = credited(wallet, balance);
        let wallet_seq = wallet.seq;
        self.set_wallet(receiver.into(), wallet);
        let beneficiary_id = (receiver != order.payer.user).then_some(receiver);
        if beneficiary_id.is_some() {
            let payer = self.active_payer(order.payer)?;
            let transactions = payer.transactions.saturating_add(1);
            self.set_wallet(order.payer.user.into(), WalletState { transactions, ..payer });
        }
        self.post(txn_id, AccountId::GATEWAY_CLEARING, order.amount.checked_neg())?;
        self.post(txn_id, WalletId::from(receiver).into(), Some(order.amount))?;
        let transaction = Transaction {
            beneficiary_id,
            wallet_seq,
            gateway_amount: Some(order.amount),
            to_phone: Some(order.number),
            source: Source::WalletTopup,
            payment_method: Some(order.method),
            payment_transaction_id: Some(format!("TOPUP_{}", txn_id.get())),
            ..blank(txn_id, self.loaded.now, order.payer, TxnType::Credit, order.amount)
        };
        Ok(self.finish_top_up(order, transaction, receiver))
    }

    /// From the payer's wallet into the receiver's: a debit and a credit that meet in the clearing account.
    fn transfer(&mut self, order: &TopUp, payer: WalletState, receiver: UserId) -> Decided<Receipt> {
        if receiver == order.payer.user {
            return Err(Rejection::new(
                Reason::SameWallet,
                "A wallet cannot pay itself: choose UPI, Card or NetBanking, or another number",
            ));
        }
        let rest = payer.balance.checked_sub(order.amount).filter(|rest| !rest.is_negative());
        let rest = rest.ok_or_else(|| insufficient(payer.balance, order.amount))?;
        let (wallet, balance) = self.receive(receiver, order.amount)?;
        let (Some(debit_id), Some(credit_id)) = (self.ids.transaction(), self.ids.transaction()) else {
            return Err(out_of_ids());
        };
        let payer = WalletState { balance: rest, ..credited(payer, rest) };
        let wallet = credited(wallet, balance);
        let (payer_seq, receiver_seq) = (payer.seq, wallet.seq);
        self.set_wallet(order.payer.user.into(), payer);
        self.set_wallet(receiver.into(), wallet);
        self.post(debit_id, WalletId::from(order.payer.user).into(), order.amount.checked_neg())?;
        self.post(debit_id, AccountId::TRANSFER_CLEARING, Some(order.amount))?;
        self.post(credit_id, AccountId::TRANSFER_CLEARING, order.amount.checked_neg())?;
        self.post(credit_id, WalletId::from(receiver).into(), Some(order.amount))?;
        let debit = Transaction {
            wallet_seq: payer_seq,
            wallet_amount: Some(order.amount),
            to_phone: Some(order.number),
            source: Source::WalletTopup,
            payment_method: Some(PaymentMethod::Wallet),
            payment_transaction_id: Some(format!("TOPUP_{}", debit_id.get())),
            ..blank(debit_id, self.loaded.now, order.payer, TxnType::Debit, order.amount)
        };
        let credit = Transaction {
            txn_id: credit_id,
            user_id: receiver,
            wallet_seq: receiver_seq,
            txn_type: TxnType::Credit,
            ..debit.clone()
        };
        self.writes.transactions.push(credit);
        Ok(self.finish_top_up(order, debit, receiver))
    }

    fn finish_top_up(&mut self, order: &TopUp, transaction: Transaction, receiver: UserId) -> Receipt {
        if let Some(event_id) = self.ids.event() {
            let event = Event::WalletToppedUp(WalletToppedUp {
                txn_id: transaction.txn_id,
                wallet_seq: transaction.wallet_seq,
                user_id: transaction.user_id,
                beneficiary_id: receiver,
                to_phone: order.number,
                amount: order.amount,
                payment_method: order.method,
                source: transaction.source,
                occurred_at: transaction.created_at,
            });
            self.writes.events.push(NewEvent { event_id, txn_id: transaction.txn_id, event });
        }
        self.writes.transactions.push(transaction.clone());
        Receipt { transaction, subscription: None }
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

    fn set_wallet(&mut self, id: WalletId, wallet: WalletState) {
        self.loaded.wallets.insert(id, wallet.clone());
        self.writes.wallets.insert(id, wallet);
    }

    fn post(&mut self, txn_id: TxnId, account: AccountId, amount: Option<Paise>) -> Decided<()> {
        let amount =
            amount.ok_or_else(|| Rejection::new(Reason::LimitExceeded, "The amount is too large"))?;
        if amount != Paise::ZERO {
            self.writes.postings.push(NewPosting { txn_id, account, amount });
        }
        Ok(())
    }
}

/// How the payable amount is split between wallet and gateway.
fn split(order: &Recharge, payable: Paise) -> Decided<Parts> {
    let wrong = |detail: String| Rejection::new(Reason::InvalidWalletAmount, detail);
    match (order.method, order.wallet_amount) {
        (PaymentMethod::Wallet, None) => Ok(Parts { wallet: payable, gateway: Paise::ZERO }),
        (PaymentMethod::Wallet, Some(wallet)) if wallet == payable => {
            Ok(Parts { wallet, gateway: Paise::ZERO })
        }
        (PaymentMethod::Wallet, Some(_)) => Err(wrong(format!(
            "With payment_method Wallet the wallet pays all of {payable}: leave wallet_amount out, or choose UPI, Card or NetBanking for the rest"
        ))),
        (_, None) => Ok(Parts { wallet: Paise::ZERO, gateway: payable }),
        (_, Some(wallet)) => match payable.checked_sub(wallet) {
            Some(gateway) if gateway.is_positive() && !wallet.is_negative() => Ok(Parts { wallet, gateway }),
            Some(gateway) if gateway == Paise::ZERO && wallet == Paise::ZERO => Ok(Parts { wallet, gateway }),
            _ => Err(wrong(format!(
                "wallet_amount must be less than the {payable} to pay: choose Wallet when the wallet pays all of it"
            ))),
        },
    }
}

fn insufficient(balance: Paise, needed: Paise) -> Rejection {
    Rejection::new(
        Reason::InsufficientFunds,
        format!("The wallet holds {balance} and {needed} is needed: top up, then try again under a new key"),
    )
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
        from_phone: Some(payer.phone),
        to_phone: None,
        source: Source::Recharge,
        status: TxnStatus::Success,
        payment_method: None,
        payment_transaction_id: None,
        subscription_id: None,
    }
}
