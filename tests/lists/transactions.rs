use serde_json::{Value, json};

use super::world::{World, column};

/// Customer 1 has rows 1 to 6, sees gift 7 (paid by 2) too; row 8 is customer 2's top-up for 1.
async fn people(world: &World) {
    for id in [1, 2, 3] {
        world.customer(id).await;
    }
    let rows: [(i64, i64, &str, i64, i64); 8] = [
        (1, 1, "wallet,credit,wallet_topup,success,UPI,-", 50_000, 6),
        (2, 1, "service,debit,recharge,success,Wallet,prepaid", 29_900, 5),
        (3, 1, "service,debit,autopay,success,Wallet,prepaid", 29_900, 4),
        (4, 1, "wallet,credit,referral_reward,success,-,-", 5_000, 3),
        (5, 1, "wallet,credit,wallet_topup,pending,Card,-", 10_050, 2),
        (6, 1, "service,debit,recharge,failed,NetBanking,postpaid", 44_900, 26),
        (7, 2, "service,debit,recharge,success,Wallet,prepaid", 1_900, 50),
        (8, 2, "wallet,credit,wallet_topup,success,UPI,-", 77_700, 1),
    ];
    for (id, user, words, amount, hours) in rows {
        let beneficiary: Option<i64> = match id {
            6 => Some(3),
            7 | 8 => Some(1),
            _ => None,
        };
        let word = |index: usize| words.split(',').nth(index).filter(|word| *word != "-");
        sqlx::query(
            "INSERT INTO transactions (txn_id, created_at, user_id, beneficiary_id, wallet_seq, category, txn_type, \
                 source, status, payment_method, service_type, amount, from_phone, to_phone) \
             VALUES ($1, $2, $3, $4, $1, $5, $6, $7, $8, $9, $10, $11, 919800000000 + $3, \
                     919800000000 + COALESCE($4, $3))",
        )
        .bind(id)
        .bind(world.ago(hours))
        .bind(user)
        .bind(beneficiary)
        .bind(word(0))
        .bind(word(1))
        .bind(word(2))
        .bind(word(3))
        .bind(word(4))
        .bind(word(5))
        .bind(amount)
        .execute(world.pool())
        .await
        .unwrap();
    }
    world
        .sql(
            "UPDATE wallets SET transactions = 7 WHERE wallet_id = 1; \
             UPDATE wallets SET transactions = 2 WHERE wallet_id = 2; \
             UPDATE wallets SET gifts = 1 WHERE wallet_id IN (1, 3)",
        )
        .await;
}

async fn own(world: &World, query: &str) -> (Vec<i64>, Value) {
    let (status, list) = world.as_customer(1, &format!("/recharge/my/transactions{query}")).await;
    assert_eq!(status, 200, "{query}: {list}");
    (column(&list, "transactions", "txn_id"), list)
}

/// History of a month ago needs that month's partition.
async fn world() -> World {
    let world = World::new().await;
    world.sql("SELECT ensure_partitions('transactions', 'month', now() - interval '3 months', now())").await;
    people(&world).await;
    world
}

#[actix_web::test]
async fn own_rows_and_those_of_others_for_oneself_newest_first() {
    let world = world().await;
    let (ids, list) = own(&world, "").await;
    assert_eq!(ids, [8, 5, 4, 3, 2, 1, 6, 7]);
    for (field, value) in [("total", 8), ("page", 1), ("size", 10), ("pages", 1)] {
        assert_eq!(list[field], json!(value), "{field}");
    }
    assert_eq!(list["next_cursor"], Value::Null);
    let gift = &list["transactions"][7];
    assert_eq!(gift["from_phone_number"], "9800000002");
    assert_eq!(gift["to_phone_number"], "9800000001");
    assert_eq!(gift["amount"], "19.00");
    assert_eq!(gift["user"], Value::Null);
    let (_, other) = world.as_customer(3, "/v1/recharge/my/transactions").await;
    assert_eq!((column::<i64>(&other, "transactions", "txn_id"), &other["total"]), (vec![6], &json!(1)));
    world.end().await;
}

#[actix_web::test]
async fn every_filter_and_order_of_ones_own() {
    let world = world().await;
    let kolkata = world.ago(26).with_timezone(&chrono_tz::Asia::Kolkata).date_naive();
    let day = format!("?created_at_start={kolkata}&created_at_end={kolkata}");
    let cases: [(&str, &[i64]); 19] = [
        ("?category=wallet", &[8, 5, 4, 1]),
        ("?txn_type=debit", &[3, 2, 6, 7]),
        ("?service_type=postpaid", &[6]),
        ("?source=autopay", &[3]),
        ("?status=pending", &[5]),
        ("?status=failed", &[6]),
        ("?payment_method=Card", &[5]),
        ("?to_phone_number=9800000003", &[6]),
        ("?to_phone_number=%2B919800000003", &[6]),
        ("?to_phone_number_like=00003", &[6]),
        ("?to_phone_number_like=91", &[]),
        ("?amount_min=299", &[8, 3, 2, 1, 6]),
        ("?amount_max=100.50", &[5, 4, 7]),
        ("?amount_min=299&amount_max=299.00", &[3, 2]),
        ("?sort_by=amount", &[8, 1, 6, 3, 2, 5, 4, 7]),
        ("?sort_by=amount&sort_order=asc", &[7, 4, 5, 2, 3, 6, 1, 8]),
        ("?sort_order=asc", &[7, 6, 1, 2, 3, 4, 5, 8]),
        ("?category=service&source=recharge&status=success&size=0", &[2, 7]),
        ("?created_at_end=2020-01-01", &[]),
    ];
    for (query, expected) in cases {
        let (ids, list) = own(&world, query).await;
        assert_eq!(ids, expected, "{query}");
        assert_eq!(list["total"], json!(expected.len()), "{query}");
    }
    assert!(own(&world, &day).await.0.contains(&6), "{day} includes both its ends");
    world.end().await;
}

#[actix_web::test]
async fn pages_and_cursors_reach_every_row_once() {
    let world = world().await;
    let all = own(&world, "?size=0").await;
    assert_eq!((all.0.len(), &all.1["total"], &all.1["pages"]), (8, &json!(8), &json!(1)));
    for order in ["", "&sort_order=asc", "&sort_by=amount", "&sort_by=amount&sort_order=asc", "&amount_min=0"]
    {
        let (everything, _) = own(&world, &format!("?size=0{order}")).await;
        let mut paged = Vec::new();
        for page in 1..=3 {
            let (ids, list) = own(&world, &format!("?size=3&page={page}{order}")).await;
            assert_eq!((&list["total"], &list["pages"]), (&json!(8), &json!(3)), "{order}");
            paged.extend(ids);
        }
        assert_eq!(paged, everything, "{order}");
        let (mut walked, mut list) = own(&world, &format!("?size=3{order}")).await;
        while let Some(cursor) = list["next_cursor"].as_str() {
            let (ids, next) = own(&world, &format!("?size=3{order}&cursor={cursor}")).await;
            assert_eq!(next["total"], json!(8));
            walked.extend(ids);
            list = next;
        }
        assert_eq!((walked, &list["page"]), (everything, &json!(3)), "{order}");
    }
    for beyond in ["?page=9", "?page=9&category=wallet&size=2", "?page=4294967295&size=10000"] {
        let (ids, list) = own(&world, beyond).await;
        assert!(ids.is_empty());
        assert_eq!(list["total"], json!(if beyond.contains("wallet") { 4 } else { 8 }), "{beyond}");
    }
    world.end().await;
}

#[actix_web::test]
async fn wrong_parameters_are_named_and_wrong_callers_refused() {
    let world = world().await;
    world.administrators().await;
    let bad = [
        "page=0",
        "page=-1",
        "size=10001",
        "size=x",
        "category=x",
        "amount_min=-1",
        "amount_max=1e3",
        "created_at_end=yesterday",
        "sort_by=price",
        "to_phone_number=12",
        "to_phone_number_like=%25",
        "cursor=xyz",
    ];
    for query in bad {
        let (status, problem) = world.as_customer(1, &format!("/recharge/my/transactions?{query}")).await;
        assert_eq!((status, &problem["code"]), (422, &json!("invalid_input")), "{query}");
        assert_eq!(problem["errors"][0]["field"], query.split('=').next().unwrap(), "{query}");
    }
    crate::support::eventually("the new administrator", std::time::Duration::from_secs(5), async || {
        (world.as_admin(1, "/recharge/my/transactions").await.0 == 403).then_some(())
    })
    .await;
    assert_eq!(world.as_customer(1, "/recharge/admin/transactions").await.0, 403);
    world.end().await;
}

#[actix_web::test]
async fn administrators_see_all_with_their_customers_also_deleted_ones() {
    let world = world().await;
    world.administrators().await;
    crate::support::eventually("the new roles", std::time::Duration::from_secs(5), async || {
        (world.as_admin(1, "/recharge/admin/transactions").await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(world.as_admin(2, "/recharge/admin/transactions").await.0, 403);
    let all = world.as_admin(1, "/recharge/admin/transactions").await.1;
    assert_eq!(column::<i64>(&all, "transactions", "txn_id"), [8, 5, 4, 3, 2, 1, 6, 7]);
    let user = &all["transactions"][1]["user"];
    assert_eq!(
        (&user["user_id"], &user["phone_number"], user["wallet_balance"].to_string().as_str()),
        (&json!(1), &json!("9800000001"), "50.25")
    );
    let cases: [(&str, &[i64]); 6] = [
        ("?user_id=2", &[8, 7]),
        ("?from_phone_number=9800000002", &[8, 7]),
        ("?from_phone_number_like=0002&txn_type=debit", &[7]),
        ("?to_phone_number_like=00003", &[6]),
        ("?sort_by=amount&size=2", &[8, 1]),
        ("?page=7", &[]),
    ];
    for (query, expected) in cases {
        let list = world.as_admin(1, &format!("/recharge/admin/transactions{query}")).await.1;
        assert_eq!(column::<i64>(&list, "transactions", "txn_id"), expected, "{query}");
    }
    world.sql("DELETE FROM users WHERE user_id = 2").await;
    let (status, list) = world.as_admin(1, "/recharge/admin/transactions?user_id=2").await;
    assert_eq!((status, &list["transactions"][0]["user"]), (200, &Value::Null));
    world.end().await;
}
