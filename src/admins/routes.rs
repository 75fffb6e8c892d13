//! `/admin`: own profile, and managing administrators.

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use gencharge_actors::kernel::PhoneNumber;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::shape::AdminOut;
use super::store::{AdminChange, AdminError, Admins, Key, Listing, NewAdmin};
use crate::access::{Action, Resource};
use crate::auth::Administrator;
use crate::http::array::{self, Window};
use crate::http::json::parse_body;
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::http::{Code, Faults, Problem};
use crate::users::{EmailAddress, PersonName};

/// The longest text of a filter.
const MAX_FILTER: usize = 100;

/// Mounts the feature.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::resource("/admin/me")
            .route(web::get().to(own_admin))
            .route(web::patch().to(change_own_admin))
            .default_service(web::to(method_not_allowed)),
    );
    cfg.service(
        web::resource("/admin")
            .route(web::get().to(list_admins))
            .route(web::post().to(add_admin))
            .default_service(web::to(method_not_allowed)),
    );
    cfg.service(
        web::resource("/admin/{admin_id}")
            .route(web::patch().to(change_admin))
            .route(web::delete().to(remove_admin))
            .default_service(web::to(method_not_allowed)),
    );
}

/// The feature's part of the API description.
#[derive(OpenApi)]
#[openapi(paths(own_admin, change_own_admin, list_admins, add_admin, change_admin, remove_admin))]
pub struct Docs;

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::NotFound => Problem::not_found("Administrator"),
            AdminError::UnknownRole { available } => Problem::new(
                Code::NotFound,
                format!("Role not found; available_roles: {}", available.join(", ")),
            ),
            AdminError::PhoneTaken => Problem::new(
                Code::Duplicate,
                "Another administrator or a customer has this phone_number: give another",
            ),
            AdminError::EmailTaken => {
                Problem::new(Code::Duplicate, "Another administrator has this email: give another")
            }
            AdminError::LastSuperAdmin => Problem::new(
                Code::StateConflict,
                "This is the last SuperAdmin: give somebody else that role first",
            ),
            AdminError::BeyondOwnRole => Problem::new(
                Code::Forbidden,
                "That role allows more than your own does: ask an administrator whose role allows as much",
            ),
            AdminError::Store(error) => error.into(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
struct OwnBody {
    /// No two administrators share one; absent: nothing changes.
    email: Option<String>,
}

/// An administrator to add. Other fields are refused.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewBody {
    /// 2 to 50 characters.
    name: String,
    /// No two administrators share one.
    email: String,
    /// Ten digits; not a customer's.
    phone_number: String,
    /// As `GET /role/` names it.
    role_name: String,
}

/// What is absent or null stays.
#[derive(Deserialize, ToSchema)]
struct ChangeBody {
    /// 2 to 50 characters.
    name: Option<String>,
    /// Ten digits; not a customer's.
    phone_number: Option<String>,
    /// No two administrators share one.
    email: Option<String>,
    /// As `GET /role/` names it.
    role_name: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct MessageAnswer {
    message: &'static str,
}

impl ChangeBody {
    fn checked(self) -> Result<AdminChange, Problem> {
        let mut faults = Faults::default();
        let change = AdminChange {
            name: self.name.and_then(|text| faults.keep("name", PersonName::parse(&text))),
            email: self.email.and_then(|text| faults.keep("email", EmailAddress::parse(&text))),
            phone: self
                .phone_number
                .and_then(|text| faults.keep("phone_number", PhoneNumber::parse(text.trim()))),
            role_name: self.role_name,
        };
        faults.done().map(|()| change)
    }
}

impl NewBody {
    fn checked(self) -> Result<NewAdmin, Problem> {
        let mut faults = Faults::default();
        let name = faults.keep("name", PersonName::parse(&self.name));
        let email = faults.keep("email", EmailAddress::parse(&self.email));
        let phone = faults.keep("phone_number", PhoneNumber::parse(self.phone_number.trim()));
        match (name, email, phone) {
            (Some(name), Some(email), Some(phone)) => {
                Ok(NewAdmin { name, email, phone, role_name: self.role_name })
            }
            _ => Err(faults.problem()),
        }
    }
}

fn key(text: &str) -> Result<Key, Problem> {
    Key::parse(text)
        .ok_or_else(|| Problem::field("admin_id", "must be an id, or a phone number of ten digits"))
}

/// Own profile
#[utoipa::path(get, path = "/admin/me", tag = "Admins", security(("bearer" = [])),
    responses((status = 200, body = AdminOut), (status = 403, description = "forbidden: needs Admin_me:read")))]
async fn own_admin(
    administrator: Administrator,
    admins: web::Data<Admins>,
) -> Result<web::Json<AdminOut>, Problem> {
    administrator.require(Resource::AdminMe, Action::Read)?;
    Ok(web::Json(admins.one(administrator.admin_id).await?))
}

/// Change the own e-mail address
#[utoipa::path(patch, path = "/admin/me", tag = "Admins", security(("bearer" = [])), request_body = OwnBody,
    responses((status = 200, body = AdminOut), (status = 400, description = "duplicate"),
        (status = 403, description = "forbidden: needs Admin_me:edit")))]
async fn change_own_admin(
    administrator: Administrator,
    admins: web::Data<Admins>,
    body: Bytes,
) -> Result<web::Json<AdminOut>, Problem> {
    administrator.require(Resource::AdminMe, Action::Edit)?;
    let OwnBody { email } = parse_body(&body)?;
    let Some(text) = &email else { return Ok(web::Json(admins.one(administrator.admin_id).await?)) };
    let email = EmailAddress::parse(text).map_err(|error| Problem::field("email", error.to_string()))?;
    let change = AdminChange { email: Some(email), ..AdminChange::default() };
    Ok(web::Json(admins.change(&administrator, Key::Id(administrator.admin_id.get()), &change).await?))
}

/// Administrators
#[utoipa::path(get, path = "/admin/", tag = "Admins", security(("bearer" = [])),
    params(
        ("name" = Option<String>, Query, description = "a part of the name"),
        ("email" = Option<String>, Query, description = "a part of the address"),
        ("phone_number" = Option<String>, Query, description = "a part of the ten digits"),
        ("role_name" = Option<String>, Query, description = "a part of the role's name"),
        ("skip" = Option<u32>, Query, description = "rows to leave out first"),
        ("limit" = Option<u32>, Query, description = "rows in the answer (10); 0 is everything", maximum = 10000),
        ("sort_by" = Option<String>, Query, description = "name, email, created_at or updated_at; absent: newest first"),
        ("sort_order" = Option<String>, Query, description = "asc or desc"),
    ),
    responses((status = 200, body = Vec<AdminOut>, headers(("X-Total-Count" = i64), ("Link" = String))),
        (status = 403, description = "forbidden: needs Admins:read")))]
async fn list_admins(
    request: HttpRequest,
    administrator: Administrator,
    admins: web::Data<Admins>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Admins, Action::Read)?;
    let mut params = Params::of(&request);
    let order = params.choice("sort_by", &["", "name", "email", "created_at", "updated_at"]);
    let usual: &'static [&'static str] = if order.is_empty() { &["desc", "asc"] } else { &["asc", "desc"] };
    let listing = Listing {
        name: params.short_text("name", MAX_FILTER),
        email: params.short_text("email", MAX_FILTER),
        phone: params.digits("phone_number"),
        role_name: params.short_text("role_name", MAX_FILTER),
        order,
        descending: params.choice("sort_order", usual) == "desc",
        window: Window::read(&mut params, 10),
    };
    params.done()?;
    let (rows, total) = admins.list(&listing).await?;
    Ok(array::page(&request, listing.window, total, &rows))
}

/// Add an administrator
#[utoipa::path(post, path = "/admin/", tag = "Admins", security(("bearer" = [])), request_body = NewBody,
    responses((status = 200, body = AdminOut), (status = 400, description = "duplicate"),
        (status = 403, description = "forbidden: needs Admins:write, and a role that allows no more than the own"),
        (status = 404, description = "not_found: no such role; the detail names those there are")))]
async fn add_admin(
    administrator: Administrator,
    admins: web::Data<Admins>,
    body: Bytes,
) -> Result<web::Json<AdminOut>, Problem> {
    administrator.require(Resource::Admins, Action::Write)?;
    let added = admins.add(&administrator, &parse_body::<NewBody>(&body)?.checked()?).await?;
    Ok(web::Json(added))
}

/// Change an administrator's name, number, e-mail address or role
///
/// A value of ten digits is a phone number, any other an id. Another role holds from the next request on.
#[utoipa::path(patch, path = "/admin/{admin_id}", tag = "Admins", security(("bearer" = [])), request_body = ChangeBody,
    params(("admin_id" = String, Path, description = "an id, or a phone number")),
    responses((status = 200, body = AdminOut), (status = 400, description = "duplicate"),
        (status = 403, description = "forbidden: needs Admins:edit, and roles that allow no more than the own"),
        (status = 404, description = "not_found: no such administrator or role"),
        (status = 409, description = "state_conflict: the last SuperAdmin")))]
async fn change_admin(
    administrator: Administrator,
    admins: web::Data<Admins>,
    admin_id: web::Path<String>,
    body: Bytes,
) -> Result<web::Json<AdminOut>, Problem> {
    administrator.require(Resource::Admins, Action::Edit)?;
    let changed =
        admins.change(&administrator, key(&admin_id)?, &parse_body::<ChangeBody>(&body)?.checked()?).await?;
    Ok(web::Json(changed))
}

/// Remove an administrator
///
/// A value of ten digits is a phone number, any other an id. The administrator's sessions end.
#[utoipa::path(delete, path = "/admin/{admin_id}", tag = "Admins", security(("bearer" = [])),
    params(("admin_id" = String, Path, description = "an id, or a phone number")),
    responses((status = 200, body = MessageAnswer),
        (status = 403, description = "forbidden: needs Admins:delete, and a role that allows no more than the own"),
        (status = 404, description = "not_found"), (status = 409, description = "state_conflict: the last SuperAdmin")))]
async fn remove_admin(
    administrator: Administrator,
    admins: web::Data<Admins>,
    admin_id: web::Path<String>,
) -> Result<web::Json<MessageAnswer>, Problem> {
    administrator.require(Resource::Admins, Action::Delete)?;
    admins.remove(&administrator, key(&admin_id)?).await?;
    Ok(web::Json(MessageAnswer { message: "Administrator removed" }))
}
