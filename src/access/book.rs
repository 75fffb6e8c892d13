//! Who the administrators are and what their roles allow, held in process and read from SQL as a whole: both tables are
//! small, and a token then carries no authority of its own beyond naming its holder.

use std::collections::HashMap;
use std::sync::Arc;

use gencharge_actors::kernel::AdminId;
use sqlx::{PgConnection, Row};

use super::words::{Flags, Permissions, Resource};

/// A role with what it allows.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its id.
    pub role_id: i64,
    /// Its name.
    pub name: String,
    /// What it allows.
    pub permissions: Permissions,
}

/// Every administrator's role, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct AccessBook {
    admins: HashMap<AdminId, Arc<Role>>,
}

impl AccessBook {
    /// Reads roles, links and administrators.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn load(db: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let links = sqlx::query(
            "SELECT r.role_id, r.role_name, p.resource, \
                    rp.read AND p.read AS read, rp.write AND p.write AS write, \
                    rp.edit AND p.edit AS edit, rp.delete AND p.delete AS delete \
             FROM roles r LEFT JOIN role_permissions rp USING (role_id) LEFT JOIN permissions p USING (permission_id)",
        )
        .fetch_all(&mut *db)
        .await?;
        let mut roles: HashMap<i64, Role> = HashMap::new();
        for row in links {
            let role_id: i64 = row.try_get("role_id")?;
            let name: String = row.try_get("role_name")?;
            let role =
                roles.entry(role_id).or_insert(Role { role_id, name, permissions: Permissions::default() });
            let Some(word) = row.try_get::<Option<String>, _>("resource")? else { continue };
            if let Some(resource) = Resource::from_word(&word) {
                let flags = Flags {
                    read: row.try_get("read")?,
                    write: row.try_get("write")?,
                    edit: row.try_get("edit")?,
                    delete: row.try_get("delete")?,
                };
                role.permissions.grant(resource, flags);
            }
        }
        let roles: HashMap<i64, Arc<Role>> =
            roles.into_iter().map(|(id, role)| (id, Arc::new(role))).collect();
        let rows: Vec<(i64, i64)> =
            sqlx::query_as("SELECT admin_id, role_id FROM admins").fetch_all(&mut *db).await?;
        let admins = rows
            .into_iter()
            .filter_map(|(admin, role)| Some((AdminId(admin), Arc::clone(roles.get(&role)?))))
            .collect();
        Ok(Self { admins })
    }

    /// The role of an administrator; `None` when there is no such administrator (any more).
    #[must_use]
    pub fn role_of(&self, admin: AdminId) -> Option<Arc<Role>> {
        self.admins.get(&admin).cloned()
    }
}
