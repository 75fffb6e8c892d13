//! `POST /recharge/subscribe`, its dry run `POST /recharge/quote`, and `POST /recharge/wallet/topup`.

use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use gencharge_actors::wallet::{Command, Order, Payer};
use utoipa::OpenApi;

use super::RechargeService;
use super::answer::{self, RechargeOut, SubscriptionOut};
use super::quote::QuoteOut;
use super::request::{self, SubscribeRequest, TopUpRequest};
use super::store;
use crate::auth::Customer;
use crate::http::orders::refused;
use crate::http::problem::ProblemDocument;
use crate::http::server::method_not_allowed;
use crate::http::{Code, Problem};
use crate::transactions::TransactionOut;

/// The operations of this feature.
#[derive(OpenApi)]
#[openapi(
    paths(subscribe, quote, top_up, repeat),
    components(schemas(
        QuoteOut,
        RechargeOut,
        SubscriptionOut,
        SubscribeRequest,
        TopUpRequest,
        TransactionOut
    ))
)]
pub struct Docs;

/// Mounts them.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::resource("/recharge/subscribe")
            .route(web::post().to(subscribe))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/recharge/quote")
            .route(web::post().to(quote))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/recharge/wallet/topup")
            .route(web::post().to(top_up))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/recharge/repeat")
            .route(web::post().to(repeat))
            .default_service(web::to(method_not_allowed)),
    );
}

/// Buy a plan for a number.
///
/// Send an `Idempotency-Key`: repeating the request with the same key never buys twice and gives the same answer.
#[utoipa::path(
    post, path = "/recharge/subscribe", tag = "Recharge", operation_id = "subscribe",
    request_body = SubscribeRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    responses(
        (status = 200, description = "Bought; the payer's transaction and the subscription", body = RechargeOut),
        (status = 202, description = "The payment is pending: see its Location", body = TransactionOut),
        (status = 402, description = "payment_declined: nothing was charged"),
        (status = 400, description = "Decided against: nothing was charged", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 401, description = "Not signed in", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 403, description = "Not a customer, or not active", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong, or the key belongs to another request",
            body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Not done, or not known: try again with the same key", body = ProblemDocument,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = ["user"]))
)]
async fn subscribe(
    customer: Customer,
    service: web::Data<RechargeService>,
    request: HttpRequest,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    let order = request::subscribe(&request, &body, payer(&customer), &*service.random)?;
    service.wallets.submit(order).await.map(answer::done).map_err(refused)
}

/// What a recharge would cost and do, without doing it.
///
/// The same body, figures and refusals as `POST /recharge/subscribe`; nothing is charged, reserved or remembered.
#[utoipa::path(
    post, path = "/recharge/quote", tag = "Recharge", operation_id = "quote",
    request_body = SubscribeRequest,
    responses(
        (status = 200, description = "What it would cost and do now", body = QuoteOut),
        (status = 400, description = "It would be decided against", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 403, description = "Not a customer, or not active", body = ProblemDocument,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = ["user"]))
)]
async fn quote(
    customer: Customer,
    service: web::Data<RechargeService>,
    body: Bytes,
) -> Result<web::Json<QuoteOut>, Problem> {
    let order = request::quote(&body, payer(&customer), &*service.random)?;
    service.dry_run.quote(order).await.map(|quoted| web::Json(quoted.into())).map_err(refused)
}

/// Add money to one's own wallet, or to another customer's.
///
/// Send an `Idempotency-Key`: repeating the request with the same key never adds twice and gives the same answer.
#[utoipa::path(
    post, path = "/recharge/wallet/topup", tag = "Recharge", operation_id = "wallet_topup",
    request_body = TopUpRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    responses(
        (status = 200, description = "Added; the transaction", body = TransactionOut),
        (status = 202, description = "The payment is pending: see its Location", body = TransactionOut),
        (status = 402, description = "payment_declined: nothing was charged"),
        (status = 400, description = "Decided against: no money moved", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 401, description = "Not signed in", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 403, description = "Not a customer, or not active", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemDocument,
            content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong, or the key belongs to another request",
            body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Not done, or not known: try again with the same key", body = ProblemDocument,
            content_type = "application/problem+json"),
    ),
    security(("bearer" = ["user"]))
)]
async fn top_up(
    customer: Customer,
    service: web::Data<RechargeService>,
    request: HttpRequest,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    let order = request::top_up(&request, &body, payer(&customer), &*service.random)?;
    service.wallets.submit(order).await.map(answer::done).map_err(refused)
}

/// Repeat one's last successful recharge: same number, plan, offer and way to pay, at today's price and rules.
///
/// Send an `Idempotency-Key`: repeating the request with the same key never buys twice and gives the same answer.
#[utoipa::path(
    post, path = "/recharge/repeat", tag = "Recharge", operation_id = "repeat_recharge",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    responses(
        (status = 200, description = "Bought; the payer's transaction and the subscription", body = RechargeOut),
        (status = 202, description = "The payment is pending: see its Location", body = TransactionOut),
        (status = 400, description = "Decided against: nothing was charged"),
        (status = 402, description = "payment_declined: nothing was charged"),
        (status = 403, description = "Not a customer, or not active"),
        (status = 404, description = "not_found: there is no recharge to repeat"),
        (status = 503, description = "Not done, or not known: try again with the same key"),
    ),
    security(("bearer" = ["user"]))
)]
async fn repeat(
    customer: Customer,
    service: web::Data<RechargeService>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let payer = payer(&customer);
    let key = request::repeat_key(&request, payer, &*service.random)?;
    let last = store::last_recharge(&service.history, payer).await?;
    let last = last.ok_or_else(|| {
        Problem::new(Code::NotFound, "You have no recharge to repeat yet: make one with /recharge/subscribe")
    })?;
    let order = Order { command: Command::Recharge(last), key, asked: None };
    service.wallets.submit(order).await.map(answer::done).map_err(refused)
}

const fn payer(customer: &Customer) -> Payer {
    Payer { user: customer.user_id, phone: Some(customer.phone) }
}
