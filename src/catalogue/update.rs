//! Changes of plans and offers: what the body may say, checked before anything is written.

use gencharge_actors::catalogue::Criteria;
use gencharge_actors::kernel::{CatalogueStatus, Paise, UserType};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::http::json::AmountText;
use crate::http::{FieldError, Problem};

const MAX_NAME: usize = 100;
const MAX_DESCRIPTION: usize = 2_000;
/// Ten years.
const MAX_DAYS: i64 = 3_650;

/// Tells `null` (clear it) from an absent field (leave it).
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Changes to a plan: absent fields stay; `null` clears `validity`, `group_id`, `description` and `criteria`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct PlanUpdate {
    plan_name: Option<String>,
    /// Days, 1 to 3650; null means 30.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    validity: Option<Option<i64>>,
    most_popular: Option<bool>,
    #[schema(value_type = Option<String>)]
    plan_type: Option<UserType>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    group_id: Option<Option<i64>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    /// `{"conditions": {...}, "benefits": {...}}`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Object>)]
    criteria: Option<Option<Box<RawValue>>>,
    /// Whole rupees, above 0.
    #[schema(value_type = Option<i64>)]
    price: Option<AmountText>,
    #[schema(value_type = Option<String>)]
    status: Option<CatalogueStatus>,
}

/// Changes to an offer: absent fields stay; `null` clears `offer_validity`, `offer_type_id`, `description` and `criteria`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct OfferUpdate {
    offer_name: Option<String>,
    /// Days after the offer's creation, 1 to 3650; null has no end.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    offer_validity: Option<Option<i64>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    offer_type_id: Option<Option<i64>>,
    is_special: Option<bool>,
    /// `{"conditions": {...}, "rewards": {...}}`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Object>)]
    criteria: Option<Option<Box<RawValue>>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    #[schema(value_type = Option<String>)]
    status: Option<CatalogueStatus>,
}

/// Checked changes of a plan. The outer `None` leaves a field, `Some(None)` clears it.
#[derive(Debug, Default)]
pub(super) struct PlanChanges {
    pub plan_name: Option<String>,
    pub validity: Option<Option<i32>>,
    pub most_popular: Option<bool>,
    pub plan_type: Option<UserType>,
    pub group_id: Option<Option<i64>>,
    pub description: Option<Option<String>>,
    pub criteria: Option<Option<String>>,
    pub price: Option<Paise>,
    pub status: Option<CatalogueStatus>,
}

/// Checked changes of an offer.
#[derive(Debug, Default)]
pub(super) struct OfferChanges {
    pub offer_name: Option<String>,
    pub offer_validity: Option<Option<i32>>,
    pub offer_type_id: Option<Option<i64>>,
    pub is_special: Option<bool>,
    pub criteria: Option<Option<String>>,
    pub description: Option<Option<String>>,
    pub status: Option<CatalogueStatus>,
}

/// Which of `fields` were given.
fn names(fields: &[(&'static str, bool)]) -> Vec<&'static str> {
    fields.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect()
}

impl PlanChanges {
    /// The fields that will be set.
    pub fn fields(&self) -> Vec<&'static str> {
        names(&[
            ("plan_name", self.plan_name.is_some()),
            ("validity", self.validity.is_some()),
            ("most_popular", self.most_popular.is_some()),
            ("plan_type", self.plan_type.is_some()),
            ("group_id", self.group_id.is_some()),
            ("description", self.description.is_some()),
            ("criteria", self.criteria.is_some()),
            ("price", self.price.is_some()),
            ("status", self.status.is_some()),
        ])
    }
}

impl OfferChanges {
    /// The fields that will be set.
    pub fn fields(&self) -> Vec<&'static str> {
        names(&[
            ("offer_name", self.offer_name.is_some()),
            ("offer_validity", self.offer_validity.is_some()),
            ("offer_type_id", self.offer_type_id.is_some()),
            ("is_special", self.is_special.is_some()),
            ("criteria", self.criteria.is_some()),
            ("description", self.description.is_some()),
            ("status", self.status.is_some()),
        ])
    }
}

impl PlanUpdate {
    /// Checks every field.
    pub(super) fn check(self) -> Result<PlanChanges, Problem> {
        let mut checks = Checks::default();
        let changes = PlanChanges {
            plan_name: checks.name("plan_name", self.plan_name),
            validity: checks.days("validity", self.validity),
            most_popular: self.most_popular,
            plan_type: self.plan_type,
            group_id: self.group_id,
            description: checks.description(self.description),
            criteria: checks.criteria(self.criteria, true),
            price: checks.price(self.price.as_ref()),
            status: self.status,
        };
        checks.done(changes)
    }
}

impl OfferUpdate {
    /// Checks every field.
    pub(super) fn check(self) -> Result<OfferChanges, Problem> {
        let mut checks = Checks::default();
        let changes = OfferChanges {
            offer_name: checks.name("offer_name", self.offer_name),
            offer_validity: checks.days("offer_validity", self.offer_validity),
            offer_type_id: self.offer_type_id,
            is_special: self.is_special,
            criteria: checks.criteria(self.criteria, false),
            description: checks.description(self.description),
            status: self.status,
        };
        checks.done(changes)
    }
}

/// Collects faults, so that all are named at once.
#[derive(Default)]
struct Checks(Vec<FieldError>);

impl Checks {
    fn fault(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), message: message.into() });
    }

    fn name(&mut self, field: &str, name: Option<String>) -> Option<String> {
        let name = name?.trim().to_owned();
        if !(1..=MAX_NAME).contains(&name.chars().count()) || name.contains('\0') {
            self.fault(field, format!("must have 1 to {MAX_NAME} characters"));
        }
        Some(name)
    }

    fn days(&mut self, field: &str, days: Option<Option<i64>>) -> Option<Option<i32>> {
        let Some(days) = days? else { return Some(None) };
        if !(1..=MAX_DAYS).contains(&days) {
            self.fault(field, format!("must be a whole number of days from 1 to {MAX_DAYS}"));
        }
        Some(i32::try_from(days).ok())
    }

    fn description(&mut self, description: Option<Option<String>>) -> Option<Option<String>> {
        let description = description?;
        if let Some(text) = &description
            && (text.chars().count() > MAX_DESCRIPTION || text.contains('\0'))
        {
            self.fault("description", format!("must have at most {MAX_DESCRIPTION} characters"));
        }
        Some(description)
    }

    fn criteria(&mut self, criteria: Option<Option<Box<RawValue>>>, plan: bool) -> Option<Option<String>> {
        let Some(raw) = criteria? else { return Some(None) };
        match Criteria::parse(raw.get()) {
            Ok(rules) if plan && !rules.is_for_plans() => {
                self.fault(
                    "criteria",
                    "must have no rewards and no max_uses_per_user: put them into an offer",
                );
            }
            Ok(_) => {}
            Err(faults) => {
                for fault in faults {
                    self.fault(fault.field, fault.message);
                }
            }
        }
        Some(Some(raw.get().to_owned()))
    }

    fn price(&mut self, price: Option<&AmountText>) -> Option<Paise> {
        let parsed = price?.paise();
        let whole = parsed.ok().filter(|price| price.is_positive() && price.get().rem_euclid(100) == 0);
        if whole.is_none() {
            self.fault("price", "must be a whole number of rupees above 0");
        }
        whole
    }

    fn done<T>(self, changes: T) -> Result<T, Problem> {
        if self.0.is_empty() { Ok(changes) } else { Err(Problem::fields(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str) -> Result<PlanChanges, Problem> {
        serde_json::from_str::<PlanUpdate>(body).unwrap().check()
    }

    #[test]
    fn null_clears_and_absence_leaves() {
        let changes = check(r#"{"validity": null, "criteria": null, "price": 349, "unknown": 1}"#).unwrap();
        assert_eq!(changes.validity, Some(None));
        assert_eq!(changes.criteria, Some(None));
        assert_eq!(changes.group_id, None);
        assert_eq!(changes.price, Some(Paise::new(34_900)));
        assert_eq!(changes.fields(), ["validity", "criteria", "price"]);
    }

    #[test]
    fn every_fault_is_named() {
        let body = r#"{"plan_name": "  ", "validity": 0, "price": 199.5,
            "criteria": {"conditions": {"min_amuont": 5}}, "description": "a\u0000b"}"#;
        let problem = check(body).unwrap_err();
        let fields: Vec<_> = problem.errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(
            fields,
            ["plan_name", "validity", "description", "criteria.conditions.min_amuont", "price"]
        );
    }

    #[test]
    fn prices_are_whole_rupees_above_zero() {
        for bad in ["0", "-1", "1e3", "0.5", "\"x\"", "99999999999999"] {
            assert!(check(&format!(r#"{{"price": {bad}}}"#)).is_err(), "{bad}");
        }
        assert_eq!(check(r#"{"price": "349.00"}"#).unwrap().price, Some(Paise::new(34_900)));
    }

    #[test]
    fn plans_give_no_rewards() {
        assert!(check(r#"{"criteria": {"rewards": {"discount_value": 5}}}"#).is_err());
        let offer = r#"{"criteria": {"rewards": {"discount_value": 5}}}"#;
        assert!(serde_json::from_str::<OfferUpdate>(offer).unwrap().check().is_ok());
    }
}
