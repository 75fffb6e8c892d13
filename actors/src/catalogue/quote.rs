//! What a purchase costs, or why it cannot be made.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Condition, Conditions, Offer, Plan};
use crate::kernel::{Paise, PaymentMethod, Source, UserType};

/// Who buys, how and when: all that the conditions look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buyer {
    /// The moment of the purchase.
    pub now: DateTime<Utc>,
    /// The kind of the recharged number; `None` until its owner has registered.
    pub number_type: Option<UserType>,
    /// How many recharges the payer has completed before this one.
    pub successful_recharges: u64,
    /// Why the purchase happens.
    pub source: Source,
    /// How it is paid.
    pub payment_method: PaymentMethod,
    /// How often the payer has used the offer before.
    pub offer_uses: u64,
}

/// What a purchase costs. `payable + discount = price`, and nothing is negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The plan's list price.
    pub price: Paise,
    /// What the offer takes off, at most the price.
    pub discount: Paise,
    /// What is left to pay.
    pub payable: Paise,
    /// What the owner of the recharged number gets back into the wallet.
    pub cashback: Paise,
    /// Data that comes on top (such as `2GB`).
    pub extra_data: Option<String>,
}

/// Why a plan cannot be bought, or not with this offer. Nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The plan is withdrawn.
    #[error("the plan is not active: choose one from the public plans")]
    PlanInactive,
    /// The plan is for the other kind of number.
    #[error("the plan is for {plan} numbers and this number is {}: choose a plan of the number's type", kind(*number))]
    PlanTypeMismatch {
        /// What the plan fits.
        plan: &'static str,
        /// What the number is.
        number: Option<UserType>,
    },
    /// One of the plan's own conditions does not hold.
    #[error("the plan cannot be bought now: {what}")]
    PlanNotEligible {
        /// The first condition that does not hold.
        what: Condition,
    },
    /// The offer is withdrawn.
    #[error("the offer is not active: choose one from the public offers, or leave offer_id out")]
    OfferInactive,
    /// The offer's time is over.
    #[error("the offer has expired: choose one from the public offers, or leave offer_id out")]
    OfferExpired,
    /// One of the offer's conditions does not hold.
    #[error("the offer cannot be used here: {what}; choose another, or leave offer_id out")]
    OfferNotEligible {
        /// The first condition that does not hold.
        what: Condition,
    },
    /// The payer has used the offer as often as allowed.
    #[error("the offer is used up for this account: choose another, or leave offer_id out")]
    OfferUsedUp,
}

fn kind(number: Option<UserType>) -> &'static str {
    number.map_or("not registered as prepaid or postpaid yet", UserType::as_str)
}

/// The moment from which an offer can no longer be used.
#[must_use]
pub fn offer_expiry(created_at: DateTime<Utc>, validity_days: Option<u32>) -> Option<DateTime<Utc>> {
    let days = TimeDelta::try_days(i64::from(validity_days?))?;
    created_at.checked_add_signed(days)
}

/// What `plan` costs `buyer`, with `offer` if there is one.
///
/// # Errors
/// [`Refusal`], the first reason found: the plan's before the offer's.
pub fn quote(plan: &Plan, offer: Option<&Offer>, buyer: &Buyer) -> Result<Quote, Refusal> {
    if !plan.active {
        return Err(Refusal::PlanInactive);
    }
    if buyer.number_type != Some(plan.plan_type) {
        return Err(Refusal::PlanTypeMismatch { plan: plan.plan_type.as_str(), number: buyer.number_type });
    }
    if let Some(what) = plan.conditions.unmet(plan, buyer) {
        return Err(Refusal::PlanNotEligible { what: what.clone() });
    }
    let Some(offer) = offer else {
        return Ok(Quote {
            price: plan.price,
            discount: Paise::ZERO,
            payable: plan.price,
            cashback: Paise::ZERO,
            extra_data: None,
        });
    };
    usable(offer, plan, buyer)?;
    let discount = offer.rewards.discount(plan.price);
    let payable = plan.price.checked_sub(discount).unwrap_or(plan.price);
    Ok(Quote {
        price: plan.price,
        discount,
        payable,
        cashback: offer.rewards.cashback(payable),
        extra_data: offer.rewards.extra_data.clone(),
    })
}

fn usable(offer: &Offer, plan: &Plan, buyer: &Buyer) -> Result<(), Refusal> {
    if !offer.active {
        return Err(Refusal::OfferInactive);
    }
    if offer_expiry(offer.created_at, offer.validity_days).is_some_and(|expiry| buyer.now >= expiry) {
        return Err(Refusal::OfferExpired);
    }
    if offer.max_uses_per_user.is_some_and(|most| buyer.offer_uses >= u64::from(most)) {
        return Err(Refusal::OfferUsedUp);
    }
    match offer.conditions.unmet(plan, buyer) {
        Some(what) => Err(Refusal::OfferNotEligible { what: what.clone() }),
        None => Ok(()),
    }
}

impl Conditions {
    /// The first condition that does not hold; `None` when all do.
    #[must_use]
    pub fn unmet(&self, plan: &Plan, buyer: &Buyer) -> Option<&Condition> {
        self.0.iter().find(|condition| !condition.holds(plan, buyer))
    }
}

impl Condition {
    fn holds(&self, plan: &Plan, buyer: &Buyer) -> bool {
        match self {
            Self::ValidFrom(moment) => buyer.now >= *moment,
            Self::ValidTo(moment) => buyer.now <= *moment,
            Self::MinAmount(amount) => plan.price >= *amount,
            Self::UserTypes(types) => buyer.number_type.is_some_and(|kind| types.contains(&kind)),
            Self::NewUser(wanted) | Self::FirstRecharge(wanted) => {
                (buyer.successful_recharges == 0) == *wanted
            }
            Self::Sources(sources) => sources.contains(&buyer.source),
            Self::PlanGroups(groups) => plan.group_name.as_ref().is_some_and(|name| groups.contains(name)),
            Self::PaymentMethods(methods) => methods.contains(&buyer.payment_method),
            Self::Unreadable => false,
        }
    }
}
