//! Buying a plan for a number: its price, how that is paid, what it earns.

use super::{Batch, Decided, blank, credited, insufficient, out_of_ids};
use crate::catalogue::{Buyer, Offer, Plan, Quote, quote};
use crate::events::{Event, RechargeCompleted};
use crate::kernel::{AccountId, Category, Paise, PaymentMethod, TxnId, TxnType, UserId, WalletId};
use crate::wallet::command::{Reason, Receipt, Recharge, Rejection, Subscription, Transaction};
use crate::wallet::state::{LineState, WalletState};
use crate::wallet::writes::NewEvent;

/// The parts of a recharge's price.
#[derive(Clone, Copy)]
struct Parts {
    wallet: Paise,
    gateway: Paise,
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
