//! `/payments` and refunds.

use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use gencharge_actors::wallet::Refusal;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::Payments;
use super::callback::{self, CallbackRequest, Told};
use super::refund::{Asked, RefundRequest};
use super::shape::PaymentOut;
use super::store::Filter;
use crate::access::{Action, Resource};
use crate::auth::{Administrator, Customer, Principal};
use crate::http::days::{day_end, day_start};
use crate::http::list::{self, Tail};
use crate::http::orders::refused;
use crate::http::page::Page;
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::http::{Code, Problem};
use crate::recharge::answer;
use crate::transactions::TransactionOut;

/// The documentation of these routes.
#[derive(OpenApi)]
#[openapi(
    paths(own, all, one, told, refund),
    components(schemas(PaymentOut, PaymentListResponse, CallbackRequest, RefundRequest))
)]
pub struct Docs;

/// A page of payments.
#[derive(Serialize, ToSchema)]
pub struct PaymentListResponse {
    /// The page's rows, newest first.
    payments: Vec<PaymentOut>,
    /// Rows over all pages.
    total: i64,
    /// The page given.
    page: u32,
    /// Rows on a page.
    size: u32,
    /// Pages in all.
    pages: i64,
}

/// Mounts them.
pub fn routes(cfg: &mut web::ServiceConfig) {
    let only = |path: &str| web::resource(path.to_owned()).default_service(web::to(method_not_allowed));
    cfg.service(only("/payments").route(web::get().to(all)))
        .service(only("/payments/my").route(web::get().to(own)))
        .service(only("/payments/callback").route(web::post().to(told)))
        .service(only("/payments/{payment_id}").route(web::get().to(one)))
        .service(only("/recharge/admin/transactions/{txn_id}/refund").route(web::post().to(refund)));
}

/// Own payments that the gateway did not capture at once.
#[utoipa::path(
    get, path = "/payments/my", tag = "Payments", operation_id = "my_payments", security(("bearer" = ["user"])),
    params(
        ("page" = Option<u32>, Query, description = "1 is the first", minimum = 1),
        ("size" = Option<u32>, Query, description = "rows on a page (10)", minimum = 1, maximum = 1000),
        ("state" = Option<String>, Query,
            description = "pending, captured, late_capture, failed, expired or refunded"),
        ("created_at_start" = Option<String>, Query, description = "first day, such as 2026-01-31"),
        ("created_at_end" = Option<String>, Query, description = "last day, included"),
    ),
    responses((status = 200, body = PaymentListResponse))
)]
async fn own(
    customer: Customer,
    payments: web::Data<Payments>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let params = Params::of(&request);
    page(&payments, params, |_| Some(customer.user_id.get())).await
}

/// All payments that the gateway did not capture at once.
#[utoipa::path(
    get, path = "/payments", tag = "Payments", operation_id = "all_payments", security(("bearer" = [])),
    params(
        ("page" = Option<u32>, Query, description = "1 is the first", minimum = 1),
        ("size" = Option<u32>, Query, description = "rows on a page (10)", minimum = 1, maximum = 1000),
        ("user_id" = Option<i64>, Query),
        ("state" = Option<String>, Query,
            description = "pending, captured, late_capture, failed, expired or refunded"),
        ("created_at_start" = Option<String>, Query, description = "first day, such as 2026-01-31"),
        ("created_at_end" = Option<String>, Query, description = "last day, included"),
    ),
    responses(
        (status = 200, body = PaymentListResponse),
        (status = 403, description = "forbidden: needs Recharge:read"),
    )
)]
async fn all(
    administrator: Administrator,
    payments: web::Data<Payments>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Recharge, Action::Read)?;
    page(&payments, Params::of(&request), |params| params.id("user_id")).await
}

async fn page(
    payments: &Payments,
    mut params: Params,
    whose: impl FnOnce(&mut Params) -> Option<i64>,
) -> Result<HttpResponse, Problem> {
    let filter = Filter {
        user_id: whose(&mut params),
        state: params.word("state"),
        created_from: params.day("created_at_start").and_then(|day| day_start(payments.zone, day)),
        created_to: params.day("created_at_end").and_then(|day| day_end(payments.zone, day)),
    };
    let (page, size) = (params.number("page", 1, 1, u32::MAX), params.number("size", 10, 1, 1000));
    params.done()?;
    let (rows, total) =
        payments.store.list(&filter, Page::numbered(page, size).offset, i64::from(size)).await?;
    list::page("payments", &rows, &Tail::new(total, page, size))
}

/// Where a payment stands: one's own, or any for administrators.
#[utoipa::path(
    get, path = "/payments/{payment_id}", tag = "Payments", operation_id = "payment", security(("bearer" = [])),
    params(("payment_id" = i64, Path, description = "the txn_id of the 202 answer that began it")),
    responses(
        (status = 200, body = PaymentOut),
        (status = 403, description = "forbidden: administrators need Recharge:read"),
        (status = 404, description = "payment_unknown: no such payment, another's, or one captured at once"),
    )
)]
async fn one(
    principal: Principal,
    payments: web::Data<Payments>,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let owner = match &principal {
        Principal::Customer(customer) => Some(customer.user_id.get()),
        Principal::Administrator(administrator) => {
            administrator.require(Resource::Recharge, Action::Read)?;
            None
        }
    };
    let payment = payments.store.one(id(&path, "payment_id")?).await?;
    let payment = payment.filter(|payment| owner.is_none_or(|owner| owner == payment.user_id));
    Ok(HttpResponse::Ok().json(payment.ok_or_else(unknown)?))
}

/// The gateway tells what became of a payment.
///
/// Signed: `X-Payment-Signature: v1=<hex of HMAC-SHA256(secret, "<timestamp>.<body>")>`, with `X-Payment-Timestamp` in Unix
/// seconds, within five minutes. An event is taken once; `callback_replayed` (409) says that it was taken before: do not
/// send it again. After a 503 send it again as it is, freshly signed.
#[utoipa::path(
    post, path = "/payments/callback", tag = "Payments", operation_id = "payment_callback",
    request_body = CallbackRequest,
    params(
        ("X-Payment-Timestamp" = i64, Header, description = "Unix seconds"),
        ("X-Payment-Signature" = String, Header, description = "v1= and 64 hexadecimal digits"),
    ),
    responses(
        (status = 200, description = "Taken: where the payment stands now", body = PaymentOut),
        (status = 401, description = "invalid_signature: not signed with the shared secret, or too old"),
        (status = 404, description = "payment_unknown"),
        (status = 409, description = "callback_replayed, or payment_settled: it had ended already"),
    )
)]
async fn told(
    payments: web::Data<Payments>,
    request: HttpRequest,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    callback::authentic(&request, &body, payments.secret.as_ref(), payments.clock.now())?;
    let told = Told::read(&body)?;
    let payment_id = told.payment_id;
    let payment = payments.store.payment(payment_id).await?.ok_or_else(unknown)?;
    let order = told.order(payment)?;
    match payments.wallets.submit(order).await {
        Ok(done) if done.replayed => Err(replayed()),
        Err(Refusal::Rejected { replayed: true, .. }) => Err(replayed()),
        Err(refusal) => Err(refused(refusal)),
        Ok(_) => Ok(HttpResponse::Ok().json(payments.store.one(payment_id).await?.ok_or_else(unknown)?)),
    }
}

/// Give money back: all of a transaction, or a part.
///
/// A recharge is refunded into its payer's wallet, less the cashback it earned; when all is given back, its plan ends. Money
/// that came from the gateway into a wallet goes back through the gateway, if the wallet still holds it.
#[utoipa::path(
    post, path = "/recharge/admin/transactions/{txn_id}/refund", tag = "Payments", operation_id = "refund",
    request_body(content = RefundRequest, description = "Nothing: all that is left"),
    params(
        ("txn_id" = i64, Path, description = "what is refunded"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters"),
    ),
    responses(
        (status = 200, description = "Given back; the reversing transaction", body = TransactionOut),
        (status = 400, description = "refund_exceeded, insufficient_funds, or malformed_body"),
        (status = 403, description = "forbidden: needs Recharge:edit"),
        (status = 404, description = "not_found: no such transaction"),
        (status = 409, description = "not_refundable: only successful recharges and money from the gateway"),
    ),
    security(("bearer" = []))
)]
async fn refund(
    administrator: Administrator,
    payments: web::Data<Payments>,
    request: HttpRequest,
    path: web::Path<String>,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Recharge, Action::Edit)?;
    let txn_id = id(&path, "txn_id")?;
    let asked = Asked::read(&request, &body, administrator.admin_id, txn_id)?;
    let found = payments.store.refundable(txn_id).await?;
    let (of, cashback) = found.ok_or_else(|| Problem::not_found("Transaction"))?;
    let order = asked.order(of, cashback, &administrator);
    payments.wallets.submit(order).await.map(answer::done).map_err(refused)
}

fn id(path: &str, name: &str) -> Result<i64, Problem> {
    path.parse().map_err(|_| Problem::field(name, "must be a whole number"))
}

fn unknown() -> Problem {
    Problem::new(
        Code::PaymentUnknown,
        "There is no such payment; one that was captured at once is a transaction: see /recharge/my/transactions",
    )
}

fn replayed() -> Problem {
    Problem::new(
        Code::CallbackReplayed,
        "This event was taken before; nothing was changed: do not send it again",
    )
}
