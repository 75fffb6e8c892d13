//! What can be bought and at what price: plans, offers, and the rules under which they hold. All of it pure.

mod criteria;
mod quote;

use std::collections::HashMap;

use chrono::{DateTime, Utc};

pub use criteria::{Condition, Conditions, Criteria, Fault, MAX_CRITERIA_BYTES, Reward, Rewards};
pub use quote::{Buyer, Quote, Refusal, offer_expiry, quote};

use crate::kernel::{OfferId, Paise, PlanId, UserType};

/// How long a plan lasts when it does not say, in days.
pub const DEFAULT_VALIDITY_DAYS: u32 = 30;

/// Something a number can be recharged with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its number.
    pub id: PlanId,
    /// Its name, as shown.
    pub name: String,
    /// Which numbers it fits.
    pub plan_type: UserType,
    /// The name of its group, if it has one.
    pub group_name: Option<String>,
    /// List price.
    pub price: Paise,
    /// How many days it lasts; `None` means [`DEFAULT_VALIDITY_DAYS`].
    pub validity_days: Option<u32>,
    /// False once it may no longer be bought.
    pub active: bool,
    /// What must hold for it to be bought.
    pub conditions: Conditions,
}

impl Plan {
    /// How many days it lasts.
    #[must_use]
    pub fn days(&self) -> u32 {
        self.validity_days.unwrap_or(DEFAULT_VALIDITY_DAYS)
    }
}

/// A reduction or a bonus on a purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its number.
    pub id: OfferId,
    /// Its name, as shown.
    pub name: String,
    /// False once it may no longer be used.
    pub active: bool,
    /// From when its validity counts.
    pub created_at: DateTime<Utc>,
    /// Days after `created_at` in which it can be used; `None` has no end.
    pub validity_days: Option<u32>,
    /// What must hold for it to be used.
    pub conditions: Conditions,
    /// What it gives.
    pub rewards: Rewards,
    /// How often one payer may use it.
    pub max_uses_per_user: Option<u32>,
}

/// Every plan and offer as of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Counts the changes of the catalogue; equal epochs mean equal content.
    pub epoch: i64,
    /// All plans, inactive ones too.
    pub plans: HashMap<PlanId, Plan>,
    /// All offers, inactive and expired ones too.
    pub offers: HashMap<OfferId, Offer>,
}

#[cfg(test)]
mod tests;
