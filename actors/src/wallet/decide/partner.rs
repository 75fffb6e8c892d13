//! What partners need besides: their money coming in, and hearing what came of their messages.

use super::{Batch, Decided, blank, credited, out_of_ids};
use crate::events::{CommandFailed, Event, PartnerFunded};
use crate::kernel::{AccountId, AccountStatus, Reason, Source, TxnType, WalletId};
use crate::wallet::command::{Command, Fund, Order, Payer, Receipt, Rejection, Transaction};
use crate::wallet::writes::NewEvent;

impl Batch<'_> {
    /// Money that arrived outside, through the gateway's account into the partner's wallet. The limits are for customers.
    pub(super) fn fund(&mut self, order: &Fund) -> Decided<Receipt> {
        let cannot =
            || Rejection::new(Reason::ReceiverNotActive, "The partner is not active: unblock it first");
        let wallet = self.loaded.wallets.get(&order.partner.into()).cloned().ok_or_else(cannot)?;
        if wallet.status != AccountStatus::Active {
            return Err(cannot());
        }
        let balance = wallet.balance.checked_add(order.amount).filter(|_| order.amount.is_positive());
        let balance = balance.ok_or_else(|| {
            Rejection::new(
                Reason::LimitExceeded,
                "The amount must be above zero, and the wallet's sum countable",
            )
        })?;
        let txn_id = self.ids.transaction().ok_or_else(out_of_ids)?;
        let wallet = credited(wallet, balance);
        let wallet_seq = wallet.seq;
        self.set_wallet(order.partner.into(), wallet);
        self.post(txn_id, AccountId::GATEWAY_CLEARING, order.amount.checked_neg())?;
        self.post(txn_id, WalletId::from(order.partner).into(), Some(order.amount))?;
        let payer = Payer { user: order.partner, phone: None };
        let reference = order.reference.clone().unwrap_or_else(|| format!("FUND_{}", txn_id.get()));
        let transaction = Transaction {
            wallet_seq,
            gateway_amount: Some(order.amount),
            source: Source::WalletTopup,
            payment_transaction_id: Some(reference),
            ..blank(txn_id, self.loaded.now, payer, TxnType::Credit, order.amount)
        };
        let event = Event::PartnerFunded(PartnerFunded {
            txn_id,
            wallet_seq,
            partner_id: order.partner,
            amount: order.amount,
            occurred_at: self.loaded.now,
        });
        for event in [Some(event), order.audit.clone()].into_iter().flatten() {
            let Some(event_id) = self.ids.event() else { break };
            self.writes.events.push(NewEvent { event_id, txn_id: Some(txn_id), event });
        }
        self.writes.transactions.push(transaction.clone());
        Ok(Receipt { transaction, subscription: None })
    }

    /// Whether a message asked for something that was to be done before now.
    pub(super) fn too_late(&self, order: &Order) -> bool {
        let expires_at = order.asked.as_ref().and_then(|asked| asked.expires_at);
        expires_at.is_some_and(|moment| self.loaded.now > moment)
    }

    /// The events that the order made, those from `first` on, answer its message.
    pub(super) fn tell_done(&mut self, order: &Order, first: usize) {
        let Some(asked) = &order.asked else { return };
        for new in self.writes.events.iter_mut().skip(first) {
            new.event.answers(&asked.request);
        }
    }

    /// Tells a partner that its message was decided against.
    pub(super) fn tell_rejected(&mut self, order: &Order, rejection: &Rejection) {
        let Some(asked) = &order.asked else { return };
        let failed = CommandFailed {
            partner_id: order.command.payer().user,
            code: rejection.reason,
            detail: rejection.detail.clone(),
            occurred_at: self.loaded.now,
            request: asked.request.clone(),
        };
        let event = match &order.command {
            Command::Recharge(_) => Event::RechargeFailed(failed),
            Command::TopUp(_) | Command::Fund(_) | Command::Close(_) => Event::TopUpFailed(failed),
            // No message asks for these.
            Command::Settle(_) | Command::Refund(_) => return,
        };
        if let Some(event_id) = self.ids.event() {
            self.writes.events.push(NewEvent { event_id, txn_id: None, event });
        }
    }
}
