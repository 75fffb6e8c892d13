//! What bringing a customer earns: it is paid with the first recharge that the customer pays.

use super::{Batch, Decided, blank, credited, out_of_ids};
use crate::events::{Event, ReferralRewarded};
use crate::kernel::{
    AccountId, AccountStatus, Paise, PaymentMethod, PhoneNumber, Source, TxnType, UserId, WalletId,
};
use crate::wallet::command::{Payer, Transaction};
use crate::wallet::state::{Referral, WalletState};
use crate::wallet::writes::{EndedReferral, NewEvent};

impl Batch<'_> {
    /// Ends the buyer's referral, if there is one, with a recharge that cost the buyer `paid`. It ends once: the referrer
    /// gets the reward now, or never.
    pub(super) fn end_referral(&mut self, buyer: UserId, paid: Paise) -> Decided<()> {
        if self.loaded.referrals.is_empty() || !paid.is_positive() {
            return Ok(());
        }
        let Some(Referral { referrer, reward }) = self.loaded.referrals.remove(&buyer) else { return Ok(()) };
        let mut ended = EndedReferral {
            referred: buyer,
            reward_id: reward.map(|(reward_id, _)| reward_id),
            txn_id: None,
        };
        if let Some(((reward_id, amount), wallet)) =
            reward.and_then(|reward| Some((reward, self.rewarded(referrer, reward.1)?)))
        {
            let transaction = self.pay_reward(referrer, wallet, reward_id, amount)?;
            ended.txn_id = Some(transaction.txn_id);
            self.tell_reward(&transaction, reward_id, buyer);
            self.writes.transactions.push(transaction);
        }
        self.writes.referrals.push(ended);
        Ok(())
    }

    /// The referrer's wallet with the reward in it; `None` when the referrer is not active, or has earned enough. A reward
    /// is no top-up: the limit of what a wallet may hold is not for it.
    fn rewarded(&self, referrer: UserId, amount: Paise) -> Option<WalletState> {
        let earned = self.loaded.rewards_earned.get(&referrer).copied().unwrap_or(0);
        let wallet = self.loaded.wallets.get(&referrer.into())?;
        let may = wallet.status == AccountStatus::Active
            && self.limits.max_rewards.is_none_or(|most| earned < most);
        let balance = wallet.balance.checked_add(amount).filter(|_| may)?;
        Some(credited(wallet.clone(), balance))
    }

    fn pay_reward(
        &mut self,
        referrer: UserId,
        wallet: WalletState,
        reward_id: i64,
        amount: Paise,
    ) -> Decided<Transaction> {
        let txn_id = self.ids.transaction().ok_or_else(out_of_ids)?;
        let wallet_seq = wallet.seq;
        self.set_wallet(referrer.into(), wallet);
        let earned = self.loaded.rewards_earned.entry(referrer).or_insert(0);
        *earned = earned.saturating_add(1);
        self.post(txn_id, AccountId::REWARDS, amount.checked_neg())?;
        self.post(txn_id, WalletId::from(referrer).into(), Some(amount))?;
        let payer = Payer { user: referrer, phone: None };
        Ok(Transaction {
            wallet_seq,
            to_phone: self.number_of(referrer),
            source: Source::ReferralReward,
            payment_method: Some(PaymentMethod::Wallet),
            payment_transaction_id: Some(format!("REWARD_{reward_id}")),
            ..blank(txn_id, self.loaded.now, payer, TxnType::Credit, amount)
        })
    }

    fn number_of(&self, user: UserId) -> Option<PhoneNumber> {
        self.loaded.lines.iter().find(|(_, line)| line.owner == user).map(|(phone, _)| *phone)
    }

    fn tell_reward(&mut self, transaction: &Transaction, reward_id: i64, referred_id: UserId) {
        let Some(event_id) = self.ids.event() else { return };
        let event = Event::ReferralRewarded(ReferralRewarded {
            txn_id: transaction.txn_id,
            wallet_seq: transaction.wallet_seq,
            reward_id,
            user_id: transaction.user_id,
            referred_id,
            amount: transaction.amount,
            occurred_at: transaction.created_at,
        });
        self.writes.events.push(NewEvent { event_id, txn_id: Some(transaction.txn_id), event });
    }
}

#[cfg(test)]
mod tests;
