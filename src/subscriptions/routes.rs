//! `/recharge/my/plans` and `/recharge/admin/active-plans`.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::listing::Listing;
use super::shape::{CurrentActivePlanOut, PlanOut};
use super::store::{Answer, SubscriptionLists};
use crate::access::{Action, Resource};
use crate::auth::{Administrator, Customer};
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::http::{Code, Problem, list};

/// The routes of this feature.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::resource("/recharge/my/plans")
            .route(web::get().to(my_plans))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/recharge/admin/active-plans")
            .route(web::get().to(all_plans))
            .default_service(web::to(method_not_allowed)),
    );
}

/// The documentation of these routes.
#[derive(OpenApi)]
#[openapi(
    paths(my_plans, all_plans),
    components(schemas(CurrentActivePlanOut, PlanOut, CurrentPlanListResponse))
)]
pub struct Docs;

/// A page of plans on numbers.
#[derive(Serialize, ToSchema)]
pub struct CurrentPlanListResponse {
    /// The page's rows.
    plans: Vec<CurrentActivePlanOut>,
    /// Rows over all pages.
    total: i64,
    /// The page given.
    page: u32,
    /// Rows on a page; 0 is everything.
    size: u32,
    /// Pages in all.
    pages: i64,
    /// Pass it as `cursor` for the page after this one.
    next_cursor: Option<String>,
}

/// The plans on the customer's own number.
#[utoipa::path(
    get, path = "/recharge/my/plans", tag = "Recharge", security(("bearer" = ["user"])),
    params(
        ("page" = Option<u32>, Query, description = "0 and 1 are the first"),
        ("size" = Option<u32>, Query, description = "rows on a page; 0 (default) is everything", maximum = 500),
        ("cursor" = Option<String>, Query, description = "a next_cursor, instead of page"),
        ("plan_id" = Option<i64>, Query),
        ("status" = Option<String>, Query, description = "active, expired or queued"),
        ("valid_from_start" = Option<String>, Query, description = "first day, such as 2026-01-31"),
        ("valid_from_end" = Option<String>, Query, description = "last day, included"),
        ("valid_to_start" = Option<String>, Query, description = "first day"),
        ("valid_to_end" = Option<String>, Query, description = "last day, included"),
        ("validity_days_min" = Option<u32>, Query, description = "days from start to end"),
        ("validity_days_max" = Option<u32>, Query, description = "days from start to end"),
        ("sort_by" = Option<String>, Query, description = "valid_from (default) or valid_to"),
        ("sort_order" = Option<String>, Query, description = "desc (default) or asc"),
    ),
    responses(
        (status = 200, body = CurrentPlanListResponse),
        (status = 401, description = "not_authenticated"),
        (status = 403, description = "forbidden"),
        (status = 422, description = "invalid_input: every wrong parameter is named"),
        (status = 503, description = "overloaded or unavailable: try again shortly"),
    )
)]
async fn my_plans(
    request: HttpRequest,
    customer: Customer,
    lists: web::Data<SubscriptionLists>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request);
    let listing = Listing::own(&mut params, lists.zone(), customer.user_id, customer.phone);
    params.done()?;
    respond(&lists, &listing).await
}

/// The plans on all numbers.
#[utoipa::path(
    get, path = "/recharge/admin/active-plans", tag = "Recharge", security(("bearer" = [])),
    params(
        ("page" = Option<u32>, Query, description = "0 and 1 are the first"),
        ("size" = Option<u32>, Query, description = "rows on a page; 0 (default) is everything", maximum = 500),
        ("cursor" = Option<String>, Query, description = "a next_cursor, instead of page"),
        ("phone_number" = Option<String>, Query),
        ("phone_number_like" = Option<String>, Query, description = "a part of the ten digits"),
        ("plan_id" = Option<i64>, Query),
        ("status" = Option<String>, Query, description = "active, expired or queued"),
        ("valid_from_start" = Option<String>, Query, description = "first day, such as 2026-01-31"),
        ("valid_from_end" = Option<String>, Query, description = "last day, included"),
        ("valid_to_start" = Option<String>, Query, description = "first day"),
        ("valid_to_end" = Option<String>, Query, description = "last day, included"),
        ("validity_days_min" = Option<u32>, Query, description = "days from start to end"),
        ("validity_days_max" = Option<u32>, Query, description = "days from start to end"),
        ("sort_by" = Option<String>, Query, description = "valid_from (default) or valid_to"),
        ("sort_order" = Option<String>, Query, description = "desc (default) or asc"),
    ),
    responses(
        (status = 200, body = CurrentPlanListResponse),
        (status = 401, description = "not_authenticated"),
        (status = 403, description = "forbidden: needs Recharge:read"),
        (status = 422, description = "invalid_input: every wrong parameter is named"),
        (status = 503, description = "overloaded or unavailable: try again shortly"),
    )
)]
async fn all_plans(
    request: HttpRequest,
    administrator: Administrator,
    lists: web::Data<SubscriptionLists>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Recharge, Action::Read)?;
    let mut params = Params::of(&request);
    let listing = Listing::all(&mut params, lists.zone());
    params.done()?;
    respond(&lists, &listing).await
}

async fn respond(lists: &SubscriptionLists, listing: &Listing) -> Result<HttpResponse, Problem> {
    match lists.answer(listing).await? {
        Answer::Page(rows, tail) => list::page("plans", &rows, &tail),
        Answer::Stream(chunks) => Ok(list::streamed("plans", chunks, |rows| async move { Ok(rows) })),
        Answer::Busy => Err(Problem::new(
            Code::Overloaded,
            "Too many long lists are being sent: try again shortly, or read page by page with cursor",
        )
        .retry_after(10)),
    }
}
