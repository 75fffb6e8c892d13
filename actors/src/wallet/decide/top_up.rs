//! Putting money into a wallet: from the gateway, or from another wallet.

use super::{Batch, Decided, blank, credited, insufficient, out_of_ids};
use crate::events::{Event, WalletToppedUp};
use crate::kernel::{AccountId, PaymentMethod, Source, TxnId, TxnType, UserId, WalletId};
use crate::payment::Begun;
use crate::wallet::command::{Reason, Receipt, Rejection, TopUp, Transaction};
use crate::wallet::payment::Purchase;
use crate::wallet::state::WalletState;
use crate::wallet::writes::NewEvent;

impl Batch<'_> {
    pub(super) fn top_up(&mut self, order: &TopUp) -> Decided<Receipt> {
        let (payer, receiver) = self.receiver(order)?;
        if order.method == PaymentMethod::Wallet {
            return self.transfer(order, payer, receiver);
        }
        self.receive(receiver, order.amount)?;
        match self.begin(order.payer, order.amount) {
            Begun::Captured => self.capture(order, None),
            Begun::Pending { late } => {
                let transaction = self.promised_top_up(order, &payer, receiver)?;
                self.wait_for(Purchase::TopUp(order.clone()), transaction, late)
            }
            Begun::Declined => {
                let transaction = self.promised_top_up(order, &payer, receiver)?;
                self.decline(Purchase::TopUp(order.clone()), transaction)
            }
        }
    }

    /// The payer's wallet, and who gets the money.
    fn receiver(&self, order: &TopUp) -> Decided<(WalletState, UserId)> {
        let payer = self.active_payer(order.payer)?;
        if !order.amount.is_positive() || order.amount > self.limits.max_top_up {
            return Err(Rejection::new(
                Reason::LimitExceeded,
                format!("A top-up must be between 0.01 and {} rupees", self.limits.max_top_up),
            ));
        }
        let own = Some(order.number) == order.payer.phone;
        let receiver = if own { order.payer.user } else { self.line(order.number)?.owner };
        Ok((payer, receiver))
    }

    fn promised_top_up(&mut self, order: &TopUp, payer: &WalletState, to: UserId) -> Decided<Transaction> {
        let txn_id = self.ids.transaction().ok_or_else(out_of_ids)?;
        Ok(Transaction { wallet_seq: payer.seq, ..self.captured(order, to, txn_id) })
    }

    /// From the gateway into the receiver's wallet: one transaction, seen by both. `txn_id`: the id that a payment has
    /// promised.
    pub(super) fn capture(&mut self, order: &TopUp, txn_id: Option<TxnId>) -> Decided<Receipt> {
        let (_, receiver) = self.receiver(order)?;
        let (wallet, balance) = self.receive(receiver, order.amount)?;
        let txn_id = txn_id.or_else(|| self.ids.transaction()).ok_or_else(out_of_ids)?;
        let wallet = credited(wallet, balance);
        let wallet_seq = wallet.seq;
        self.set_wallet(receiver.into(), wallet);
        if receiver != order.payer.user {
            let payer = self.active_payer(order.payer)?;
            let transactions = payer.transactions.saturating_add(1);
            self.set_wallet(order.payer.user.into(), WalletState { transactions, ..payer });
        }
        self.post(txn_id, AccountId::GATEWAY_CLEARING, order.amount.checked_neg())?;
        self.post(txn_id, WalletId::from(receiver).into(), Some(order.amount))?;
        let transaction = Transaction { wallet_seq, ..self.captured(order, receiver, txn_id) };
        Ok(self.finish_top_up(transaction, receiver))
    }

    fn captured(&self, order: &TopUp, receiver: UserId, txn_id: TxnId) -> Transaction {
        Transaction {
            beneficiary_id: (receiver != order.payer.user).then_some(receiver),
            gateway_amount: Some(order.amount),
            to_phone: Some(order.number),
            source: Source::WalletTopup,
            payment_method: Some(order.method),
            payment_transaction_id: Some(format!("TOPUP_{}", txn_id.get())),
            ..blank(txn_id, self.loaded.now, order.payer, TxnType::Credit, order.amount)
        }
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
        Ok(self.finish_top_up(debit, receiver))
    }

    /// Writes and tells of money that went into `receiver`'s wallet.
    pub(super) fn finish_top_up(&mut self, transaction: Transaction, receiver: UserId) -> Receipt {
        if let (Some(to_phone), Some(event_id)) = (transaction.to_phone, self.ids.event()) {
            let event = Event::WalletToppedUp(WalletToppedUp {
                txn_id: transaction.txn_id,
                wallet_seq: transaction.wallet_seq,
                user_id: transaction.user_id,
                beneficiary_id: receiver,
                to_phone,
                amount: transaction.amount,
                payment_method: transaction.payment_method.unwrap_or(PaymentMethod::Wallet),
                source: transaction.source,
                occurred_at: transaction.created_at,
                wallet_balance: self.wallet_balance(transaction.user_id),
                request: None,
            });
            self.writes.events.push(NewEvent { event_id, txn_id: Some(transaction.txn_id), event });
        }
        self.writes.transactions.push(transaction.clone());
        Receipt { transaction, subscription: None }
    }
}
