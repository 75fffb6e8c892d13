//! Roles in SQL. A method is a transaction.

use std::sync::Arc;

use gencharge_actors::kernel::Clock;
use serde_json::{Map, Value, json};
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder};

use super::shape::{PermissionBase, RoleResponse};
use crate::access::{Flags, SUPER_ADMIN, exceeds, lock_changes};
use crate::audit::{self, Entry};
use crate::auth::listener::Hint;
use crate::auth::{Administrator, Gate};
use crate::http::array::Window;
use crate::platform::postgres::violates;

/// A role with what it allows: what its links grant, as far as it can be granted.
const COLUMNS: &str = "r.role_id, r.role_name, COALESCE(( \
    SELECT jsonb_agg(jsonb_build_object('permission_id', p.permission_id, 'resource', p.resource, \
        'read', l.read AND p.read, 'write', l.write AND p.write, 'edit', l.edit AND p.edit, \
        'delete', l.delete AND p.delete) ORDER BY p.permission_id) \
    FROM role_permissions l JOIN permissions p USING (permission_id) WHERE l.role_id = r.role_id), '[]') AS permissions";

/// What a role shall allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// These permissions: those it has stay as they are, new ones come with everything that can be granted.
    Permissions(Vec<i64>),
    /// These permissions with these flags, as far as they can be granted.
    Flags(Vec<(i64, Flags)>),
}

/// A list as asked for.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub role_name: Option<String>,
    pub resource: Option<String>,
    pub by_name: bool,
    pub descending: bool,
    pub window: Window,
}

/// Why something did not come to pass.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// No such role.
    #[error("no such role")]
    NotFound,
    /// Another role has the name.
    #[error("the name is taken")]
    NameTaken,
    /// There are no permissions with these ids.
    #[error("unknown permissions")]
    UnknownPermissions(Vec<i64>),
    /// So many administrators have it.
    #[error("the role is in use")]
    InUse(i64),
    /// SuperAdmin keeps its name and all it allows.
    #[error("SuperAdmin is protected")]
    Protected,
    /// It allows more than the caller's own role.
    #[error("beyond the own role")]
    BeyondOwnRole,
    /// The database.
    #[error(transparent)]
    Store(sqlx::Error),
}

impl From<sqlx::Error> for RoleError {
    fn from(error: sqlx::Error) -> Self {
        if violates(&error, "roles_role_name_key") { Self::NameTaken } else { Self::Store(error) }
    }
}

/// Roles; clones share everything.
#[derive(Clone)]
pub struct Roles {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    gate: Gate,
}

impl Roles {
    /// The service.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, gate: Gate) -> Self {
        Self { pool, clock, gate }
    }

    /// The roles of one page, and how many there are in all.
    pub(super) async fn list(&self, listing: &Listing) -> Result<(Vec<RoleResponse>, i64), sqlx::Error> {
        let total = select("count(*)", listing).build_query_scalar().fetch_one(&self.pool).await?;
        let mut sql = select(COLUMNS, listing);
        sql.push(" ORDER BY ").push(if listing.by_name { "r.role_name" } else { "r.role_id" });
        sql.push(if listing.descending { " DESC" } else { " ASC" });
        let page = listing.window.page();
        sql.push(" OFFSET ").push_bind(page.offset);
        if let Some(limit) = page.limit {
            sql.push(" LIMIT ").push_bind(limit);
        }
        Ok((sql.build_query_as().fetch_all(&self.pool).await?, total))
    }

    /// A role.
    pub(super) async fn one(&self, role: i64) -> Result<RoleResponse, RoleError> {
        find(&mut *self.pool.acquire().await?, role).await
    }

    /// Everything that can be granted.
    pub(super) async fn permissions(&self) -> Result<Vec<PermissionBase>, sqlx::Error> {
        sqlx::query_as(
            "SELECT permission_id, resource, read, write, edit, delete FROM permissions ORDER BY permission_id",
        )
        .fetch_all(&self.pool)
        .await
    }

    /// Makes a role.
    pub(super) async fn add(
        &self,
        by: &Administrator,
        name: &str,
        wanted: &Wanted,
    ) -> Result<RoleResponse, RoleError> {
        let mut tx = self.pool.begin().await?;
        lock_changes(&mut tx).await?;
        let id = sqlx::query_scalar("INSERT INTO roles (role_name) VALUES ($1) RETURNING role_id")
            .bind(name)
            .fetch_one(&mut *tx)
            .await?;
        grant(&mut tx, id, wanted).await?;
        within(&mut tx, id, by).await?;
        let role = find(&mut tx, id).await?;
        self.commit(tx, by.audits("ADD_ROLE", "roles", format!("role/{id}")).with(told(&role))).await?;
        Ok(role)
    }

    /// Renames a role, replaces what it allows, or both.
    pub(super) async fn change(
        &self,
        by: &Administrator,
        id: i64,
        name: Option<&str>,
        wanted: Option<&Wanted>,
    ) -> Result<RoleResponse, RoleError> {
        let mut tx = self.pool.begin().await?;
        lock_changes(&mut tx).await?;
        let old = find(&mut tx, id).await?;
        within(&mut tx, id, by).await?;
        if let Some(name) = name {
            sqlx::query("UPDATE roles SET role_name = $2 WHERE role_id = $1")
                .bind(id)
                .bind(name)
                .execute(&mut *tx)
                .await?;
        }
        if let Some(wanted) = wanted {
            grant(&mut tx, id, wanted).await?;
            within(&mut tx, id, by).await?;
        }
        let new = find(&mut tx, id).await?;
        if old.role_name == SUPER_ADMIN && !(new.role_name == SUPER_ADMIN && allows_all_of(&new, &old)) {
            return Err(RoleError::Protected);
        }
        self.commit(tx, by.audits("UPDATE_ROLE", "roles", format!("role/{id}")).with(told(&new))).await?;
        Ok(new)
    }

    /// Removes a role that nobody has.
    pub(super) async fn remove(&self, by: &Administrator, id: i64) -> Result<RoleResponse, RoleError> {
        let mut tx = self.pool.begin().await?;
        lock_changes(&mut tx).await?;
        let role = find(&mut tx, id).await?;
        within(&mut tx, id, by).await?;
        if role.role_name == SUPER_ADMIN {
            return Err(RoleError::Protected);
        }
        let holders: i64 = sqlx::query_scalar("SELECT count(*) FROM admins WHERE role_id = $1")
            .bind(id)
            .fetch_one(&mut *tx)
            .await?;
        if holders > 0 {
            return Err(RoleError::InUse(holders));
        }
        sqlx::query("DELETE FROM roles WHERE role_id = $1").bind(id).execute(&mut *tx).await?;
        let entry = by.audits("DELETE_ROLE", "roles", format!("role/{id}"));
        self.commit(tx, entry.with(json!({ "role_name": role.role_name }))).await?;
        Ok(role)
    }

    /// Records and commits a change, tells the other processes, and makes it true here before the answer.
    async fn commit(&self, mut tx: sqlx::Transaction<'_, Postgres>, entry: Entry) -> Result<(), sqlx::Error> {
        audit::record(&mut tx, self.clock.now(), entry).await?;
        Hint::Book.notify(&mut tx).await?;
        tx.commit().await?;
        self.gate.changed_book().await;
        Ok(())
    }
}

fn select(columns: &str, listing: &Listing) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("SELECT ");
    sql.push(columns).push(" FROM roles r WHERE true");
    if let Some(name) = &listing.role_name {
        sql.push(" AND strpos(lower(r.role_name), lower(").push_bind(name.clone()).push(")) > 0");
    }
    if let Some(resource) = &listing.resource {
        sql.push(
            " AND EXISTS (SELECT 1 FROM role_permissions l JOIN permissions p USING (permission_id) \
               WHERE l.role_id = r.role_id AND strpos(lower(p.resource), lower(",
        );
        sql.push_bind(resource.clone()).push(")) > 0)");
    }
    sql
}

async fn find(db: &mut PgConnection, role: i64) -> Result<RoleResponse, RoleError> {
    let mut sql = QueryBuilder::new("SELECT ");
    sql.push(COLUMNS).push(" FROM roles r WHERE r.role_id = ").push_bind(role);
    sql.build_query_as().fetch_optional(db).await?.ok_or(RoleError::NotFound)
}

/// Replaces what a role allows.
async fn grant(db: &mut PgConnection, role: i64, wanted: &Wanted) -> Result<(), RoleError> {
    let (mut given, new_flags): (Vec<(i64, Option<Flags>)>, bool) = match wanted {
        Wanted::Permissions(ids) => (ids.iter().map(|id| (*id, None)).collect(), false),
        Wanted::Flags(flags) => (flags.iter().map(|(id, flags)| (*id, Some(*flags))).collect(), true),
    };
    given.sort_by_key(|(id, _)| *id);
    given.dedup_by_key(|(id, _)| *id);
    let ids: Vec<i64> = given.iter().map(|(id, _)| *id).collect();
    let flag = |read: fn(Flags) -> bool| given.iter().map(|(_, flags)| flags.map(read)).collect::<Vec<_>>();
    let unknown: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM unnest($1::bigint[]) AS given (id) \
         WHERE NOT EXISTS (SELECT 1 FROM permissions WHERE permission_id = id)",
    )
    .bind(&ids)
    .fetch_all(&mut *db)
    .await?;
    if !unknown.is_empty() {
        return Err(RoleError::UnknownPermissions(unknown));
    }
    sqlx::query("DELETE FROM role_permissions WHERE role_id = $1 AND permission_id <> ALL($2)")
        .bind(role)
        .bind(&ids)
        .execute(&mut *db)
        .await?;
    sqlx::query(
        "INSERT INTO role_permissions AS l (role_id, permission_id, read, write, edit, delete) \
         SELECT $1, p.permission_id, p.read AND COALESCE(g.read, true), p.write AND COALESCE(g.write, true), \
             p.edit AND COALESCE(g.edit, true), p.delete AND COALESCE(g.delete, true) \
         FROM unnest($2::bigint[], $3::boolean[], $4::boolean[], $5::boolean[], $6::boolean[]) \
                  AS g (permission_id, read, write, edit, delete) JOIN permissions p USING (permission_id) \
         ON CONFLICT (role_id, permission_id) DO UPDATE SET read = excluded.read, write = excluded.write, \
             edit = excluded.edit, delete = excluded.delete WHERE $7",
    )
    .bind(role)
    .bind(&ids)
    .bind(flag(|flags| flags.read))
    .bind(flag(|flags| flags.write))
    .bind(flag(|flags| flags.edit))
    .bind(flag(|flags| flags.delete))
    .bind(new_flags)
    .execute(db)
    .await?;
    Ok(())
}

/// Passes when the caller's role allows all that `role` does.
async fn within(db: &mut PgConnection, role: i64, by: &Administrator) -> Result<(), RoleError> {
    if exceeds(db, role, by.role.role_id).await? { Err(RoleError::BeyondOwnRole) } else { Ok(()) }
}

/// What the audit log is told of a role: its name, and of each resource the letters of what it allows.
fn told(role: &RoleResponse) -> Value {
    let letters = |flags: Flags| {
        let all = [(flags.read, 'r'), (flags.write, 'w'), (flags.edit, 'e'), (flags.delete, 'd')];
        all.into_iter().filter_map(|(set, letter)| set.then_some(letter)).collect::<String>()
    };
    let rows = role.permissions.iter();
    let permissions: Map<String, Value> =
        rows.map(|row| (row.resource.clone(), Value::from(letters(row.flags)))).collect();
    json!({ "role_name": role.role_name, "permissions": permissions })
}

fn allows_all_of(new: &RoleResponse, old: &RoleResponse) -> bool {
    old.permissions.iter().all(|before| {
        let same = new.permissions.iter().find(|permission| permission.permission_id == before.permission_id);
        same.is_some_and(|after| after.flags.cover(before.flags))
    })
}
