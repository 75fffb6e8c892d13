//! Handlers for operators.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::web::{Data, Json};

use super::readings::{ActorOut, Alive, Operations, Readiness};
use crate::access::{Action, Resource};
use crate::auth::Administrator;
use crate::http::Problem;

/// Whether the process answers at all.
#[utoipa::path(get, path = "/healthz", tag = "Operations", responses((status = 200, body = Alive)))]
pub async fn healthz() -> Json<Alive> {
    Json(Alive { status: "alive" })
}

/// Whether the process can work: its database answers within a second, and every actor takes work.
#[utoipa::path(get, path = "/readyz", tag = "Operations",
    responses((status = 200, body = Readiness), (status = 503, description = "not ready; why", body = Readiness)))]
pub async fn readyz(operations: Data<Operations>) -> HttpResponse {
    let readiness = operations.readiness().await;
    let mut answer = if readiness.ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.json(readiness)
}

/// Numbers in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "Operations",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(operations: Data<Operations>) -> Result<HttpResponse, Problem> {
    let text = operations.metrics()?;
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8")))
        .body(text))
}

/// The supervised actors and their states.
#[utoipa::path(get, path = "/admin/actors", tag = "Operations", operation_id = "actors", security(("bearer" = [])),
    responses((status = 200, body = [ActorOut]), (status = 403, description = "forbidden: needs Admins:read")))]
pub async fn actors(
    administrator: Administrator,
    operations: Data<Operations>,
) -> Result<Json<Vec<ActorOut>>, Problem> {
    administrator.require(Resource::Admins, Action::Read)?;
    Ok(Json(operations.actors()))
}
