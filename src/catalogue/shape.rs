//! Plans and offers as clients see them.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::Paise;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::store::Named;

/// Stored JSON text, passed on as it is.
fn raw(text: Option<String>) -> Option<Box<RawValue>> {
    text.and_then(|text| RawValue::from_string(text).ok())
}

/// A row of `plans`; `criteria` as text.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct PlanRow {
    pub(super) plan_id: i64,
    pub(super) plan_name: String,
    pub(super) validity: Option<i32>,
    pub(super) most_popular: bool,
    pub(super) plan_type: String,
    pub(super) group_id: Option<i64>,
    pub(super) description: Option<String>,
    pub(super) criteria: Option<String>,
    pub(super) price: i64,
    pub(super) status: String,
    pub(super) created_by: Option<i64>,
    pub(super) created_at: DateTime<Utc>,
}

/// A row of `offers` with its type's name; `criteria` as text.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct OfferRow {
    pub(super) offer_id: i64,
    pub(super) offer_name: String,
    pub(super) offer_validity: Option<i32>,
    pub(super) offer_type_id: Option<i64>,
    pub(super) offer_type_name: Option<String>,
    pub(super) is_special: bool,
    pub(super) criteria: Option<String>,
    pub(super) description: Option<String>,
    pub(super) status: String,
    pub(super) created_by: Option<i64>,
    pub(super) created_at: DateTime<Utc>,
}

impl OfferRow {
    /// The moment from which the offer can no longer be used.
    pub(super) fn expiry(&self) -> Option<DateTime<Utc>> {
        let days = self.offer_validity.and_then(|days| u32::try_from(days).ok());
        gencharge_actors::catalogue::offer_expiry(self.created_at, days)
    }
}

/// A plan as shoppers see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UserPlanResponse {
    plan_name: String,
    /// Days; null means 30.
    validity: Option<i32>,
    most_popular: bool,
    /// `prepaid` or `postpaid`.
    plan_type: String,
    group_id: Option<i64>,
    description: Option<String>,
    #[schema(value_type = Option<Object>)]
    criteria: Option<Box<RawValue>>,
    /// Whole rupees.
    price: i64,
    plan_id: i64,
}

impl From<PlanRow> for UserPlanResponse {
    fn from(row: PlanRow) -> Self {
        Self {
            plan_name: row.plan_name,
            validity: row.validity,
            most_popular: row.most_popular,
            plan_type: row.plan_type,
            group_id: row.group_id,
            description: row.description,
            criteria: raw(row.criteria),
            price: Paise::new(row.price).rupees(),
            plan_id: row.plan_id,
        }
    }
}

/// A plan in full.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PlanResponse {
    #[serde(flatten)]
    plan: UserPlanResponse,
    /// `active` or `inactive`.
    status: String,
    /// The administrator who made it.
    created_by: Option<i64>,
    created_at: DateTime<Utc>,
}

impl From<PlanRow> for PlanResponse {
    fn from(row: PlanRow) -> Self {
        let (status, created_by, created_at) = (row.status.clone(), row.created_by, row.created_at);
        Self { plan: row.into(), status, created_by, created_at }
    }
}

/// The type of an offer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OfferTypeShort {
    offer_type_id: i64,
    offer_type_name: String,
}

/// An offer as shoppers see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PublicOfferResponse {
    offer_id: i64,
    offer_name: String,
    /// Days after its creation; null has no end.
    offer_validity: Option<i32>,
    is_special: bool,
    #[schema(value_type = Option<Object>)]
    criteria: Option<Box<RawValue>>,
    description: Option<String>,
    offer_type: Option<OfferTypeShort>,
}

impl From<OfferRow> for PublicOfferResponse {
    fn from(row: OfferRow) -> Self {
        let offer_type = row.offer_type_id.zip(row.offer_type_name);
        Self {
            offer_id: row.offer_id,
            offer_name: row.offer_name,
            offer_validity: row.offer_validity,
            is_special: row.is_special,
            criteria: raw(row.criteria),
            description: row.description,
            offer_type: offer_type
                .map(|(offer_type_id, offer_type_name)| OfferTypeShort { offer_type_id, offer_type_name }),
        }
    }
}

/// An offer in full.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OfferResponse {
    #[serde(flatten)]
    offer: PublicOfferResponse,
    offer_type_id: Option<i64>,
    /// `active` or `inactive`.
    status: String,
    /// The administrator who made it.
    created_by: Option<i64>,
    created_at: DateTime<Utc>,
}

impl From<OfferRow> for OfferResponse {
    fn from(row: OfferRow) -> Self {
        let (offer_type_id, created_by, created_at) = (row.offer_type_id, row.created_by, row.created_at);
        let status = row.status.clone();
        Self { offer: row.into(), offer_type_id, status, created_by, created_at }
    }
}

/// A changed plan, and what was changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PlanUpdated {
    #[serde(flatten)]
    pub(super) plan: PlanResponse,
    pub(super) message: &'static str,
    /// The fields that the request set.
    pub(super) updated_fields: Vec<&'static str>,
    /// `Invalidated`: no answer from here on shows the former state.
    pub(super) cache_status: &'static str,
}

/// A changed offer, and what was changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OfferUpdated {
    #[serde(flatten)]
    pub(super) offer: OfferResponse,
    pub(super) message: &'static str,
    /// The fields that the request set.
    pub(super) updated_fields: Vec<&'static str>,
    /// `Invalidated`: no answer from here on shows the former state.
    pub(super) cache_status: &'static str,
}

/// A plan group.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PlanGroupResponse {
    group_id: i64,
    group_name: String,
}

impl From<Named> for PlanGroupResponse {
    fn from(Named { id, name }: Named) -> Self {
        Self { group_id: id, group_name: name }
    }
}

impl From<Named> for OfferTypeShort {
    fn from(Named { id, name }: Named) -> Self {
        Self { offer_type_id: id, offer_type_name: name }
    }
}

/// A new plan group.
#[derive(Deserialize, ToSchema)]
pub struct PlanGroupNew {
    /// 1 to 100 characters; no two groups share one.
    pub(super) group_name: String,
}

/// A change of a plan group.
#[derive(Deserialize, ToSchema)]
pub struct PlanGroupUpdate {
    /// 1 to 100 characters; no two groups share one. Absent: it stays.
    pub(super) group_name: Option<String>,
}

/// A new offer type.
#[derive(Deserialize, ToSchema)]
pub struct OfferTypeNew {
    /// 1 to 100 characters; no two types share one.
    pub(super) offer_type_name: String,
}

/// A change of an offer type.
#[derive(Deserialize, ToSchema)]
pub struct OfferTypeUpdate {
    /// 1 to 100 characters; no two types share one. Absent: it stays.
    pub(super) offer_type_name: Option<String>,
}

/// Something is gone.
#[derive(Debug, Serialize, ToSchema)]
pub struct Deleted {
    /// Says so.
    pub(super) detail: &'static str,
}
