//! Handlers of the catalogue.

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Bytes, Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use gencharge_actors::kernel::CatalogueStatus;

use super::lists::{PublicLists, Ready};
use super::shape::{
    OfferResponse, OfferUpdated, PlanResponse, PlanUpdated, PublicOfferResponse, UserPlanResponse,
};
use super::store::{CatalogueStore, ChangeError};
use super::update::{OfferUpdate, PlanUpdate};
use crate::access::{Action, Resource};
use crate::auth::{Administrator, Principal};
use crate::http::Problem;
use crate::http::json::parse_body;

/// What the answer of a change says of the caches.
const INVALIDATED: &str = "Invalidated";

/// Active plans for shoppers.
#[utoipa::path(get, path = "/plans/public/all", tag = "Plans",
    params(
        ("search" = Option<String>, Query, description = "text in the plan's name"),
        ("type" = Option<String>, Query, description = "prepaid or postpaid"),
        ("status" = Option<String>, Query, description = "active; inactive plans are never shown here"),
        ("page" = Option<u32>, Query, description = "from 1; 0 counts as 1"),
        ("limit" = Option<u32>, Query, description = "0 to 100; 0 is everything"),
        ("order_by" = Option<String>, Query, description = "plan_id, plan_name, validity, created_at, price, most_popular or plan_type"),
        ("order_dir" = Option<String>, Query, description = "asc or desc"),
    ),
    responses(
        (status = 200, body = Vec<UserPlanResponse>, headers(("X-Total-Count" = i64), ("Link" = String), ("ETag" = String))),
        (status = 304, description = "as the given If-None-Match"),
        (status = 422, description = "a parameter is wrong"),
    ))]
pub async fn public_plans(request: HttpRequest, lists: Data<PublicLists>) -> Result<HttpResponse, Problem> {
    lists.plans(&request).await.map(|ready| send(&request, &ready))
}

/// Active offers that have not run out.
#[utoipa::path(get, path = "/offers/offers/public", tag = "Offers",
    params(
        ("search" = Option<String>, Query, description = "text in the offer's name"),
        ("offer_type_id" = Option<i64>, Query, description = "of this type"),
        ("is_special" = Option<bool>, Query, description = "special or not"),
        ("status" = Option<String>, Query, description = "active; inactive offers are never shown here"),
        ("page" = Option<u32>, Query, description = "from 1; 0 counts as 1"),
        ("limit" = Option<u32>, Query, description = "0 to 100; 0 is everything"),
        ("order_by" = Option<String>, Query, description = "offer_id, offer_name, offer_validity, created_at or is_special"),
        ("order_dir" = Option<String>, Query, description = "desc or asc"),
    ),
    responses(
        (status = 200, body = Vec<PublicOfferResponse>, headers(("X-Total-Count" = i64), ("Link" = String), ("ETag" = String))),
        (status = 304, description = "as the given If-None-Match"),
        (status = 422, description = "a parameter is wrong"),
    ))]
pub async fn public_offers(request: HttpRequest, lists: Data<PublicLists>) -> Result<HttpResponse, Problem> {
    lists.offers(&request).await.map(|ready| send(&request, &ready))
}

fn send(request: &HttpRequest, ready: &Ready) -> HttpResponse {
    let matches = request.headers().get(header::IF_NONE_MATCH).is_some_and(|given| names(given, &ready.etag));
    let mut answer = if matches { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer
        .insert_header((header::ETAG, ready.etag.clone()))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache")));
    if matches {
        return answer.finish();
    }
    answer
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .insert_header(("x-total-count", ready.total.clone()));
    if let Some(links) = &ready.links {
        answer.insert_header((header::LINK, links.clone()));
    }
    answer.body(ready.body.clone())
}

/// Whether `If-None-Match` names `etag` (weak comparison, RFC 9110 13.1.2).
fn names(given: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(given), Ok(etag)) = (given.to_str(), etag.to_str()) else { return false };
    given.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// True when the caller may see what the public does not.
fn sees_all(caller: Option<&Principal>, resource: Resource) -> bool {
    match caller {
        Some(Principal::Administrator(administrator)) => {
            administrator.require(resource, Action::Read).is_ok()
        }
        Some(Principal::Customer(_)) | None => false,
    }
}

/// One plan. Inactive ones only for administrators who may read plans.
#[utoipa::path(get, path = "/plans/plan/{plan_id}", tag = "Plans",
    params(("plan_id" = i64, Path)),
    responses((status = 200, body = PlanResponse), (status = 404, description = "no such plan")))]
pub async fn plan(
    caller: Option<Principal>,
    plan_id: Path<i64>,
    store: Data<CatalogueStore>,
) -> Result<Json<PlanResponse>, Problem> {
    let row = store.plan(*plan_id).await?;
    row.filter(|row| {
        row.status == CatalogueStatus::Active.as_str() || sees_all(caller.as_ref(), Resource::Plans)
    })
    .map(|row| Json(row.into()))
    .ok_or_else(|| Problem::not_found("Plan"))
}

/// One offer. Inactive and expired ones only for administrators who may read offers.
#[utoipa::path(get, path = "/offers/offers/{offer_id}", tag = "Offers",
    params(("offer_id" = i64, Path)),
    responses((status = 200, body = OfferResponse), (status = 404, description = "no such offer")))]
pub async fn offer(
    caller: Option<Principal>,
    offer_id: Path<i64>,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<Json<OfferResponse>, Problem> {
    let now = lists.now();
    let row = store.offer(*offer_id).await?;
    row.filter(|row| {
        let open =
            row.status == CatalogueStatus::Active.as_str() && row.expiry().is_none_or(|expiry| now < expiry);
        open || sees_all(caller.as_ref(), Resource::Offers)
    })
    .map(|row| Json(row.into()))
    .ok_or_else(|| Problem::not_found("Offer"))
}

/// Changes a plan. Once it has answered, no recharge commits at the former price or rules.
#[utoipa::path(put, path = "/plans/plan/{plan_id}", tag = "Plans",
    params(("plan_id" = i64, Path)), request_body = PlanUpdate,
    responses(
        (status = 200, body = PlanUpdated),
        (status = 401, description = "no or no longer valid token"),
        (status = 403, description = "needs Plans:edit"),
        (status = 404, description = "no such plan"),
        (status = 422, description = "a field is wrong"),
    ))]
pub async fn update_plan(
    administrator: Administrator,
    plan_id: Path<i64>,
    body: Bytes,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<Json<PlanUpdated>, Problem> {
    administrator.require(Resource::Plans, Action::Edit)?;
    let changes = parse_body::<PlanUpdate>(&body)?.check()?;
    let updated_fields = changes.fields();
    let row = store.change_plan(*plan_id, changes).await;
    lists.invalidate();
    let row = row.map_err(|error| refused(error, "Plan", "group_id", "must be the id of a plan group"))?;
    tracing::info!(
        action = "UPDATE_PLAN",
        admin_id = administrator.admin_id.get(),
        plan_id = *plan_id,
        updated_fields = updated_fields.join(","),
        "audit.update_plan"
    );
    Ok(Json(PlanUpdated {
        plan: row.into(),
        message: "Plan updated successfully",
        updated_fields,
        cache_status: INVALIDATED,
    }))
}

/// Changes an offer. Once it has answered, no recharge commits with the former rewards or rules.
#[utoipa::path(put, path = "/offers/offers/{offer_id}", tag = "Offers",
    params(("offer_id" = i64, Path)), request_body = OfferUpdate,
    responses(
        (status = 200, body = OfferUpdated),
        (status = 401, description = "no or no longer valid token"),
        (status = 403, description = "needs Offers:edit"),
        (status = 404, description = "no such offer"),
        (status = 422, description = "a field is wrong"),
    ))]
pub async fn update_offer(
    administrator: Administrator,
    offer_id: Path<i64>,
    body: Bytes,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<Json<OfferUpdated>, Problem> {
    administrator.require(Resource::Offers, Action::Edit)?;
    let changes = parse_body::<OfferUpdate>(&body)?.check()?;
    let updated_fields = changes.fields();
    let row = store.change_offer(*offer_id, changes).await;
    lists.invalidate();
    let row =
        row.map_err(|error| refused(error, "Offer", "offer_type_id", "must be the id of an offer type"))?;
    tracing::info!(
        action = "UPDATE_OFFER",
        admin_id = administrator.admin_id.get(),
        offer_id = *offer_id,
        updated_fields = updated_fields.join(","),
        "audit.update_offer"
    );
    Ok(Json(OfferUpdated {
        offer: row.into(),
        message: "Offer updated successfully",
        updated_fields,
        cache_status: INVALIDATED,
    }))
}

fn refused(error: ChangeError, what: &str, parent: &str, must: &str) -> Problem {
    match error {
        ChangeError::Missing => Problem::not_found(what),
        ChangeError::UnknownParent => Problem::field(parent, must),
        ChangeError::Sql(error) => error.into(),
    }
}
