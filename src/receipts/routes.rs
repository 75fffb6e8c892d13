//! `GET /recharge/transactions/{txn_id}/receipt`.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use utoipa::OpenApi;

use super::{Receipts, document, store};
use crate::access::{Action, Resource};
use crate::auth::Principal;
use crate::http::server::method_not_allowed;
use crate::http::{Code, Problem};

/// The documentation of these routes.
#[derive(OpenApi)]
#[openapi(paths(receipt))]
pub struct Docs;

/// Mounts them.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::resource("/recharge/transactions/{txn_id}/receipt")
            .route(web::get().to(receipt))
            .default_service(web::to(method_not_allowed)),
    );
}

/// The receipt of a transaction as PDF: one's own, or any for administrators.
#[utoipa::path(
    get, path = "/recharge/transactions/{txn_id}/receipt", tag = "Payments", operation_id = "receipt",
    security(("bearer" = [])),
    params(("txn_id" = i64, Path, description = "of /recharge/my/transactions")),
    responses(
        (status = 200, description = "The receipt", content_type = "application/pdf", body = Vec<u8>),
        (status = 403, description = "forbidden: administrators need Recharge:read"),
        (status = 404, description = "not_found: no such transaction, or another's"),
    )
)]
async fn receipt(
    principal: Principal,
    receipts: web::Data<Receipts>,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let owner = match &principal {
        Principal::Customer(customer) => Some(customer.user_id),
        Principal::Administrator(administrator) => {
            administrator.require(Resource::Recharge, Action::Read)?;
            None
        }
    };
    let txn_id: i64 = path.parse().map_err(|_| Problem::field("txn_id", "must be a whole number"))?;
    let found = store::receipt(&receipts.pool, txn_id).await?;
    let found = found.filter(|found| owner.is_none_or(|owner| owner == found.transaction.user_id));
    let found = found.ok_or_else(|| Problem::not_found("Transaction"))?;
    let zone = receipts.zone;
    // Laying out text takes milliseconds: not on a thread that serves others.
    let drawn = web::block(move || document::draw(&found, zone)).await;
    match drawn {
        Ok(Ok(pdf)) => Ok(HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, "application/pdf"))
            .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"receipt-{txn_id}.pdf\"")))
            .insert_header(("X-Content-Type-Options", "nosniff"))
            .body(pdf)),
        Ok(Err(error)) => Err(broken(&error)),
        Err(error) => Err(broken(&error)),
    }
}

fn broken(error: &dyn std::error::Error) -> Problem {
    tracing::error!(error = %error, "receipt.broken");
    Problem::new(Code::Internal, "The receipt cannot be drawn; it has been logged under the request id")
}
