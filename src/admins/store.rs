//! Administrators in SQL. A method is a transaction.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{AdminId, Clock, PhoneNumber};
use serde_json::{Map, Value, json};
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use super::shape::{AdminOut, COLUMNS};
use crate::access::{SUPER_ADMIN, exceeds, lock_changes};
use crate::audit::{self, Entry};
use crate::auth::listener::Hint;
use crate::auth::{Administrator, Gate, SubjectKind, end_all_sessions};
use crate::http::array::Window;
use crate::platform::postgres::violates;
use crate::users::{EmailAddress, PersonName};

/// Which administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Id(i64),
    Phone(PhoneNumber),
}

impl Key {
    /// A value of ten digits is a phone number, any other number an id.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        match PhoneNumber::parse(text) {
            Ok(phone) if text.len() == 10 => Some(Self::Phone(phone)),
            _ => text.parse().ok().map(Self::Id),
        }
    }
}

/// Fields of an administrator to set; `None` leaves one as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct AdminChange {
    pub name: Option<PersonName>,
    pub email: Option<EmailAddress>,
    pub phone: Option<PhoneNumber>,
    pub role_name: Option<String>,
}

impl AdminChange {
    /// What the audit log is told: the role, and of personal data only that it changed.
    fn told(&self) -> Value {
        let mut told = Map::new();
        let changed = |given: bool| given.then(|| Value::from("changed"));
        let fields = [
            ("name", changed(self.name.is_some())),
            ("email", changed(self.email.is_some())),
            ("phone_number", changed(self.phone.is_some())),
            ("role_name", self.role_name.clone().map(Value::from)),
        ];
        for (field, value) in fields {
            told.extend(value.map(|value| (field.to_owned(), value)));
        }
        Value::Object(told)
    }
}

/// An administrator to add.
#[derive(Clone, Debug)]
pub(super) struct NewAdmin {
    pub name: PersonName,
    pub email: EmailAddress,
    pub phone: PhoneNumber,
    pub role_name: String,
}

/// A list as asked for.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub role_name: Option<String>,
    pub order: &'static str,
    pub descending: bool,
    pub window: Window,
}

/// Why something did not come to pass.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No such administrator.
    #[error("no such administrator")]
    NotFound,
    /// No such role.
    #[error("no such role")]
    UnknownRole {
        /// Those there are.
        available: Vec<String>,
    },
    /// Another administrator or a customer has the number.
    #[error("the number is taken")]
    PhoneTaken,
    /// Another administrator has the e-mail address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// Nobody would be left who may do everything.
    #[error("the last SuperAdmin")]
    LastSuperAdmin,
    /// The role in question allows more than the caller's own.
    #[error("beyond the own role")]
    BeyondOwnRole,
    /// The database.
    #[error(transparent)]
    Store(sqlx::Error),
}

impl From<sqlx::Error> for AdminError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            error if violates(&error, "admins_email_key") => Self::EmailTaken,
            error if violates(&error, "admins_phone_key") => Self::PhoneTaken,
            error if violates(&error, "numbers_have_one_owner") => Self::PhoneTaken,
            error => Self::Store(error),
        }
    }
}

/// Administrators; clones share everything.
#[derive(Clone)]
pub struct Admins {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    gate: Gate,
}

impl Admins {
    /// The service.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, gate: Gate) -> Self {
        Self { pool, clock, gate }
    }

    /// The administrators of one page, and how many there are in all.
    pub(super) async fn list(&self, listing: &Listing) -> Result<(Vec<AdminOut>, i64), sqlx::Error> {
        let total = select("count(*)", listing).build_query_scalar().fetch_one(&self.pool).await?;
        let mut sql = select(COLUMNS, listing);
        let column = match listing.order {
            "name" => "a.name",
            "email" => "a.email",
            "updated_at" => "a.updated_at",
            _ => "a.created_at",
        };
        sql.push(" ORDER BY ").push(column);
        sql.push(if listing.descending { " DESC NULLS LAST" } else { " ASC NULLS LAST" });
        let page = listing.window.page();
        sql.push(", a.admin_id OFFSET ").push_bind(page.offset);
        if let Some(limit) = page.limit {
            sql.push(" LIMIT ").push_bind(limit);
        }
        Ok((sql.build_query_as().fetch_all(&self.pool).await?, total))
    }

    /// An administrator.
    pub(super) async fn one(&self, admin: AdminId) -> Result<AdminOut, AdminError> {
        let mut db = self.pool.acquire().await?;
        find(&mut db, Key::Id(admin.get())).await?.ok_or(AdminError::NotFound)
    }

    /// Adds an administrator.
    pub(super) async fn add(&self, by: &Administrator, new: &NewAdmin) -> Result<AdminOut, AdminError> {
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        lock_changes(&mut tx).await?;
        let role = role(&mut tx, &new.role_name, by).await?;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO admins (name, email, phone, role_id, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING admin_id",
        )
        .bind(new.name.as_str())
        .bind(new.email.as_str())
        .bind(new.phone.e164())
        .bind(role)
        .bind(now)
        .fetch_one(&mut *tx)
        .await?;
        let added = find(&mut tx, Key::Id(id)).await?.ok_or(AdminError::NotFound)?;
        let changes = json!({ "role_name": added.role_name });
        let entry = by.audits("ADD_ADMIN", "admins", format!("admin/{id}")).with(changes);
        self.commit(tx, entry, now, Vec::new()).await?;
        Ok(added)
    }

    /// Changes an administrator. Another number ends the sessions of the old one.
    pub(super) async fn change(
        &self,
        by: &Administrator,
        key: Key,
        change: &AdminChange,
    ) -> Result<AdminOut, AdminError> {
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        lock_changes(&mut tx).await?;
        let old = find(&mut tx, key).await?.ok_or(AdminError::NotFound)?;
        within(&mut tx, &old, by).await?;
        let role_id = match &change.role_name {
            Some(name) => Some(role(&mut tx, name, by).await?),
            None => None,
        };
        if role_id.is_some_and(|role| role != old.role_id) {
            keep_a_super_admin(&mut tx, &old).await?;
        }
        sqlx::query(
            "UPDATE admins SET name = COALESCE($2, name), email = COALESCE($3, email), phone = COALESCE($4, phone), \
                 role_id = COALESCE($5, role_id), updated_at = $6 WHERE admin_id = $1",
        )
        .bind(old.admin_id)
        .bind(change.name.as_ref().map(PersonName::as_str))
        .bind(change.email.as_ref().map(EmailAddress::as_str))
        .bind(change.phone.map(PhoneNumber::e164))
        .bind(role_id)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        let new = find(&mut tx, Key::Id(old.admin_id)).await?.ok_or(AdminError::NotFound)?;
        let ended = if new.phone_number == old.phone_number {
            Vec::new()
        } else {
            end_all_sessions(&mut tx, SubjectKind::Admin, old.admin_id, "number_changed", now).await?
        };
        let entry = by.audits("UPDATE_ADMIN", "admins", format!("admin/{}", old.admin_id));
        self.commit(tx, entry.with(change.told()), now, ended).await?;
        Ok(new)
    }

    /// Removes an administrator, whose sessions end.
    pub(super) async fn remove(&self, by: &Administrator, key: Key) -> Result<AdminOut, AdminError> {
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        lock_changes(&mut tx).await?;
        let old = find(&mut tx, key).await?.ok_or(AdminError::NotFound)?;
        within(&mut tx, &old, by).await?;
        keep_a_super_admin(&mut tx, &old).await?;
        sqlx::query("DELETE FROM admins WHERE admin_id = $1").bind(old.admin_id).execute(&mut *tx).await?;
        let ended =
            end_all_sessions(&mut tx, SubjectKind::Admin, old.admin_id, "administrator_removed", now).await?;
        let entry = by.audits("REMOVE_ADMIN", "admins", format!("admin/{}", old.admin_id));
        self.commit(tx, entry.with(json!({ "role_name": old.role_name })), now, ended).await?;
        Ok(old)
    }

    /// Records and commits a change, tells the other processes, and makes it true here before the answer.
    async fn commit(
        &self,
        mut tx: sqlx::Transaction<'_, Postgres>,
        entry: Entry,
        now: DateTime<Utc>,
        ended: Vec<(Uuid, DateTime<Utc>)>,
    ) -> Result<(), AdminError> {
        audit::record(&mut tx, now, entry).await?;
        Hint::Book.notify(&mut tx).await?;
        tx.commit().await?;
        for (session, until) in ended {
            self.gate.revoke_session(session, until.timestamp());
        }
        self.gate.changed_book().await;
        Ok(())
    }
}

fn select(columns: &str, listing: &Listing) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("SELECT ");
    sql.push(columns).push(" FROM admins a JOIN roles r USING (role_id) WHERE true");
    let filters = [
        ("a.name", &listing.name),
        ("a.email", &listing.email),
        ("right(a.phone::text, 10)", &listing.phone),
        ("r.role_name", &listing.role_name),
    ];
    for (column, text) in filters {
        if let Some(text) = text {
            sql.push(" AND strpos(lower(")
                .push(column)
                .push("), lower(")
                .push_bind(text.clone())
                .push(")) > 0");
        }
    }
    sql
}

async fn find(db: &mut PgConnection, key: Key) -> Result<Option<AdminOut>, sqlx::Error> {
    let mut sql = QueryBuilder::new("SELECT ");
    sql.push(COLUMNS).push(" FROM admins a JOIN roles r USING (role_id) WHERE ");
    match key {
        Key::Id(id) => sql.push("a.admin_id = ").push_bind(id),
        Key::Phone(phone) => sql.push("a.phone = ").push_bind(phone.e164()),
    };
    sql.build_query_as().fetch_optional(db).await
}

/// The role of that name, if the caller may give it.
async fn role(db: &mut PgConnection, name: &str, by: &Administrator) -> Result<i64, AdminError> {
    let role: Option<i64> = sqlx::query_scalar("SELECT role_id FROM roles WHERE role_name = $1")
        .bind(name)
        .fetch_optional(&mut *db)
        .await?;
    let Some(role) = role else {
        let available = sqlx::query_scalar("SELECT role_name FROM roles ORDER BY role_id LIMIT 100")
            .fetch_all(db)
            .await?;
        return Err(AdminError::UnknownRole { available });
    };
    if exceeds(db, role, by.role.role_id).await? { Err(AdminError::BeyondOwnRole) } else { Ok(role) }
}

/// Passes when the caller's role allows all that the administrator's does.
async fn within(db: &mut PgConnection, admin: &AdminOut, by: &Administrator) -> Result<(), AdminError> {
    if exceeds(db, admin.role_id, by.role.role_id).await? { Err(AdminError::BeyondOwnRole) } else { Ok(()) }
}

/// Passes when a SuperAdmin is left without `admin`.
async fn keep_a_super_admin(db: &mut PgConnection, admin: &AdminOut) -> Result<(), AdminError> {
    if admin.role_name != SUPER_ADMIN {
        return Ok(());
    }
    let others: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM admins WHERE role_id = $1 AND admin_id <> $2)")
            .bind(admin.role_id)
            .bind(admin.admin_id)
            .fetch_one(db)
            .await?;
    if others { Ok(()) } else { Err(AdminError::LastSuperAdmin) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_digits_are_a_phone_number_and_other_numbers_an_id() {
        assert_eq!(Key::parse("9000000001"), PhoneNumber::parse("9000000001").ok().map(Key::Phone));
        assert_eq!(Key::parse("15"), Some(Key::Id(15)));
        // Not a number that anybody can have; nor will there be so many administrators.
        assert_eq!(Key::parse("1000000001"), Some(Key::Id(1_000_000_001)));
        for bad in ["", "x", "-1", "1 ", "99999999999999999999", "+919000000001"] {
            assert_eq!(Key::parse(bad), None, "{bad}");
        }
    }
}
