//! For those who run the service: whether the process is alive and ready, its numbers, and its actors.

mod readings;
mod routes;

use actix_web::web;

use crate::http::server::method_not_allowed;

pub use readings::Operations;

/// The routes. They need `web::Data` of [`Operations`].
pub fn routes(cfg: &mut web::ServiceConfig) {
    let refused = || web::to(method_not_allowed);
    cfg.service(web::resource("/healthz").route(web::get().to(routes::healthz)).default_service(refused()))
        .service(web::resource("/readyz").route(web::get().to(routes::readyz)).default_service(refused()))
        .service(web::resource("/metrics").route(web::get().to(routes::metrics)).default_service(refused()))
        .service(
            web::resource("/admin/actors").route(web::get().to(routes::actors)).default_service(refused()),
        );
}

/// What the documentation shows of this feature.
#[derive(utoipa::OpenApi)]
#[openapi(paths(routes::healthz, routes::readyz, routes::metrics, routes::actors))]
pub struct Docs;
