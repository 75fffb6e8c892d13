//! New and changed plans and offers: what the body may say, checked before anything is written.

use gencharge_actors::catalogue::Criteria;
use gencharge_actors::kernel::{CatalogueStatus, Paise, UserType};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::http::json::{AmountText, optional_whole};
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

/// The same for a whole number, or its text.
fn given_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<i64>>, D::Error> {
    optional_whole(deserializer).map(Some)
}

/// Changes to a plan: absent fields stay; `null` clears `validity`, `group_id`, `description` and `criteria`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct PlanUpdate {
    plan_name: Option<String>,
    /// Days, 1 to 3650; null means 30.
    #[serde(default, deserialize_with = "given_whole")]
    #[schema(value_type = Option<i64>)]
    validity: Option<Option<i64>>,
    most_popular: Option<bool>,
    #[schema(value_type = Option<String>)]
    plan_type: Option<UserType>,
    #[serde(default, deserialize_with = "given_whole")]
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
    #[serde(default, deserialize_with = "given_whole")]
    #[schema(value_type = Option<i64>)]
    offer_validity: Option<Option<i64>>,
    #[serde(default, deserialize_with = "given_whole")]
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

/// A new plan.
#[derive(Debug, Deserialize, ToSchema)]
pub struct PlanNew {
    plan_name: String,
    /// Days, 1 to 3650; null means 30.
    #[serde(default, deserialize_with = "optional_whole")]
    validity: Option<i64>,
    #[serde(default)]
    most_popular: bool,
    #[schema(value_type = String)]
    plan_type: UserType,
    #[serde(default, deserialize_with = "optional_whole")]
    group_id: Option<i64>,
    description: Option<String>,
    /// `{"conditions": {...}, "benefits": {...}}`.
    #[schema(value_type = Option<Object>)]
    criteria: Option<Box<RawValue>>,
    /// Whole rupees, above 0.
    #[schema(value_type = i64)]
    price: AmountText,
    /// `active` when absent.
    #[schema(value_type = Option<String>)]
    status: Option<CatalogueStatus>,
}

/// A new offer.
#[derive(Debug, Deserialize, ToSchema)]
pub struct OfferNew {
    offer_name: String,
    /// Days from now, 1 to 3650; null has no end.
    #[serde(default, deserialize_with = "optional_whole")]
    offer_validity: Option<i64>,
    #[serde(default, deserialize_with = "optional_whole")]
    offer_type_id: Option<i64>,
    is_special: Option<bool>,
    /// `{"conditions": {...}, "rewards": {...}}`.
    #[schema(value_type = Option<Object>)]
    criteria: Option<Box<RawValue>>,
    description: Option<String>,
    /// `active` when absent.
    #[schema(value_type = Option<String>)]
    status: Option<CatalogueStatus>,
}

impl PlanNew {
    /// Checks every field.
    pub(super) fn check(self) -> Result<PlanChanges, Problem> {
        let whole = PlanUpdate {
            plan_name: Some(self.plan_name),
            validity: Some(self.validity),
            most_popular: Some(self.most_popular),
            plan_type: Some(self.plan_type),
            group_id: Some(self.group_id),
            description: Some(self.description),
            criteria: Some(self.criteria),
            price: Some(self.price),
            status: Some(self.status.unwrap_or(CatalogueStatus::Active)),
        };
        whole.check()
    }
}

impl OfferNew {
    /// Checks every field.
    pub(super) fn check(self) -> Result<OfferChanges, Problem> {
        let whole = OfferUpdate {
            offer_name: Some(self.offer_name),
            offer_validity: Some(self.offer_validity),
            offer_type_id: Some(self.offer_type_id),
            is_special: Some(self.is_special.unwrap_or(false)),
            criteria: Some(self.criteria),
            description: Some(self.description),
            status: Some(self.status.unwrap_or(CatalogueStatus::Active)),
        };
        whole.check()
    }
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

impl PlanChanges {
    /// The fields that will be set, with their new values.
    pub fn set(&self) -> FieldsSet {
        let mut set = FieldsSet::default();
        set.note("plan_name", self.plan_name.as_ref());
        set.note("validity", self.validity.as_ref());
        set.note("most_popular", self.most_popular.as_ref());
        set.note("plan_type", self.plan_type.as_ref());
        set.note("group_id", self.group_id.as_ref());
        set.note("description", self.description.as_ref());
        set.note_json("criteria", self.criteria.as_ref());
        set.note("price", self.price.map(Paise::rupees).as_ref());
        set.note("status", self.status.as_ref());
        set
    }
}

impl OfferChanges {
    /// The fields that will be set, with their new values.
    pub fn set(&self) -> FieldsSet {
        let mut set = FieldsSet::default();
        set.note("offer_name", self.offer_name.as_ref());
        set.note("offer_validity", self.offer_validity.as_ref());
        set.note("offer_type_id", self.offer_type_id.as_ref());
        set.note("is_special", self.is_special.as_ref());
        set.note_json("criteria", self.criteria.as_ref());
        set.note("description", self.description.as_ref());
        set.note("status", self.status.as_ref());
        set
    }
}

/// Names and new values of the fields that a request sets, in the order of the shape.
#[derive(Debug, Default)]
pub(super) struct FieldsSet(Vec<(&'static str, Value)>);

impl FieldsSet {
    fn note<T: Serialize>(&mut self, name: &'static str, value: Option<&T>) {
        // Plain words, numbers and texts always have a JSON form.
        self.0.extend(value.map(|value| (name, serde_json::to_value(value).unwrap_or_default())));
    }

    fn note_json(&mut self, name: &'static str, text: Option<&Option<String>>) {
        let parsed = text.map(|text| text.as_ref().and_then(|text| serde_json::from_str::<Value>(text).ok()));
        self.note(name, parsed.as_ref());
    }

    /// The names.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }

    /// Both, for the audit log.
    pub fn changes(&self) -> Value {
        self.0.iter().cloned().collect()
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

/// Checks the name of a plan group or offer type.
pub(super) fn checked_name(field: &str, name: Option<String>) -> Result<Option<String>, Problem> {
    let mut checks = Checks::default();
    let name = checks.name(field, name);
    checks.done(name)
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
        assert_eq!(changes.set().names(), ["validity", "criteria", "price"]);
        assert_eq!(check(r#"{"group_id": "2"}"#).unwrap().group_id, Some(Some(2)));
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
