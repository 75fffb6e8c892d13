//! A wallet closed, because its owner's account is deleted.

use super::{Batch, Decided, blank, credited, insufficient, out_of_ids};
use crate::events::{Event, WalletClosed};
use crate::kernel::{AccountId, AccountStatus, Paise, PaymentMethod, Source, TxnType, WalletId};
use crate::wallet::command::{Close, Payer, Reason, Receipt, Rejection, Transaction};
use crate::wallet::state::WalletState;
use crate::wallet::writes::{ClosedWallet, NewEvent};

impl Batch<'_> {
    /// What it holds is set aside for its former owner, whatever state the account is in; the store archives the account in
    /// the same transaction. Nothing reaches the wallet afterwards.
    pub(super) fn close(&mut self, order: &Close) -> Decided<Receipt> {
        let Close { user, phone, by } = *order;
        let id = WalletId::from(user);
        let owned = self.loaded.lines.get(&phone).is_some_and(|line| line.owner == user);
        let wallet = self.loaded.wallets.get(&id).filter(|_| owned).cloned().ok_or_else(|| {
            Rejection::new(Reason::NumberUnknown, "The number is not this customer's any more")
        })?;
        let held = wallet.balance;
        if !held.is_positive() {
            return Err(insufficient(held, Paise::new(1)));
        }
        let txn_id = self.ids.transaction().ok_or_else(out_of_ids)?;
        let wallet = WalletState { status: AccountStatus::Blocked, ..credited(wallet, Paise::ZERO) };
        let wallet_seq = wallet.seq;
        self.set_wallet(id, wallet);
        self.loaded.lines.remove(&phone);
        self.post(txn_id, id.into(), held.checked_neg())?;
        self.post(txn_id, AccountId::CLOSED_WALLETS, Some(held))?;
        let transaction = Transaction {
            wallet_seq,
            wallet_amount: Some(held),
            source: Source::Refund,
            payment_method: Some(PaymentMethod::Wallet),
            payment_transaction_id: Some(format!("CLOSE_{}", txn_id.get())),
            ..blank(txn_id, self.loaded.now, Payer { user, phone: Some(phone) }, TxnType::Debit, held)
        };
        if let Some(event_id) = self.ids.event() {
            let occurred_at = transaction.created_at;
            let event = Event::WalletClosed(WalletClosed {
                txn_id,
                wallet_seq,
                user_id: user,
                amount: held,
                occurred_at,
            });
            self.writes.events.push(NewEvent { event_id, txn_id: Some(txn_id), event });
        }
        self.writes.transactions.push(transaction.clone());
        self.writes.closed.push(ClosedWallet { user, held, by });
        Ok(Receipt { transaction, subscription: None })
    }
}
