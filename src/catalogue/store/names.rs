//! Plan groups and offer types: each an id and a name that no other has.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};

use super::{CatalogueStore, ChangeError, audited};
use crate::audit::Entry;

/// Which names.
#[derive(Clone, Copy, Debug)]
pub(in crate::catalogue) enum Kind {
    PlanGroup,
    OfferType,
}

/// Where a kind of names is kept.
struct Place {
    table: &'static str,
    key: &'static str,
    name: &'static str,
    target: &'static str,
}

impl Kind {
    const fn place(self) -> Place {
        match self {
            Self::PlanGroup => {
                Place { table: "plan_groups", key: "group_id", name: "group_name", target: "plan_group/" }
            }
            Self::OfferType => Place {
                table: "offer_types",
                key: "offer_type_id",
                name: "offer_type_name",
                target: "offer_type/",
            },
        }
    }
}

/// A name with its id.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(in crate::catalogue) struct Named {
    pub id: i64,
    pub name: String,
}

impl CatalogueStore {
    /// All names of a kind, by id.
    pub(in crate::catalogue) async fn names(&self, kind: Kind) -> Result<Vec<Named>, sqlx::Error> {
        let mut query = select(&kind.place());
        query.push(" ORDER BY 1").build_query_as().fetch_all(&self.pool).await
    }

    /// One name.
    pub(in crate::catalogue) async fn name(&self, kind: Kind, id: i64) -> Result<Option<Named>, sqlx::Error> {
        let place = kind.place();
        let mut query = select(&place);
        query.push(" WHERE ").push(place.key).push(" = ").push_bind(id);
        query.build_query_as().fetch_optional(&self.pool).await
    }

    /// Makes a name.
    pub(in crate::catalogue) async fn make_name(
        &self,
        kind: Kind,
        name: String,
        by: Entry,
        now: DateTime<Utc>,
    ) -> Result<Named, ChangeError> {
        let place = kind.place();
        let mut query = QueryBuilder::new("WITH changed AS (INSERT INTO ");
        query.push(place.table).push(" (").push(place.name).push(") VALUES (").push_bind(name).push(")");
        finish(&mut query, &place, by, now);
        Ok(query.build_query_as().fetch_one(&self.pool).await?)
    }

    /// Changes a name; `None` leaves it.
    pub(in crate::catalogue) async fn rename(
        &self,
        kind: Kind,
        id: i64,
        name: Option<String>,
        by: Entry,
        now: DateTime<Utc>,
    ) -> Result<Named, ChangeError> {
        let Some(name) = name else {
            return self.name(kind, id).await.map_err(ChangeError::Sql)?.ok_or(ChangeError::Missing);
        };
        let place = kind.place();
        let mut query = QueryBuilder::new("WITH changed AS (UPDATE ");
        query.push(place.table).push(" SET ").push(place.name).push(" = ").push_bind(name);
        query.push(" WHERE ").push(place.key).push(" = ").push_bind(id);
        finish(&mut query, &place, by, now);
        query.build_query_as().fetch_optional(&self.pool).await?.ok_or(ChangeError::Missing)
    }

    /// Deletes a name; the plans or offers that had it have none.
    pub(in crate::catalogue) async fn delete_name(
        &self,
        kind: Kind,
        id: i64,
        by: Entry,
        now: DateTime<Utc>,
    ) -> Result<Named, ChangeError> {
        let place = kind.place();
        let mut query = QueryBuilder::new("WITH changed AS (DELETE FROM ");
        query.push(place.table).push(" WHERE ").push(place.key).push(" = ").push_bind(id);
        finish(&mut query, &place, by, now);
        query.build_query_as().fetch_optional(&self.pool).await?.ok_or(ChangeError::Missing)
    }
}

fn select(place: &Place) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("SELECT ");
    query.push(place.key).push(" AS id, ").push(place.name).push(" AS name FROM ").push(place.table);
    query
}

/// Ends a changing statement: what it changed, and the entry for the audit log.
fn finish(query: &mut QueryBuilder<Postgres>, place: &Place, by: Entry, now: DateTime<Utc>) {
    query.push(" RETURNING *) SELECT ").push(place.key).push(" AS id, ").push(place.name).push(" AS name");
    audited(query, place.target, place.key, by, now);
    query.push(" FROM changed");
}
