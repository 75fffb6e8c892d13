//! Which events make which notices. Pure: the same batch makes the same notices, with the same ids, at every delivery.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::autopay;
use super::notice::Part;
use super::{Channels, Notice, NoticeId, NoticeKind, NoticeStatus, Recipient, Sender};
use crate::events::{
    Event, PaymentFailed, PaymentRefunded, RechargeCompleted, SubscriptionActivated, SubscriptionExpired,
    WalletToppedUp,
};
use crate::kernel::{EventId, PlanId, Source, SubscriptionId, SubscriptionStatus, TxnId};
use crate::relay::ParsedBatch;

/// With more recharges than this in one batch, administrators get one notice for all of them.
pub const DIGEST_ABOVE: usize = 5;

/// The notices that a batch makes.
#[must_use]
pub fn notices_of(batch: &ParsedBatch) -> Vec<Notice> {
    let mut notices = Vec::with_capacity(batch.events.len().saturating_mul(2));
    let digested = batch.recharges.count > DIGEST_ABOVE;
    for parsed in &batch.events {
        let id = parsed.event_id;
        match &parsed.event {
            Event::RechargeCompleted(recharge) => {
                for_recharge(id, recharge, &mut notices);
                if !digested {
                    notices.push(for_admins(id, recharge));
                }
            }
            Event::WalletToppedUp(top_up) => for_top_up(id, top_up, &mut notices),
            Event::SubscriptionActivated(activated) => notices.push(for_activation(id, activated)),
            Event::SubscriptionExpired(expired) => notices.push(for_expiry(id, expired)),
            Event::AutopayDueSoon(due) => notices.push(autopay::due_soon(id, due)),
            Event::AutopayFailed(failed) => notices.extend(autopay::failed(id, failed)),
            Event::AutopayDisabled(disabled) => notices.push(autopay::disabled(id, disabled)),
            // The recharge's own event tells it.
            Event::AutopayCharged(_) => {}
            // Partners hear of them by message.
            Event::RechargeFailed(_) | Event::TopUpFailed(_) | Event::PartnerFunded(_) => {}
            // The audit log has them.
            Event::AuditRecorded(_) => {}
            // There is nobody to tell any more.
            Event::WalletClosed(_) => {}
            Event::PaymentFailed(failed) => notices.push(for_failure(id, failed)),
            Event::PaymentRefunded(refund) => for_refund(id, refund, &mut notices),
        }
    }
    if digested && batch.leads {
        notices.push(digest(batch));
    }
    notices
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

#[derive(Serialize)]
struct TopUpFacts {
    txn_id: TxnId,
    amount: String,
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

fn for_recharge(id: EventId, recharge: &RechargeCompleted, notices: &mut Vec<Notice>) {
    let plan = &recharge.plan_name;
    let phone = recharge.to_phone.national();
    let starts = match recharge.subscription_status {
        SubscriptionStatus::Active => "It is active now.",
        SubscriptionStatus::Queued => "It starts when the plans before it end.",
        SubscriptionStatus::Expired => "It is over.",
    };
    let paid = recharge.paid();
    let cashback = if recharge.cashback.is_positive() {
        format!(" Rs {} cashback is in your wallet.", recharge.cashback)
    } else {
        String::new()
    };
    let about = facts(recharge);
    let at = recharge.occurred_at;
    let by = if recharge.source == Source::Autopay { "Autopay: r" } else { "R" };
    if recharge.beneficiary_id != recharge.user_id {
        let description = format!("Your number {phone} was recharged with {plan}. {starts}");
        let to = Recipient::User(recharge.beneficiary_id);
        notices.push(in_app(NoticeId::of_event(id, at, Part::Other), to, description, about.clone(), at));
    }
    if recharge.request.is_some() {
        // A partner paid: it hears of it by message.
        return;
    }
    let description =
        format!("{by}echarge successful: {plan} for {phone}, Rs {paid} paid. {starts}{cashback}");
    let to = Recipient::User(recharge.user_id);
    notices.push(in_app(NoticeId::of_event(id, at, Part::Customer), to, description, about, at));
}

fn for_admins(id: EventId, recharge: &RechargeCompleted) -> Notice {
    let at = recharge.occurred_at;
    let description = format!("New subscription: {} for Rs {}", recharge.plan_name, recharge.paid());
    in_app(NoticeId::of_event(id, at, Part::Admins), Recipient::AllAdmins, description, facts(recharge), at)
}

fn for_top_up(id: EventId, top_up: &WalletToppedUp, notices: &mut Vec<Notice>) {
    let at = top_up.occurred_at;
    let amount = top_up.amount;
    let about = json(&TopUpFacts { txn_id: top_up.txn_id, amount: amount.to_string() });
    let owner = Recipient::User(top_up.beneficiary_id);
    let what = match top_up.source {
        Source::Refund => "refunded to",
        Source::ReferralReward => "of referral reward added to",
        Source::Recharge | Source::WalletTopup | Source::Autopay => "added to",
    };
    if top_up.beneficiary_id != top_up.user_id {
        let by = if top_up.request.is_some() { "a partner" } else { "another customer" };
        let description = format!("Rs {amount} {what} your wallet by {by}.");
        notices.push(in_app(NoticeId::of_event(id, at, Part::Other), owner, description, about.clone(), at));
        if top_up.request.is_some() {
            return;
        }
        let phone = top_up.to_phone.national();
        let description = format!("Top-up successful: Rs {amount} {what} the wallet of {phone}.");
        let payer = Recipient::User(top_up.user_id);
        notices.push(in_app(NoticeId::of_event(id, at, Part::Customer), payer, description, about, at));
    } else {
        let said = if top_up.source == Source::WalletTopup { "Top-up successful: " } else { "" };
        let description = format!("{said}Rs {amount} {what} your wallet.");
        notices.push(in_app(NoticeId::of_event(id, at, Part::Customer), owner, description, about, at));
    }
}

fn for_activation(id: EventId, activated: &SubscriptionActivated) -> Notice {
    let at = activated.occurred_at;
    let plan = activated.plan_name.as_deref().unwrap_or("Your plan");
    let description = format!("{plan} is now active on {}.", activated.phone.national());
    let about = json(&SubscriptionFacts {
        subscription_id: activated.subscription_id,
        plan_id: activated.plan_id,
        txn_id: activated.txn_id,
        valid_to: activated.valid_to,
    });
    let to = Recipient::User(activated.user_id);
    in_app(NoticeId::of_event(id, at, Part::Customer), to, description, about, at)
}

fn for_expiry(id: EventId, expired: &SubscriptionExpired) -> Notice {
    let at = expired.occurred_at;
    let plan = expired.plan_name.as_deref().unwrap_or("Your plan");
    let phone = expired.phone.national();
    let description = if expired.superseded {
        format!("{plan} on {phone} was replaced by another plan.")
    } else {
        format!("{plan} on {phone} has expired. Recharge to stay connected.")
    };
    let about = json(&SubscriptionFacts {
        subscription_id: expired.subscription_id,
        plan_id: expired.plan_id,
        txn_id: expired.txn_id,
        valid_to: expired.valid_to,
    });
    let to = Recipient::User(expired.user_id);
    in_app(NoticeId::of_event(id, at, Part::Customer), to, description, about, at)
}

fn for_failure(id: EventId, failed: &PaymentFailed) -> Notice {
    let (at, amount) = (failed.occurred_at, failed.amount);
    let why = if failed.expired { "was not paid in time" } else { "was declined" };
    let description = format!("Your payment of Rs {amount} {why}. Nothing was charged.");
    let about = json(&TopUpFacts { txn_id: failed.txn_id, amount: amount.to_string() });
    in_app(
        NoticeId::of_event(id, at, Part::Customer),
        Recipient::User(failed.user_id),
        description,
        about,
        at,
    )
}

fn for_refund(id: EventId, refund: &PaymentRefunded, notices: &mut Vec<Notice>) {
    let (at, amount) = (refund.occurred_at, refund.amount);
    let about = json(&TopUpFacts { txn_id: refund.txn_id, amount: amount.to_string() });
    let ended = if refund.plan_cancelled { " The plan has ended." } else { "" };
    let where_to = if refund.to_wallet { "to your wallet" } else { "the way it was paid" };
    let description = format!("Rs {amount} refunded {where_to}.{ended}");
    let payer = Recipient::User(refund.user_id);
    notices.push(in_app(NoticeId::of_event(id, at, Part::Customer), payer, description, about.clone(), at));
    if refund.holder_id != refund.user_id {
        let description =
            format!("A top-up of your wallet was refunded to its payer: Rs {amount} taken out.");
        let holder = Recipient::User(refund.holder_id);
        notices.push(in_app(NoticeId::of_event(id, at, Part::Other), holder, description, about, at));
    }
}

fn digest(batch: &ParsedBatch) -> Notice {
    let (at, recharges) = (batch.created_at, &batch.recharges);
    let description = format!("{} new subscriptions for Rs {}", recharges.count, recharges.total);
    let about = json(&DigestFacts {
        recharges: recharges.count,
        total: recharges.total.to_string(),
        first_txn_id: recharges.first,
        last_txn_id: recharges.last,
    });
    in_app(NoticeId::of_batch(batch.batch_id, at), Recipient::AllAdmins, description, about, at)
}

fn facts(recharge: &RechargeCompleted) -> String {
    json(&RechargeFacts {
        txn_id: recharge.txn_id,
        subscription_id: recharge.subscription_id,
        plan_id: recharge.plan_id,
        plan_name: &recharge.plan_name,
        total_paid: recharge.paid().to_string(),
        status: recharge.subscription_status,
        valid_from: recharge.valid_from,
        valid_to: recharge.valid_to,
    })
}

pub(super) fn json(facts: &impl Serialize) -> String {
    // Plain numbers and text: cannot fail.
    serde_json::to_string(facts).unwrap_or_else(|_| "{}".to_owned())
}

pub(super) fn in_app(
    id: NoticeId,
    recipient: Recipient,
    description: String,
    attachments: String,
    at: DateTime<Utc>,
) -> Notice {
    Notice {
        id,
        sender: Sender::System,
        description,
        recipient,
        status: NoticeStatus::Delivered,
        kind: NoticeKind::InApp,
        attachments,
        created_at: at,
        scheduled_at: None,
        channels: Channels::NONE,
    }
}
