//! `/user`: the own account, and what administrators do with customers'.

use actix_web::{HttpRequest, HttpResponse, web};
use gencharge_actors::account::Change;
use gencharge_actors::kernel::{UserId, UserType};
use gencharge_actors::wallet::Refusal;
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};

use super::archive::DeleteError;
use super::lists::{Answer, Listing};
use super::names::EmailAddress;
use super::preferences::{Preferences, UserPreferenceResponse};
use super::shape::UserResponse;
use super::store::{Profile, ProfileError, StatusError, Users, by_customer};
use crate::access::{Action, Resource};
use crate::auth::{Administrator, CookieRules, Customer, PausedCustomer, without_cookie};
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::http::{Code, Problem, array};

/// Mounts the feature.
pub fn routes(cfg: &mut web::ServiceConfig) {
    let resource =
        |path: &str, route| web::resource(path).route(route).default_service(web::to(method_not_allowed));
    cfg.service(resource("/user/me", web::get().to(me)).route(web::delete().to(delete_me)))
        .service(resource("/user/me/email", web::put().to(set_email)))
        .service(resource("/user/me/switch-type", web::put().to(switch_type)))
        .service(resource("/user/me/deactivate", web::post().to(deactivate)))
        .service(resource("/user/me/reactivate", web::post().to(reactivate)))
        .service(resource("/user/preference", web::get().to(preferences)).route(web::put().to(prefer)))
        .service(resource("/user/admin", web::get().to(list_users)))
        .service(resource("/user/admin/archived", web::get().to(list_archived_users)))
        .service(resource("/user/admin/block/{user_id}", web::post().to(block)))
        .service(resource("/user/admin/unblock/{user_id}", web::post().to(unblock)))
        .service(resource("/user/admin/{user_id}", web::delete().to(delete_user)));
}

/// The feature's part of the API description.
#[derive(OpenApi)]
#[openapi(paths(
    me,
    delete_me,
    set_email,
    switch_type,
    deactivate,
    reactivate,
    preferences,
    prefer,
    list_users,
    list_archived_users,
    block,
    unblock,
    delete_user
))]
pub struct Docs;

type Answered<T> = Result<web::Json<T>, Problem>;

impl From<StatusError> for Problem {
    fn from(error: StatusError) -> Self {
        match error {
            StatusError::NotFound => Problem::not_found("User"),
            StatusError::WrongState(state) => {
                Problem::new(Code::StateConflict, format!("The customer is {}", state.0.as_str()))
            }
            StatusError::Store(error) => error.into(),
        }
    }
}

impl From<ProfileError> for Problem {
    fn from(error: ProfileError) -> Self {
        match error {
            // The own account: deleted a moment ago.
            ProfileError::NotFound => Problem::not_authenticated(),
            ProfileError::EmailTaken => {
                Problem::new(Code::Duplicate, "Another customer has this e-mail address: give another")
            }
            ProfileError::PlanInUse => Problem::new(
                Code::StateConflict,
                "A plan of the present type is active or waits on your number: switch when it has ended",
            ),
            ProfileError::Store(error) => error.into(),
        }
    }
}

impl From<DeleteError> for Problem {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::NotFound => Problem::not_found("User"),
            DeleteError::Busy => {
                Problem::new(Code::StateConflict, "Money moves in the wallet: try again when it is at rest")
            }
            DeleteError::Ledger(Refusal::Unknown) => Problem::new(
                Code::OutcomeUnknown,
                "The outcome is not known yet: ask again; when the account is gone, it was done",
            ),
            DeleteError::Ledger(_) => Problem::new(
                Code::Unavailable,
                "The ledger is busy or away for a moment; nothing was done: try again shortly",
            ),
            DeleteError::Store(error) => error.into(),
        }
    }
}

/// Own profile
#[utoipa::path(get, path = "/user/me", tag = "Users", security(("bearer" = ["user"])),
    responses((status = 200, body = UserResponse), (status = 401, description = "not_authenticated")))]
async fn me(customer: Customer, users: web::Data<Users>) -> Answered<UserResponse> {
    // A deleted account's session is revoked; in the moment before that is known here, it is not authenticated either.
    let profile = users.profile(customer.user_id).await?.ok_or_else(Problem::not_authenticated)?;
    Ok(web::Json(profile.into()))
}

/// Delete the own account
///
/// It moves to the archive as it is, every session ends, plans on the number end, and the number can sign up anew. What the
/// wallet holds is set aside in the ledger: it is owed to the former customer. The answer is the account as it was.
#[utoipa::path(delete, path = "/user/me", tag = "Users", security(("bearer" = ["user"])),
    responses((status = 200, body = UserResponse), (status = 409, description = "state_conflict: money keeps moving in the wallet")))]
async fn delete_me(
    customer: Customer,
    users: web::Data<Users>,
    rules: web::Data<CookieRules>,
) -> Result<HttpResponse, Problem> {
    let profile = users.delete(customer.user_id, None).await?;
    tracing::info!(user.id = customer.user_id.get(), "user.deleted");
    Ok(HttpResponse::Ok().cookie(without_cookie(**rules)).json(UserResponse::from(profile)))
}

#[derive(Deserialize, ToSchema)]
struct EmailBody {
    /// No two customers share one.
    email: String,
}

/// Change the own e-mail address
#[utoipa::path(put, path = "/user/me/email", tag = "Users", security(("bearer" = ["user"])), request_body = EmailBody,
    responses((status = 200, body = UserResponse), (status = 400, description = "duplicate")))]
async fn set_email(
    customer: Customer,
    users: web::Data<Users>,
    body: web::Json<EmailBody>,
) -> Answered<UserResponse> {
    let email =
        EmailAddress::parse(&body.email).map_err(|error| Problem::field("email", error.to_string()))?;
    Ok(web::Json(users.set_email(customer.user_id, &email).await?.into()))
}

#[derive(Deserialize, ToSchema)]
struct TypeBody {
    /// `prepaid` or `postpaid`.
    user_type: String,
}

/// Switch between prepaid and postpaid
#[utoipa::path(put, path = "/user/me/switch-type", tag = "Users", security(("bearer" = ["user"])), request_body = TypeBody,
    responses((status = 200, body = UserResponse),
        (status = 409, description = "state_conflict: a plan of the present type is active or queued")))]
async fn switch_type(
    customer: Customer,
    users: web::Data<Users>,
    body: web::Json<TypeBody>,
) -> Answered<UserResponse> {
    let user_type: UserType =
        body.user_type.parse().map_err(|error: gencharge_actors::kernel::UnknownWord| {
            Problem::field("user_type", error.to_string())
        })?;
    Ok(web::Json(users.switch_type(customer.user_id, user_type).await?.into()))
}

/// Pause the own account
///
/// Every other session ends. This one can only reactivate the account, for as long as its access token lives; so does the next
/// sign-in.
#[utoipa::path(post, path = "/user/me/deactivate", tag = "Users", security(("bearer" = ["user"])),
    responses((status = 200, body = UserResponse), (status = 409, description = "state_conflict: paused already")))]
async fn deactivate(customer: PausedCustomer, users: web::Data<Users>) -> Answered<UserResponse> {
    change_own(customer, &users, Change::Deactivate).await
}

/// Resume the own account
#[utoipa::path(post, path = "/user/me/reactivate", tag = "Users", security(("bearer" = ["user"])),
    responses((status = 200, body = UserResponse), (status = 409, description = "state_conflict: not paused")))]
async fn reactivate(customer: PausedCustomer, users: web::Data<Users>) -> Answered<UserResponse> {
    change_own(customer, &users, Change::Reactivate).await
}

/// As the audit log names it.
const fn action(change: Change) -> &'static str {
    match change {
        Change::Block => "BLOCK_USER",
        Change::Unblock => "UNBLOCK_USER",
        Change::Deactivate => "DEACTIVATE",
        Change::Reactivate => "REACTIVATE",
    }
}

async fn change_own(
    PausedCustomer(customer): PausedCustomer,
    users: &Users,
    change: Change,
) -> Answered<UserResponse> {
    let entry = by_customer(customer.user_id, action(change));
    let profile = users.change(customer.user_id, change, Some(customer.session), entry).await?;
    tracing::info!(user.id = customer.user_id.get(), user.status = profile.status.as_str(), "user.changed");
    Ok(web::Json(profile.into()))
}

/// Own preferences
#[utoipa::path(get, path = "/user/preference", tag = "Users", security(("bearer" = ["user"])),
    responses((status = 200, body = UserPreferenceResponse)))]
async fn preferences(customer: Customer, users: web::Data<Users>) -> Answered<UserPreferenceResponse> {
    let preferences = users.preferences(customer.user_id).await?;
    Ok(web::Json(UserPreferenceResponse { preferences, user_id: customer.user_id.get() }))
}

/// Replace the own preferences
///
/// A switch that is left out gets its default; it does not keep its value.
#[utoipa::path(put, path = "/user/preference", tag = "Users", security(("bearer" = ["user"])), request_body = Preferences,
    responses((status = 200, body = UserPreferenceResponse)))]
async fn prefer(
    customer: Customer,
    users: web::Data<Users>,
    body: web::Json<Preferences>,
) -> Answered<UserPreferenceResponse> {
    if !users.set_preferences(customer.user_id, *body).await? {
        return Err(Problem::not_authenticated());
    }
    Ok(web::Json(UserPreferenceResponse { preferences: *body, user_id: customer.user_id.get() }))
}

/// Customers
#[utoipa::path(get, path = "/user/admin", tag = "Users", security(("bearer" = [])),
    params(
        ("name" = Option<String>, Query, description = "a part of the name"),
        ("phone_number" = Option<String>, Query, description = "a part of the ten digits"),
        ("status" = Option<String>, Query, description = "active, blocked or deactive"),
        ("user_type" = Option<String>, Query, description = "prepaid or postpaid"),
        ("skip" = Option<u32>, Query, description = "rows to leave out first"),
        ("limit" = Option<u32>, Query, description = "rows in the answer; 0, as when absent, is everything", maximum = 10000),
        ("sort_by" = Option<String>, Query, description = "user_id (as when absent), name, created_at or wallet_balance"),
        ("sort_order" = Option<String>, Query, description = "asc or desc"),
    ),
    responses((status = 200, body = Vec<UserResponse>, headers(("X-Total-Count" = i64), ("Link" = String))),
        (status = 403, description = "forbidden: needs Users:read")))]
async fn list_users(
    request: HttpRequest,
    administrator: Administrator,
    users: web::Data<Users>,
) -> Result<HttpResponse, Problem> {
    answer_list(&request, &administrator, &users, false).await
}

/// Deleted customers, as they were
///
/// `wallet_balance` is what the wallet held; it is owed to the former customer.
#[utoipa::path(get, path = "/user/admin/archived", tag = "Users", security(("bearer" = [])),
    params(
        ("name" = Option<String>, Query, description = "a part of the name"),
        ("phone_number" = Option<String>, Query, description = "a part of the ten digits"),
        ("status" = Option<String>, Query, description = "active, blocked or deactive"),
        ("user_type" = Option<String>, Query, description = "prepaid or postpaid"),
        ("skip" = Option<u32>, Query, description = "rows to leave out first"),
        ("limit" = Option<u32>, Query, description = "rows in the answer; 0, as when absent, is everything", maximum = 10000),
        ("sort_by" = Option<String>, Query, description = "user_id (as when absent), name, created_at or wallet_balance"),
        ("sort_order" = Option<String>, Query, description = "asc or desc"),
    ),
    responses((status = 200, body = Vec<UserResponse>, headers(("X-Total-Count" = i64), ("Link" = String))),
        (status = 403, description = "forbidden: needs Users:read")))]
async fn list_archived_users(
    request: HttpRequest,
    administrator: Administrator,
    users: web::Data<Users>,
) -> Result<HttpResponse, Problem> {
    answer_list(&request, &administrator, &users, true).await
}

async fn answer_list(
    request: &HttpRequest,
    administrator: &Administrator,
    users: &Users,
    archived: bool,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Users, Action::Read)?;
    let mut params = Params::of(request);
    let listing = Listing::read(&mut params, archived);
    params.done()?;
    match users.list(&listing).await? {
        Answer::Whole(rows, total) => {
            let rows: Vec<UserResponse> = rows.into_iter().map(UserResponse::from).collect();
            Ok(array::page(request, listing.window, total, &rows))
        }
        Answer::Stream(rows, total) => {
            Ok(array::streamed(total, rows, |profile: Profile| UserResponse::from(profile)))
        }
        Answer::Busy => Err(array::busy()),
    }
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
) -> Answered<UserResponse> {
    change_other(&administrator, &users, *user_id, Change::Block).await
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
) -> Answered<UserResponse> {
    change_other(&administrator, &users, *user_id, Change::Unblock).await
}

async fn change_other(
    administrator: &Administrator,
    users: &Users,
    user_id: i64,
    change: Change,
) -> Answered<UserResponse> {
    administrator.require(Resource::Users, Action::Edit)?;
    let entry = administrator.audits(action(change), "users", format!("user/{user_id}"));
    let profile = users.change(UserId(user_id), change, None, entry).await?;
    let status = profile.status.as_str();
    tracing::info!(
        admin.id = administrator.admin_id.get(),
        user.id = user_id,
        user.status = status,
        "user.changed"
    );
    Ok(web::Json(profile.into()))
}

/// Delete a customer
///
/// As when customers delete their own accounts.
#[utoipa::path(delete, path = "/user/admin/{user_id}", tag = "Users", security(("bearer" = [])),
    params(("user_id" = i64, Path)),
    responses((status = 200, body = UserResponse), (status = 403, description = "forbidden: needs Users:delete"),
        (status = 404, description = "not_found"),
        (status = 409, description = "state_conflict: money keeps moving in the wallet")))]
async fn delete_user(
    administrator: Administrator,
    users: web::Data<Users>,
    user_id: web::Path<i64>,
) -> Answered<UserResponse> {
    administrator.require(Resource::Users, Action::Delete)?;
    let profile = users.delete(UserId(*user_id), Some(administrator.admin_id)).await?;
    tracing::info!(admin.id = administrator.admin_id.get(), user.id = *user_id, "user.deleted");
    Ok(web::Json(profile.into()))
}
