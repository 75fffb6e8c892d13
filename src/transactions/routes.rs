//! `/recharge/my/transactions` and `/recharge/admin/transactions`.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::listing::Listing;
use super::service::TransactionLists;
use super::shape::{TransactionOut, UserResponse};
use crate::access::{Action, Resource};
use crate::auth::{Administrator, Customer};
use crate::http::Problem;
use crate::http::params::Params;
use crate::http::server::method_not_allowed;

/// The routes of this feature.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::resource("/recharge/my/transactions")
            .route(web::get().to(my_transactions))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/recharge/admin/transactions")
            .route(web::get().to(all_transactions))
            .default_service(web::to(method_not_allowed)),
    );
}

/// The documentation of these routes.
#[derive(OpenApi)]
#[openapi(
    paths(my_transactions, all_transactions),
    components(schemas(TransactionOut, UserResponse, TransactionListResponse))
)]
pub struct Docs;

/// A page of transactions.
#[derive(Serialize, ToSchema)]
pub struct TransactionListResponse {
    /// The page's rows.
    transactions: Vec<TransactionOut>,
    /// Rows over all pages.
    total: i64,
    /// The page given.
    page: u32,
    /// Rows on a page; 0 is everything.
    size: u32,
    /// Pages in all.
    pages: i64,
    /// Pass it as `cursor` for the page after this one: every page costs the same, however far back.
    next_cursor: Option<String>,
}

/// Transactions that the customer paid or received, gifts and top-ups by others included.
#[utoipa::path(
    get, path = "/recharge/my/transactions", tag = "Recharge", security(("bearer" = ["user"])),
    params(
        ("page" = Option<u32>, Query, description = "1 is the first", minimum = 1),
        ("size" = Option<u32>, Query, description = "rows on a page (10); 0 is everything", maximum = 10000),
        ("cursor" = Option<String>, Query, description = "a next_cursor, instead of page"),
        ("category" = Option<String>, Query, description = "wallet or service"),
        ("txn_type" = Option<String>, Query, description = "credit or debit"),
        ("service_type" = Option<String>, Query, description = "prepaid or postpaid"),
        ("source" = Option<String>, Query,
            description = "recharge, wallet_topup, refund, referral_reward or autopay"),
        ("status" = Option<String>, Query, description = "success, failed or pending"),
        ("payment_method" = Option<String>, Query, description = "UPI, Card, NetBanking or Wallet"),
        ("to_phone_number" = Option<String>, Query),
        ("to_phone_number_like" = Option<String>, Query, description = "a part of the ten digits"),
        ("amount_min" = Option<String>, Query, description = "rupees"),
        ("amount_max" = Option<String>, Query, description = "rupees"),
        ("created_at_start" = Option<String>, Query, description = "first day, such as 2026-01-31"),
        ("created_at_end" = Option<String>, Query, description = "last day, included"),
        ("sort_by" = Option<String>, Query, description = "created_at (default) or amount"),
        ("sort_order" = Option<String>, Query, description = "desc (default) or asc"),
    ),
    responses(
        (status = 200, body = TransactionListResponse),
        (status = 401, description = "not_authenticated"),
        (status = 403, description = "forbidden"),
        (status = 422, description = "invalid_input: every wrong parameter is named"),
        (status = 503, description = "overloaded or unavailable: try again shortly"),
    )
)]
async fn my_transactions(
    request: HttpRequest,
    customer: Customer,
    lists: web::Data<TransactionLists>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request);
    let listing = Listing::own(&mut params, lists.zone(), customer.user_id);
    params.done()?;
    lists.respond(&listing).await
}

/// All transactions, each with its customer.
#[utoipa::path(
    get, path = "/recharge/admin/transactions", tag = "Recharge", security(("bearer" = [])),
    params(
        ("page" = Option<u32>, Query, description = "1 is the first", minimum = 1),
        ("size" = Option<u32>, Query, description = "rows on a page (10); 0 is everything", maximum = 10000),
        ("cursor" = Option<String>, Query, description = "a next_cursor, instead of page"),
        ("user_id" = Option<i64>, Query),
        ("category" = Option<String>, Query, description = "wallet or service"),
        ("txn_type" = Option<String>, Query, description = "credit or debit"),
        ("service_type" = Option<String>, Query, description = "prepaid or postpaid"),
        ("source" = Option<String>, Query,
            description = "recharge, wallet_topup, refund, referral_reward or autopay"),
        ("status" = Option<String>, Query, description = "success, failed or pending"),
        ("payment_method" = Option<String>, Query, description = "UPI, Card, NetBanking or Wallet"),
        ("from_phone_number" = Option<String>, Query),
        ("from_phone_number_like" = Option<String>, Query, description = "a part of the ten digits"),
        ("to_phone_number" = Option<String>, Query),
        ("to_phone_number_like" = Option<String>, Query, description = "a part of the ten digits"),
        ("amount_min" = Option<String>, Query, description = "rupees"),
        ("amount_max" = Option<String>, Query, description = "rupees"),
        ("created_at_start" = Option<String>, Query, description = "first day, such as 2026-01-31"),
        ("created_at_end" = Option<String>, Query, description = "last day, included"),
        ("sort_by" = Option<String>, Query, description = "created_at (default) or amount"),
        ("sort_order" = Option<String>, Query, description = "desc (default) or asc"),
    ),
    responses(
        (status = 200, body = TransactionListResponse),
        (status = 401, description = "not_authenticated"),
        (status = 403, description = "forbidden: needs Recharge:read"),
        (status = 422, description = "invalid_input: every wrong parameter is named"),
        (status = 503, description = "overloaded or unavailable: try again shortly"),
    )
)]
async fn all_transactions(
    request: HttpRequest,
    administrator: Administrator,
    lists: web::Data<TransactionLists>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Recharge, Action::Read)?;
    let mut params = Params::of(&request);
    let listing = Listing::all(&mut params, lists.zone());
    params.done()?;
    lists.respond(&listing).await
}
