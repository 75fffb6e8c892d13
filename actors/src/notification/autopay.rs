//! What customers are told of their autopay rules. A successful charge is told by the recharge itself.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::notice::Part;
use super::rules::{in_app, json};
use super::{Notice, NoticeId, Recipient};
use crate::events::{AutopayDisabled, AutopayDueSoon, AutopayFacts, AutopayFailed};
use crate::kernel::Reason;
use crate::kernel::{AutopayId, EventId, PlanId};

#[derive(Serialize)]
struct Facts {
    autopay_id: AutopayId,
    plan_id: PlanId,
    due_date: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    charge_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_at: Option<DateTime<Utc>>,
}

/// The notice before the debit.
pub(super) fn due_soon(id: EventId, due: &AutopayDueSoon) -> Notice {
    let description = format!(
        "Autopay will recharge {} with {} for Rs {} on {}. Keep that much in your wallet, or skip it before then.",
        due.about.phone.national(),
        plan(&due.about),
        due.amount,
        due.charge_at.format("%d %b %Y, %H:%M UTC"),
    );
    let facts =
        Facts { amount: Some(due.amount.to_string()), charge_at: Some(due.charge_at), ..facts(&due.about) };
    notice(id, &due.about, description, &facts)
}

/// A refused try that is made again. The last one is told by [`disabled`].
pub(super) fn failed(id: EventId, failed: &AutopayFailed) -> Option<Notice> {
    let retry_at = failed.retry_at?;
    let description = format!(
        "Autopay could not recharge {} with {}: {}. It is tried again on {}.",
        failed.about.phone.national(),
        plan(&failed.about),
        why(failed.reason),
        retry_at.format("%d %b %Y, %H:%M UTC"),
    );
    let facts = Facts { retry_at: Some(retry_at), ..facts(&failed.about) };
    Some(notice(id, &failed.about, description, &facts))
}

/// A rule that was given up.
pub(super) fn disabled(id: EventId, disabled: &AutopayDisabled) -> Notice {
    let description = format!(
        "Autopay for {} with {} is switched off: {}. Recharge by hand, and enable it again when that is mended.",
        disabled.about.phone.national(),
        plan(&disabled.about),
        why(disabled.reason),
    );
    notice(id, &disabled.about, description, &facts(&disabled.about))
}

fn notice(id: EventId, about: &AutopayFacts, description: String, facts: &Facts) -> Notice {
    let at = about.occurred_at;
    let to = Recipient::User(about.user_id);
    in_app(NoticeId::of_event(id, at, Part::Customer), to, description, json(facts), at)
}

fn facts(about: &AutopayFacts) -> Facts {
    Facts {
        autopay_id: about.autopay_id,
        plan_id: about.plan_id,
        due_date: about.due_date,
        amount: None,
        charge_at: None,
        retry_at: None,
    }
}

fn plan(about: &AutopayFacts) -> &str {
    about.plan_name.as_deref().unwrap_or("its plan")
}

fn why(reason: Option<Reason>) -> &'static str {
    match reason {
        Some(Reason::InsufficientFunds) => "your wallet holds too little",
        Some(Reason::QueueFull) => "too many plans wait for the number",
        Some(Reason::PlanUnavailable) => "the plan is not sold any more",
        Some(Reason::PlanTypeMismatch) => "the plan does not fit the number",
        Some(Reason::PlanNotEligible) => "the plan's conditions are not met",
        Some(Reason::NumberUnknown) => "the number is not registered any more",
        Some(Reason::PayerNotActive) => "your account is not active",
        Some(_) => "it was refused",
        None => "the payment's outcome could not be learnt: look at your transactions",
    }
}
