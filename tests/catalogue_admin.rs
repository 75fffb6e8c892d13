//! What administrators do with plan groups, plans, offer types and offers, each by each role, and what the log has of it.

use std::time::Duration;

use gencharge_actors::events::{AuditRecorded, Event};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp, with_app};
use crate::support::money::{ASHA, SUBSCRIBE, recharge, with};

const SUPER_ADMIN: &str = "9000000001";
const MANAGER: &str = "9000000004";
const CONTENT_EDITOR: &str = "9000000010";
const VIEWER: &str = "9000000013";

async fn ask(app: &TestApp, method: &str, path: &str, token: &str, body: &Value) -> Answer {
    let request = app.request(Method::from_bytes(method.as_bytes()).unwrap(), path);
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
    app.send(if body.is_null() { request } else { request.json(body) }).await
}

/// The ids of a list, and the total that its header tells.
async fn ids(app: &TestApp, path: &str, token: &str, key: &str) -> (Vec<i64>, i64) {
    let answer = app.get(path, token).await;
    assert_eq!(answer.status, 200, "{path} {answer:?}");
    let total = answer.headers["x-total-count"].to_str().unwrap().parse().unwrap();
    (answer.json.as_array().unwrap().iter().map(|row| row[key].as_i64().unwrap()).collect(), total)
}

async fn recorded(app: &TestApp, action: &str) -> Vec<AuditRecorded> {
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT data FROM outbox_events WHERE type = $1 ORDER BY event_id")
            .bind(Event::AUDIT_RECORDED)
            .fetch_all(&app.pool)
            .await
            .unwrap();
    let parsed = rows.iter().map(|data| match Event::parse(Event::AUDIT_RECORDED, data).unwrap() {
        Event::AuditRecorded(entry) => entry,
        other => panic!("{other:?}"),
    });
    parsed.filter(|entry| entry.action == action).collect()
}

#[test]
fn who_may_not_gets_401_or_403_and_changes_nothing() {
    with_app(async |app| {
        let customer = app.sign_in(ASHA).await.access;
        let viewer = app.sign_in(VIEWER).await.access;
        let manager = app.sign_in(MANAGER).await.access;
        let editor = app.sign_in(CONTENT_EDITOR).await.access;
        let epoch = app.count("SELECT epoch FROM catalogue_epoch").await;
        let (group, plan) = (
            json!({ "group_name": "New" }),
            json!({ "plan_name": "New", "plan_type": "prepaid", "price": 9 }),
        );
        let (kind, offer) = (json!({ "offer_type_name": "New" }), json!({ "offer_name": "New" }));
        // The strongest role that must not.
        for (method, path, body, wrong) in [
            ("POST", "/plans/plan-group", &group, &manager),
            ("PUT", "/plans/plan-group/1", &group, &manager),
            ("DELETE", "/plans/plan-group/1", &Value::Null, &manager),
            ("POST", "/plans/plan", &plan, &editor),
            ("GET", "/plans/plan", &Value::Null, &editor),
            ("PUT", "/plans/plan/1", &plan, &editor),
            ("DELETE", "/plans/plan/1", &Value::Null, &editor),
            ("POST", "/offers/offer_type", &kind, &editor),
            ("PUT", "/offers/offer_type/1", &kind, &manager),
            ("PUT", "/offers/offer_type1", &kind, &manager),
            ("DELETE", "/offers/offer_type/1", &Value::Null, &manager),
            ("POST", "/offers/offers", &offer, &viewer),
            ("GET", "/offers/offers", &Value::Null, &viewer),
            ("PUT", "/offers/offers/1", &offer, &viewer),
            ("DELETE", "/offers/offers/1", &Value::Null, &viewer),
        ] {
            for (token, status) in [
                ("", 401),
                ("x", 401),
                (customer.as_str(), 403),
                (wrong.as_str(), 403),
                (viewer.as_str(), 403),
            ] {
                let answer = ask(app, method, &format!("/v1{path}"), token, body).await;
                answer.problem();
                assert_eq!(answer.status, status, "{method} {path} {answer:?}");
            }
        }
        assert_eq!(app.count("SELECT epoch FROM catalogue_epoch").await, epoch);
    });
}

#[test]
fn plan_groups_and_offer_types_live_and_die() {
    with_app(async |app| {
        let admin = app.sign_in(SUPER_ADMIN).await.access;
        for (path, key, name, member, of) in [
            ("/plans/plan-group", "group_id", "group_name", "/plans/plan", "plan_id"),
            ("/offers/offer_type", "offer_type_id", "offer_type_name", "/offers/offers", "offer_id"),
        ] {
            let body = |text: &str| json!({ name: text });
            let made = ask(app, "POST", path, &admin, &body("  Zenith ")).await;
            assert_eq!(made.status, 200, "{made:?}");
            let id = made.json[key].as_i64().unwrap();
            assert_eq!(made.json, json!({ key: id, name: "Zenith" }));
            let one = format!("{path}/{id}");
            assert_eq!(app.get(&one, "").await.ok(), json!({ key: id, name: "Zenith" }));
            let taken = ask(app, "POST", path, &admin, &body("Zenith")).await;
            assert_eq!((taken.status, taken.problem()), (400, "duplicate"));
            assert_eq!(taken.json["errors"][0]["field"], name);
            let other = app.get(&format!("{path}?limit=1"), "").await.json[0].clone();
            let taken = ask(app, "PUT", &one, &admin, &body(other[name].as_str().unwrap())).await;
            assert_eq!((taken.status, taken.problem()), (400, "duplicate"));
            for bad in [json!({ name: "" }), json!({ name: "x".repeat(101) }), json!({ name: 5 })] {
                for (method, path) in [("POST", path), ("PUT", one.as_str())] {
                    assert_eq!(ask(app, method, path, &admin, &bad).await.status, 422, "{bad}");
                }
            }
            assert_eq!(ask(app, "POST", path, &admin, &json!({})).await.status, 422);
            assert_eq!(ask(app, "PUT", &one, &admin, &json!({})).await.ok()[name], "Zenith");
            assert_eq!(ask(app, "PUT", &one, &admin, &body("Apex")).await.ok()[name], "Apex");

            // Lists: everything, searched, ordered, paged.
            let (all, total) = ids(app, path, "", key).await;
            assert_eq!((all.last(), all.len()), (Some(&id), usize::try_from(total).unwrap()));
            assert_eq!(ids(app, &format!("{path}?search=aPE"), "", key).await, (vec![id], 1));
            let by_name = format!("{path}?order_by={name}&limit=1");
            assert_eq!(ids(app, &by_name, "", key).await, (vec![id], total));
            let back = format!("{path}?order_dir=desc&limit=2&offset=1");
            assert_eq!(
                ids(app, &back, "", key).await.0,
                all.iter().rev().skip(1).take(2).copied().collect::<Vec<_>>()
            );
            let bad = app.get(&format!("{path}?order_by=metadata"), "").await;
            assert_eq!((bad.status, bad.problem()), (400, "invalid_order"));
            assert_eq!(
                app.get(&format!("{path}?limit=101&offset=-1"), "").await.json["errors"]
                    .as_array()
                    .unwrap()
                    .len(),
                2
            );

            // What had it, has none afterwards.
            let joined = ask(app, "PUT", &format!("{member}/1"), &admin, &json!({ key: id })).await.ok();
            assert_eq!(joined[key], id);
            let gone = ask(app, "DELETE", &one, &admin, &Value::Null).await;
            assert_eq!(gone.status, if key == "group_id" { 204 } else { 200 }, "{gone:?}");
            assert!(key == "group_id" || gone.json["detail"].is_string(), "{gone:?}");
            assert_eq!(app.get(&one, "").await.problem(), "not_found");
            assert_eq!(ask(app, "DELETE", &one, &admin, &Value::Null).await.problem(), "not_found");
            assert_eq!(ask(app, "PUT", &one, &admin, &body("X")).await.problem(), "not_found");
            assert_eq!(ask(app, "PUT", &one, &admin, &json!({})).await.problem(), "not_found");
            assert_eq!(app.get(&format!("{path}/x"), "").await.status, 422);
            let member = app.get(&format!("{member}/1"), "").await.ok();
            assert_eq!((&member[key], &member[of]), (&Value::Null, &json!(1)));
        }
        let renamed =
            ask(app, "PUT", "/offers/offer_type1", &admin, &json!({ "offer_type_name": "Slashless" })).await;
        assert_eq!(renamed.ok()["offer_type_name"], "Slashless");
        let entries = recorded(app, "CREATE_PLAN_GROUP").await;
        assert_eq!(
            (entries[0].service.as_str(), &entries[0].changes),
            ("plans", &json!({ "group_name": "Zenith" }))
        );
        assert!(
            entries[0].target.starts_with("plan_group/") && entries[0].target.len() > "plan_group/".len()
        );
        assert_eq!(recorded(app, "DELETE_OFFER_TYPE").await.len(), 1);
    });
}

#[test]
fn plans_are_made_changed_and_recorded() {
    with_app(async |app| {
        let admin = app.sign_in(MANAGER).await.access;
        let least = json!({ "plan_name": " Tiny ", "plan_type": "prepaid", "price": 19 });
        let made = ask(app, "POST", "/plans/plan", &admin, &least).await;
        assert_eq!(made.status, 200, "{made:?}");
        let id = made.json["plan_id"].as_i64().unwrap();
        let now = made.json["created_at"].clone();
        assert_eq!(
            made.json,
            json!({
                "plan_id": id, "plan_name": "Tiny", "validity": null, "most_popular": false, "plan_type": "prepaid",
                "group_id": null, "description": null, "criteria": null, "price": 19, "status": "active", "created_by": 4,
                "created_at": now,
            })
        );
        let full = json!({
            "plan_name": "Full", "validity": 84, "most_popular": true, "plan_type": "postpaid", "group_id": 2, "ignored": 1,
            "description": "Everything", "price": "859.00", "status": "inactive",
            "criteria": {"conditions": {"user_type": "postpaid", "source": ["recharge"]}, "benefits": {"data": "2 GB"}},
        });
        let hidden = ask(app, "POST", "/plans/plan", &admin, &full).await.ok();
        assert_eq!(
            (&hidden["status"], &hidden["group_id"], &hidden["price"]),
            (&json!("inactive"), &json!(2), &json!(859))
        );
        assert_eq!(hidden["criteria"], full["criteria"]);

        let seen = app.get("/plans/public/all", "").await.json;
        assert!(seen.as_array().unwrap().iter().any(|plan| plan["plan_id"] == id), "not seen at once");
        assert!(!seen.as_array().unwrap().iter().any(|plan| plan["plan_id"] == hidden["plan_id"]));

        let body = json!({ "price": 29, "description": "Small", "status": "active" });
        let changed = ask(app, "PUT", &format!("/plans/plan/{id}"), &admin, &body).await.ok();
        assert_eq!(changed["updated_fields"], json!(["description", "price", "status"]));
        assert_eq!(
            (&changed["cache_status"], &changed["message"]),
            (&json!("Invalidated"), &json!("Plan updated successfully"))
        );
        let entry = recorded(app, "UPDATE_PLAN").await.remove(0);
        assert_eq!(
            (
                entry.actor.to_string().as_str(),
                entry.role.as_str(),
                entry.target.as_str(),
                entry.status.as_str(),
                entry.changes
            ),
            ("AD_4", "Manager", format!("plan/{id}").as_str(), "success", body)
        );
        assert_eq!(recorded(app, "CREATE_PLAN").await.len(), 2);
    });
}

#[test]
fn every_wrong_field_of_a_new_plan_or_offer_is_named() {
    with_app(async |app| {
        let admin = app.sign_in(SUPER_ADMIN).await.access;
        let plan = json!({ "plan_name": "P", "plan_type": "prepaid", "price": 199 });
        let offer = json!({ "offer_name": "O" });
        let conditions = |rules: Value| json!({ "criteria": { "conditions": rules } });
        let rewards = |rules: Value| json!({ "criteria": { "rewards": rules } });
        for (path, base, change, status, field) in [
            ("/plans/plan", &plan, json!({ "price": -1 }), 422, "price"),
            ("/plans/plan", &plan, json!({ "price": 0 }), 422, "price"),
            ("/plans/plan", &plan, json!({ "price": 199.5 }), 422, "price"),
            ("/plans/plan", &plan, json!({ "price": "1e3" }), 422, "price"),
            ("/plans/plan", &plan, json!({ "validity": -28 }), 422, "validity"),
            ("/plans/plan", &plan, json!({ "plan_name": " " }), 422, "plan_name"),
            ("/plans/plan", &plan, json!({ "plan_type": "both" }), 422, "body"),
            ("/plans/plan", &plan, json!({ "status": "gone" }), 422, "body"),
            ("/plans/plan", &plan, json!({ "group_id": 9999 }), 400, "group_id"),
            ("/plans/plan", &plan, rewards(json!({ "discount_value": 5 })), 422, "criteria"),
            (
                "/plans/plan",
                &plan,
                conditions(json!({ "min_amuont": 5 })),
                422,
                "criteria.conditions.min_amuont",
            ),
            ("/plans/plan", &plan, json!({ "criteria": "text" }), 422, "criteria"),
            ("/offers/offers", &offer, json!({ "offer_name": "" }), 422, "offer_name"),
            ("/offers/offers", &offer, json!({ "offer_validity": 0 }), 422, "offer_validity"),
            ("/offers/offers", &offer, json!({ "offer_type_id": 9999 }), 400, "offer_type_id"),
            (
                "/offers/offers",
                &offer,
                rewards(json!({ "discount_type": "percent", "discount_value": 101 })),
                422,
                "criteria.rewards.discount_value",
            ),
            (
                "/offers/offers",
                &offer,
                rewards(json!({ "discount_value": 5, "max_discount": 3 })),
                422,
                "criteria.rewards.max_discount",
            ),
            (
                "/offers/offers",
                &offer,
                conditions(json!({ "valid_from": "2026-02-01", "valid_to": "2026-01-01" })),
                422,
                "criteria.conditions.valid_to",
            ),
            (
                "/offers/offers",
                &offer,
                conditions(json!({ "max_uses_per_user": 0 })),
                422,
                "criteria.conditions.max_uses_per_user",
            ),
        ] {
            let answer = ask(app, "POST", path, &admin, &with(base.clone(), change.clone())).await;
            answer.problem();
            assert_eq!(answer.status, status, "{change} {answer:?}");
            assert_eq!(answer.json["errors"][0]["field"], field, "{change} {answer:?}");
        }
        for missing in ["plan_name", "plan_type", "price"] {
            let mut body = plan.clone();
            body.as_object_mut().unwrap().remove(missing);
            let answer = ask(app, "POST", "/plans/plan", &admin, &body).await;
            assert_eq!(answer.status, 422, "{answer:?}");
            assert!(answer.json["detail"].as_str().unwrap().contains(missing), "{answer:?}");
        }
        assert_eq!(app.count("SELECT count(*) FROM plans").await, 13);
        assert_eq!(app.count("SELECT count(*) FROM offers").await, 5);
        let garbage = app.request(Method::POST, "/plans/plan").bearer_auth(&admin).body("{\"plan_name\":");
        assert_eq!(app.send(garbage).await.problem(), "malformed_body");
    });
}

#[test]
fn offers_are_made_with_every_extension_and_used_at_once() {
    with_app(async |app| {
        let admin = app.sign_in(CONTENT_EDITOR).await.access;
        let body = json!({
            "offer_name": "Ten percent", "offer_validity": 7, "offer_type_id": 2, "is_special": true, "description": "d",
            "criteria": {
                "conditions": {"min_amount": 100, "plan_group_name": "Unlimited 5G", "user_type": "prepaid", "max_uses_per_user": 1},
                "rewards": {"discount_type": "percent", "discount_value": 10, "max_discount": "20.50", "cashback_type": "percent",
                    "cashback_value": 5, "max_cashback": 3, "extra_data": "2GB"},
            },
        });
        let made = ask(app, "POST", "/offers/offers", &admin, &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let id = made.json["offer_id"].as_i64().unwrap();
        assert_eq!(
            made.json,
            json!({
                "offer_id": id, "offer_name": "Ten percent", "offer_validity": 7, "offer_type_id": 2, "is_special": true,
                "offer_type": {"offer_type_id": 2, "offer_type_name": made.json["offer_type"]["offer_type_name"]},
                "criteria": body["criteria"], "description": "d", "status": "active", "created_by": 10,
                "created_at": made.json["created_at"],
            })
        );
        let customer = app.sign_in(ASHA).await.access;
        app.fund(&customer, 1_000).await;
        let order = with(recharge(ASHA, 1), json!({ "offer_id": id }));
        let bought = app.post(SUBSCRIBE, &customer, order.clone()).await.ok();
        assert_eq!((&bought["discount"], &bought["amount"]), (&json!(20.5), &json!("278.50")), "{bought}");
        assert_eq!(app.post(SUBSCRIBE, &customer, order).await.problem(), "offer_unavailable");

        let path = format!("/offers/offers/{id}");
        let changed = ask(app, "PUT", &path, &admin, &json!({ "status": "inactive", "offer_type_id": null }))
            .await
            .ok();
        assert_eq!(
            (&changed["offer_type"], &changed["updated_fields"]),
            (&Value::Null, &json!(["offer_type_id", "status"]))
        );
        assert_eq!(app.get(&path, "").await.problem(), "not_found");
        assert_eq!(app.get(&path, &admin).await.ok()["status"], "inactive");
        assert_eq!(recorded(app, "CREATE_OFFER").await[0].target, format!("offer/{id}"));
        assert_eq!(
            recorded(app, "UPDATE_OFFER").await[0].changes,
            json!({ "offer_type_id": null, "status": "inactive" })
        );
    });
}

#[test]
fn what_was_bought_or_used_cannot_be_deleted_and_the_rest_can() {
    with_app(async |app| {
        let admin = app.sign_in(SUPER_ADMIN).await.access;
        let customer = app.sign_in(ASHA).await.access;
        app.fund(&customer, 2_000).await;
        let order = with(recharge(ASHA, 1), json!({ "offer_id": 1 }));
        app.post(SUBSCRIBE, &customer, with(order, json!({ "plan_id": 2 }))).await.ok();
        // Long ago is as good as just now.
        for days in [0, 10] {
            app.clock.advance(chrono::TimeDelta::days(days));
            let admin = if days == 0 { admin.clone() } else { app.sign_in(SUPER_ADMIN).await.access };
            for path in ["/plans/plan/2", "/offers/offers/1"] {
                let answer = ask(app, "DELETE", path, &admin, &Value::Null).await;
                assert_eq!((answer.status, answer.problem()), (409, "state_conflict"), "{path}");
                assert!(answer.json["detail"].as_str().unwrap().contains("inactive"), "{answer:?}");
            }
        }
        let admin = app.sign_in(MANAGER).await.access;
        let plan = ask(app, "DELETE", "/plans/plan/9", &admin, &Value::Null).await;
        assert_eq!((plan.status, plan.json["detail"].is_string()), (200, true), "{plan:?}");
        let offer = ask(app, "DELETE", "/offers/offers/3", &admin, &Value::Null).await;
        assert_eq!((offer.status, offer.text.as_str()), (204, ""));
        for path in ["/plans/plan/9", "/offers/offers/3"] {
            assert_eq!(app.get(path, &admin).await.problem(), "not_found");
            assert_eq!(ask(app, "DELETE", path, &admin, &Value::Null).await.problem(), "not_found");
        }
        assert_eq!(recorded(app, "DELETE_PLAN").await[0].target, "plan/9");
        assert_eq!(recorded(app, "DELETE_OFFER").await.len(), 1);
        app.verify().await;
    });
}

#[test]
fn a_recharge_under_way_is_seen_by_the_deletion_that_waits_for_it() {
    with_app(async |app| {
        let admin = app.sign_in(SUPER_ADMIN).await.access;
        let mut batch = app.pool.begin().await.unwrap();
        sqlx::query("SELECT pg_advisory_xact_lock_shared(4201)").execute(&mut *batch).await.unwrap();
        let mut deletion = Box::pin(ask(app, "DELETE", "/plans/plan/5", &admin, &Value::Null));
        tokio::select! {
            answer = &mut deletion => panic!("did not wait: {answer:?}"),
            () = crate::support::eventually("the deletion at the lock", Duration::from_secs(10), async || {
                let waits = app.count("SELECT count(*) FROM pg_locks WHERE objid = 4201 AND NOT granted AND database = \
                    (SELECT oid FROM pg_database WHERE datname = current_database())").await;
                (waits == 1).then_some(())
            }) => {}
        }
        sqlx::query(
            "INSERT INTO transactions (txn_id, created_at, user_id, wallet_seq, category, txn_type, amount, source, status, plan_id) \
             VALUES (1, $1, 1, 1, 'service', 'debit', 0, 'recharge', 'success', 5)",
        )
        .bind(gencharge_actors::kernel::Clock::now(&app.clock))
        .execute(&mut *batch)
        .await
        .unwrap();
        batch.commit().await.unwrap();
        assert_eq!(deletion.await.problem(), "state_conflict");
    });
}

#[test]
fn administrators_lists_have_every_filter_order_and_page() {
    with_app(async |app| {
        let admin = app.sign_in(MANAGER).await.access;
        let all: Vec<i64> = (1..=13).collect();
        ask(
            app,
            "PUT",
            "/plans/plan/3",
            &admin,
            &json!({ "status": "inactive", "description": "Quarterly" }),
        )
        .await
        .ok();
        ask(app, "PUT", "/offers/offers/2", &admin, &json!({ "status": "inactive" })).await.ok();
        let plans = async |query: &str| ids(app, &format!("/plans/plan{query}"), &admin, "plan_id").await;
        assert_eq!(plans("").await, (all.clone(), 13));
        assert_eq!(plans("?page=3").await, (all.clone(), 13));
        assert_eq!(plans("?limit=5").await, (vec![1, 2, 3, 4, 5], 13));
        assert_eq!(plans("?limit=5&page=3").await, (vec![11, 12, 13], 13));
        assert_eq!(plans("?limit=5&page=9").await, (vec![], 13));
        assert_eq!(plans("?status=inactive").await, (vec![3], 1));
        assert_eq!(plans("?search=qUARTER").await, (vec![3], 1));
        assert_eq!(plans("?type=postpaid&order_dir=desc").await, (vec![13, 12, 11], 3));
        assert_eq!(plans("?order_by=validity&order_dir=desc&limit=1").await.0, [4]);
        assert_eq!(plans("?order_by=plan_name&limit=1").await.0.len(), 1);
        let offers =
            async |query: &str| ids(app, &format!("/offers/offers{query}"), &admin, "offer_id").await;
        assert_eq!(offers("").await, (vec![5, 4, 3, 2, 1], 5));
        assert_eq!(offers("?status=inactive").await, (vec![2], 1));
        assert_eq!(offers("?is_special=true").await, (vec![1], 1));
        assert_eq!(offers("?offer_type_id=3&order_dir=asc").await, (vec![4], 1));
        assert_eq!(offers("?order_by=created_at&order_dir=asc&limit=2&page=2").await, (vec![3, 4], 5));
        for (path, status, code) in [
            ("/plans/plan?order_by=metadata", 400, "invalid_order"),
            ("/offers/offers?order_by=criteria", 400, "invalid_order"),
            ("/offers/offers/public?order_by=x", 400, "invalid_order"),
            ("/plans/plan?order_dir=up", 422, "invalid_input"),
            ("/plans/plan?limit=101&page=-1&type=x&status=y", 422, "invalid_input"),
            ("/offers/offers?offer_type_id=x&is_special=perhaps", 422, "invalid_input"),
        ] {
            let answer = app.get(path, &admin).await;
            assert_eq!((answer.status, answer.problem()), (status, code), "{path}");
        }
        let links = app.get("/plans/plan?limit=5&page=2&type=prepaid", &admin).await.headers["link"].clone();
        assert!(links.to_str().unwrap().contains("type=prepaid&page=1&limit=5>; rel=\"prev\""), "{links:?}");
        // An offer that has run out is gone for shoppers and not for administrators.
        ask(app, "PUT", "/offers/offers/1", &admin, &json!({ "offer_validity": 1 })).await.ok();
        app.clock.advance(chrono::TimeDelta::days(2));
        let admin = app.sign_in(MANAGER).await.access;
        assert_eq!(ids(app, "/offers/offers/public", "", "offer_id").await.0, [5, 4, 3]);
        assert_eq!(ids(app, "/offers/offers", &admin, "offer_id").await.0, [5, 4, 3, 2, 1]);
    });
}
