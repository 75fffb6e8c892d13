//! What follows from the answer to a try: pure.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};

use super::schedule::{Series, retry_at};
use crate::kernel::Reason;
use crate::kernel::{
    AutopayId, AutopayTag, Digest128, IdempotencyKey, KeyScope, Paise, PhoneNumber, PlanId, TxnId, UserId,
};
use crate::wallet::Refusal;

/// The wallet remembers a key for 30 days. An answer that is missing for longer than this is not asked for again: the
/// question could be taken for a new one.
const ASKED_FOR_LAST: TimeDelta = TimeDelta::days(25);

/// The pause before the same question is asked again, when the wallet could not answer.
const ASK_AGAIN: TimeDelta = TimeDelta::seconds(5);

/// A rule as its row says, with its plan.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which.
    pub id: AutopayId,
    /// Who pays.
    pub user: UserId,
    /// Which number is recharged.
    pub phone: PhoneNumber,
    /// With which plan.
    pub plan: PlanId,
    /// The plan's name and price now; `None` when it is gone.
    pub offer: Option<(Arc<str>, Paise)>,
    /// Once or again and again.
    pub tag: AutopayTag,
    /// Its dates.
    pub series: Series,
    /// When the customer set the date that `series` is counted from.
    pub set_at: DateTime<Utc>,
    /// The next date.
    pub due: DateTime<Utc>,
}

impl Rule {
    /// The date after `due`, not before `now`; `None` for a rule that runs once.
    pub fn next_due<Z: TimeZone>(
        &self,
        due: DateTime<Utc>,
        now: DateTime<Utc>,
        zone: &Z,
    ) -> Option<DateTime<Utc>> {
        match self.tag {
            AutopayTag::Onetime => None,
            AutopayTag::Regular => self.series.next(due, now, zone),
        }
    }

    /// The date to charge when this one and others after it have passed: the latest, once, instead of all of them.
    pub fn caught_up<Z: TimeZone>(&self, now: DateTime<Utc>, zone: &Z) -> DateTime<Utc> {
        match self.tag {
            AutopayTag::Onetime => self.due,
            AutopayTag::Regular => self.series.latest(self.due, now, zone),
        }
    }
}

/// The idempotency key of a rule's date. `number` counts keys under which the wallet keeps a rejection: such a key can never
/// be charged any more, so the next one is safe to use.
#[must_use]
pub fn charge_key(rule: AutopayId, due: DateTime<Utc>, number: i32) -> Digest128 {
    let key = IdempotencyKey::of_numbers(&[rule.get(), due.timestamp_micros(), number.into()]);
    Digest128::of_key(KeyScope::System("autopay"), &key)
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Paid and recharged, now or by an earlier try.
    Charged {
        /// The payment.
        txn: TxnId,
        /// What was paid.
        amount: Paise,
    },
    /// Decided against: nothing was paid.
    Rejected {
        /// Why.
        reason: Reason,
        /// The wallet keeps this answer under the key.
        kept: bool,
    },
    /// The question was not taken: nothing was decided by it.
    NotTaken,
    /// It may or may not have been paid.
    Unknown,
    /// An earlier question was never answered, and it is too late to repeat it.
    Lost,
}

/// The wallet's answer, as the wallet gives it.
pub type Answer = Result<crate::wallet::Done, Refusal>;

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        match answer {
            Ok(done) => {
                let paid = done.receipt.transaction;
                Self::Charged { txn: paid.txn_id, amount: paid.amount }
            }
            Err(Refusal::Rejected { rejection, replayed }) => {
                Self::Rejected { reason: rejection.reason, kept: replayed }
            }
            Err(Refusal::Overloaded | Refusal::Unavailable) => Self::NotTaken,
            // A reused key cannot be: nobody else makes these. If it were, nothing would be known.
            Err(Refusal::Unknown | Refusal::KeyReused) => Self::Unknown,
        }
    }
}

/// True when a question that stands since `asked_at` must not be repeated.
pub(super) fn is_lost(asked_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    asked_at.is_some_and(|asked| now.signed_duration_since(asked) > ASKED_FOR_LAST)
}

/// A try and what came of it.
#[derive(Clone, Debug)]
pub struct Try {
    /// Whose.
    pub rule: AutopayId,
    /// Which date.
    pub due: DateTime<Utc>,
    /// Which try.
    pub claim: i64,
    /// An earlier try is still without an answer.
    pub asked_before: bool,
    /// What came of it.
    pub outcome: Outcome,
}

/// What follows from a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The date is done.
    Charged {
        /// The rule's next date; `None`: the rule is done too.
        next: Option<DateTime<Utc>>,
    },
    /// Another try.
    Again {
        /// When.
        at: DateTime<Utc>,
        /// This one was refused, and counts.
        refused: bool,
        /// Under the next key.
        new_key: bool,
        /// It is certain that nothing was paid until now.
        certain: bool,
    },
    /// No more tries: the rule is disabled.
    Over,
}

/// What follows from `tried`, after `attempts` refused tries of the same date. `next` is the rule's date after it.
pub fn verdict<Z: TimeZone>(
    tried: &Try,
    attempts: u32,
    next: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    zone: &Z,
) -> Verdict {
    let soon = now.checked_add_signed(ASK_AGAIN).unwrap_or(now);
    match &tried.outcome {
        Outcome::Charged { .. } => Verdict::Charged { next },
        Outcome::Rejected { kept: true, .. } => {
            Verdict::Again { at: now, refused: false, new_key: true, certain: true }
        }
        Outcome::Rejected { reason, kept: false } if may_pass(*reason) => {
            match retry_at(attempts.saturating_add(1), now, next, zone) {
                Some(at) => Verdict::Again { at, refused: true, new_key: false, certain: true },
                None => Verdict::Over,
            }
        }
        Outcome::Rejected { .. } | Outcome::Lost => Verdict::Over,
        Outcome::NotTaken => {
            Verdict::Again { at: soon, refused: false, new_key: false, certain: !tried.asked_before }
        }
        Outcome::Unknown => Verdict::Again { at: soon, refused: false, new_key: false, certain: false },
    }
}

/// Whether waiting may help.
const fn may_pass(reason: Reason) -> bool {
    match reason {
        Reason::InsufficientFunds | Reason::QueueFull | Reason::LimitExceeded => true,
        Reason::PlanUnavailable
        | Reason::PlanTypeMismatch
        | Reason::PlanNotEligible
        | Reason::OfferUnavailable
        | Reason::OfferNotEligible
        | Reason::NumberUnknown
        | Reason::PayerNotActive
        | Reason::ReceiverNotActive
        | Reason::SameWallet
        | Reason::InvalidWalletAmount
        | Reason::MessageExpired
        | Reason::PaymentDeclined
        | Reason::PaymentUnknown
        | Reason::PaymentSettled
        | Reason::PriceChanged
        | Reason::NotRefundable
        | Reason::RefundExceeded => false,
    }
}
