//! `/referrals`: own rewards, and all of them.

use actix_web::{HttpRequest, HttpResponse, web};
use gencharge_actors::kernel::UserId;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::lists::{Answer, Listing, ReferralRewardOut, Referrals};
use crate::access::{Action, Resource};
use crate::auth::{Administrator, Customer};
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::http::{Problem, array, list};

/// Mounts the feature.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::resource("/referrals/me")
            .route(web::get().to(my_rewards))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/referrals/admin/all")
            .route(web::get().to(all_rewards))
            .default_service(web::to(method_not_allowed)),
    );
}

/// The feature's part of the API description.
#[derive(OpenApi)]
#[openapi(paths(my_rewards, all_rewards), components(schemas(ReferralRewardOut, PaginatedReferralReward)))]
pub struct Docs;

/// A page of rewards.
#[derive(Serialize, ToSchema)]
pub struct PaginatedReferralReward {
    /// The page's rows.
    items: Vec<ReferralRewardOut>,
    /// Rows over all pages.
    total: i64,
    /// The page given.
    page: u32,
    /// Rows on a page; 0 is everything.
    size: u32,
    /// Pages in all.
    pages: i64,
}

/// Rewards for customers whom the caller brought
#[utoipa::path(get, path = "/referrals/me", tag = "Referrals", security(("bearer" = ["user"])),
    params(
        ("page" = Option<u32>, Query, description = "0 and 1 are the first"),
        ("size" = Option<u32>, Query, description = "rows on a page; 0, as when absent, is everything", maximum = 100),
        ("status" = Option<String>, Query, description = "pending, earned or lapsed"),
        ("sort" = Option<String>, Query,
            description = "created_at_desc (as when absent), created_at_asc, reward_amount_desc or reward_amount_asc"),
    ),
    responses((status = 200, body = PaginatedReferralReward)))]
async fn my_rewards(
    request: HttpRequest,
    customer: Customer,
    referrals: web::Data<Referrals>,
) -> Result<HttpResponse, Problem> {
    answer(&request, &referrals, Some(customer.user_id)).await
}

/// All rewards
#[utoipa::path(get, path = "/referrals/admin/all", tag = "Referrals", security(("bearer" = [])),
    params(
        ("page" = Option<u32>, Query, description = "0 and 1 are the first"),
        ("size" = Option<u32>, Query, description = "rows on a page; 0, as when absent, is everything", maximum = 100),
        ("status" = Option<String>, Query, description = "pending, earned or lapsed"),
        ("sort" = Option<String>, Query,
            description = "created_at_desc (as when absent), created_at_asc, reward_amount_desc or reward_amount_asc"),
    ),
    responses((status = 200, body = PaginatedReferralReward),
        (status = 403, description = "forbidden: needs Referral:read")))]
async fn all_rewards(
    request: HttpRequest,
    administrator: Administrator,
    referrals: web::Data<Referrals>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Referral, Action::Read)?;
    answer(&request, &referrals, None).await
}

async fn answer(
    request: &HttpRequest,
    referrals: &Referrals,
    referrer: Option<UserId>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(request);
    let listing = Listing::read(&mut params, referrer);
    params.done()?;
    match referrals.list(&listing).await? {
        Answer::Page(rows, tail) => list::page("items", &rows, &tail),
        Answer::Stream(rows) => Ok(list::streamed("items", rows, |rows| async move { Ok(rows) })),
        Answer::Busy => Err(array::busy()),
    }
}
