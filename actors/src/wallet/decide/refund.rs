//! Giving money back: a reversing transaction, never more than was paid.

use super::{Batch, Decided, blank, credited, insufficient, out_of_ids, too_large};
use crate::events::{AuditRecorded, Event, PaymentRefunded};
use crate::kernel::{
    AccountId, Actor, Paise, PaymentMethod, Source, SubscriptionStatus, TxnId, TxnType, UserId, WalletId,
};
use crate::wallet::command::{Reason, Receipt, Rejection, Transaction};
use crate::wallet::payment::{Refund, RefundWay};
use crate::wallet::state::WalletState;
use crate::wallet::writes::{CancelPlan, NewEvent, NewRefund};

/// A refund that can be done.
struct Allowed {
    amount: Paise,
    /// Nothing is left to be given back after it.
    complete: bool,
}

impl Batch<'_> {
    pub(super) fn refund(&mut self, order: &Refund) -> Decided<Receipt> {
        let way = order.way().ok_or_else(|| {
            Rejection::new(
                Reason::NotRefundable,
                "Only successful recharges, and money that came from the gateway, can be refunded",
            )
        })?;
        let allowed = self.allowed(order)?;
        let txn_id = self.ids.transaction().ok_or_else(out_of_ids)?;
        let transaction = match way {
            RefundWay::ToWallet => self.give_back(order, txn_id, &allowed)?,
            RefundWay::ToGateway => self.take_back(order, txn_id, &allowed)?,
        };
        let cancelled = allowed.complete && self.cancel_plan(order);
        self.tell_refund(order, &transaction, way, &allowed, cancelled);
        self.writes.transactions.push(transaction.clone());
        self.writes.refunds.push(NewRefund {
            refund_txn_id: txn_id,
            txn_id: order.of.txn_id,
            amount: allowed.amount,
            complete: allowed.complete,
            admin: order.admin,
            reason: order.reason.clone(),
        });
        Ok(Receipt { transaction, subscription: None })
    }

    /// How much, given what was refunded before and the cashback that is kept back.
    fn allowed(&mut self, order: &Refund) -> Decided<Allowed> {
        let standing = self.loaded.refunds.entry(order.of.txn_id).or_default();
        let refundable = order.of.amount.checked_sub(order.cashback);
        let left = refundable.and_then(|all| all.checked_sub(standing.refunded)).unwrap_or_default();
        let amount = order.amount.unwrap_or(left);
        if !amount.is_positive() || amount > left {
            let detail = format!("{left} rupees are left of it to be refunded: ask for that much at most");
            return Err(Rejection::new(Reason::RefundExceeded, detail));
        }
        standing.refunded = standing.refunded.checked_add(amount).ok_or_else(too_large)?;
        Ok(Allowed { amount, complete: amount == left })
    }

    /// A recharge: from the revenue into the payer's wallet. The refund that completes it takes discount and cashback back
    /// too, so that nothing of the recharge is left in the books.
    fn give_back(&mut self, order: &Refund, txn_id: TxnId, allowed: &Allowed) -> Decided<Transaction> {
        let wallet = self.wallet(order.payer.user)?;
        if self.is_closed(order.payer, &wallet) {
            return Err(Rejection::new(
                Reason::ReceiverNotActive,
                "The customer was deleted: there is no wallet to refund to",
            ));
        }
        let balance = wallet.balance.checked_add(allowed.amount).ok_or_else(too_large)?;
        let wallet = credited(wallet, balance);
        let wallet_seq = wallet.seq;
        let given = if allowed.complete {
            order.of.discount.unwrap_or_default().checked_add(order.cashback).ok_or_else(too_large)?
        } else {
            Paise::ZERO
        };
        let revenue = allowed.amount.checked_add(given).ok_or_else(too_large)?;
        self.set_wallet(order.payer.user.into(), wallet);
        self.post(txn_id, AccountId::REVENUE, revenue.checked_neg())?;
        self.post(txn_id, AccountId::PROMOTIONS, Some(given))?;
        self.post(txn_id, WalletId::from(order.payer.user).into(), Some(allowed.amount))?;
        Ok(Transaction {
            wallet_seq,
            payment_method: Some(PaymentMethod::Wallet),
            wallet_amount: Some(allowed.amount),
            ..self.reversing(order, txn_id, TxnType::Credit, allowed.amount)
        })
    }

    /// Money put into a wallet: out of it again, as long as it is still there, and back through the gateway.
    fn take_back(&mut self, order: &Refund, txn_id: TxnId, allowed: &Allowed) -> Decided<Transaction> {
        let holder = order.holder();
        let wallet = self.wallet(holder)?;
        let rest = wallet.balance.checked_sub(allowed.amount).filter(|rest| !rest.is_negative());
        let rest = rest.ok_or_else(|| insufficient(wallet.balance, allowed.amount))?;
        let wallet = credited(wallet, rest);
        let wallet_seq = wallet.seq;
        self.set_wallet(holder.into(), wallet);
        if holder != order.of.user_id {
            let payer = self.wallet(order.of.user_id)?;
            let transactions = payer.transactions.saturating_add(1);
            self.set_wallet(order.of.user_id.into(), WalletState { transactions, ..payer });
        }
        self.post(txn_id, WalletId::from(holder).into(), allowed.amount.checked_neg())?;
        self.post(txn_id, AccountId::GATEWAY_CLEARING, Some(allowed.amount))?;
        Ok(Transaction {
            beneficiary_id: order.of.beneficiary_id,
            wallet_seq,
            payment_method: order.of.payment_method,
            gateway_amount: Some(allowed.amount),
            ..self.reversing(order, txn_id, TxnType::Debit, allowed.amount)
        })
    }

    /// It names what it reverses; the plan and the offer are those of the recharge.
    fn reversing(&self, order: &Refund, txn_id: TxnId, txn_type: TxnType, amount: Paise) -> Transaction {
        Transaction {
            plan_id: order.of.plan_id,
            offer_id: order.of.offer_id,
            to_phone: order.of.to_phone,
            source: Source::Refund,
            payment_transaction_id: Some(format!("REFUND_{}", order.of.txn_id.get())),
            ..blank(txn_id, self.loaded.now, order.payer, txn_type, amount)
        }
    }

    /// A blocked customer's wallet gets its money back too.
    fn wallet(&self, user: UserId) -> Decided<WalletState> {
        self.loaded.wallets.get(&user.into()).cloned().ok_or_else(|| {
            Rejection::new(Reason::ReceiverNotActive, "The customer's wallet is not there any more")
        })
    }

    /// Ends the plan whose whole price was given back, if it runs or waits; those behind it move up. The refund is alone
    /// in its batch, so the window that was read is the one that stands.
    fn cancel_plan(&mut self, order: &Refund) -> bool {
        let now = self.loaded.now;
        let plan = self.loaded.refunds.get(&order.of.txn_id).and_then(|standing| standing.plan);
        let (Some((status, valid_from, old_valid_to)), Some(subscription_id), Some(phone)) =
            (plan, order.of.subscription_id, order.of.to_phone)
        else {
            return false;
        };
        let Some(mut line) = self.loaded.lines.get(&phone).cloned() else { return false };
        match status {
            SubscriptionStatus::Expired => return false,
            SubscriptionStatus::Active => line.active = None,
            SubscriptionStatus::Queued => line.queued = line.queued.saturating_sub(1),
        }
        let cancelled = CancelPlan { subscription_id, phone, old_valid_to, valid_to: now.max(valid_from) };
        let tail = line.tail_valid_to.and_then(|tail| tail.checked_add_signed(cancelled.shift()));
        line.tail_valid_to = tail.filter(|_| line.active.is_some() || line.queued > 0);
        if line.active.is_none() && line.queued > 0 {
            self.writes.wake_ups.push(phone);
        }
        self.loaded.lines.insert(phone, line.clone());
        self.writes.lines.insert(phone, line);
        self.writes.cancelled.push(cancelled);
        true
    }

    fn tell_refund(
        &mut self,
        order: &Refund,
        transaction: &Transaction,
        way: RefundWay,
        allowed: &Allowed,
        plan_cancelled: bool,
    ) {
        let Some(event_id) = self.ids.event() else { return };
        let event = Event::PaymentRefunded(PaymentRefunded {
            txn_id: transaction.txn_id,
            wallet_seq: transaction.wallet_seq,
            user_id: transaction.user_id,
            holder_id: match way {
                RefundWay::ToWallet => transaction.user_id,
                RefundWay::ToGateway => order.holder(),
            },
            refunded_txn_id: order.of.txn_id,
            amount: allowed.amount,
            to_wallet: way == RefundWay::ToWallet,
            complete: allowed.complete,
            plan_cancelled,
            admin_id: order.admin,
            occurred_at: transaction.created_at,
        });
        self.writes.events.push(NewEvent { event_id, txn_id: Some(transaction.txn_id), event });
        self.audit_refund(order, transaction, allowed);
    }

    fn audit_refund(&mut self, order: &Refund, transaction: &Transaction, allowed: &Allowed) {
        let Some(event_id) = self.ids.event() else { return };
        let event = Event::AuditRecorded(AuditRecorded {
            actor: Actor::Admin(order.admin),
            role: order.role.clone(),
            action: "REFUND".to_owned(),
            service: "payments".to_owned(),
            target: format!("transaction/{}", order.of.txn_id.get()),
            status: "success".to_owned(),
            changes: serde_json::json!({
                "refund_txn_id": transaction.txn_id,
                "amount": allowed.amount.to_string(),
                "reason": order.reason,
            }),
            occurred_at: transaction.created_at,
        });
        self.writes.events.push(NewEvent { event_id, txn_id: None, event });
    }
}
