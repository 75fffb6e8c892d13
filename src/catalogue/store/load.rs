//! What the wallets read: all prices and rules as of one snapshot.

use chrono::{DateTime, Utc};
use gencharge_actors::catalogue::{Catalogue, Conditions, Criteria, Fault, Offer, Plan};
use gencharge_actors::kernel::{OfferId, Paise, PlanId, UserType};
use sqlx::PgConnection;

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
