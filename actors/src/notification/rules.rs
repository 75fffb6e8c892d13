//! Which events make which notices. Pure: the same batch makes notices with the same ids at every delivery.
//!
//! A rule for a new event is one arm in [`notices_of`] and one line in each file of `templates/`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use super::notice::Part;
use super::{Channels, Language, Notice, NoticeId, NoticeKind, NoticeStatus, Recipient, Sender};
use crate::events::{
    Event, RechargeCompleted, ReferralRewarded, SubscriptionActivated, SubscriptionExpired,
    SubscriptionExpiring, WalletToppedUp,
};
use crate::kernel::{
    EventId, Paise, PaymentMethod, PlanId, Source, SubscriptionId, SubscriptionStatus, TxnId, UserId,
};
use crate::relay::ParsedBatch;

/// With more recharges than this in one batch, administrators get one notice for all of them.
pub const DIGEST_ABOVE: usize = 5;

/// What is the same for everybody.
#[derive(Clone)]
pub struct Rules {
    /// For administrators, and for customers who did not choose.
    pub language: Language,
    /// A wallet that falls below this is low; zero: none is.
    pub low_balance: Paise,
    /// The day of a moment, where the business is.
    pub day: Arc<dyn Fn(DateTime<Utc>) -> NaiveDate + Send + Sync>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("language", &self.language)
            .field("low_balance", &self.low_balance)
            .finish()
    }
}

/// What a customer wants to be told, and how. The default is what customers have who never chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// The language, if one was chosen.
    pub language: Option<Language>,
    /// `transactional_alerts`
    pub transactions: bool,
    /// `recharge_remainders`
    pub reminders: bool,
    /// `sms_notification`
    pub sms: bool,
    /// `email_notification`
    pub email: bool,
}

impl Default for Wishes {
    fn default() -> Self {
        Self { language: None, transactions: true, reminders: true, sms: true, email: true }
    }
}

impl Wishes {
    fn channels(self) -> Channels {
        match (self.sms, self.email) {
            (true, true) => Channels::ALL,
            (true, false) => Channels::SMS,
            (false, true) => Channels::EMAIL,
            (false, false) => Channels::NONE,
        }
    }
}

/// What sort of news it is: decides which wish governs it, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Money moved (`transactional_alerts`): the list, and a copy by text message and e-mail.
    Transaction,
    /// Money is about to move, or did not: the list always, and copies as for a transaction.
    Debit,
    /// Something is due (`recharge_remainders`): one for the list, one by text message, one by e-mail.
    Reminder,
    /// Good to know about one's number: the list only.
    Number,
}

/// The notices that a batch makes. Customers without an entry in `wishes` have the usual ones.
#[must_use]
pub fn notices_of(batch: &ParsedBatch, rules: &Rules, wishes: &HashMap<UserId, Wishes>) -> Vec<Notice> {
    let digested = batch.recharges.count > DIGEST_ABOVE;
    let mut page =
        Page { rules, wishes, digested, notices: Vec::with_capacity(batch.events.len().saturating_mul(2)) };
    for parsed in &batch.events {
        let id = parsed.event_id;
        match &parsed.event {
            Event::RechargeCompleted(it) => page.recharge(id, it),
            Event::WalletToppedUp(it) => page.top_up(id, it),
            Event::SubscriptionActivated(it) => page.activation(id, it),
            Event::SubscriptionExpired(it) => page.expiry(id, it),
            Event::AutopayDueSoon(it) => page.autopay_due_soon(id, it),
            Event::AutopayFailed(it) => page.autopay_failed(id, it),
            Event::AutopayDisabled(it) => page.autopay_disabled(id, it),
            // The recharge's own event tells it.
            Event::AutopayCharged(_) => {}
            // Partners hear of them by message.
            Event::RechargeFailed(_) | Event::TopUpFailed(_) | Event::PartnerFunded(_) => {}
            // The audit log has them.
            Event::AuditRecorded(_) => {}
            // There is nobody to tell any more.
            Event::WalletClosed(_) => {}
            Event::SubscriptionExpiring(it) => page.expiring(id, it),
            Event::PaymentFailed(it) => page.payment_failed(id, it),
            Event::PaymentRefunded(it) => page.payment_refunded(id, it),
            Event::ReferralRewarded(it) => page.reward(id, it),
        }
    }
    if digested && batch.leads {
        page.notices.push(digest(batch, rules));
    }
    page.notices
}

/// What notices of one event have in common.
pub(super) struct About {
    id: EventId,
    at: DateTime<Utc>,
    attachments: String,
}

impl About {
    pub(super) fn of(id: EventId, at: DateTime<Utc>, facts: &impl Serialize) -> Self {
        // Plain numbers and text: cannot fail.
        Self { id, at, attachments: serde_json::to_string(facts).unwrap_or_else(|_| "{}".to_owned()) }
    }
}

/// The notices of a batch as they are made.
pub(super) struct Page<'a> {
    rules: &'a Rules,
    wishes: &'a HashMap<UserId, Wishes>,
    digested: bool,
    notices: Vec<Notice>,
}

impl Page<'_> {
    /// News for a customer, in the customer's language and as the customer wishes.
    pub(super) fn customer(
        &mut self,
        about: &About,
        (to, part, news): (UserId, Part, News),
        say: impl Fn(Language) -> String,
    ) {
        let wishes = self.wishes.get(&to).copied().unwrap_or_default();
        let text = || say(wishes.language.unwrap_or(self.rules.language));
        let notice = |part, kind, channels| Notice {
            kind,
            channels,
            ..in_app(about, part, Recipient::User(to), text())
        };
        match news {
            News::Debit => {
                let channels = if wishes.transactions { wishes.channels() } else { Channels::NONE };
                self.notices.push(notice(part, NoticeKind::InApp, channels));
            }
            News::Transaction if wishes.transactions => {
                self.notices.push(notice(part, NoticeKind::InApp, wishes.channels()));
            }
            News::Reminder if wishes.reminders => {
                let message = notice(Part::Message, NoticeKind::Message, Channels::SMS);
                let email = notice(Part::Email, NoticeKind::Email, Channels::EMAIL);
                let listed = notice(part, NoticeKind::InApp, Channels::NONE);
                self.notices.extend(wishes.sms.then_some(message));
                self.notices.extend(wishes.email.then_some(email));
                self.notices.push(listed);
            }
            News::Number => self.notices.push(notice(part, NoticeKind::InApp, Channels::NONE)),
            News::Transaction | News::Reminder => {}
        }
    }

    /// News for every administrator.
    fn admins(&mut self, about: &About, say: impl Fn(Language) -> String) {
        self.notices.push(in_app(about, Part::Admins, Recipient::AllAdmins, say(self.rules.language)));
    }

    fn recharge(&mut self, id: EventId, it: &RechargeCompleted) {
        let about = About::of(id, it.occurred_at, &RechargeFacts::of(it));
        let (plan, phone) = (&it.plan_name, it.to_phone.national());
        let starts = |words: Language| {
            let key = match it.subscription_status {
                SubscriptionStatus::Active => "recharge.starts.now",
                SubscriptionStatus::Queued => "recharge.starts.later",
                SubscriptionStatus::Expired => "recharge.starts.over",
            };
            words.say(key, &[])
        };
        if it.beneficiary_id != it.user_id {
            self.customer(&about, (it.beneficiary_id, Part::Other, News::Transaction), |words| {
                words.say("recharge.owner", &[("plan", plan), ("phone", &phone), ("starts", &starts(words))])
            });
        }
        if it.request.is_none() {
            self.recharge_payer(&about, it, &starts);
        }
        if !self.digested {
            self.admins(&about, |words| {
                words.say("recharge.admins", &[("plan", plan), ("paid", &it.paid())])
            });
        }
    }

    /// For who paid; a partner hears of it by message.
    fn recharge_payer(&mut self, about: &About, it: &RechargeCompleted, starts: &dyn Fn(Language) -> String) {
        let key = if it.source == Source::Autopay { "recharge.payer.autopay" } else { "recharge.payer" };
        self.customer(about, (it.user_id, Part::Customer, News::Transaction), |words| {
            let cashback = if it.cashback.is_positive() {
                words.say("recharge.cashback", &[("amount", &it.cashback)])
            } else {
                String::new()
            };
            words.say(
                key,
                &[
                    ("plan", &it.plan_name),
                    ("phone", &it.to_phone.national()),
                    ("paid", &it.paid()),
                    ("starts", &starts(words)),
                    ("cashback", &cashback),
                ],
            )
        });
        let spent = it.wallet_amount.checked_sub(it.cashback).unwrap_or(Paise::ZERO);
        self.low_balance(about, it.user_id, it.wallet_balance, spent);
    }

    /// Once for each time that a wallet falls below the threshold: when `spent` made it fall to `balance`.
    fn low_balance(&mut self, about: &About, user: UserId, balance: Option<Paise>, spent: Paise) {
        let Some(balance) = balance else { return };
        let low = self.rules.low_balance;
        let before = balance.checked_add(spent).unwrap_or(balance);
        if balance < low && before >= low {
            self.customer(about, (user, Part::Balance, News::Transaction), |words| {
                words.say("balance.low", &[("balance", &balance)])
            });
        }
    }

    fn top_up(&mut self, id: EventId, it: &WalletToppedUp) {
        let about =
            About::of(id, it.occurred_at, &TopUpFacts { txn_id: it.txn_id, amount: it.amount.to_string() });
        let amount = it.amount;
        if it.beneficiary_id == it.user_id {
            let key = match it.source {
                Source::Refund => "refund.own",
                Source::Recharge | Source::WalletTopup | Source::Autopay | Source::ReferralReward => {
                    "topup.own"
                }
            };
            let to = (it.user_id, Part::Customer, News::Transaction);
            return self.customer(&about, to, |words| words.say(key, &[("amount", &amount)]));
        }
        let key = if it.request.is_some() { "topup.receiver.partner" } else { "topup.receiver" };
        self.customer(&about, (it.beneficiary_id, Part::Other, News::Transaction), |words| {
            words.say(key, &[("amount", &amount)])
        });
        if it.request.is_some() {
            return;
        }
        self.customer(&about, (it.user_id, Part::Customer, News::Transaction), |words| {
            words.say("topup.payer", &[("amount", &amount), ("phone", &it.to_phone.national())])
        });
        if it.payment_method == PaymentMethod::Wallet {
            self.low_balance(&about, it.user_id, it.wallet_balance, amount);
        }
    }

    fn reward(&mut self, id: EventId, it: &ReferralRewarded) {
        let facts = TopUpFacts { txn_id: it.txn_id, amount: it.amount.to_string() };
        let about = About::of(id, it.occurred_at, &facts);
        self.customer(&about, (it.user_id, Part::Customer, News::Transaction), |words| {
            words.say("reward.own", &[("amount", &it.amount)])
        });
    }

    fn activation(&mut self, id: EventId, it: &SubscriptionActivated) {
        let facts = SubscriptionFacts {
            subscription_id: it.subscription_id,
            plan_id: it.plan_id,
            txn_id: it.txn_id,
            valid_to: it.valid_to,
        };
        let about = About::of(id, it.occurred_at, &facts);
        self.customer(&about, (it.user_id, Part::Customer, News::Number), |words| {
            let plan = plan_name(it.plan_name.as_deref(), words);
            words.say("plan.started", &[("plan", &plan), ("phone", &it.phone.national())])
        });
    }

    fn expiring(&mut self, id: EventId, it: &SubscriptionExpiring) {
        let facts = SubscriptionFacts {
            subscription_id: it.subscription_id,
            plan_id: it.plan_id,
            txn_id: it.txn_id,
            valid_to: it.valid_to,
        };
        let about = About::of(id, it.occurred_at, &facts);
        let day = (self.rules.day)(it.valid_to).format("%d-%m-%Y");
        self.customer(&about, (it.user_id, Part::Customer, News::Reminder), |words| {
            let plan = plan_name(it.plan_name.as_deref(), words);
            let phone = it.phone.national();
            words.say("plan.expiring", &[("plan", &plan), ("phone", &phone), ("day", &day)])
        });
    }

    fn expiry(&mut self, id: EventId, it: &SubscriptionExpired) {
        let facts = SubscriptionFacts {
            subscription_id: it.subscription_id,
            plan_id: it.plan_id,
            txn_id: it.txn_id,
            valid_to: it.valid_to,
        };
        let about = About::of(id, it.occurred_at, &facts);
        let key = if it.superseded { "plan.replaced" } else { "plan.expired" };
        self.customer(&about, (it.user_id, Part::Customer, News::Number), |words| {
            let plan = plan_name(it.plan_name.as_deref(), words);
            words.say(key, &[("plan", &plan), ("phone", &it.phone.national())])
        });
    }
}

#[derive(Serialize)]
struct RechargeFacts<'a> {
    txn_id: TxnId,
    subscription_id: SubscriptionId,
    plan_id: PlanId,
    plan_name: &'a str,
    total_paid: String,
    status: SubscriptionStatus,
    valid_from: DateTime<Utc>,
    valid_to: DateTime<Utc>,
}

impl<'a> RechargeFacts<'a> {
    fn of(it: &'a RechargeCompleted) -> Self {
        Self {
            txn_id: it.txn_id,
            subscription_id: it.subscription_id,
            plan_id: it.plan_id,
            plan_name: &it.plan_name,
            total_paid: it.paid().to_string(),
            status: it.subscription_status,
            valid_from: it.valid_from,
            valid_to: it.valid_to,
        }
    }
}

#[derive(Serialize)]
pub(super) struct TopUpFacts {
    pub txn_id: TxnId,
    pub amount: String,
}

#[derive(Serialize)]
struct SubscriptionFacts {
    subscription_id: SubscriptionId,
    plan_id: PlanId,
    txn_id: TxnId,
    valid_to: DateTime<Utc>,
}

#[derive(Serialize)]
struct DigestFacts {
    recharges: usize,
    total: String,
    first_txn_id: Option<TxnId>,
    last_txn_id: Option<TxnId>,
}

fn digest(batch: &ParsedBatch, rules: &Rules) -> Notice {
    let (at, recharges) = (batch.created_at, &batch.recharges);
    let facts = DigestFacts {
        recharges: recharges.count,
        total: recharges.total.to_string(),
        first_txn_id: recharges.first,
        last_txn_id: recharges.last,
    };
    let fill: [(&str, &dyn fmt::Display); 2] = [("count", &recharges.count), ("total", &recharges.total)];
    let text = rules.language.say("recharge.admins.many", &fill);
    let id = NoticeId::of_batch(batch.batch_id, at);
    Notice { id, ..in_app(&About::of(EventId(0), at, &facts), Part::Digest, Recipient::AllAdmins, text) }
}

fn plan_name(name: Option<&str>, words: Language) -> String {
    name.map_or_else(|| words.say("plan.unnamed", &[]), str::to_owned)
}

fn in_app(about: &About, part: Part, recipient: Recipient, description: String) -> Notice {
    Notice {
        id: NoticeId::of_event(about.id, about.at, part),
        sender: Sender::System,
        description,
        recipient,
        status: NoticeStatus::Delivered,
        kind: NoticeKind::InApp,
        attachments: about.attachments.clone(),
        created_at: about.at,
        scheduled_at: None,
        channels: Channels::NONE,
    }
}
