//! Plan groups, plans, offer types and offers: the lists, one of them, and their changes. The price rules are in
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

/// A form of the path that was published once.
const OFFER_TYPE_WITHOUT_SLASH: &str = r"/offers/offer_type{offer_type_id:\d+}";

/// The catalogue's routes. They need `web::Data` of [`PublicLists`] and [`CatalogueStore`].
pub fn routes(cfg: &mut web::ServiceConfig) {
    use routes::{names, offers, plans, public};
    let at = |path: &str| web::resource(path).default_service(web::to(method_not_allowed));
    cfg.service(at("/plans/public/all").route(web::get().to(public::public_plans)))
        .service(
            at("/plans/plan/{plan_id}")
                .route(web::get().to(plans::plan))
                .route(web::put().to(plans::update_plan))
                .route(web::delete().to(plans::delete_plan)),
        )
        .service(
            at("/plans/plan").route(web::get().to(plans::plans)).route(web::post().to(plans::create_plan)),
        )
        .service(
            at("/plans/plan-group")
                .route(web::get().to(names::plan_groups))
                .route(web::post().to(names::create_plan_group)),
        )
        .service(
            at("/plans/plan-group/{group_id}")
                .route(web::get().to(names::plan_group))
                .route(web::put().to(names::update_plan_group))
                .route(web::delete().to(names::delete_plan_group)),
        )
        .service(at("/offers/offers/public").route(web::get().to(public::public_offers)))
        .service(
            at("/offers/offers/{offer_id}")
                .route(web::get().to(offers::offer))
                .route(web::put().to(offers::update_offer))
                .route(web::delete().to(offers::delete_offer)),
        )
        .service(
            at("/offers/offers")
                .route(web::get().to(offers::offers))
                .route(web::post().to(offers::create_offer)),
        )
        .service(
            at("/offers/offer_type")
                .route(web::get().to(names::offer_types))
                .route(web::post().to(names::create_offer_type)),
        )
        .service(
            at("/offers/offer_type/{offer_type_id}")
                .route(web::get().to(names::offer_type))
                .route(web::put().to(names::update_offer_type))
                .route(web::delete().to(names::delete_offer_type)),
        )
        .service(at(OFFER_TYPE_WITHOUT_SLASH).route(web::put().to(names::update_offer_type)));
}

/// What the documentation shows of this feature.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    routes::public::public_plans,
    routes::plans::plans,
    routes::plans::plan,
    routes::plans::create_plan,
    routes::plans::update_plan,
    routes::plans::delete_plan,
    routes::names::plan_groups,
    routes::names::plan_group,
    routes::names::create_plan_group,
    routes::names::update_plan_group,
    routes::names::delete_plan_group,
    routes::public::public_offers,
    routes::offers::offers,
    routes::offers::offer,
    routes::offers::create_offer,
    routes::offers::update_offer,
    routes::offers::delete_offer,
    routes::names::offer_types,
    routes::names::offer_type,
    routes::names::create_offer_type,
    routes::names::update_offer_type,
    routes::names::delete_offer_type
))]
pub struct Docs;
