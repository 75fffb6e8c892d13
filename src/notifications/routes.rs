//! `GET /notification/my`.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use gencharge_actors::notification::NotificationStoreError;
use serde::Serialize;
use utoipa::ToSchema;

use super::{ListError, Notifications};
use crate::auth::Principal;
use crate::http::page::Page;
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::http::{Code, Problem};

/// The most notices on a page.
const LARGEST_PAGE: u32 = 100;
/// The page when none is asked for.
const USUAL_PAGE: u32 = 50;

/// A notice.
#[derive(Serialize, ToSchema)]
#[schema(as = NotificationResponse)]
pub struct NotificationDocument {
    /// 24 hex digits.
    #[serde(rename = "_id")]
    id: String,
    /// `system` or `admin`.
    sender_type: String,
    /// What it says.
    description: String,
    /// `user`, `admin`, `all_admin`, `all_user`, `prepaid_users`, `postpaid_users` or `blocked`.
    recipient_type: String,
    /// The customer's or administrator's number; groups have none.
    recipient_id: Option<i64>,
    /// `delivered` or `viewed`.
    status: String,
    /// `announcement`, `broadcast`, `reminder`, `message`, `in-app` or `email`.
    #[serde(rename = "type")]
    kind: String,
    /// What it is about.
    attachments: serde_json::Value,
    /// When what it tells happened.
    created_at: DateTime<Utc>,
    /// Not shown before.
    scheduled_at: Option<DateTime<Utc>>,
}

/// The routes of notifications.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::resource("/notification/my")
            .route(web::get().to(my))
            .default_service(web::to(method_not_allowed)),
    );
}

/// The documentation of the routes.
#[derive(utoipa::OpenApi)]
#[openapi(paths(my), components(schemas(NotificationDocument)))]
pub struct Docs;

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
    let found = match principal {
        Principal::Customer(customer) => notifications.of_user(customer.user_id, offset, limit).await,
        Principal::Administrator(admin) => notifications.of_admin(admin.admin_id, offset, limit).await,
    }
    .map_err(problem)?;
    Ok(HttpResponse::Ok().insert_header(("X-Total-Count", found.total.to_string())).json(found.documents))
}

fn problem(error: ListError) -> Problem {
    match error {
        ListError::Sql(error) => error.into(),
        ListError::Store(NotificationStoreError::Unavailable(reason)) => {
            tracing::warn!(error.message = %reason, "notifications.unavailable");
            Problem::new(Code::Unavailable, "Notifications are away for a moment: try again shortly")
        }
        ListError::Store(NotificationStoreError::Refused(reason)) => {
            tracing::error!(error.message = %reason, "notifications.error");
            Problem::new(
                Code::Internal,
                "Something went wrong on our side; it has been logged under the request id",
            )
        }
    }
}
