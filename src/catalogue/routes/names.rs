//! Handlers of plan groups and offer types: each an id and a name that no other has.

use actix_web::web::{Bytes, Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::refused;
use crate::access::{Action, Resource};
use crate::auth::Administrator;
use crate::catalogue::lists::PublicLists;
use crate::catalogue::query::NameQuery;
use crate::catalogue::shape::{
    Deleted, OfferTypeNew, OfferTypeShort, OfferTypeUpdate, PlanGroupNew, PlanGroupResponse, PlanGroupUpdate,
};
use crate::catalogue::store::{CatalogueStore, Kind};
use crate::catalogue::update::checked_name;
use crate::http::Problem;
use crate::http::json::parse_body;
use crate::http::params::Params;

/// All plan groups.
#[utoipa::path(get, path = "/plans/plan-group", tag = "Plans", operation_id = "list_plan_groups",
    params(
        ("search" = Option<String>, Query, description = "text in the name"),
        ("order_by" = Option<String>, Query, description = "group_id or group_name"),
        ("order_dir" = Option<String>, Query, description = "asc or desc"),
        ("limit" = Option<u32>, Query, description = "0 to 100; 0 is everything"),
        ("offset" = Option<u32>, Query, description = "how many to leave out first"),
    ),
    responses(
        (status = 200, body = Vec<PlanGroupResponse>, headers(("X-Total-Count" = i64))),
        (status = 400, description = "invalid_order: it cannot be ordered by that"),
    ))]
pub async fn plan_groups(request: HttpRequest, store: Data<CatalogueStore>) -> Result<HttpResponse, Problem> {
    let query = NameQuery::read(Params::of(&request), &["group_id", "group_name"])?;
    let (names, total) = query.find(store.names(Kind::PlanGroup).await?);
    let shown: Vec<PlanGroupResponse> = names.into_iter().map(PlanGroupResponse::from).collect();
    Ok(HttpResponse::Ok().insert_header(("x-total-count", total)).json(shown))
}

/// One plan group.
#[utoipa::path(get, path = "/plans/plan-group/{group_id}", tag = "Plans", operation_id = "get_plan_group", params(("group_id" = i64, Path)),
    responses((status = 200, body = PlanGroupResponse), (status = 404, description = "no such plan group")))]
pub async fn plan_group(
    id: Path<i64>,
    store: Data<CatalogueStore>,
) -> Result<Json<PlanGroupResponse>, Problem> {
    let found = store.name(Kind::PlanGroup, *id).await?;
    found.map(|it| Json(it.into())).ok_or_else(|| Problem::not_found("Plan group"))
}

/// Makes a plan group.
#[utoipa::path(post, path = "/plans/plan-group", tag = "Plans", operation_id = "create_plan_group", security(("bearer" = [])),
    request_body = PlanGroupNew,
    responses(
        (status = 200, body = PlanGroupResponse),
        (status = 400, description = "duplicate: the name is taken"),
        (status = 403, description = "needs PlanGroups:write"),
    ))]
pub async fn create_plan_group(
    administrator: Administrator,
    body: Bytes,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<Json<PlanGroupResponse>, Problem> {
    administrator.require(Resource::PlanGroups, Action::Write)?;
    let PlanGroupNew { group_name } = parse_body(&body)?;
    let name = checked_name("group_name", Some(group_name))?.unwrap_or_default();
    let by = administrator.audits("CREATE_PLAN_GROUP", "plans", "").with(json!({ "group_name": name }));
    let made = store.make_name(Kind::PlanGroup, name, by, lists.now()).await;
    lists.invalidate();
    made.map(|it| Json(it.into())).map_err(|error| refused(error, "Plan group", "group_name"))
}

/// Renames a plan group.
#[utoipa::path(put, path = "/plans/plan-group/{group_id}", tag = "Plans", operation_id = "update_plan_group", security(("bearer" = [])),
    params(("group_id" = i64, Path)), request_body = PlanGroupUpdate,
    responses(
        (status = 200, body = PlanGroupResponse),
        (status = 400, description = "duplicate: the name is taken"),
        (status = 403, description = "needs PlanGroups:edit"),
        (status = 404, description = "no such plan group"),
    ))]
pub async fn update_plan_group(
    administrator: Administrator,
    id: Path<i64>,
    body: Bytes,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<Json<PlanGroupResponse>, Problem> {
    administrator.require(Resource::PlanGroups, Action::Edit)?;
    let PlanGroupUpdate { group_name } = parse_body(&body)?;
    let name = checked_name("group_name", group_name)?;
    let by = administrator.audits("UPDATE_PLAN_GROUP", "plans", "").with(json!({ "group_name": name }));
    let changed = store.rename(Kind::PlanGroup, *id, name, by, lists.now()).await;
    lists.invalidate();
    changed.map(|it| Json(it.into())).map_err(|error| refused(error, "Plan group", "group_name"))
}

/// Deletes a plan group; plans that had it have none.
#[utoipa::path(delete, path = "/plans/plan-group/{group_id}", tag = "Plans", operation_id = "delete_plan_group", security(("bearer" = [])),
    params(("group_id" = i64, Path)),
    responses(
        (status = 204, description = "deleted"),
        (status = 403, description = "needs PlanGroups:delete"),
        (status = 404, description = "no such plan group"),
    ))]
pub async fn delete_plan_group(
    administrator: Administrator,
    id: Path<i64>,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::PlanGroups, Action::Delete)?;
    let by = administrator.audits("DELETE_PLAN_GROUP", "plans", "");
    let deleted = store.delete_name(Kind::PlanGroup, *id, by, lists.now()).await;
    lists.invalidate();
    deleted.map_err(|error| refused(error, "Plan group", "group_id"))?;
    Ok(HttpResponse::NoContent().finish())
}

/// All offer types.
#[utoipa::path(get, path = "/offers/offer_type", tag = "Offers", operation_id = "list_offer_types",
    params(
        ("search" = Option<String>, Query, description = "text in the name"),
        ("order_by" = Option<String>, Query, description = "offer_type_id or offer_type_name"),
        ("order_dir" = Option<String>, Query, description = "asc or desc"),
        ("limit" = Option<u32>, Query, description = "0 to 100; 0 is everything"),
        ("offset" = Option<u32>, Query, description = "how many to leave out first"),
    ),
    responses(
        (status = 200, body = Vec<OfferTypeShort>, headers(("X-Total-Count" = i64))),
        (status = 400, description = "invalid_order: it cannot be ordered by that"),
    ))]
pub async fn offer_types(request: HttpRequest, store: Data<CatalogueStore>) -> Result<HttpResponse, Problem> {
    let query = NameQuery::read(Params::of(&request), &["offer_type_id", "offer_type_name"])?;
    let (names, total) = query.find(store.names(Kind::OfferType).await?);
    let shown: Vec<OfferTypeShort> = names.into_iter().map(OfferTypeShort::from).collect();
    Ok(HttpResponse::Ok().insert_header(("x-total-count", total)).json(shown))
}

/// One offer type.
#[utoipa::path(get, path = "/offers/offer_type/{offer_type_id}", tag = "Offers", operation_id = "get_offer_type", params(("offer_type_id" = i64, Path)),
    responses((status = 200, body = OfferTypeShort), (status = 404, description = "no such offer type")))]
pub async fn offer_type(id: Path<i64>, store: Data<CatalogueStore>) -> Result<Json<OfferTypeShort>, Problem> {
    let found = store.name(Kind::OfferType, *id).await?;
    found.map(|it| Json(it.into())).ok_or_else(|| Problem::not_found("Offer type"))
}

/// Makes an offer type.
#[utoipa::path(post, path = "/offers/offer_type", tag = "Offers", operation_id = "create_offer_type", security(("bearer" = [])),
    request_body = OfferTypeNew,
    responses(
        (status = 200, body = OfferTypeShort),
        (status = 400, description = "duplicate: the name is taken"),
        (status = 403, description = "needs OfferType:write"),
    ))]
pub async fn create_offer_type(
    administrator: Administrator,
    body: Bytes,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<Json<OfferTypeShort>, Problem> {
    administrator.require(Resource::OfferType, Action::Write)?;
    let OfferTypeNew { offer_type_name } = parse_body(&body)?;
    let name = checked_name("offer_type_name", Some(offer_type_name))?.unwrap_or_default();
    let by = administrator.audits("CREATE_OFFER_TYPE", "offers", "").with(json!({ "offer_type_name": name }));
    let made = store.make_name(Kind::OfferType, name, by, lists.now()).await;
    lists.invalidate();
    made.map(|it| Json(it.into())).map_err(|error| refused(error, "Offer type", "offer_type_name"))
}

/// Renames an offer type.
#[utoipa::path(put, path = "/offers/offer_type/{offer_type_id}", tag = "Offers", operation_id = "update_offer_type", security(("bearer" = [])),
    params(("offer_type_id" = i64, Path)), request_body = OfferTypeUpdate,
    responses(
        (status = 200, body = OfferTypeShort),
        (status = 400, description = "duplicate: the name is taken"),
        (status = 403, description = "needs OfferType:edit"),
        (status = 404, description = "no such offer type"),
    ))]
pub async fn update_offer_type(
    administrator: Administrator,
    id: Path<i64>,
    body: Bytes,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<Json<OfferTypeShort>, Problem> {
    administrator.require(Resource::OfferType, Action::Edit)?;
    let OfferTypeUpdate { offer_type_name } = parse_body(&body)?;
    let name = checked_name("offer_type_name", offer_type_name)?;
    let by = administrator.audits("UPDATE_OFFER_TYPE", "offers", "").with(json!({ "offer_type_name": name }));
    let changed = store.rename(Kind::OfferType, *id, name, by, lists.now()).await;
    lists.invalidate();
    changed.map(|it| Json(it.into())).map_err(|error| refused(error, "Offer type", "offer_type_name"))
}

/// Deletes an offer type; offers that had it have none.
#[utoipa::path(delete, path = "/offers/offer_type/{offer_type_id}", tag = "Offers", operation_id = "delete_offer_type", security(("bearer" = [])),
    params(("offer_type_id" = i64, Path)),
    responses(
        (status = 200, body = Deleted),
        (status = 403, description = "needs OfferType:delete"),
        (status = 404, description = "no such offer type"),
    ))]
pub async fn delete_offer_type(
    administrator: Administrator,
    id: Path<i64>,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<Json<Deleted>, Problem> {
    administrator.require(Resource::OfferType, Action::Delete)?;
    let by = administrator.audits("DELETE_OFFER_TYPE", "offers", "");
    let deleted = store.delete_name(Kind::OfferType, *id, by, lists.now()).await;
    lists.invalidate();
    deleted.map_err(|error| refused(error, "Offer type", "offer_type_id"))?;
    Ok(Json(Deleted { detail: "Offer type deleted successfully" }))
}
