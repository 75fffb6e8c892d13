//! `/user`: own profile, blocking and unblocking.

use actix_web::web;
use gencharge_actors::kernel::UserId;
use utoipa::OpenApi;

use super::shape::UserResponse;
use super::store::{StatusError, Users};
use crate::access::{Action, Resource};
use crate::auth::{Administrator, Customer};
use crate::http::server::method_not_allowed;
use crate::http::{Code, Problem};

/// Mounts the feature.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::resource("/user/me").route(web::get().to(me)).default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/user/admin/block/{user_id}")
            .route(web::post().to(block))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/user/admin/unblock/{user_id}")
            .route(web::post().to(unblock))
            .default_service(web::to(method_not_allowed)),
    );
}

/// The feature's part of the API description.
#[derive(OpenApi)]
#[openapi(paths(me, block, unblock))]
pub struct Docs;

impl From<StatusError> for Problem {
    fn from(error: StatusError) -> Self {
        match error {
            StatusError::NotFound => Problem::not_found("User"),
            StatusError::WrongState(state) => {
                Problem::new(Code::StateConflict, format!("The customer is {}", state.as_str()))
            }
            StatusError::Store(error) => error.into(),
        }
    }
}

/// Own profile
#[utoipa::path(get, path = "/user/me", tag = "Users", security(("bearer" = [])),
    responses((status = 200, body = UserResponse), (status = 401, description = "not_authenticated")))]
async fn me(customer: Customer, users: web::Data<Users>) -> Result<web::Json<UserResponse>, Problem> {
    // A deleted account's session is revoked; in the moment before that is known here, it is not authenticated either.
    let profile = users.profile(customer.user_id).await?.ok_or_else(Problem::not_authenticated)?;
    Ok(web::Json(profile.into()))
}

/// Block an active customer
///
/// After the answer no recharge or payment by this customer commits, and every session has ended.
#[utoipa::path(post, path = "/user/admin/block/{user_id}", tag = "Users", security(("bearer" = [])),
    params(("user_id" = i64, Path)),
    responses((status = 200, body = UserResponse), (status = 403, description = "forbidden: needs Users:edit"),
        (status = 404, description = "not_found"), (status = 409, description = "state_conflict: not active")))]
async fn block(
    administrator: Administrator,
    users: web::Data<Users>,
    user_id: web::Path<i64>,
) -> Result<web::Json<UserResponse>, Problem> {
    administrator.require(Resource::Users, Action::Edit)?;
    let profile = users.block(UserId(*user_id)).await?;
    tracing::info!(admin.id = administrator.admin_id.get(), user.id = *user_id, "user.blocked");
    Ok(web::Json(profile.into()))
}

/// Unblock a blocked customer
#[utoipa::path(post, path = "/user/admin/unblock/{user_id}", tag = "Users", security(("bearer" = [])),
    params(("user_id" = i64, Path)),
    responses((status = 200, body = UserResponse), (status = 403, description = "forbidden: needs Users:edit"),
        (status = 404, description = "not_found"), (status = 409, description = "state_conflict: not blocked")))]
async fn unblock(
    administrator: Administrator,
    users: web::Data<Users>,
    user_id: web::Path<i64>,
) -> Result<web::Json<UserResponse>, Problem> {
    administrator.require(Resource::Users, Action::Edit)?;
    let profile = users.unblock(UserId(*user_id)).await?;
    tracing::info!(admin.id = administrator.admin_id.get(), user.id = *user_id, "user.unblocked");
    Ok(web::Json(profile.into()))
}
