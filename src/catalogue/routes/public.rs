//! The public lists.

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use crate::catalogue::lists::{PublicLists, Ready};
use crate::catalogue::shape::{PublicOfferResponse, UserPlanResponse};
use crate::http::Problem;

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
        (status = 400, description = "invalid_order: it cannot be ordered by that"),
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
        (status = 400, description = "invalid_order: it cannot be ordered by that"),
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
