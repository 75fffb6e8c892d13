//! What customers are told of their autopay rules. A successful charge is told by the recharge itself.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Language;
use super::notice::Part;
use super::rules::{About, News, Page};
use crate::events::{AutopayDisabled, AutopayDueSoon, AutopayFacts, AutopayFailed};
use crate::kernel::Reason;
use crate::kernel::{AutopayId, EventId, PlanId};

/// How a time is shown.
const MOMENT: &str = "%d %b %Y, %H:%M UTC";

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

impl Page<'_> {
    /// The notice before the debit.
    pub(super) fn autopay_due_soon(&mut self, id: EventId, due: &AutopayDueSoon) {
        let facts = Facts {
            amount: Some(due.amount.to_string()),
            charge_at: Some(due.charge_at),
            ..facts(&due.about)
        };
        let at = due.charge_at.format(MOMENT);
        self.autopay(id, &due.about, &facts, |words, plan, phone| {
            let fill: [(&str, &dyn Display); 4] =
                [("phone", phone), ("plan", plan), ("amount", &due.amount), ("at", &at)];
            words.say("autopay.soon", &fill)
        });
    }

    /// A refused try that is made again. The last one is told by [`Page::autopay_disabled`].
    pub(super) fn autopay_failed(&mut self, id: EventId, failed: &AutopayFailed) {
        let Some(retry_at) = failed.retry_at else { return };
        let facts = Facts { retry_at: Some(retry_at), ..facts(&failed.about) };
        let at = retry_at.format(MOMENT);
        self.autopay(id, &failed.about, &facts, |words, plan, phone| {
            let why = words.say(why(failed.reason), &[]);
            words.say("autopay.failed", &[("phone", phone), ("plan", plan), ("why", &why), ("at", &at)])
        });
    }

    /// A rule that was given up.
    pub(super) fn autopay_disabled(&mut self, id: EventId, disabled: &AutopayDisabled) {
        self.autopay(id, &disabled.about, &facts(&disabled.about), |words, plan, phone| {
            let why = words.say(why(disabled.reason), &[]);
            words.say("autopay.disabled", &[("phone", phone), ("plan", plan), ("why", &why)])
        });
    }

    fn autopay(
        &mut self,
        id: EventId,
        about: &AutopayFacts,
        facts: &Facts,
        say: impl Fn(Language, &dyn Display, &dyn Display) -> String,
    ) {
        let phone = about.phone.national();
        self.customer(
            &About::of(id, about.occurred_at, facts),
            (about.user_id, Part::Customer, News::Debit),
            |words| {
                let its_plan = words.say("autopay.plan", &[]);
                say(words, &about.plan_name.as_deref().unwrap_or(&its_plan), &phone)
            },
        );
    }
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

fn why(reason: Option<Reason>) -> &'static str {
    match reason {
        Some(Reason::InsufficientFunds) => "autopay.why.funds",
        Some(Reason::QueueFull) => "autopay.why.queue",
        Some(Reason::PlanUnavailable) => "autopay.why.unsold",
        Some(Reason::PlanTypeMismatch) => "autopay.why.kind",
        Some(Reason::PlanNotEligible) => "autopay.why.conditions",
        Some(Reason::NumberUnknown) => "autopay.why.number",
        Some(Reason::PayerNotActive) => "autopay.why.account",
        Some(_) => "autopay.why.refused",
        None => "autopay.why.unknown",
    }
}
