use serde_json::{Value, json};

use super::world::{World, column};

/// Customer 1: expired, superseded, active by the clock though still queued, queued; customer 2: over but not yet expired.
async fn world() -> World {
    let world = World::new().await;
    world.customer(1).await;
    world.customer(2).await;
    world
        .sql(
            "INSERT INTO plans (plan_id, plan_name, validity, plan_type, price, criteria, created_at) VALUES \
                 (1, 'Month', 28, 'prepaid', 29900, '{\"benefits\": {\"data\": \"2 GB/day\"}}', now()), \
                 (2, 'Day', 1, 'prepaid', 1900, NULL, now())",
        )
        .await;
    let rows: [(i64, i64, i64, &str, i64, i64); 6] = [
        (1, 1, 1, "expired", 1_000, 328),
        (2, 1, 1, "expired", 300, -372),
        (3, 1, 2, "active", 26, 2),
        (4, 1, 1, "queued", 2, -670),
        (5, 1, 2, "queued", -670, -694),
        (6, 2, 2, "active", 30, 6),
    ];
    for (id, user, plan, status, from, to) in rows {
        sqlx::query(
            "INSERT INTO subscriptions (subscription_id, phone, user_id, plan_id, txn_id, status, valid_from, valid_to, \
                 total_paid) VALUES ($1, 919800000000 + $2, $2, $3, $1, $4, $5, $6, 24900)",
        )
        .bind(id)
        .bind(user)
        .bind(plan)
        .bind(status)
        .bind(world.ago(from))
        .bind(world.ago(to))
        .execute(world.pool())
        .await
        .unwrap();
    }
    world
}

async fn own(world: &World, query: &str) -> (Vec<i64>, Value) {
    let (status, list) = world.as_customer(1, &format!("/recharge/my/plans{query}")).await;
    assert_eq!(status, 200, "{query}: {list}");
    (column(&list, "plans", "id"), list)
}

#[actix_web::test]
async fn plans_are_shown_as_they_are_by_the_clock_and_nothing_is_written() {
    let world = world().await;
    let (ids, list) = own(&world, "").await;
    assert_eq!(ids, [5, 4, 3, 2, 1]);
    assert_eq!(
        column::<String>(&list, "plans", "status"),
        ["queued", "active", "expired", "expired", "expired"]
    );
    let plan = &list["plans"][1];
    assert_eq!(
        (&plan["phone_number"], plan["total_paid"].to_string().as_str()),
        (&json!("9800000001"), "249.0")
    );
    assert_eq!(plan["plan"]["plan_name"], "Month");
    assert_eq!(plan["plan"]["criteria"]["benefits"]["data"], "2 GB/day");
    let stored: Vec<String> = sqlx::query_scalar("SELECT status FROM subscriptions ORDER BY subscription_id")
        .fetch_all(world.pool())
        .await
        .unwrap();
    assert_eq!(stored, ["expired", "expired", "active", "queued", "queued", "active"]);
    world.end().await;
}

#[actix_web::test]
async fn every_filter_order_and_page() {
    let world = world().await;
    let day = |hours: i64| world.ago(hours).with_timezone(&chrono_tz::Asia::Kolkata).date_naive();
    let starts = format!("?valid_from_start={}&valid_from_end={}", day(1_000), day(300));
    let ends = format!("?valid_to_start={}&valid_to_end={}", day(328), day(2));
    let cases: [(&str, &[i64]); 12] = [
        ("?status=active", &[4]),
        ("?status=expired", &[3, 2, 1]),
        ("?status=queued", &[5]),
        ("?plan_id=2", &[5, 3]),
        ("?validity_days_max=1", &[5, 3]),
        ("?validity_days_min=2", &[4, 2, 1]),
        ("?validity_days_min=28&validity_days_max=28", &[4, 2, 1]),
        ("?sort_by=valid_to", &[5, 4, 2, 3, 1]),
        ("?sort_by=valid_from&sort_order=asc", &[1, 2, 3, 4, 5]),
        ("?size=2&page=2", &[3, 2]),
        (&starts, &[2, 1]),
        (&ends, &[3, 1]),
    ];
    for (query, expected) in cases {
        let (ids, list) = own(&world, query).await;
        assert_eq!(ids, expected, "{query}");
        if !query.contains("page") {
            assert_eq!(list["total"], json!(expected.len()), "{query}");
        }
    }
    let (ids, list) = own(&world, "?size=2&page=9").await;
    assert_eq!((ids.len(), &list["total"], &list["pages"]), (0, &json!(5), &json!(3)));
    for order in ["", "&sort_by=valid_to", "&sort_order=asc"] {
        let (mut walked, mut list) = own(&world, &format!("?size=2{order}")).await;
        while let Some(cursor) = list["next_cursor"].as_str() {
            let (ids, next) = own(&world, &format!("?size=2{order}&cursor={cursor}")).await;
            walked.extend(ids);
            list = next;
        }
        assert_eq!(walked, own(&world, &format!("?{order}")).await.0, "{order}");
    }
    world.end().await;
}

#[actix_web::test]
async fn administrators_see_all_numbers() {
    let world = world().await;
    world.administrators().await;
    let path = "/recharge/admin/active-plans";
    crate::support::eventually("the new roles", std::time::Duration::from_secs(5), async || {
        (world.as_admin(1, path).await.0 == 200).then_some(())
    })
    .await;
    let cases: [(&str, &[i64]); 5] = [
        ("", &[5, 4, 3, 6, 2, 1]),
        ("?phone_number=9800000002", &[6]),
        ("?phone_number=9999999999", &[]),
        ("?phone_number_like=00002", &[6]),
        ("?status=active", &[4]),
    ];
    for (query, expected) in cases {
        let list = world.as_admin(1, &format!("{path}{query}")).await.1;
        assert_eq!(column::<i64>(&list, "plans", "id"), expected, "{query}");
    }
    assert_eq!(world.as_admin(1, &format!("{path}?size=501")).await.0, 422);
    assert_eq!(world.as_admin(2, path).await.0, 403);
    world.end().await;
}
