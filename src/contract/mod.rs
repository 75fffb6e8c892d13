//! What partners and other programs may rely on: the schema of every message, and the document of all of them, made from
//! the types. A test holds `docs/asyncapi.yaml` against it.

mod document;
mod examples;
mod schema;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, web};

pub use document::document;
pub use schema::{message_types, schema};

use crate::http::Problem;
use crate::http::server::method_not_allowed;

/// The document as it is published; a test says when it is behind the types.
const ASYNCAPI: &str = include_str!("../../docs/asyncapi.yaml");

/// The documentation's routes.
pub fn routes(cfg: &mut web::ServiceConfig) {
    let refused = || web::to(method_not_allowed);
    cfg.service(web::resource("/asyncapi.yaml").route(web::get().to(asyncapi)).default_service(refused()))
        .service(web::resource("/schemas").route(web::get().to(schemas)).default_service(refused()))
        .service(
            web::resource("/schemas/{type}").route(web::get().to(one_schema)).default_service(refused()),
        );
}

async fn asyncapi() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/yaml; charset=utf-8")))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache")))
        .body(ASYNCAPI)
}

/// Every type, with the way to its schema.
async fn schemas() -> HttpResponse {
    let all = message_types().map(|name| (name.to_owned(), format!("/schemas/{name}").into()));
    HttpResponse::Ok().json(all.collect::<serde_json::Map<_, serde_json::Value>>())
}

async fn one_schema(name: web::Path<String>) -> Result<HttpResponse, Problem> {
    let schema = schema(&name).ok_or_else(|| Problem::not_found("Schema"))?;
    Ok(HttpResponse::Ok().content_type("application/schema+json").body(schema.to_string()))
}
