//! Handlers of plans.

use actix_web::web::{Bytes, Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use gencharge_actors::kernel::CatalogueStatus;

use super::{INVALIDATED, page, refused, sees_all};
use crate::access::{Action, Resource};
use crate::auth::{Administrator, Principal};
use crate::catalogue::lists::PublicLists;
use crate::catalogue::query::{ListQuery as _, PlanQuery, View};
use crate::catalogue::shape::{Deleted, PlanResponse, PlanUpdated};
use crate::catalogue::store::{Article, CatalogueStore};
use crate::catalogue::update::{PlanNew, PlanUpdate};
use crate::http::Problem;
use crate::http::json::parse_body;
use crate::http::params::Params;

/// All plans, inactive ones too.
#[utoipa::path(get, path = "/plans/plan", tag = "Plans", operation_id = "list_plans", security(("bearer" = [])),
    params(
        ("search" = Option<String>, Query, description = "text in the plan's name or description"),
        ("type" = Option<String>, Query, description = "prepaid or postpaid"),
        ("status" = Option<String>, Query, description = "active or inactive"),
        ("page" = Option<u32>, Query, description = "from 1; 0 counts as 1"),
        ("limit" = Option<u32>, Query, description = "0 to 100; 0 is everything"),
        ("order_by" = Option<String>, Query, description = "plan_id, plan_name, validity, created_at, price, most_popular or plan_type"),
        ("order_dir" = Option<String>, Query, description = "asc or desc"),
    ),
    responses(
        (status = 200, body = Vec<PlanResponse>, headers(("X-Total-Count" = i64), ("Link" = String))),
        (status = 400, description = "invalid_order: it cannot be ordered by that"),
        (status = 403, description = "needs Plans:read"),
    ))]
pub async fn plans(
    administrator: Administrator,
    request: HttpRequest,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Plans, Action::Read)?;
    let query = PlanQuery::read(Params::of(&request), View::All)?;
    Ok(page::<_, PlanResponse>(&query, &store.plans().await?, lists.now()))
}

/// One plan. Inactive ones only for administrators who may read plans.
#[utoipa::path(get, path = "/plans/plan/{plan_id}", tag = "Plans", security((), ("bearer" = [])),
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

/// Makes a plan. It can be bought at once, unless it is made inactive.
#[utoipa::path(post, path = "/plans/plan", tag = "Plans", operation_id = "create_plan", security(("bearer" = [])),
    request_body = PlanNew,
    responses(
        (status = 200, body = PlanResponse),
        (status = 400, description = "unknown_reference: no such group"),
        (status = 403, description = "needs Plans:write"),
    ))]
pub async fn create_plan(
    administrator: Administrator,
    body: Bytes,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<Json<PlanResponse>, Problem> {
    administrator.require(Resource::Plans, Action::Write)?;
    let new = parse_body::<PlanNew>(&body)?.check()?;
    let by = administrator.audits("CREATE_PLAN", "plans", "").with(new.set().changes());
    let row = store.make_plan(new, by, lists.now()).await;
    lists.invalidate();
    row.map(|row| Json(row.into())).map_err(|error| refused(error, "Plan", "group_id"))
}

/// Changes a plan. Once it has answered, no recharge commits at the former price or rules.
#[utoipa::path(put, path = "/plans/plan/{plan_id}", tag = "Plans", security(("bearer" = [])),
    params(("plan_id" = i64, Path)), request_body = PlanUpdate,
    responses(
        (status = 200, body = PlanUpdated),
        (status = 400, description = "unknown_reference: no such group"),
        (status = 403, description = "needs Plans:edit"),
        (status = 404, description = "no such plan"),
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
    let set = changes.set();
    let by = administrator.audits("UPDATE_PLAN", "plans", "").with(set.changes());
    let row = store.change_plan(*plan_id, changes, by, lists.now()).await;
    lists.invalidate();
    Ok(Json(PlanUpdated {
        plan: row.map_err(|error| refused(error, "Plan", "group_id"))?.into(),
        message: "Plan updated successfully",
        updated_fields: set.names(),
        cache_status: INVALIDATED,
    }))
}

/// Deletes a plan that nobody has ever bought; others can be made inactive.
#[utoipa::path(delete, path = "/plans/plan/{plan_id}", tag = "Plans", security(("bearer" = [])),
    params(("plan_id" = i64, Path)),
    responses(
        (status = 200, body = Deleted),
        (status = 403, description = "needs Plans:delete"),
        (status = 404, description = "no such plan"),
        (status = 409, description = "state_conflict: it has been bought"),
    ))]
pub async fn delete_plan(
    administrator: Administrator,
    plan_id: Path<i64>,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<Json<Deleted>, Problem> {
    administrator.require(Resource::Plans, Action::Delete)?;
    let by = administrator.audits("DELETE_PLAN", "plans", format!("plan/{plan_id}"));
    let deleted = store.delete(Article::Plan, *plan_id, by, lists.now()).await;
    lists.invalidate();
    deleted.map_err(|error| refused(error, "Plan", "plan_id"))?;
    Ok(Json(Deleted { detail: "Plan deleted successfully" }))
}
