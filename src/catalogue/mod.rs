//! Plans and offers: the public lists, one plan or offer, and their changes. The price rules are in
//! `gencharge_actors::catalogue`.

mod lists;
mod query;
mod routes;
mod seed;
pub mod shape;
mod store;
mod update;

use actix_web::web;

use crate::http::server::method_not_allowed;

pub use lists::{CHANNEL, PublicLists};
pub use seed::seed_catalogue;
pub use store::{CatalogueStore, load};

/// The catalogue's routes. They need `web::Data` of [`PublicLists`] and [`CatalogueStore`].
pub fn routes(cfg: &mut web::ServiceConfig) {
    let refused = || web::to(method_not_allowed);
    cfg.service(
        web::resource("/plans/public/all")
            .route(web::get().to(routes::public_plans))
            .default_service(refused()),
    )
    .service(
        web::resource("/plans/plan/{plan_id}")
            .route(web::get().to(routes::plan))
            .route(web::put().to(routes::update_plan))
            .default_service(refused()),
    )
    .service(
        web::resource("/offers/offers/public")
            .route(web::get().to(routes::public_offers))
            .default_service(refused()),
    )
    .service(
        web::resource("/offers/offers/{offer_id}")
            .route(web::get().to(routes::offer))
            .route(web::put().to(routes::update_offer))
            .default_service(refused()),
    );
}

/// What the documentation shows of this feature.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    routes::public_plans,
    routes::plan,
    routes::update_plan,
    routes::public_offers,
    routes::offer,
    routes::update_offer
))]
pub struct Docs;
