//! Payments that the gateway does not capture at once: begun, then ended by what the gateway says, or by time.

use chrono::TimeDelta;

use super::{Batch, Decided, credited, out_of_ids, too_large};
use crate::events::{Event, PaymentFailed};
use crate::kernel::{
    AccountId, AccountStatus, Category, Paise, PaymentState, Source, TxnId, TxnStatus, TxnType, WalletId,
};
use crate::payment::Begun;
use crate::wallet::command::{Payer, Reason, Receipt, Rejection, Transaction};
use crate::wallet::payment::{Payment, PaymentStanding, Purchase, Settle, Settlement};
use crate::wallet::state::WalletState;
use crate::wallet::writes::{NewEvent, NewPayment, SettledPayment};

impl Batch<'_> {
    /// What the gateway says of its part; there is nothing to ask when it has none. Partners' money came in before.
    pub(super) fn begin(&self, payer: Payer, amount: Paise) -> Begun {
        match payer.phone {
            Some(_) if amount.is_positive() => self.limits.payments.gateway.begin(amount),
            _ => Begun::Captured,
        }
    }

    /// Keeps the order until the gateway says more. It holds nothing: neither money of the wallet, nor a place in the queue.
    pub(super) fn wait_for(
        &mut self,
        purchase: Purchase,
        transaction: Transaction,
        late: Option<TimeDelta>,
    ) -> Decided<Receipt> {
        let transaction = Transaction { status: TxnStatus::Pending, ..transaction };
        let payment = self.new_payment(purchase, transaction.clone(), late)?;
        let standing = PaymentStanding { state: PaymentState::Pending, txn_id: None };
        self.writes.payments.push(NewPayment { payment, standing });
        Ok(Receipt { transaction, subscription: None })
    }

    /// The gateway does not take it: no money moves, and a failed transaction says so.
    pub(super) fn decline(&mut self, purchase: Purchase, transaction: Transaction) -> Decided<Receipt> {
        let payment = self.new_payment(purchase, transaction, None)?;
        let standing = PaymentStanding { state: PaymentState::Failed, txn_id: Some(payment.payment_id) };
        self.write_failure(&payment, PaymentState::Failed);
        self.writes.payments.push(NewPayment { payment, standing });
        Err(Rejection::new(
            Reason::PaymentDeclined,
            "The payment was declined and nothing was charged: try again under a new key, or pay in another way",
        ))
    }

    fn new_payment(
        &self,
        purchase: Purchase,
        transaction: Transaction,
        late: Option<TimeDelta>,
    ) -> Decided<Payment> {
        let expires_at =
            self.loaded.now.checked_add_signed(self.limits.payments.ttl).ok_or_else(too_large)?;
        Ok(Payment {
            payment_id: transaction.txn_id,
            amount: transaction.gateway_amount.unwrap_or_default(),
            purchase,
            transaction,
            expires_at,
            capture_at: late.and_then(|late| expires_at.checked_add_signed(late)),
        })
    }

    /// Ends a payment, once: what it stood at is read under its payer's lock.
    pub(super) fn settle(&mut self, order: &Settle) -> Decided<Receipt> {
        use PaymentState::{Expired, Failed, Pending};
        let payment = &order.payment;
        let standing = self.loaded.payments.get(&payment.payment_id).copied();
        let standing = standing.ok_or_else(|| {
            Rejection::new(Reason::PaymentUnknown, "There is no such payment: check its id")
        })?;
        match (standing.state, order.settlement) {
            (Pending, Settlement::Captured) => self.fulfil(payment),
            (Pending, Settlement::Failed) => Ok(self.fail(payment, Failed)),
            (Pending, Settlement::Expired) => Ok(self.fail(payment, Expired)),
            (Failed | Expired, Settlement::Captured) => {
                let txn_id = self.ids.transaction().ok_or_else(out_of_ids)?;
                self.credit(payment, txn_id, PaymentState::LateCapture, Reason::PaymentSettled)
            }
            (state, _) => Err(Rejection::new(
                Reason::PaymentSettled,
                format!("The payment is {} already: nothing was changed", state.as_str()),
            )),
        }
    }

    /// Does what was paid for, if it can be done now at the price that was captured. Otherwise the money is the payer's.
    fn fulfil(&mut self, payment: &Payment) -> Decided<Receipt> {
        let txn_id = payment.payment_id;
        let done = match &payment.purchase {
            Purchase::Recharge(recharge) => match self.price(recharge) {
                Ok(priced) if priced.gateway() == payment.amount => self.buy(recharge, priced, Some(txn_id)),
                Ok(_) => Err(Rejection::new(Reason::PriceChanged, "The price has changed meanwhile")),
                Err(rejection) => Err(rejection),
            },
            Purchase::TopUp(top_up) => self.capture(top_up, Some(txn_id)),
        };
        match done {
            Ok(receipt) => {
                self.settled(payment, PaymentState::Captured, txn_id, None);
                Ok(receipt)
            }
            Err(rejection) => self.credit(payment, txn_id, PaymentState::Captured, rejection.reason),
        }
    }

    /// Captured money that cannot be used for what it was meant: it goes into the payer's wallet, whatever that holds and
    /// whether or not the payer may buy. It is never lost: that of a deleted customer is set aside with the wallet's rest.
    fn credit(
        &mut self,
        payment: &Payment,
        txn_id: TxnId,
        state: PaymentState,
        why: Reason,
    ) -> Decided<Receipt> {
        let payer = payment.purchase.payer();
        let wallet = self.loaded.wallets.get(&payer.user.into()).cloned();
        let wallet = wallet.ok_or_else(|| {
            Rejection::new(Reason::ReceiverNotActive, "The payer's wallet is not there any more")
        })?;
        let (wallet, account) = if self.is_closed(payer, &wallet) {
            let transactions = wallet.transactions.saturating_add(1);
            (WalletState { transactions, ..wallet }, AccountId::CLOSED_WALLETS)
        } else {
            let balance = wallet.balance.checked_add(payment.amount).ok_or_else(too_large)?;
            (credited(wallet, balance), WalletId::from(payer.user).into())
        };
        let wallet_seq = wallet.seq;
        self.set_wallet(payer.user.into(), wallet);
        self.post(txn_id, AccountId::GATEWAY_CLEARING, payment.amount.checked_neg())?;
        self.post(txn_id, account, Some(payment.amount))?;
        let own_top_up =
            matches!(&payment.purchase, Purchase::TopUp(order) if Some(order.number) == payer.phone);
        let transaction = Transaction {
            txn_id,
            created_at: self.loaded.now,
            beneficiary_id: None,
            wallet_seq,
            category: Category::Wallet,
            txn_type: TxnType::Credit,
            amount: payment.amount,
            price: None,
            discount: None,
            wallet_amount: None,
            service_type: None,
            to_phone: payer.phone,
            source: if own_top_up { Source::WalletTopup } else { Source::Refund },
            status: TxnStatus::Success,
            ..payment.transaction.clone()
        };
        self.settled(payment, state, txn_id, Some(why));
        Ok(self.finish_top_up(transaction, payer.user))
    }

    /// True when the customer was deleted: the wallet is blocked, and the number is nobody's or somebody else's.
    pub(super) fn is_closed(&self, payer: Payer, wallet: &WalletState) -> bool {
        let owner = payer.phone.and_then(|phone| self.loaded.lines.get(&phone)).map(|line| line.owner);
        wallet.status == AccountStatus::Blocked && payer.phone.is_some() && owner != Some(payer.user)
    }

    fn fail(&mut self, payment: &Payment, state: PaymentState) -> Receipt {
        self.settled(payment, state, payment.payment_id, None);
        Receipt { transaction: self.write_failure(payment, state), subscription: None }
    }

    /// A transaction of the payer's that moved nothing.
    fn write_failure(&mut self, payment: &Payment, state: PaymentState) -> Transaction {
        let payer = payment.purchase.payer();
        let mut wallet_seq = payment.transaction.wallet_seq;
        if let Some(wallet) = self.loaded.wallets.get(&payer.user.into()).cloned() {
            wallet_seq = wallet.seq;
            let transactions = wallet.transactions.saturating_add(1);
            self.set_wallet(payer.user.into(), WalletState { transactions, ..wallet });
        }
        let transaction = Transaction {
            created_at: self.loaded.now,
            beneficiary_id: None,
            wallet_seq,
            status: TxnStatus::Failed,
            ..payment.transaction.clone()
        };
        self.writes.transactions.push(transaction.clone());
        if let Some(event_id) = self.ids.event() {
            let event = Event::PaymentFailed(PaymentFailed {
                txn_id: transaction.txn_id,
                wallet_seq,
                user_id: payer.user,
                amount: payment.amount,
                expired: state == PaymentState::Expired,
                occurred_at: self.loaded.now,
            });
            self.writes.events.push(NewEvent { event_id, txn_id: Some(transaction.txn_id), event });
        }
        transaction
    }

    fn settled(&mut self, payment: &Payment, state: PaymentState, txn_id: TxnId, credited: Option<Reason>) {
        let payment_id = payment.payment_id;
        self.loaded.payments.insert(payment_id, PaymentStanding { state, txn_id: Some(txn_id) });
        self.writes.settled.push(SettledPayment { payment_id, state, txn_id, credited });
    }
}
