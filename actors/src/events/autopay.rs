//! The data of autopay's events.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wire;
use crate::kernel::{AutopayId, Paise, PhoneNumber, PlanId, Reason, TxnId, UserId};

/// What every autopay event tells of its rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct AutopayFacts {
    /// The rule.
    pub autopay_id: AutopayId,
    /// Whose rule it is, and whose wallet pays.
    pub user_id: UserId,
    /// The number that is recharged.
    #[serde(with = "wire::phone")]
    #[schemars(schema_with = "wire::phone::schema")]
    pub phone: PhoneNumber,
    /// The plan.
    pub plan_id: PlanId,
    /// Its name, unless the plan is gone from the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_name: Option<Arc<str>>,
    /// The date that it is about.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub due_date: DateTime<Utc>,
    /// When it happened.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub occurred_at: DateTime<Utc>,
}

/// `gencharge.autopay.due_soon.v1`: a debit is told before it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AutopayDueSoon {
    /// The rule and its date.
    #[serde(flatten)]
    pub about: AutopayFacts,
    /// What the plan costs now.
    #[serde(with = "wire::amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub amount: Paise,
    /// When it will be charged.
    #[serde(with = "wire::moment")]
    #[schemars(schema_with = "wire::moment::schema")]
    pub charge_at: DateTime<Utc>,
}

/// `gencharge.autopay.charged.v1`: a date was charged. The recharge has its own event too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AutopayCharged {
    /// The rule and its date.
    #[serde(flatten)]
    pub about: AutopayFacts,
    /// The recharge's transaction.
    pub txn_id: TxnId,
    /// What was paid.
    #[serde(with = "wire::amount")]
    #[schemars(schema_with = "wire::amount::schema")]
    pub amount: Paise,
    /// The rule's next date; absent when it is done.
    #[serde(default, with = "wire::optional_moment", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "wire::optional_moment::schema")]
    pub next_due_date: Option<DateTime<Utc>>,
}

/// `gencharge.autopay.failed.v1`: a try was refused; nothing was paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AutopayFailed {
    /// The rule and its date.
    #[serde(flatten)]
    pub about: AutopayFacts,
    /// Why; absent when the answer was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Refused tries of this date until now.
    pub tries: u32,
    /// When it is tried again; absent: never, the rule is disabled.
    #[serde(default, with = "wire::optional_moment", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "wire::optional_moment::schema")]
    pub retry_at: Option<DateTime<Utc>>,
}

/// `gencharge.autopay.disabled.v1`: a rule was given up, until its owner enables it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AutopayDisabled {
    /// The rule and the date that could not be charged.
    #[serde(flatten)]
    pub about: AutopayFacts,
    /// Why; absent when the answer was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}
