//! Handlers of offers.

use actix_web::web::{Bytes, Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use gencharge_actors::kernel::CatalogueStatus;

use super::{INVALIDATED, page, refused, sees_all};
use crate::access::{Action, Resource};
use crate::auth::{Administrator, Principal};
use crate::catalogue::lists::PublicLists;
use crate::catalogue::query::{ListQuery as _, OfferQuery, View};
use crate::catalogue::shape::{OfferResponse, OfferUpdated};
use crate::catalogue::store::{Article, CatalogueStore};
use crate::catalogue::update::{OfferNew, OfferUpdate};
use crate::http::Problem;
use crate::http::json::parse_body;
use crate::http::params::Params;

/// All offers, inactive and expired ones too.
#[utoipa::path(get, path = "/offers/offers", tag = "Offers", operation_id = "list_offers", security(("bearer" = [])),
    params(
        ("search" = Option<String>, Query, description = "text in the offer's name or description"),
        ("offer_type_id" = Option<i64>, Query, description = "of this type"),
        ("is_special" = Option<bool>, Query, description = "special or not"),
        ("status" = Option<String>, Query, description = "active or inactive"),
        ("page" = Option<u32>, Query, description = "from 1; 0 counts as 1"),
        ("limit" = Option<u32>, Query, description = "0 to 100; 0 is everything"),
        ("order_by" = Option<String>, Query, description = "offer_id, offer_name, offer_validity, created_at or is_special"),
        ("order_dir" = Option<String>, Query, description = "desc or asc"),
    ),
    responses(
        (status = 200, body = Vec<OfferResponse>, headers(("X-Total-Count" = i64), ("Link" = String))),
        (status = 400, description = "invalid_order: it cannot be ordered by that"),
        (status = 403, description = "needs Offers:read"),
    ))]
pub async fn offers(
    administrator: Administrator,
    request: HttpRequest,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Offers, Action::Read)?;
    let query = OfferQuery::read(Params::of(&request), View::All)?;
    Ok(page::<_, OfferResponse>(&query, &store.offers().await?, lists.now()))
}

/// One offer. Inactive and expired ones only for administrators who may read offers.
#[utoipa::path(get, path = "/offers/offers/{offer_id}", tag = "Offers", security((), ("bearer" = [])),
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

/// Makes an offer. It can be used at once, unless it is made inactive.
#[utoipa::path(post, path = "/offers/offers", tag = "Offers", operation_id = "create_offer", security(("bearer" = [])),
    request_body = OfferNew,
    responses(
        (status = 201, body = OfferResponse),
        (status = 400, description = "unknown_reference: no such offer type"),
        (status = 403, description = "needs Offers:write"),
    ))]
pub async fn create_offer(
    administrator: Administrator,
    body: Bytes,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Offers, Action::Write)?;
    let new = parse_body::<OfferNew>(&body)?.check()?;
    let by = administrator.audits("CREATE_OFFER", "offers", "").with(new.set().changes());
    let row = store.make_offer(new, by, lists.now()).await;
    lists.invalidate();
    let row = row.map_err(|error| refused(error, "Offer", "offer_type_id"))?;
    Ok(HttpResponse::Created().json(OfferResponse::from(row)))
}

/// Changes an offer. Once it has answered, no recharge commits with the former rewards or rules.
#[utoipa::path(put, path = "/offers/offers/{offer_id}", tag = "Offers", security(("bearer" = [])),
    params(("offer_id" = i64, Path)), request_body = OfferUpdate,
    responses(
        (status = 200, body = OfferUpdated),
        (status = 400, description = "unknown_reference: no such offer type"),
        (status = 403, description = "needs Offers:edit"),
        (status = 404, description = "no such offer"),
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
    let set = changes.set();
    let by = administrator.audits("UPDATE_OFFER", "offers", "").with(set.changes());
    let row = store.change_offer(*offer_id, changes, by, lists.now()).await;
    lists.invalidate();
    Ok(Json(OfferUpdated {
        offer: row.map_err(|error| refused(error, "Offer", "offer_type_id"))?.into(),
        message: "Offer updated successfully",
        updated_fields: set.names(),
        cache_status: INVALIDATED,
    }))
}

/// Deletes an offer that nobody has ever used; others can be made inactive.
#[utoipa::path(delete, path = "/offers/offers/{offer_id}", tag = "Offers", security(("bearer" = [])),
    params(("offer_id" = i64, Path)),
    responses(
        (status = 204, description = "deleted"),
        (status = 403, description = "needs Offers:delete"),
        (status = 404, description = "no such offer"),
        (status = 409, description = "state_conflict: it has been used"),
    ))]
pub async fn delete_offer(
    administrator: Administrator,
    offer_id: Path<i64>,
    store: Data<CatalogueStore>,
    lists: Data<PublicLists>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Offers, Action::Delete)?;
    let by = administrator.audits("DELETE_OFFER", "offers", format!("offer/{offer_id}"));
    let deleted = store.delete(Article::Offer, *offer_id, by, lists.now()).await;
    lists.invalidate();
    deleted.map_err(|error| refused(error, "Offer", "offer_id"))?;
    Ok(HttpResponse::NoContent().finish())
}
