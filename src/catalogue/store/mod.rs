//! The catalogue in SQL. One method is one transaction.
//!
//! A change is one statement wherever it can be, its entry for the audit log included: the catalogue's lock, which
//! recharges wait for, is then never held over the network.

mod load;
mod names;

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use gencharge_actors::kernel::{AdminId, CatalogueStatus, UserType};
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder};

use super::shape::{OfferRow, PlanResponse, PlanRow};
use super::update::{OfferChanges, PlanChanges};
use crate::audit::{self, Entry};

pub use load::load;
pub(super) use names::{Kind, Named};

const PLAN_COLUMNS: &str = "plan_id, plan_name, validity, most_popular, plan_type, group_id, description, \
     criteria::text AS criteria, price, status, created_by, created_at";

const OFFER_COLUMNS: &str = "offer_id, offer_name, offer_validity, o.offer_type_id, offer_type_name, is_special, \
     criteria::text AS criteria, description, status, created_by, created_at";

/// Recharges this young may have been under way when the history was looked through; wallets' clocks may differ by this.
const YOUNG: TimeDelta = TimeDelta::minutes(1);

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeError {
    /// No such plan, offer, group or type.
    #[error("there is none with that id")]
    Missing,
    /// The group (or type) it should belong to does not exist.
    #[error("what it should belong to does not exist")]
    UnknownParent,
    /// Another one has the name.
    #[error("the name is taken")]
    Duplicate,
    /// Customers' histories or rules refer to it.
    #[error("it is in use")]
    InUse,
    /// The database.
    #[error(transparent)]
    Sql(sqlx::Error),
}

/// 23503: a plan or offer that is written points at no group or type; one that goes is pointed at. 23505: names.
impl From<sqlx::Error> for ChangeError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.is_foreign_key_violation() => Self::UnknownParent,
            sqlx::Error::Database(database) if database.is_unique_violation() => Self::Duplicate,
            _ => Self::Sql(error),
        }
    }
}

/// What customers buy or use, by the column of `transactions` that refers to it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Article {
    Plan,
    Offer,
}

impl Article {
    const fn table(self) -> &'static str {
        match self {
            Self::Plan => "plans",
            Self::Offer => "offers",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Plan => "plan_id",
            Self::Offer => "offer_id",
        }
    }
}

/// Plans and offers as rows, plan groups and offer types as names.
#[derive(Clone, Debug)]
pub struct CatalogueStore {
    pool: PgPool,
}

impl CatalogueStore {
    /// On this pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// All active plans and all active offers (expired ones too), in no order.
    pub(super) async fn active(&self) -> Result<(Vec<PlanRow>, Vec<OfferRow>), sqlx::Error> {
        let mut conn = self.pool.acquire().await?;
        let plans = plans().push(" WHERE status = 'active'").build_query_as().fetch_all(&mut *conn).await?;
        let offers = offers().push(" WHERE status = 'active'").build_query_as().fetch_all(&mut *conn).await?;
        Ok((plans, offers))
    }

    /// All plans, in no order.
    pub(super) async fn plans(&self) -> Result<Vec<PlanRow>, sqlx::Error> {
        plans().build_query_as().fetch_all(&self.pool).await
    }

    /// The plans with these ids, as administrators see them.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn plans_of(&self, ids: &[i64]) -> Result<HashMap<i64, PlanResponse>, sqlx::Error> {
        let mut query = plans();
        query.push(" WHERE plan_id = ANY(").push_bind(ids).push(")");
        let rows: Vec<PlanRow> = query.build_query_as().fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| (row.plan_id, PlanResponse::from(row))).collect())
    }

    /// All offers, in no order.
    pub(super) async fn offers(&self) -> Result<Vec<OfferRow>, sqlx::Error> {
        offers().build_query_as().fetch_all(&self.pool).await
    }

    /// One plan.
    pub(super) async fn plan(&self, plan_id: i64) -> Result<Option<PlanRow>, sqlx::Error> {
        let mut query = plans();
        query.push(" WHERE plan_id = ").push_bind(plan_id);
        query.build_query_as().fetch_optional(&self.pool).await
    }

    /// One offer.
    pub(super) async fn offer(&self, offer_id: i64) -> Result<Option<OfferRow>, sqlx::Error> {
        let mut query = offers();
        query.push(" WHERE offer_id = ").push_bind(offer_id);
        query.build_query_as().fetch_optional(&self.pool).await
    }

    /// Makes a plan; what `new` does not say has its default.
    pub(super) async fn make_plan(
        &self,
        new: PlanChanges,
        by: Entry,
        now: DateTime<Utc>,
    ) -> Result<PlanRow, ChangeError> {
        let mut query = QueryBuilder::<Postgres>::new(
            "WITH changed AS (INSERT INTO plans (plan_name, validity, most_popular, plan_type, group_id, description, \
             criteria, price, status, created_by, created_at) VALUES (",
        );
        let mut values = query.separated(", ");
        values.push_bind(new.plan_name).push_bind(new.validity.flatten());
        values.push_bind(new.most_popular.unwrap_or(false)).push_bind(new.plan_type.map(UserType::as_str));
        values.push_bind(new.group_id.flatten()).push_bind(new.description.flatten());
        values.push_bind(new.criteria.flatten()).push_unseparated("::jsonb");
        values.push_bind(new.price.map(|price| price.get()));
        values.push_bind(new.status.unwrap_or(CatalogueStatus::Active).as_str());
        values.push_bind(by.actor.admin_id().map(AdminId::get)).push_bind(now);
        query.push(") RETURNING *) SELECT ").push(PLAN_COLUMNS);
        audited(&mut query, "plan/", "plan_id", by, now);
        query.push(" FROM changed");
        Ok(query.build_query_as().fetch_one(&self.pool).await?)
    }

    /// Changes a plan.
    pub(super) async fn change_plan(
        &self,
        plan_id: i64,
        changes: PlanChanges,
        by: Entry,
        now: DateTime<Utc>,
    ) -> Result<PlanRow, ChangeError> {
        // Setting the key to itself lets every field be optional.
        let mut query = QueryBuilder::<Postgres>::new("WITH changed AS (UPDATE plans SET plan_id = plan_id");
        assign(&mut query, "plan_name", changes.plan_name);
        assign(&mut query, "validity", changes.validity);
        assign(&mut query, "most_popular", changes.most_popular);
        assign(&mut query, "plan_type", changes.plan_type.map(UserType::as_str));
        assign(&mut query, "group_id", changes.group_id);
        assign(&mut query, "description", changes.description);
        if assign(&mut query, "criteria", changes.criteria) {
            query.push("::jsonb");
        }
        assign(&mut query, "price", changes.price.map(|price| price.get()));
        assign(&mut query, "status", changes.status.map(CatalogueStatus::as_str));
        query.push(" WHERE plan_id = ").push_bind(plan_id);
        query.push(" RETURNING *) SELECT ").push(PLAN_COLUMNS);
        audited(&mut query, "plan/", "plan_id", by, now);
        query.push(" FROM changed");
        query.build_query_as().fetch_optional(&self.pool).await?.ok_or(ChangeError::Missing)
    }

    /// Makes an offer; what `new` does not say has its default.
    pub(super) async fn make_offer(
        &self,
        new: OfferChanges,
        by: Entry,
        now: DateTime<Utc>,
    ) -> Result<OfferRow, ChangeError> {
        let mut query = QueryBuilder::<Postgres>::new(
            "WITH changed AS (INSERT INTO offers (offer_name, offer_validity, offer_type_id, is_special, criteria, \
             description, status, created_by, created_at) VALUES (",
        );
        let mut values = query.separated(", ");
        values.push_bind(new.offer_name).push_bind(new.offer_validity.flatten());
        values.push_bind(new.offer_type_id.flatten()).push_bind(new.is_special.unwrap_or(false));
        values.push_bind(new.criteria.flatten()).push_unseparated("::jsonb");
        values.push_bind(new.description.flatten());
        values.push_bind(new.status.unwrap_or(CatalogueStatus::Active).as_str());
        values.push_bind(by.actor.admin_id().map(AdminId::get)).push_bind(now);
        query.push(") RETURNING *) SELECT ").push(OFFER_COLUMNS);
        audited(&mut query, "offer/", "offer_id", by, now);
        query.push(" FROM changed o LEFT JOIN offer_types t ON t.offer_type_id = o.offer_type_id");
        Ok(query.build_query_as().fetch_one(&self.pool).await?)
    }

    /// Changes an offer.
    pub(super) async fn change_offer(
        &self,
        offer_id: i64,
        changes: OfferChanges,
        by: Entry,
        now: DateTime<Utc>,
    ) -> Result<OfferRow, ChangeError> {
        let mut query =
            QueryBuilder::<Postgres>::new("WITH changed AS (UPDATE offers SET offer_id = offer_id");
        assign(&mut query, "offer_name", changes.offer_name);
        assign(&mut query, "offer_validity", changes.offer_validity);
        assign(&mut query, "offer_type_id", changes.offer_type_id);
        assign(&mut query, "is_special", changes.is_special);
        if assign(&mut query, "criteria", changes.criteria) {
            query.push("::jsonb");
        }
        assign(&mut query, "description", changes.description);
        assign(&mut query, "status", changes.status.map(CatalogueStatus::as_str));
        query.push(" WHERE offer_id = ").push_bind(offer_id);
        query.push(" RETURNING *) SELECT ").push(OFFER_COLUMNS);
        audited(&mut query, "offer/", "offer_id", by, now);
        query.push(" FROM changed o LEFT JOIN offer_types t ON t.offer_type_id = o.offer_type_id");
        query.build_query_as().fetch_optional(&self.pool).await?.ok_or(ChangeError::Missing)
    }

    /// Deletes a plan or offer that nobody has ever bought or used.
    ///
    /// The history is looked through before the catalogue's lock is taken, because it may be long; under the lock, when
    /// nobody can buy, only its youngest part is.
    pub(super) async fn delete(
        &self,
        article: Article,
        id: i64,
        by: Entry,
        now: DateTime<Utc>,
    ) -> Result<(), ChangeError> {
        let mut tx = self.pool.begin().await.map_err(ChangeError::Sql)?;
        if used(&mut tx, article, id, None).await? {
            return Err(ChangeError::InUse);
        }
        // A statement of its own: the next one's snapshot must be younger than the lock.
        sqlx::query("SELECT pg_advisory_xact_lock(4201)").execute(&mut *tx).await?;
        if used(&mut tx, article, id, Some(now - YOUNG)).await? {
            return Err(ChangeError::InUse);
        }
        let mut query = QueryBuilder::<Postgres>::new("DELETE FROM ");
        query.push(article.table()).push(" WHERE ").push(article.key()).push(" = ").push_bind(id);
        let deleted =
            query.build().execute(&mut *tx).await.map_err(|error| match ChangeError::from(error) {
                ChangeError::UnknownParent => ChangeError::InUse,
                other => other,
            })?;
        if deleted.rows_affected() == 0 {
            return Err(ChangeError::Missing);
        }
        audit::record(&mut tx, now, by).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn plans() -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("SELECT ");
    query.push(PLAN_COLUMNS).push(" FROM plans");
    query
}

fn offers() -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("SELECT ");
    query.push(OFFER_COLUMNS);
    query.push(" FROM offers o LEFT JOIN offer_types t ON t.offer_type_id = o.offer_type_id");
    query
}

/// `, column = value`, when there is one; true if so.
fn assign<'t, T>(query: &mut QueryBuilder<Postgres>, column: &'static str, value: Option<T>) -> bool
where
    T: sqlx::Encode<'t, Postgres> + sqlx::Type<Postgres>,
{
    let Some(value) = value else { return false };
    query.push(", ").push(column).push(" = ").push_bind(value);
    true
}

/// Writes the entry for the audit log in the statement that makes the change: as one more column of what it returns. Its
/// target is `prefix` with the row's `key`.
fn audited(
    query: &mut QueryBuilder<Postgres>,
    prefix: &'static str,
    key: &'static str,
    by: Entry,
    now: DateTime<Utc>,
) {
    query
        .push(", audit_target(")
        .push_bind(now)
        .push(format_args!(", '{prefix}' || {key}, "))
        .push_bind(by.event(now).data_json())
        .push(")");
}

/// Whether a recharge (since then) was with it.
async fn used(
    db: &mut PgConnection,
    article: Article,
    id: i64,
    since: Option<DateTime<Utc>>,
) -> Result<bool, sqlx::Error> {
    // `txn_id > 0`: the index by time serves the young part.
    let mut query =
        QueryBuilder::<Postgres>::new("SELECT EXISTS (SELECT FROM transactions WHERE txn_id > 0 AND ");
    query.push(article.key()).push(" = ").push_bind(id);
    if let Some(since) = since {
        query.push(" AND created_at >= ").push_bind(since);
    }
    query.push(")").build_query_scalar().fetch_one(db).await
}
