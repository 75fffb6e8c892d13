//! The demo catalogue: the same plans and offers with the same ids, whenever and however often it is seeded.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// (id, name)
const GROUPS: &[(i64, &str)] = &[
    (1, "Unlimited 5G"),
    (2, "Talktime"),
    (3, "Unlimited"),
    (4, "Data Booster"),
    (5, "International Roaming"),
    (6, "Family Pack"),
    (7, "Corporate Bundle"),
];

struct DemoPlan {
    id: i64,
    group: i64,
    name: &'static str,
    plan_type: &'static str,
    rupees: i64,
    days: i32,
    popular: bool,
    benefits: (&'static str, &'static str, &'static str),
}

const fn plan(
    (id, group): (i64, i64),
    name: &'static str,
    plan_type: &'static str,
    (rupees, days, popular): (i64, i32, bool),
    benefits: (&'static str, &'static str, &'static str),
) -> DemoPlan {
    DemoPlan { id, group, name, plan_type, rupees, days, popular, benefits }
}

const PLANS: &[DemoPlan] = &[
    plan((1, 1), "1.5 GB/day 28", "prepaid", (299, 28, false), ("1.5 GB/day", "unlimited", "100/day")),
    plan((2, 1), "2 GB/day 28", "prepaid", (349, 28, true), ("2 GB/day + 5G", "unlimited", "100/day")),
    plan((3, 1), "2 GB/day 84", "prepaid", (859, 84, true), ("2 GB/day + 5G", "unlimited", "100/day")),
    plan(
        (4, 1),
        "2.5 GB/day 365",
        "prepaid",
        (3599, 365, false),
        ("2.5 GB/day + 5G", "unlimited", "100/day"),
    ),
    plan((5, 2), "Top-up 100", "prepaid", (100, 28, false), ("", "Rs 81.75 balance", "")),
    plan((6, 3), "Voice saver 84", "prepaid", (469, 84, false), ("6 GB total", "unlimited", "900 total")),
    plan((7, 4), "1 GB", "prepaid", (19, 1, false), ("1 GB", "", "")),
    plan((8, 4), "12 GB", "prepaid", (161, 30, false), ("12 GB", "", "")),
    plan((9, 5), "Gulf 1 day", "prepaid", (648, 1, false), ("500 MB", "100 min", "20")),
    plan((10, 5), "World 10 days", "prepaid", (2998, 10, false), ("5 GB", "250 min", "100")),
    plan((11, 6), "Family 3 SIMs", "postpaid", (999, 30, false), ("150 GB shared", "unlimited", "100/day")),
    plan(
        (12, 7),
        "Postpaid 449",
        "postpaid",
        (449, 30, false),
        ("75 GB, rollover 200 GB", "unlimited", "100/day"),
    ),
    plan((13, 7), "Postpaid 1199", "postpaid", (1199, 30, false), ("200 GB shared", "unlimited", "100/day")),
];

/// (id, name)
const OFFER_TYPES: &[(i64, &str)] = &[
    (1, "Festive Offers"),
    (2, "Cashback Offers"),
    (3, "Data Bonus Offers"),
    (4, "Loyalty Rewards"),
    (5, "Welcome Offers"),
];

struct DemoOffer {
    id: i64,
    offer_type: i64,
    name: &'static str,
    days: Option<i32>,
    special: bool,
    description: &'static str,
    criteria: &'static str,
}

const OFFERS: &[DemoOffer] = &[
    DemoOffer {
        id: 1,
        offer_type: 1,
        name: "Diwali flat 50",
        days: Some(90),
        special: true,
        description: "50 rupees off plans of 299 rupees and more",
        criteria: r#"{"conditions": {"min_amount": 299, "applicable_sources": ["recharge"]},
            "rewards": {"discount_type": "flat", "discount_value": 50}}"#,
    },
    DemoOffer {
        id: 2,
        offer_type: 5,
        name: "First recharge 25 %",
        days: None,
        special: false,
        description: "A quarter off the first recharge, at most 75 rupees",
        criteria: r#"{"conditions": {"is_new_user": true},
            "rewards": {"discount_type": "percent", "discount_value": 25, "max_discount": 75}}"#,
    },
    DemoOffer {
        id: 3,
        offer_type: 2,
        name: "UPI cashback 20",
        days: Some(365),
        special: false,
        description: "20 rupees back when 199 rupees and more are paid by UPI",
        criteria: r#"{"conditions": {"min_amount": 199, "payment_methods": ["UPI"]},
            "rewards": {"cashback_type": "flat", "cashback_value": 20}}"#,
    },
    DemoOffer {
        id: 4,
        offer_type: 3,
        name: "Weekend +2 GB",
        days: Some(365),
        special: false,
        description: "2 GB on top of any data booster",
        criteria: r#"{"conditions": {"valid_plan_groups": ["Data Booster"]}, "rewards": {"extra_data": "2GB"}}"#,
    },
    DemoOffer {
        id: 5,
        offer_type: 4,
        name: "Loyalty 84-day flat 30",
        days: Some(365),
        special: false,
        description: "30 rupees off the long Unlimited 5G plans",
        criteria: r#"{"conditions": {"valid_plan_groups": ["Unlimited 5G"], "min_amount": 800},
            "rewards": {"discount_type": "flat", "discount_value": 30}}"#,
    },
];

/// Adds what is missing of the demo catalogue; what is there stays as it is. Run it inside a transaction.
///
/// # Errors
/// Those of the database.
pub async fn seed_catalogue(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let (plans, offers): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM plans WHERE plan_id = ANY($1)), (SELECT count(*) FROM offers WHERE offer_id = ANY($2))",
    )
    .bind(PLANS.iter().map(|plan| plan.id).collect::<Vec<_>>())
    .bind(OFFERS.iter().map(|offer| offer.id).collect::<Vec<_>>())
    .fetch_one(&mut *conn)
    .await?;
    // Every statement below, even one that adds nothing, stops recharges for a moment.
    if usize::try_from(plans) == Ok(PLANS.len()) && usize::try_from(offers) == Ok(OFFERS.len()) {
        return Ok(());
    }
    seed_plans(conn, now).await?;
    seed_offers(conn, now).await?;
    // Ids given by hand do not move the sequences.
    sqlx::query(
        "SELECT setval(pg_get_serial_sequence('plan_groups', 'group_id'), (SELECT max(group_id) FROM plan_groups)), \
                setval(pg_get_serial_sequence('plans', 'plan_id'), (SELECT max(plan_id) FROM plans)), \
                setval(pg_get_serial_sequence('offer_types', 'offer_type_id'), (SELECT max(offer_type_id) FROM offer_types)), \
                setval(pg_get_serial_sequence('offers', 'offer_id'), (SELECT max(offer_id) FROM offers))",
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The ids and names of a table of names.
fn columns(rows: &[(i64, &str)]) -> (Vec<i64>, Vec<String>) {
    rows.iter().map(|(id, name)| (*id, (*name).to_owned())).unzip()
}

async fn seed_plans(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let (ids, names) = columns(GROUPS);
    sqlx::query(
        "INSERT INTO plan_groups (group_id, group_name) SELECT * FROM unnest($1::bigint[], $2::text[]) ON CONFLICT DO NOTHING",
    )
    .bind(ids)
    .bind(names)
    .execute(&mut *conn)
    .await?;
    let group = |id: i64| GROUPS.iter().find(|(group, _)| *group == id).map(|(_, name)| *name);
    let benefits = |plan: &DemoPlan| {
        let (data, voice, sms) = plan.benefits;
        let given = [("data", data), ("voice", voice), ("sms", sms)];
        let given: serde_json::Map<_, _> = given
            .iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(key, text)| ((*key).into(), (*text).into()))
            .collect();
        serde_json::json!({ "conditions": {}, "benefits": given })
    };
    sqlx::query(
        "INSERT INTO plans (plan_id, plan_name, validity, most_popular, plan_type, group_id, description, criteria, price, created_at) \
         SELECT plan_id, plan_name, validity, most_popular, plan_type, \
                (SELECT group_id FROM plan_groups WHERE plan_groups.group_name = demo.group_name), description, criteria, price, $9 \
         FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::boolean[], $5::text[], $6::text[], $7::jsonb[], $8::bigint[], $10::text[]) \
              AS demo (plan_id, plan_name, validity, most_popular, plan_type, group_name, criteria, price, description) \
         ON CONFLICT DO NOTHING",
    )
    .bind(PLANS.iter().map(|plan| plan.id).collect::<Vec<_>>())
    .bind(PLANS.iter().map(|plan| plan.name).collect::<Vec<_>>())
    .bind(PLANS.iter().map(|plan| plan.days).collect::<Vec<_>>())
    .bind(PLANS.iter().map(|plan| plan.popular).collect::<Vec<_>>())
    .bind(PLANS.iter().map(|plan| plan.plan_type).collect::<Vec<_>>())
    .bind(PLANS.iter().map(|plan| group(plan.group)).collect::<Vec<_>>())
    .bind(PLANS.iter().map(benefits).collect::<Vec<_>>())
    .bind(PLANS.iter().map(|plan| plan.rupees.saturating_mul(100)).collect::<Vec<_>>())
    .bind(now)
    .bind(PLANS.iter().map(|plan| format!("{} days", plan.days)).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

async fn seed_offers(conn: &mut PgConnection, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let (ids, names) = columns(OFFER_TYPES);
    sqlx::query(
        "INSERT INTO offer_types (offer_type_id, offer_type_name) SELECT * FROM unnest($1::bigint[], $2::text[]) ON CONFLICT DO NOTHING",
    )
    .bind(ids)
    .bind(names)
    .execute(&mut *conn)
    .await?;
    let offer_type = |id: i64| OFFER_TYPES.iter().find(|(kind, _)| *kind == id).map(|(_, name)| *name);
    sqlx::query(
        "INSERT INTO offers (offer_id, offer_name, offer_validity, offer_type_id, is_special, criteria, description, created_at) \
         SELECT offer_id, offer_name, offer_validity, \
                (SELECT offer_type_id FROM offer_types WHERE offer_types.offer_type_name = demo.offer_type_name), \
                is_special, criteria::jsonb, description, $8 \
         FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::text[], $5::boolean[], $6::text[], $7::text[]) \
              AS demo (offer_id, offer_name, offer_validity, offer_type_name, is_special, criteria, description) \
         ON CONFLICT DO NOTHING",
    )
    .bind(OFFERS.iter().map(|offer| offer.id).collect::<Vec<_>>())
    .bind(OFFERS.iter().map(|offer| offer.name).collect::<Vec<_>>())
    .bind(OFFERS.iter().map(|offer| offer.days).collect::<Vec<_>>())
    .bind(OFFERS.iter().map(|offer| offer_type(offer.offer_type)).collect::<Vec<_>>())
    .bind(OFFERS.iter().map(|offer| offer.special).collect::<Vec<_>>())
    .bind(OFFERS.iter().map(|offer| offer.criteria).collect::<Vec<_>>())
    .bind(OFFERS.iter().map(|offer| offer.description).collect::<Vec<_>>())
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use gencharge_actors::catalogue::Criteria;

    use super::*;

    #[test]
    fn demo_offers_hold_readable_rules_that_give_something() {
        for offer in OFFERS {
            let criteria = Criteria::parse(offer.criteria).unwrap();
            assert!(!criteria.is_for_plans(), "{} gives nothing", offer.name);
        }
    }
}
