//! The rights there are, the five roles to begin with, and administrators.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::PhoneNumber;
use sqlx::PgConnection;

use super::changes::lock_changes;
use super::words::{Flags, Resource};
use crate::auth::listener::Hint;

/// The role that may do everything.
pub const SUPER_ADMIN: &str = "SuperAdmin";

/// Roles in the order of [`MATRIX`]'s columns.
pub const ROLES: [&str; 5] = [SUPER_ADMIN, "Manager", "Support", "ContentEditor", "Viewer"];

/// Administrators of each role in the demo data.
pub const ADMINS_PER_ROLE: usize = 3;

/// Per resource: what can be granted at all, then what each of [`ROLES`] gets (r read, w write, e edit, d delete). Every
/// role has its own profile; Support and Viewer only look.
const MATRIX: &[(Resource, &str, [&str; 5])] = &[
    (Resource::Users, "rwed", ["rwed", "rwed", "r", "", ""]),
    (Resource::Posts, "rwe", ["rwe", "rwe", "", "", ""]),
    (Resource::Reports, "r", ["r", "r", "r", "", "r"]),
    (Resource::Admins, "rwed", ["rwed", "", "", "", ""]),
    (Resource::AdminMe, "red", ["red", "re", "re", "re", "re"]),
    (Resource::PlanGroups, "rwed", ["rwed", "", "", "", ""]),
    (Resource::Plans, "rwed", ["rwed", "rwed", "", "", ""]),
    (Resource::OfferType, "rwed", ["rwed", "", "", "", ""]),
    (Resource::Offers, "rwed", ["rwed", "rwed", "", "rwed", ""]),
    (Resource::Recharge, "rwed", ["rwed", "rwed", "", "", ""]),
    (Resource::Autopay, "rwed", ["rwed", "", "", "", ""]),
    (Resource::Referral, "rwed", ["rwed", "", "r", "", ""]),
    (Resource::ContactForm, "rwed", ["rwed", "", "r", "", ""]),
    (Resource::Content, "rwed", ["rwed", "", "", "rwed", "r"]),
    (Resource::Announcement, "rwed", ["rwed", "", "", "rwed", ""]),
    (Resource::Backup, "rwed", ["rwed", "", "", "", ""]),
    (Resource::Sessions, "rwed", ["rwed", "rwed", "", "", ""]),
    (Resource::Roles, "rwed", ["rwed", "", "", "", ""]),
    (Resource::AuditLogs, "r", ["r", "", "", "", ""]),
    (Resource::Partners, "rwed", ["rwed", "", "", "", ""]),
    (Resource::Messages, "red", ["red", "", "", "", ""]),
];

/// Makes the permissions that are missing and, when there are no roles at all, the five roles with their links. Roles
/// that an administrator has changed or removed stay as they are.
///
/// # Errors
/// Those of the database.
pub async fn seed_roles(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    lock_changes(db).await?;
    for (resource, row, _) in MATRIX {
        let flags = Flags::from_letters(row);
        sqlx::query(
            "INSERT INTO permissions (resource, read, write, edit, delete) SELECT $1, $2, $3, $4, $5 \
             WHERE NOT EXISTS (SELECT 1 FROM permissions WHERE resource = $1)",
        )
        .bind(resource.as_str())
        .bind(flags.read)
        .bind(flags.write)
        .bind(flags.edit)
        .bind(flags.delete)
        .execute(&mut *db)
        .await?;
    }
    let any: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM roles)").fetch_one(&mut *db).await?;
    if any {
        return Ok(());
    }
    for (column, role) in ROLES.iter().enumerate() {
        sqlx::query("INSERT INTO roles (role_name) VALUES ($1)").bind(role).execute(&mut *db).await?;
        for (resource, _, roles) in MATRIX {
            let letters = roles.get(column).copied().unwrap_or_default();
            if letters.is_empty() {
                continue;
            }
            let flags = Flags::from_letters(letters);
            sqlx::query(
                "INSERT INTO role_permissions (role_id, permission_id, read, write, edit, delete) \
                 SELECT r.role_id, p.permission_id, $3, $4, $5, $6 FROM roles r, permissions p \
                 WHERE r.role_name = $1 AND p.resource = $2",
            )
            .bind(role)
            .bind(resource.as_str())
            .bind(flags.read)
            .bind(flags.write)
            .bind(flags.edit)
            .bind(flags.delete)
            .execute(&mut *db)
            .await?;
        }
    }
    Hint::Book.notify(db).await
}

/// What asking for a first administrator came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuperAdmin {
    /// Made.
    Made,
    /// There is one already (perhaps with another number).
    Exists,
    /// The number is a customer's or another administrator's.
    NumberTaken,
}

/// Makes an administrator with the role SuperAdmin and that number, when nobody has the role.
///
/// # Errors
/// Those of the database.
pub async fn ensure_super_admin(
    db: &mut PgConnection,
    phone: PhoneNumber,
    now: DateTime<Utc>,
) -> Result<SuperAdmin, sqlx::Error> {
    lock_changes(db).await?;
    let exists: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM admins JOIN roles USING (role_id) WHERE role_name = $1)",
    )
    .bind(SUPER_ADMIN)
    .fetch_one(&mut *db)
    .await?;
    if exists {
        return Ok(SuperAdmin::Exists);
    }
    let made = insert_admin(db, SUPER_ADMIN, "Super Admin", "superadmin@example.com", phone, now).await?;
    Ok(if made { SuperAdmin::Made } else { SuperAdmin::NumberTaken })
}

/// Makes the demo administrators that are missing: three of each role, 9000000001 to 9000000015 in the order of
/// [`ROLES`], e-mail `<role>_admin<n>@example.com`.
///
/// # Errors
/// Those of the database.
pub async fn seed_admins(db: &mut PgConnection, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let seats = ROLES.iter().flat_map(|role| (1..=ADMINS_PER_ROLE).map(move |number| (role, number)));
    for ((role, number), phone) in seats.zip(9_000_000_001_i64..) {
        let Ok(phone) = PhoneNumber::parse(&phone.to_string()) else { continue };
        let name = format!("{role}_Admin_{number}");
        let email = format!("{}_admin{number}@example.com", role.to_ascii_lowercase());
        insert_admin(db, role, &name, &email, phone, now).await?;
    }
    Ok(())
}

async fn insert_admin(
    db: &mut PgConnection,
    role: &str,
    name: &str,
    email: &str,
    phone: PhoneNumber,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let made = sqlx::query(
        "INSERT INTO admins (name, email, phone, role_id, created_at) \
         SELECT $2, $3, $4, role_id, $5 FROM roles WHERE role_name = $1 \
           AND NOT EXISTS (SELECT 1 FROM admins WHERE phone = $4 OR lower(email) = lower($3)) \
           AND NOT EXISTS (SELECT 1 FROM users WHERE phone = $4)",
    )
    .bind(role)
    .bind(name)
    .bind(email)
    .bind(phone.e164())
    .bind(now)
    .execute(&mut *db)
    .await?
    .rows_affected();
    if made > 0 {
        Hint::Book.notify(db).await?;
    }
    Ok(made > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Action, Permissions};

    #[test]
    fn the_matrix_covers_every_resource_and_grants_nothing_beyond_it() {
        assert_eq!(MATRIX.iter().map(|row| row.0).collect::<Vec<_>>(), Resource::ALL);
        for (resource, row, roles) in MATRIX {
            for letters in roles {
                assert!(letters.chars().all(|letter| row.contains(letter)), "{resource:?} {letters}");
            }
        }
    }

    #[test]
    fn support_and_viewer_only_look_apart_from_their_own_profile() {
        for column in [2, 4] {
            let mut rights = Permissions::default();
            for (resource, _, roles) in MATRIX {
                rights.grant(*resource, Flags::from_letters(roles[column]));
            }
            for resource in Resource::ALL.iter().filter(|resource| **resource != Resource::AdminMe) {
                for action in [Action::Write, Action::Edit, Action::Delete] {
                    assert!(!rights.allow(*resource, action), "{} {resource:?} {action:?}", ROLES[column]);
                }
            }
            assert!(rights.allow(Resource::AdminMe, Action::Edit));
        }
    }
}
