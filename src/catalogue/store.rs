//! The catalogue in SQL.

use chrono::{DateTime, Utc};
use gencharge_actors::catalogue::{Catalogue, Conditions, Criteria, Fault, Offer, Plan};
use gencharge_actors::kernel::{OfferId, Paise, PlanId, UserType};
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder};

use super::shape::{OfferRow, PlanRow};
use super::update::{OfferChanges, PlanChanges};

/// Everything that prices a purchase, as of one snapshot. For a reading that stays true to the commit, take the shared
/// advisory lock 4201 in an earlier statement of the same transaction (see migration 0001).
///
/// A row whose rules cannot be read is logged and becomes ineligible: a purchase never ignores a rule.
///
/// # Errors
/// Those of the database.
pub async fn load(conn: &mut PgConnection) -> Result<Catalogue, sqlx::Error> {
    let rows: Vec<Entry> = sqlx::query_as(
        "SELECT 'epoch' AS kind, epoch AS id, '' AS name, true AS active, NULL::text AS plan_type, NULL::text AS group_name, \
                0::bigint AS price, NULL::integer AS days, NULL::timestamptz AS created_at, NULL::text AS criteria \
         FROM catalogue_epoch \
         UNION ALL \
         SELECT 'plan', plan_id, plan_name, status = 'active', plan_type, group_name, price, validity, \
                NULL, criteria::text \
         FROM plans LEFT JOIN plan_groups USING (group_id) \
         UNION ALL \
         SELECT 'offer', offer_id, offer_name, status = 'active', NULL, NULL, 0, offer_validity, created_at, criteria::text \
         FROM offers",
    )
    .fetch_all(conn)
    .await?;
    let mut catalogue = Catalogue::default();
    for row in rows {
        match row.kind.as_str() {
            "plan" => {
                let plan = row.plan()?;
                catalogue.plans.insert(plan.id, plan);
            }
            "offer" => {
                let offer = row.offer();
                catalogue.offers.insert(offer.id, offer);
            }
            _ => catalogue.epoch = row.id,
        }
    }
    Ok(catalogue)
}

#[derive(sqlx::FromRow)]
struct Entry {
    kind: String,
    id: i64,
    name: String,
    active: bool,
    plan_type: Option<String>,
    group_name: Option<String>,
    price: i64,
    days: Option<i32>,
    created_at: Option<DateTime<Utc>>,
    criteria: Option<String>,
}

impl Entry {
    fn criteria(&self) -> Criteria {
        let Some(text) = &self.criteria else { return Criteria::default() };
        Criteria::parse(text).unwrap_or_else(|faults| {
            let faults: Vec<_> =
                faults.iter().map(|Fault { field, message }| format!("{field}: {message}")).collect();
            tracing::error!(
                kind = self.kind,
                id = self.id,
                faults = faults.join("; "),
                "catalogue.unreadable_criteria"
            );
            Criteria { conditions: Conditions::unreadable(), ..Criteria::default() }
        })
    }

    fn days(&self) -> Option<u32> {
        self.days.and_then(|days| u32::try_from(days).ok())
    }

    fn plan(self) -> Result<Plan, sqlx::Error> {
        let kind: Result<UserType, _> = self.plan_type.as_deref().unwrap_or_default().parse();
        Ok(Plan {
            id: PlanId(self.id),
            plan_type: kind.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            price: Paise::new(self.price),
            validity_days: self.days(),
            active: self.active,
            conditions: self.criteria().conditions,
            name: self.name,
            group_name: self.group_name,
        })
    }

    fn offer(self) -> Offer {
        let criteria = self.criteria();
        Offer {
            id: OfferId(self.id),
            active: self.active,
            created_at: self.created_at.unwrap_or_default(),
            validity_days: self.days(),
            conditions: criteria.conditions,
            rewards: criteria.rewards,
            max_uses_per_user: criteria.max_uses_per_user,
            name: self.name,
        }
    }
}

const PLANS: &str = "SELECT plan_id, plan_name, validity, most_popular, plan_type, group_id, description, \
     criteria::text AS criteria, price, status, created_by, created_at FROM plans";

const OFFERS: &str = "SELECT offer_id, offer_name, offer_validity, offers.offer_type_id, offer_type_name, is_special, \
     criteria::text AS criteria, description, status, created_by, created_at \
     FROM offers LEFT JOIN offer_types USING (offer_type_id)";

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeError {
    /// No such plan or offer.
    #[error("there is none with that id")]
    Missing,
    /// The group (or type) it should belong to does not exist.
    #[error("what it should belong to does not exist")]
    UnknownParent,
    /// The database.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// Plans and offers as rows; one method is one statement, so one transaction.
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
        let plans = QueryBuilder::<Postgres>::new(PLANS)
            .push(" WHERE status = 'active'")
            .build_query_as()
            .fetch_all(&mut *conn)
            .await?;
        let offers = QueryBuilder::<Postgres>::new(OFFERS)
            .push(" WHERE status = 'active'")
            .build_query_as()
            .fetch_all(&mut *conn)
            .await?;
        Ok((plans, offers))
    }

    /// One plan.
    pub(super) async fn plan(&self, plan_id: i64) -> Result<Option<PlanRow>, sqlx::Error> {
        let mut query = QueryBuilder::<Postgres>::new(PLANS);
        query.push(" WHERE plan_id = ").push_bind(plan_id);
        query.build_query_as().fetch_optional(&self.pool).await
    }

    /// One offer.
    pub(super) async fn offer(&self, offer_id: i64) -> Result<Option<OfferRow>, sqlx::Error> {
        let mut query = QueryBuilder::<Postgres>::new(OFFERS);
        query.push(" WHERE offer_id = ").push_bind(offer_id);
        query.build_query_as().fetch_optional(&self.pool).await
    }

    /// Changes a plan. One statement: the catalogue's lock, which recharges wait for, is never held over the network.
    pub(super) async fn change_plan(
        &self,
        plan_id: i64,
        changes: PlanChanges,
    ) -> Result<PlanRow, ChangeError> {
        let mut query = QueryBuilder::<Postgres>::new("UPDATE plans SET ");
        let mut set = query.separated(", ");
        // Setting the key to itself lets every field be optional.
        set.push("plan_id = plan_id");
        if let Some(name) = changes.plan_name {
            set.push("plan_name = ").push_bind_unseparated(name);
        }
        if let Some(validity) = changes.validity {
            set.push("validity = ").push_bind_unseparated(validity);
        }
        if let Some(most_popular) = changes.most_popular {
            set.push("most_popular = ").push_bind_unseparated(most_popular);
        }
        if let Some(plan_type) = changes.plan_type {
            set.push("plan_type = ").push_bind_unseparated(plan_type.as_str());
        }
        if let Some(group_id) = changes.group_id {
            set.push("group_id = ").push_bind_unseparated(group_id);
        }
        if let Some(description) = changes.description {
            set.push("description = ").push_bind_unseparated(description);
        }
        if let Some(criteria) = changes.criteria {
            set.push("criteria = ").push_bind_unseparated(criteria).push_unseparated("::jsonb");
        }
        if let Some(price) = changes.price {
            set.push("price = ").push_bind_unseparated(price.get());
        }
        if let Some(status) = changes.status {
            set.push("status = ").push_bind_unseparated(status.as_str());
        }
        query.push(" WHERE plan_id = ").push_bind(plan_id).push(
            " RETURNING plan_id, plan_name, validity, most_popular, plan_type, group_id, description, \
             criteria::text AS criteria, price, status, created_by, created_at",
        );
        let changed = query.build_query_as().fetch_optional(&self.pool).await;
        changed.map_err(refused)?.ok_or(ChangeError::Missing)
    }

    /// Changes an offer, in one statement as well.
    pub(super) async fn change_offer(
        &self,
        offer_id: i64,
        changes: OfferChanges,
    ) -> Result<OfferRow, ChangeError> {
        let mut query = QueryBuilder::<Postgres>::new("WITH changed AS (UPDATE offers SET ");
        let mut set = query.separated(", ");
        set.push("offer_id = offer_id");
        if let Some(name) = changes.offer_name {
            set.push("offer_name = ").push_bind_unseparated(name);
        }
        if let Some(validity) = changes.offer_validity {
            set.push("offer_validity = ").push_bind_unseparated(validity);
        }
        if let Some(offer_type_id) = changes.offer_type_id {
            set.push("offer_type_id = ").push_bind_unseparated(offer_type_id);
        }
        if let Some(is_special) = changes.is_special {
            set.push("is_special = ").push_bind_unseparated(is_special);
        }
        if let Some(criteria) = changes.criteria {
            set.push("criteria = ").push_bind_unseparated(criteria).push_unseparated("::jsonb");
        }
        if let Some(description) = changes.description {
            set.push("description = ").push_bind_unseparated(description);
        }
        if let Some(status) = changes.status {
            set.push("status = ").push_bind_unseparated(status.as_str());
        }
        query.push(" WHERE offer_id = ").push_bind(offer_id).push(
            " RETURNING *) SELECT offer_id, offer_name, offer_validity, changed.offer_type_id, offer_type_name, \
             is_special, criteria::text AS criteria, description, status, created_by, created_at \
             FROM changed LEFT JOIN offer_types USING (offer_type_id)",
        );
        let changed = query.build_query_as().fetch_optional(&self.pool).await;
        changed.map_err(refused)?.ok_or(ChangeError::Missing)
    }
}

/// 23503: the foreign keys of plans and offers point only at groups and types.
fn refused(error: sqlx::Error) -> ChangeError {
    match &error {
        sqlx::Error::Database(database) if database.is_foreign_key_violation() => ChangeError::UnknownParent,
        _ => ChangeError::Sql(error),
    }
}
