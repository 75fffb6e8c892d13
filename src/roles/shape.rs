//! Roles and permissions as answers show them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Flags;

/// A resource, and what a role may do with it (in the list of all permissions: what can be granted at all).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct PermissionBase {
    /// Id.
    pub permission_id: i64,
    /// What it is about.
    pub resource: String,
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub(super) flags: Flags,
}

/// A role with what it allows.
#[derive(Clone, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct RoleResponse {
    /// Name; unique.
    pub role_name: String,
    /// Id.
    pub role_id: i64,
    /// What it allows, by id of the permission.
    #[sqlx(json)]
    pub permissions: Vec<PermissionBase>,
}
