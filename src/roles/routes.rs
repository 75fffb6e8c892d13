//! `/role`: roles, and what there is to be allowed.

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::shape::{PermissionBase, RoleResponse};
use super::store::{Listing, RoleError, Roles, Wanted};
use crate::access::{Action, Flags, Resource};
use crate::auth::Administrator;
use crate::http::array::{self, Window};
use crate::http::json::{optional_wholes, parse_body};
use crate::http::params::Params;
use crate::http::server::method_not_allowed;
use crate::http::{Code, Problem};

/// The longest name of a role, and of a resource that is looked for.
const MAX_NAME: usize = 50;
/// More permissions than there will ever be.
const MAX_PERMISSIONS: usize = 1_000;

/// Mounts the feature.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::resource("/role")
            .route(web::get().to(list_roles))
            .route(web::post().to(add_role))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/role/permissions/all")
            .route(web::get().to(list_permissions))
            .default_service(web::to(method_not_allowed)),
    )
    .service(
        web::resource("/role/{role_id}")
            .route(web::get().to(one_role))
            .route(web::put().to(change_role))
            .route(web::delete().to(remove_role))
            .default_service(web::to(method_not_allowed)),
    );
}

/// The feature's part of the API description.
#[derive(OpenApi)]
#[openapi(paths(list_roles, add_role, list_permissions, one_role, change_role, remove_role))]
pub struct Docs;

impl From<RoleError> for Problem {
    fn from(error: RoleError) -> Self {
        match error {
            RoleError::NotFound => Problem::not_found("Role"),
            RoleError::NameTaken => {
                Problem::new(Code::Duplicate, "Another role has this role_name: give another")
            }
            RoleError::UnknownPermissions(ids) => {
                let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
                let detail = format!(
                    "There are no permissions with these ids: {}; GET /role/permissions/all has those there are",
                    ids.join(", ")
                );
                Problem::new(Code::UnknownPermission, detail)
            }
            RoleError::InUse(holders) => Problem::new(
                Code::StateConflict,
                format!("{holders} administrators have this role: give them another first"),
            ),
            RoleError::Protected => Problem::new(
                Code::StateConflict,
                "SuperAdmin keeps its name and everything it allows, and cannot be deleted: make another role",
            ),
            RoleError::BeyondOwnRole => Problem::new(
                Code::Forbidden,
                "That role allows more than your own does: ask an administrator whose role allows as much",
            ),
            RoleError::Store(error) => error.into(),
        }
    }
}

/// What a role allows with one resource.
#[derive(Deserialize, ToSchema)]
struct Grant {
    /// Of `GET /role/permissions/all`.
    permission_id: i64,
    #[serde(flatten)]
    flags: Flags,
}

#[derive(Deserialize, ToSchema)]
struct RoleBody {
    /// 1 to 50 characters; unique.
    role_name: String,
    /// Each with everything that can be granted on it.
    #[serde(default, deserialize_with = "optional_wholes")]
    permission_ids: Option<Vec<i64>>,
    /// Instead of `permission_ids`: each with the flags given (absent: false), as far as they can be granted.
    permissions: Option<Vec<Grant>>,
}

#[derive(Deserialize, ToSchema)]
struct RoleChangeBody {
    /// Absent or null: stays.
    role_name: Option<String>,
    /// Replaces the set; permissions that the role has keep their flags. Absent or null: stays.
    #[serde(default, deserialize_with = "optional_wholes")]
    permission_ids: Option<Vec<i64>>,
    /// Instead of `permission_ids`: each with the flags given (absent: false), as far as they can be granted.
    permissions: Option<Vec<Grant>>,
}

#[derive(Serialize, ToSchema)]
struct MessageAnswer {
    message: &'static str,
}

fn name(text: &str) -> Result<&str, Problem> {
    let text = text.trim();
    let fits = (1..=MAX_NAME).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(Problem::field("role_name", "must have 1 to 50 characters")) }
}

fn wanted(ids: Option<Vec<i64>>, grants: Option<Vec<Grant>>) -> Result<Option<Wanted>, Problem> {
    let wanted = match (ids, grants) {
        (Some(_), Some(_)) => {
            return Err(Problem::field("permissions", "cannot be combined with permission_ids"));
        }
        (Some(ids), None) => Wanted::Permissions(ids),
        (None, Some(grants)) => {
            Wanted::Flags(grants.into_iter().map(|grant| (grant.permission_id, grant.flags)).collect())
        }
        (None, None) => return Ok(None),
    };
    let (field, count) = match &wanted {
        Wanted::Permissions(ids) => ("permission_ids", ids.len()),
        Wanted::Flags(flags) => ("permissions", flags.len()),
    };
    if count > MAX_PERMISSIONS {
        return Err(Problem::field(field, format!("must have at most {MAX_PERMISSIONS} entries")));
    }
    Ok(Some(wanted))
}

/// Roles with what they allow
#[utoipa::path(get, path = "/role/", tag = "Roles", security(("bearer" = [])),
    params(
        ("role_name" = Option<String>, Query, description = "a part of the name"),
        ("permission_resource" = Option<String>, Query, description = "a part of a resource that the role has"),
        ("skip" = Option<u32>, Query, description = "roles to leave out first"),
        ("limit" = Option<u32>, Query, description = "roles in the answer; 0, as when absent, is everything", maximum = 10000),
        ("sort_by" = Option<String>, Query, description = "role_id (as when absent) or role_name"),
        ("sort_order" = Option<String>, Query, description = "asc or desc"),
    ),
    responses((status = 200, body = Vec<RoleResponse>, headers(("X-Total-Count" = i64), ("Link" = String))),
        (status = 403, description = "forbidden: needs Roles:read")))]
async fn list_roles(
    request: HttpRequest,
    administrator: Administrator,
    roles: web::Data<Roles>,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Roles, Action::Read)?;
    let mut params = Params::of(&request);
    let listing = Listing {
        role_name: params.short_text("role_name", MAX_NAME),
        resource: params.short_text("permission_resource", MAX_NAME),
        by_name: params.choice("sort_by", &["role_id", "role_name"]) == "role_name",
        descending: params.choice("sort_order", &["asc", "desc"]) == "desc",
        window: Window::read(&mut params, 0),
    };
    params.done()?;
    let (rows, total) = roles.list(&listing).await?;
    Ok(array::page(&request, listing.window, total, &rows))
}

/// Make a role
#[utoipa::path(post, path = "/role/", tag = "Roles", security(("bearer" = [])), request_body = RoleBody,
    responses((status = 201, body = RoleResponse), (status = 400, description = "duplicate, unknown_permission"),
        (status = 403, description = "forbidden: needs Roles:write, and allows no more than the own role")))]
async fn add_role(
    administrator: Administrator,
    roles: web::Data<Roles>,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    administrator.require(Resource::Roles, Action::Write)?;
    let body: RoleBody = parse_body(&body)?;
    let wanted = wanted(body.permission_ids, body.permissions)?.unwrap_or(Wanted::Permissions(Vec::new()));
    let role = roles.add(&administrator, name(&body.role_name)?, &wanted).await?;
    Ok(HttpResponse::Created().json(role))
}

/// Everything that can be allowed
#[utoipa::path(get, path = "/role/permissions/all", tag = "Roles", security(("bearer" = [])),
    responses((status = 200, body = Vec<PermissionBase>), (status = 403, description = "forbidden: needs Roles:read")))]
async fn list_permissions(
    administrator: Administrator,
    roles: web::Data<Roles>,
) -> Result<web::Json<Vec<PermissionBase>>, Problem> {
    administrator.require(Resource::Roles, Action::Read)?;
    Ok(web::Json(roles.permissions().await?))
}

/// One role
#[utoipa::path(get, path = "/role/{role_id}", tag = "Roles", security(("bearer" = [])), params(("role_id" = i64, Path)),
    responses((status = 200, body = RoleResponse), (status = 403, description = "forbidden: needs Roles:read"),
        (status = 404, description = "not_found")))]
async fn one_role(
    administrator: Administrator,
    roles: web::Data<Roles>,
    role_id: web::Path<i64>,
) -> Result<web::Json<RoleResponse>, Problem> {
    administrator.require(Resource::Roles, Action::Read)?;
    Ok(web::Json(roles.one(*role_id).await?))
}

/// Rename a role, replace what it allows, or both
///
/// It holds from the next request of its administrators on.
#[utoipa::path(put, path = "/role/{role_id}", tag = "Roles", security(("bearer" = [])), params(("role_id" = i64, Path)),
    request_body = RoleChangeBody,
    responses((status = 200, body = RoleResponse), (status = 400, description = "duplicate, unknown_permission"),
        (status = 403, description = "forbidden: needs Roles:edit, and allows no more than the own role"),
        (status = 404, description = "not_found"), (status = 409, description = "state_conflict: SuperAdmin")))]
async fn change_role(
    administrator: Administrator,
    roles: web::Data<Roles>,
    role_id: web::Path<i64>,
    body: Bytes,
) -> Result<web::Json<RoleResponse>, Problem> {
    administrator.require(Resource::Roles, Action::Edit)?;
    let body: RoleChangeBody = parse_body(&body)?;
    let name = body.role_name.as_deref().map(name).transpose()?;
    let wanted = wanted(body.permission_ids, body.permissions)?;
    Ok(web::Json(roles.change(&administrator, *role_id, name, wanted.as_ref()).await?))
}

/// Delete a role that nobody has
#[utoipa::path(delete, path = "/role/{role_id}", tag = "Roles", security(("bearer" = [])), params(("role_id" = i64, Path)),
    responses((status = 200, body = MessageAnswer), (status = 403, description = "forbidden: needs Roles:delete"),
        (status = 404, description = "not_found"), (status = 409, description = "state_conflict: in use, or SuperAdmin")))]
async fn remove_role(
    administrator: Administrator,
    roles: web::Data<Roles>,
    role_id: web::Path<i64>,
) -> Result<web::Json<MessageAnswer>, Problem> {
    administrator.require(Resource::Roles, Action::Delete)?;
    roles.remove(&administrator, *role_id).await?;
    Ok(web::Json(MessageAnswer { message: "Role deleted" }))
}
