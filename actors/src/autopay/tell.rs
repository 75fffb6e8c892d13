//! The events that tell of a rule's dates.

use chrono::{DateTime, Utc};

use super::settle::{Outcome, Rule, Verdict};
use crate::events::{AutopayCharged, AutopayDisabled, AutopayDueSoon, AutopayFacts, AutopayFailed, Event};
use crate::kernel::TxnId;

/// `rule` is due at `due` and will be charged at `charge_at`. Nothing when its plan is gone: there is no amount to tell, and
/// the charge will be refused.
#[must_use]
pub fn due_soon(
    rule: &Rule,
    due: DateTime<Utc>,
    charge_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<Event> {
    let (_, amount) = rule.offer.as_ref()?;
    Some(Event::AutopayDueSoon(AutopayDueSoon { about: facts(rule, due, now), amount: *amount, charge_at }))
}

/// What to tell after a try of `due`, the `tries`-th that was refused if it was.
#[must_use]
pub fn settled(
    rule: &Rule,
    due: DateTime<Utc>,
    outcome: &Outcome,
    verdict: Verdict,
    tries: u32,
    now: DateTime<Utc>,
) -> Vec<(Event, Option<TxnId>)> {
    let about = || facts(rule, due, now);
    let reason = match outcome {
        Outcome::Rejected { reason, .. } => Some(*reason),
        Outcome::Charged { .. } | Outcome::NotTaken | Outcome::Unknown | Outcome::Lost => None,
    };
    let failed =
        |retry_at| (Event::AutopayFailed(AutopayFailed { about: about(), reason, tries, retry_at }), None);
    match (verdict, outcome) {
        (Verdict::Charged { next }, Outcome::Charged { txn, amount }) => {
            let charged =
                AutopayCharged { about: about(), txn_id: *txn, amount: *amount, next_due_date: next };
            vec![(Event::AutopayCharged(charged), Some(*txn))]
        }
        (Verdict::Again { at, refused: true, .. }, _) => vec![failed(Some(at))],
        (Verdict::Over, _) => {
            let disabled = Event::AutopayDisabled(AutopayDisabled { about: about(), reason });
            vec![failed(None), (disabled, None)]
        }
        (Verdict::Charged { .. } | Verdict::Again { .. }, _) => Vec::new(),
    }
}

fn facts(rule: &Rule, due: DateTime<Utc>, now: DateTime<Utc>) -> AutopayFacts {
    AutopayFacts {
        autopay_id: rule.id,
        user_id: rule.user,
        phone: rule.phone,
        plan_id: rule.plan,
        plan_name: rule.offer.as_ref().map(|(name, _)| name.clone()),
        due_date: due,
        occurred_at: now,
    }
}
