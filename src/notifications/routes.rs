//! `/notification/...`

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use gencharge_actors::notification::{Audience, Change, Language, NoticeId};

use super::deliveries::FailedMessage;
use super::shape::{AnnouncementBody, DeleteNotification, Deleted, LanguageBody, NotificationDocument};
use super::{Notifications, admin, stream};
use crate::auth::{Customer, Principal};
use crate::http::Problem;
use crate::http::json::parse_body;
use crate::http::page::Page;
use crate::http::params::Params;
use crate::http::server::method_not_allowed;

/// The most notices on a page.
const LARGEST_PAGE: u32 = 100;
/// The page when none is asked for.
const USUAL_PAGE: u32 = 50;

/// The routes of notifications.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::resource("/notification/my")
            .route(web::get().to(my))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/notification/stream")
            .route(web::get().to(stream::stream))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/notification/delete")
            .route(web::delete().to(delete))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/notification/language")
            .route(web::get().to(language))
            .route(web::put().to(set_language))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/notification/announcement")
            .route(web::post().to(admin::announce))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/notification/announcements")
            .route(web::get().to(admin::announcements))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/notification/announcements/{id}")
            .route(web::delete().to(admin::cancel))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/notification/failures")
            .route(web::get().to(admin::failures))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/notification/failures/{channel}/{id}/retry")
            .route(web::post().to(admin::retry))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/notification/my/{id}")
            .route(web::delete().to(delete_by_path))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/notification/my/{id}/viewed")
            .route(web::put().to(view))
            .default_service(web::to(method_not_allowed)),
    );
}

/// The documentation of the routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(
        my,
        delete,
        delete_by_path,
        view,
        stream::stream,
        language,
        set_language,
        admin::announce,
        admin::announcements,
        admin::cancel,
        admin::failures,
        admin::retry
    ),
    components(schemas(
        NotificationDocument,
        DeleteNotification,
        Deleted,
        AnnouncementBody,
        LanguageBody,
        FailedMessage
    ))
)]
pub struct Docs;

/// The notices that `principal` sees.
pub(super) async fn audience(
    principal: &Principal,
    notifications: &Notifications,
) -> Result<Audience, Problem> {
    Ok(match principal {
        Principal::Customer(customer) => notifications.audience_of_user(customer.user_id).await?,
        Principal::Administrator(admin) => Notifications::audience_of_admin(admin.admin_id),
    })
}

/// Own and group notices that are due, newest first.
#[utoipa::path(
    get, path = "/notification/my", tag = "Notifications",
    params(
        ("page" = Option<u32>, Query, description = "1 is the first"),
        ("size" = Option<u32>, Query, description = "1 to 100; 50 when absent"),
    ),
    responses(
        (status = 200, description = "A page; `X-Total-Count` has the number of all", body = [NotificationDocument]),
        (status = 401, description = "Not signed in"),
    ),
    security(("bearer" = [])),
)]
async fn my(
    principal: Principal,
    request: HttpRequest,
    notifications: web::Data<Notifications>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request);
    let page = params.number("page", 1, 0, 1_000_000);
    let size = params.number("size", USUAL_PAGE, 1, LARGEST_PAGE);
    params.done()?;
    let Page { offset, limit } = Page::numbered(page, size);
    let limit = limit.unwrap_or(i64::from(LARGEST_PAGE));
    let audience = audience(&principal, &notifications).await?;
    let found = notifications.page(&audience, offset, limit).await?;
    Ok(HttpResponse::Ok().insert_header(("X-Total-Count", found.total.to_string())).json(found.documents))
}

/// Deletes an own notice. Those to groups cannot be deleted.
#[utoipa::path(
    delete, path = "/notification/delete", tag = "Notifications",
    request_body = DeleteNotification,
    responses(
        (status = 200, description = "Deleted", body = Deleted),
        (status = 401, description = "Not signed in"),
        (status = 404, description = "No own notice has this id"),
        (status = 422, description = "Not an id"),
    ),
    security(("bearer" = [])),
)]
async fn delete(
    principal: Principal,
    body: Bytes,
    notifications: web::Data<Notifications>,
) -> Result<HttpResponse, Problem> {
    let DeleteNotification { id } = parse_body(&body)?;
    change(&principal, &id, Change::Delete, &notifications).await?;
    Ok(HttpResponse::Ok().json(Deleted { status: "deleted" }))
}

/// Deletes an own notice. Those to groups cannot be deleted.
#[utoipa::path(
    delete, path = "/notification/my/{id}", tag = "Notifications",
    params(("id" = String, Path, description = "24 hex digits")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "Not signed in"),
        (status = 404, description = "No own notice has this id"),
        (status = 422, description = "Not an id"),
    ),
    security(("bearer" = [])),
)]
async fn delete_by_path(
    principal: Principal,
    id: web::Path<String>,
    notifications: web::Data<Notifications>,
) -> Result<HttpResponse, Problem> {
    change(&principal, &id, Change::Delete, &notifications).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Marks an own notice as viewed. Those to groups have one status for all of their readers.
#[utoipa::path(
    put, path = "/notification/my/{id}/viewed", tag = "Notifications",
    params(("id" = String, Path, description = "24 hex digits")),
    responses(
        (status = 204, description = "It is viewed now"),
        (status = 401, description = "Not signed in"),
        (status = 404, description = "No own notice has this id"),
        (status = 422, description = "Not an id"),
    ),
    security(("bearer" = [])),
)]
async fn view(
    principal: Principal,
    id: web::Path<String>,
    notifications: web::Data<Notifications>,
) -> Result<HttpResponse, Problem> {
    change(&principal, &id, Change::View, &notifications).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn change(
    principal: &Principal,
    id: &str,
    change: Change,
    notifications: &Notifications,
) -> Result<(), Problem> {
    let id = NoticeId::parse(id).ok_or_else(|| Problem::field("id", "must be 24 hex digits"))?;
    let own = match principal {
        Principal::Customer(customer) => customer.user_id.into(),
        Principal::Administrator(admin) => admin.admin_id.into(),
    };
    if notifications.change(own, id, change).await? {
        Ok(())
    } else {
        Err(Problem::not_found("A notice of your own with this id"))
    }
}

/// The language of one's notices.
#[utoipa::path(
    get, path = "/notification/language", tag = "Notifications",
    responses(
        (status = 200, description = "The language", body = LanguageBody),
        (status = 401, description = "Not signed in"),
        (status = 403, description = "Not a customer"),
    ),
    security(("bearer" = ["user"])),
)]
async fn language(
    customer: Customer,
    notifications: web::Data<Notifications>,
) -> Result<HttpResponse, Problem> {
    let language = notifications.language(customer.user_id).await?;
    Ok(HttpResponse::Ok().json(LanguageBody { language: language.as_str().to_owned() }))
}

/// Sets the language of one's notices.
#[utoipa::path(
    put, path = "/notification/language", tag = "Notifications",
    request_body = LanguageBody,
    responses(
        (status = 200, description = "The language", body = LanguageBody),
        (status = 401, description = "Not signed in"),
        (status = 403, description = "Not a customer"),
        (status = 422, description = "A language that notices are not written in"),
    ),
    security(("bearer" = ["user"])),
)]
async fn set_language(
    customer: Customer,
    body: Bytes,
    notifications: web::Data<Notifications>,
) -> Result<HttpResponse, Problem> {
    let wanted: LanguageBody = parse_body(&body)?;
    let language =
        Language::of(&wanted.language).ok_or_else(|| Problem::field("language", "must be en or hi"))?;
    if notifications.set_language(customer.user_id, language).await? {
        Ok(HttpResponse::Ok().json(wanted))
    } else {
        Err(Problem::not_found("The customer"))
    }
}
