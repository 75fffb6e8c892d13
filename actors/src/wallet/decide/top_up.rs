//! Putting money into a wallet: from the gateway, or from another wallet.

use super::{Batch, Decided, blank, credited, insufficient, out_of_ids};
use crate::events::{Event, WalletToppedUp};
use crate::kernel::{AccountId, PaymentMethod, Source, TxnType, UserId, WalletId};
use crate::wallet::command::{Reason, Receipt, Rejection, TopUp, Transaction};
use crate::wallet::state::WalletState;
use crate::wallet::writes::NewEvent;

impl Batch<'_> {
    pub(super) fn top_up(&mut self, order: &TopUp) -> Decided<Receipt> {
        let payer = self.active_payer(order.payer)?;
        if !order.amount.is_positive() || order.amount > self.limits.max_top_up {
            return Err(Rejection::new(
                Reason::LimitExceeded,
                format!("A top-up must be between 0.01 and {} rupees", self.limits.max_top_up),
            ));
        }
        let receiver = if Some(order.number) == order.payer.phone {
            order.payer.user
        } else {
            self.line(order.number)?.owner
        };
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
                request: None,
            });
            self.writes.events.push(NewEvent { event_id, txn_id: Some(transaction.txn_id), event });
        }
        self.writes.transactions.push(transaction.clone());
        Receipt { transaction, subscription: None }
    }
}
