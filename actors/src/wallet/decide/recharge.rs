//! Buying a plan for a number: its price, how that is paid, what it earns.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::line::Placement;
use super::{Batch, Decided, blank, credited, insufficient, out_of_ids};
use crate::catalogue::{Buyer, Catalogue, Offer, Plan, Quote, quote};
use crate::events::{Event, RechargeCompleted};
use crate::kernel::{AccountId, Category, Paise, PaymentMethod, TxnId, TxnType, UserId, UserType, WalletId};
use crate::payment::Begun;
use crate::wallet::command::{Reason, Receipt, Recharge, Rejection, Subscription, Transaction};
use crate::wallet::payment::Purchase;
use crate::wallet::state::{LineState, WalletState};
use crate::wallet::writes::NewEvent;

/// The parts of a recharge's price.
#[derive(Clone, Copy)]
struct Parts {
    wallet: Paise,
    gateway: Paise,
}

/// An order that can be done, and what it comes to.
pub(super) struct Priced {
    payer: WalletState,
    /// The payer's balance afterwards.
    rest: Paise,
    line: LineState,
    plan_type: UserType,
    quote: Quote,
    parts: Parts,
    placement: Placement,
    catalogue: Arc<Catalogue>,
}

impl Priced {
    /// What the gateway has to capture for it.
    pub(super) const fn gateway(&self) -> Paise {
        self.parts.gateway
    }

    /// Its transaction, but for what only doing it tells: the wallet's sequence and the subscription.
    fn transaction(&self, order: &Recharge, txn_id: TxnId, now: DateTime<Utc>) -> Transaction {
        Transaction {
            beneficiary_id: (self.line.owner != order.payer.user).then_some(self.line.owner),
            wallet_seq: self.payer.seq,
            category: Category::Service,
            price: Some(self.quote.price),
            discount: Some(self.quote.discount),
            wallet_amount: Some(self.parts.wallet),
            gateway_amount: Some(self.parts.gateway),
            service_type: Some(self.plan_type),
            plan_id: Some(order.plan),
            offer_id: order.offer,
            to_phone: Some(order.number),
            source: order.source,
            payment_method: Some(order.method),
            payment_transaction_id: Some(format!("PYMT_{}", txn_id.get())),
            ..blank(txn_id, now, order.payer, TxnType::Debit, self.quote.payable)
        }
    }
}

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
    pub(super) fn recharge(&mut self, order: &Recharge) -> Decided<Receipt> {
        let priced = self.price(order)?;
        match self.begin(order.payer, priced.parts.gateway) {
            Begun::Captured => self.buy(order, priced, None),
            Begun::Pending { late } => {
                let transaction = self.promised(order, &priced)?;
                self.wait_for(Purchase::Recharge(order.clone()), transaction, late)
            }
            Begun::Declined => {
                let transaction = self.promised(order, &priced)?;
                self.decline(Purchase::Recharge(order.clone()), transaction)
            }
        }
    }

    /// Everything that can be said against the order, and what it comes to.
    pub(super) fn price(&self, order: &Recharge) -> Decided<Priced> {
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
        Ok(Priced { payer, rest, line, plan_type: plan.plan_type, quote, parts, placement, catalogue })
    }

    /// Does it; the gateway has its part. `txn_id`: the id that a payment has promised.
    pub(super) fn buy(
        &mut self,
        order: &Recharge,
        priced: Priced,
        txn_id: Option<TxnId>,
    ) -> Decided<Receipt> {
        let (txn_id, subscription_id) = (txn_id.or_else(|| self.ids.transaction()), self.ids.subscription());
        let (Some(txn_id), Some(subscription_id)) = (txn_id, subscription_id) else {
            return Err(out_of_ids());
        };
        let mut transaction = priced.transaction(order, txn_id, self.loaded.now);
        let Priced { payer, rest, line, quote, parts, placement, catalogue, .. } = priced;
        let payer = WalletState {
            balance: rest,
            seq: payer.seq.saturating_add(1),
            transactions: payer.transactions.saturating_add(1),
            recharges: payer.recharges.saturating_add(1),
            ..payer
        };
        transaction.wallet_seq = payer.seq;
        transaction.subscription_id = Some(subscription_id);
        self.set_wallet(order.payer.user.into(), payer);
        self.use_line(order.number, &line, subscription_id, &placement, transaction.beneficiary_id.is_some());
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
        self.post_recharge(txn_id, order.payer.user, &quote, parts)?;
        self.writes.transactions.push(transaction.clone());
        self.new_subscriptions.insert(subscription_id, self.writes.subscriptions.len());
        self.writes.subscriptions.push(subscription.clone());
        self.count_offer_use(order, order.offer.and_then(|offer| catalogue.offers.get(&offer)));
        self.cash_back(order, txn_id, line.owner, quote.cashback)?;
        self.end_referral(order.payer.user, quote.payable.checked_sub(quote.cashback).unwrap_or_default())?;
        if let Some(plan) = catalogue.plans.get(&order.plan) {
            self.tell_recharge(order, &transaction, &subscription, (plan, &quote, parts));
        }
        Ok(Receipt { transaction, subscription: Some(subscription) })
    }

    /// The transaction that the order becomes if the gateway captures its part.
    fn promised(&mut self, order: &Recharge, priced: &Priced) -> Decided<Transaction> {
        let txn_id = self.ids.transaction().ok_or_else(out_of_ids)?;
        Ok(priced.transaction(order, txn_id, self.loaded.now))
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

    /// Cashback is a transaction of its own: it goes to the number's owner, who may not be the payer. It names the recharge
    /// that earned it, so that a refund finds it.
    fn cash_back(&mut self, order: &Recharge, earned_by: TxnId, owner: UserId, amount: Paise) -> Decided<()> {
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
            payment_transaction_id: Some(format!("CASHBACK_{}", earned_by.get())),
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
            wallet_balance: self.wallet_balance(transaction.user_id),
            request: None,
        });
        self.writes.events.push(NewEvent { event_id, txn_id: Some(transaction.txn_id), event });
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
