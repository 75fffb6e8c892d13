//! `/partners`: for administrators.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, Bytes, Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use gencharge_actors::kernel::{Clock, KeyScope, Random, UserId};
use gencharge_actors::wallet::{Command, Fund, Order, Wallets};
use serde_json::json;
use tokio::time::timeout;
use utoipa::{OpenApi, ToSchema};

use super::book::PartnerBook;
use super::shape::{
    self, ChangePartnerRequest, FundingRequest, NewPartnerRequest, PartnerOut, PartnerPermissions,
};
use super::store::{NewPartner, Partner, PartnerChange, PartnerError, PartnerFilter, PartnerStore, target};
use crate::access::{Action, Resource};
use crate::auth::Administrator;
use crate::http::json::parse_body;
use crate::http::list::{self, Tail};
use crate::http::orders::{order_key, refused};
use crate::http::page::Page;
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::http::{Code, Problem};
use crate::platform::bus::rabbit::Rabbit;
use crate::transactions::{
    Listing, TransactionListResponse, TransactionLists, TransactionOut, TransactionRow,
};
use crate::wallet::PgWalletStore;

/// The part of the system, in the audit log.
const SERVICE: &str = "partners";
/// How long making a partner's queue may take.
const QUEUE_WITHIN: Duration = Duration::from_secs(5);
/// Most partners on a page.
const MAX_SIZE: u32 = 500;

/// What the handlers need.
#[derive(Clone)]
pub struct PartnerService {
    store: PartnerStore,
    book: PartnerBook,
    wallets: Wallets<PgWalletStore>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    broker: Option<Rabbit>,
}

impl PartnerService {
    /// `book` is told of every change. Where there is a broker, partners get their queues there.
    #[must_use]
    pub fn new(
        store: PartnerStore,
        book: PartnerBook,
        wallets: Wallets<PgWalletStore>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        broker: Option<Rabbit>,
    ) -> Self {
        Self { store, book, wallets, clock, random, broker }
    }

    /// Makes the partner's queue of results now, so that there is something to listen to. The relay makes it with the first
    /// result where this does not succeed.
    async fn make_queue(&self, partner: &Partner) {
        let Some(broker) = &self.broker else { return };
        let made = timeout(QUEUE_WITHIN, broker.make_results(&partner.broker_user)).await;
        let failure = match made {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(
            partner_id = partner.partner_id.get(),
            error.message = %failure,
            "a partner's queue was not made; it is made with the first result"
        );
    }
}

/// Mounts the feature.
pub fn routes(cfg: &mut web::ServiceConfig) {
    let refused = || web::to(method_not_allowed);
    cfg.service(
        web::resource("/partners")
            .route(web::get().to(partners))
            .route(web::post().to(create))
            .default_service(refused()),
    )
    .service(
        web::resource("/partners/{partner_id}")
            .route(web::get().to(partner))
            .route(web::patch().to(change))
            .route(web::delete().to(remove))
            .default_service(refused()),
    )
    .service(
        web::resource("/partners/{partner_id}/funding")
            .route(web::post().to(fund))
            .default_service(refused()),
    )
    .service(
        web::resource("/partners/{partner_id}/transactions")
            .route(web::get().to(transactions))
            .default_service(refused()),
    );
}

/// The feature's part of the API description.
#[derive(OpenApi)]
#[openapi(
    paths(partners, create, partner, change, remove, fund, transactions),
    components(schemas(
        PartnerOut,
        PartnerPermissions,
        NewPartnerRequest,
        ChangePartnerRequest,
        FundingRequest
    ))
)]
pub struct Docs;

impl From<PartnerError> for Problem {
    fn from(error: PartnerError) -> Self {
        match error {
            PartnerError::NotFound => Self::not_found("Partner"),
            PartnerError::BrokerUserTaken => {
                Self::new(Code::Duplicate, "Another partner has this broker_user: choose another")
            }
            PartnerError::InUse => Self::new(
                Code::StateConflict,
                "The partner's wallet has been used: its history is kept; set status to blocked instead",
            ),
            PartnerError::Store(error) => error.into(),
        }
    }
}

/// A page of partners.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the list, which is written row by row")]
struct PartnerList {
    partners: Vec<PartnerOut>,
    /// Over all pages.
    total: i64,
    page: u32,
    size: u32,
    /// In all.
    pages: i64,
    /// Always null: partners are read page by page.
    next_cursor: Option<String>,
}

/// Partners, by name
#[utoipa::path(get, path = "/partners", tag = "Partners", security(("bearer" = [])),
    params(
        ("search" = Option<String>, Query, description = "a part of the name or the broker's user"),
        ("status" = Option<String>, Query, description = "active or blocked"),
        ("page" = Option<u32>, Query, description = "1 is the first", minimum = 1),
        ("size" = Option<u32>, Query, description = "rows on a page (50)", minimum = 1, maximum = 500),
    ),
    responses((status = 200, body = PartnerList),
        (status = 403, description = "forbidden: needs Partners:read")))]
async fn partners(
    request: HttpRequest,
    administrator: Administrator,
    service: Data<PartnerService>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Partners, Action::Read)?;
    let mut params = Params::of(&request);
    let status = params.text("status").map(shape::status).transpose().unwrap_or_else(|must| {
        params.fault("status", must);
        None
    });
    let filter = PartnerFilter { search: params.short_text("search", 100), status };
    let page = params.number("page", 1, 1, u32::MAX);
    let size = params.number("size", 50, 1, MAX_SIZE);
    params.done()?;
    let (rows, total) = service.store.list(&filter, Page::numbered(page, size)).await?;
    let rows: Vec<PartnerOut> = rows.into_iter().map(PartnerOut::from).collect();
    list::page("partners", &rows, &Tail::new(total, page, size))
}

/// Make a partner, with an empty wallet
///
/// The broker's user of that name must be made at the broker; its messages are then the partner's.
#[utoipa::path(post, path = "/partners", tag = "Partners", security(("bearer" = [])), request_body = NewPartnerRequest,
    responses((status = 201, body = PartnerOut),
        (status = 400, description = "malformed_body, duplicate: the broker_user is another partner's"),
        (status = 403, description = "forbidden: needs Partners:write")))]
async fn create(
    administrator: Administrator,
    service: Data<PartnerService>,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Partners, Action::Write)?;
    let new = NewPartner::try_from(parse_body::<NewPartnerRequest>(&body)?)?;
    let changes = json!({ "name": new.name, "broker_user": new.broker_user });
    let entry = administrator.audits("CREATE_PARTNER", SERVICE, "partner").with(changes);
    let partner = service.store.create(new, entry, service.clock.now()).await?;
    service.book.forget().await;
    service.make_queue(&partner).await;
    Ok(HttpResponse::Created().json(PartnerOut::from(partner)))
}

/// One partner
#[utoipa::path(get, path = "/partners/{partner_id}", tag = "Partners", security(("bearer" = [])),
    params(("partner_id" = i64, Path)),
    responses((status = 200, body = PartnerOut), (status = 403, description = "forbidden: needs Partners:read"),
        (status = 404, description = "not_found")))]
async fn partner(
    administrator: Administrator,
    service: Data<PartnerService>,
    partner_id: web::Path<i64>,
) -> Result<Json<PartnerOut>, Problem> {
    administrator.require(Resource::Partners, Action::Read)?;
    Ok(Json(service.store.get(UserId(*partner_id)).await?.into()))
}

/// Change a partner
///
/// After a block is answered, the partner's wallet pays for nothing. Permissions are in force elsewhere within a second.
#[utoipa::path(patch, path = "/partners/{partner_id}", tag = "Partners", security(("bearer" = [])),
    params(("partner_id" = i64, Path)), request_body = ChangePartnerRequest,
    responses((status = 200, body = PartnerOut),
        (status = 400, description = "malformed_body, duplicate: the broker_user is another partner's"),
        (status = 403, description = "forbidden: needs Partners:edit"), (status = 404, description = "not_found")))]
async fn change(
    administrator: Administrator,
    service: Data<PartnerService>,
    partner_id: web::Path<i64>,
    body: Bytes,
) -> Result<Json<PartnerOut>, Problem> {
    administrator.require(Resource::Partners, Action::Edit)?;
    let change = PartnerChange::try_from(parse_body::<ChangePartnerRequest>(&body)?)?;
    let id = UserId(*partner_id);
    let entry = administrator.audits("UPDATE_PARTNER", SERVICE, target(id)).with(change.fields());
    let needs_queue = change.broker_user.is_some();
    let partner = service.store.change(id, change, entry, service.clock.now()).await?;
    service.book.forget().await;
    if needs_queue {
        service.make_queue(&partner).await;
    }
    Ok(Json(partner.into()))
}

/// Remove a partner whose wallet was never used
#[utoipa::path(delete, path = "/partners/{partner_id}", tag = "Partners", security(("bearer" = [])),
    params(("partner_id" = i64, Path)),
    responses((status = 204, description = "Removed"), (status = 403, description = "forbidden: needs Partners:delete"),
        (status = 404, description = "not_found"),
        (status = 409, description = "state_conflict: the wallet was used; block the partner instead")))]
async fn remove(
    administrator: Administrator,
    service: Data<PartnerService>,
    partner_id: web::Path<i64>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Partners, Action::Delete)?;
    let id = UserId(*partner_id);
    let entry = administrator.audits("DELETE_PARTNER", SERVICE, target(id));
    service.store.remove(id, entry, service.clock.now()).await?;
    service.book.forget().await;
    Ok(HttpResponse::NoContent().finish())
}

/// Bring a partner's money in
///
/// For money that has arrived outside (a bank transfer). Send an `Idempotency-Key`: the same request again has no
/// second effect and gets the same answer.
#[utoipa::path(post, path = "/partners/{partner_id}/funding", tag = "Partners", security(("bearer" = [])),
    params(("partner_id" = i64, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    request_body = FundingRequest,
    responses((status = 200, description = "Done; the wallet's transaction", body = TransactionOut),
        (status = 400, description = "malformed_body, receiver_not_active: the partner is blocked, limit_exceeded"),
        (status = 403, description = "forbidden: needs Partners:edit"), (status = 404, description = "not_found"),
        (status = 503, description = "Not done, or not known: try again with the same key")))]
async fn fund(
    request: HttpRequest,
    administrator: Administrator,
    service: Data<PartnerService>,
    partner_id: web::Path<i64>,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Partners, Action::Edit)?;
    let partner = service.store.get(UserId(*partner_id)).await?.partner_id;
    let scope = KeyScope::Admin(administrator.admin_id.get());
    let key =
        order_key(&request, &format!("/partners/{partner_id}/funding"), &body, scope, &*service.random)?;
    let (amount, reference) = parse_body::<FundingRequest>(&body)?.checked()?;
    let changes = json!({ "amount": amount.to_string(), "reference": reference });
    let entry = administrator.audits("FUND_PARTNER", SERVICE, target(partner)).with(changes);
    let audit = Some(entry.event(service.clock.now()));
    let command = Command::Fund(Fund { partner, amount, reference, audit });
    let done = service.wallets.submit(Order { command, key, asked: None }).await.map_err(refused)?;
    let mut answer = HttpResponse::Ok();
    if done.replayed {
        answer.insert_header(("Idempotent-Replayed", "true"));
    }
    Ok(answer.json(TransactionOut::from(TransactionRow::from(done.receipt.transaction))))
}

/// A partner's transactions
///
/// With the filters, order and pages of `/recharge/my/transactions`.
#[utoipa::path(get, path = "/partners/{partner_id}/transactions", tag = "Partners", security(("bearer" = [])),
    params(("partner_id" = i64, Path),
        ("page" = Option<u32>, Query, description = "1 is the first", minimum = 1),
        ("size" = Option<u32>, Query, description = "rows on a page (10); 0 is everything", maximum = 10000),
        ("cursor" = Option<String>, Query, description = "a next_cursor, instead of page")),
    responses((status = 200, body = TransactionListResponse),
        (status = 403, description = "forbidden: needs Partners:read"), (status = 404, description = "not_found")))]
async fn transactions(
    request: HttpRequest,
    administrator: Administrator,
    service: Data<PartnerService>,
    lists: Data<TransactionLists>,
    partner_id: web::Path<i64>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Partners, Action::Read)?;
    let partner = service.store.get(UserId(*partner_id)).await?.partner_id;
    let mut params = Params::of(&request);
    let listing = Listing::own(&mut params, lists.zone(), partner);
    params.done()?;
    lists.respond(&listing).await
}
