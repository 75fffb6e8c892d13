//! Public lists, changes of plans and offers, and the promise that a changed price holds.

use std::sync::Arc;
use std::time::Duration;

use actix_web::test as web_test;
use actix_web::web::Data;
use chrono::{DateTime, TimeDelta, Utc};
use gencharge::app::{App, Parts, RunningApp};
use gencharge::auth::{Gate, Keys, Subject, SubjectKind};
use gencharge::catalogue::{self, CatalogueStore, PublicLists, load, seed_catalogue};
use gencharge::config::{Config, Secret};
use gencharge::platform::postgres::listener::Listener;
use gencharge::platform::redis::Announcer;
use gencharge_actors::catalogue::{Buyer, Refusal, quote};
use gencharge_actors::kernel::{
    ManualClock, OfferId, Paise, PaymentMethod, PhoneNumber, PlanId, Source, SystemRandom, UserType,
};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use uuid::Uuid;

use crate::support::database::TestDatabase;
use crate::support::eventually;
use crate::support::folder::TempFolder;

const SECRET: &str = "a secret of more than thirty-two characters";
const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);

fn base() -> DateTime<Utc> {
    "2026-01-10T00:00:00Z".parse().unwrap()
}

async fn seeded(what: &str) -> TestDatabase {
    let database = TestDatabase::new(what).await;
    let mut transaction = database.pool.begin().await.unwrap();
    seed_catalogue(&mut transaction, base()).await.unwrap();
    // The tests' day is not today, for which there are partitions.
    sqlx::query("SELECT ensure_partitions('outbox_events', 'day', $1, $1 + interval '14 days')")
        .bind(base())
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    database
}

struct Site {
    app: RunningApp,
    client: Client,
    clock: ManualClock,
    _folder: TempFolder,
}

/// Actors need a system; it ends with the test.
fn in_system(test: impl Future<Output = ()>) {
    actix_web::rt::System::new().block_on(test);
}

impl Site {
    async fn start(database: &TestDatabase) -> Site {
        let clock = ManualClock::at(base());
        let folder = TempFolder::new("catalogue");
        let data = folder.path().to_str().unwrap();
        let settings = [("GENCHARGE_BIND", "127.0.0.1:0"), ("GENCHARGE_DATA_DIR", data)];
        let config = Config::from_map(settings).unwrap();
        let parts = Parts {
            config,
            secret: Secret::new(SECRET),
            pool: database.pool.clone(),
            clock: Arc::new(clock.clone()),
            random: Arc::new(SystemRandom),
        };
        Site { app: App::start(parts).await.unwrap(), client: Client::new(), clock, _folder: folder }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app.addr)
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        let answer = self.client.get(self.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    async fn ids(&self, path: &str, key: &str) -> Vec<i64> {
        self.list(path).await.iter().map(|row| row[key].as_i64().unwrap()).collect()
    }

    async fn price(&self, plan_id: i64) -> i64 {
        let plans = self.list("/plans/public/all").await;
        plans.iter().find(|plan| plan["plan_id"] == plan_id).unwrap()["price"].as_i64().unwrap()
    }

    async fn put(&self, path: &str, token: &str, body: &str) -> (StatusCode, Value) {
        let request = self.client.put(self.url(path)).bearer_auth(token).body(body.to_owned());
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn stop(self) {
        assert!(self.app.stop().await, "work was left over");
    }
}

/// Two administrators: 1 may do everything with plans and offers, 2 may read them.
async fn administrators(database: &TestDatabase) -> (String, String) {
    for statement in [
        "INSERT INTO roles (role_id, role_name) VALUES (1, 'SuperAdmin'), (2, 'Viewer') ON CONFLICT DO NOTHING",
        "INSERT INTO permissions (resource, read, write, edit, delete) \
         VALUES ('Plans', true, true, true, true), ('Offers', true, true, true, true) ON CONFLICT DO NOTHING",
        "INSERT INTO role_permissions (role_id, permission_id, read, write, edit, delete) \
         SELECT role_id, permission_id, true, role_id = 1, role_id = 1, role_id = 1 \
         FROM roles, permissions WHERE role_id IN (1, 2) AND resource IN ('Plans', 'Offers') ON CONFLICT DO NOTHING",
        "INSERT INTO admins (admin_id, name, email, phone, role_id, created_at) \
         VALUES (1, 'A', 'a@example.com', 919000000001, 1, now()), (2, 'B', 'b@example.com', 919000000002, 2, now())",
    ] {
        sqlx::query(statement).execute(&database.pool).await.unwrap();
    }
    (token(1, "9000000001"), token(2, "9000000002"))
}

fn token(id: i64, phone: &str) -> String {
    token_of(Uuid::new_v4(), id, phone)
}

fn token_of(session: Uuid, id: i64, phone: &str) -> String {
    let keys = Keys::derive(SECRET).unwrap();
    let phone = PhoneNumber::parse(phone).unwrap();
    let subject = Subject { kind: SubjectKind::Admin, id, phone, role: "any".to_owned() };
    keys.access(&subject, session, Uuid::new_v4(), base(), base() + TimeDelta::days(365))
}

#[test]
fn seeding_again_changes_nothing() {
    in_system(async {
        let database = seeded("catalogue_seed").await;
        let mut connection = database.pool.acquire().await.unwrap();
        let first = load(&mut connection).await.unwrap();
        assert_eq!((first.plans.len(), first.offers.len()), (13, 5));
        assert_eq!(first.plans[&PlanId(2)].price, Paise::new(34_900));
        assert_eq!(first.plans[&PlanId(2)].group_name.as_deref(), Some("Unlimited 5G"));
        seed_catalogue(&mut connection, base() + TimeDelta::days(1)).await.unwrap();
        assert_eq!(load(&mut connection).await.unwrap(), first);

        // What was taken away comes back; what was changed stays; new rows get new ids.
        sqlx::query("DELETE FROM offers WHERE offer_id = 5").execute(&mut *connection).await.unwrap();
        sqlx::query("UPDATE plans SET price = 50000 WHERE plan_id = 2")
            .execute(&mut *connection)
            .await
            .unwrap();
        seed_catalogue(&mut connection, base()).await.unwrap();
        let second = load(&mut connection).await.unwrap();
        assert!(second.epoch > first.epoch);
        assert_eq!(second.offers[&OfferId(5)], first.offers[&OfferId(5)]);
        assert_eq!(second.plans[&PlanId(2)].price, Paise::new(50_000));
        let insert = "INSERT INTO plans (plan_name, plan_type, price, created_at) VALUES ('n', 'prepaid', 100, now()) RETURNING plan_id";
        let id: i64 = sqlx::query_scalar(insert).fetch_one(&mut *connection).await.unwrap();
        assert_eq!(id, 14);
    });
}

#[test]
fn rules_that_cannot_be_read_make_a_plan_ineligible() {
    in_system(async {
        let database = seeded("catalogue_unreadable").await;
        sqlx::query("UPDATE plans SET criteria = '{\"conditions\": {\"min_amuont\": 5}}' WHERE plan_id = 2")
            .execute(&database.pool)
            .await
            .unwrap();
        let mut connection = database.pool.acquire().await.unwrap();
        let catalogue = load(&mut connection).await.unwrap();
        let buyer = Buyer {
            now: base(),
            number_type: Some(UserType::Prepaid),
            successful_recharges: 0,
            source: Source::Recharge,
            payment_method: PaymentMethod::Upi,
            offer_uses: 0,
        };
        let refused = quote(&catalogue.plans[&PlanId(2)], None, &buyer);
        assert!(matches!(refused, Err(Refusal::PlanNotEligible { .. })), "{refused:?}");
        let offer = &catalogue.offers[&OfferId(2)];
        let quoted = quote(&catalogue.plans[&PlanId(3)], Some(offer), &buyer).unwrap();
        assert_eq!((quoted.discount, quoted.payable), (Paise::new(7_500), Paise::new(78_400)));
    });
}

#[test]
fn public_plans_have_every_filter_order_and_page() {
    in_system(async {
        let database = seeded("catalogue_plans").await;
        sqlx::query("UPDATE plans SET status = 'inactive' WHERE plan_id = 10")
            .execute(&database.pool)
            .await
            .unwrap();
        let site = Site::start(&database).await;
        let active = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13];
        for (query, ids) in [
            ("", &active[..]),
            ("?status=active", &active),
            ("?status=inactive", &[]),
            ("?type=postpaid", &[11, 12, 13]),
            ("?search=gB%2FDAY", &[1, 2, 3, 4]),
            ("?search=%25", &[]),
            ("?type=prepaid&order_by=price&order_dir=desc&limit=3", &[4, 3, 9]),
            ("?order_by=plan_name&limit=3&page=1", &[7, 1, 8]),
            ("?page=2&limit=5", &[6, 7, 8, 9, 11]),
            ("?page=4&limit=5", &[]),
            ("?page=3", &active),
        ] {
            // The second answer comes from what is kept.
            for prefix in ["/v1", "", ""] {
                assert_eq!(
                    site.ids(&format!("{prefix}/plans/public/all{query}"), "plan_id").await,
                    ids,
                    "{query}"
                );
            }
        }
        let plans = site.list("/plans/public/all?search=2.5").await;
        assert_eq!(
            plans,
            [json!({
                "plan_name": "2.5 GB/day 365", "validity": 365, "most_popular": false, "plan_type": "prepaid", "group_id": 1,
                "description": "365 days", "price": 3599, "plan_id": 4,
                "criteria": {"conditions": {}, "benefits": {"data": "2.5 GB/day + 5G", "voice": "unlimited", "sms": "100/day"}},
            })]
        );
        let bad =
            site.client.get(site.url("/plans/public/all?order_by=metadata&limit=101&type=x&status=gone"));
        let bad = bad.send().await.unwrap();
        assert_eq!(bad.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let problem: Value = bad.json().await.unwrap();
        let fields: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
        assert_eq!(fields, ["status", "limit", "order_by", "type"]);
        site.stop().await;
    });
}

#[test]
fn answers_carry_totals_links_and_tags() {
    in_system(async {
        let database = seeded("catalogue_tags").await;
        let site = Site::start(&database).await;
        let first = site.client.get(site.url("/plans/public/all?limit=5&page=2")).send().await.unwrap();
        assert_eq!(first.headers()["x-total-count"], "13");
        assert_eq!(first.headers()["cache-control"], "public, no-cache");
        assert_eq!(
            first.headers()["link"],
            "<?order_by=plan_id&order_dir=asc&page=1&limit=5>; rel=\"first\", \
         <?order_by=plan_id&order_dir=asc&page=1&limit=5>; rel=\"prev\", \
         <?order_by=plan_id&order_dir=asc&page=3&limit=5>; rel=\"next\", \
         <?order_by=plan_id&order_dir=asc&page=3&limit=5>; rel=\"last\""
        );
        let tag = first.headers()["etag"].clone();
        let again = |tag: String| {
            let request =
                site.client.get(site.url("/plans/public/all?limit=5&page=2")).header("If-None-Match", tag);
            async move { request.send().await.unwrap() }
        };
        let known = format!("\"other\", W/{}", tag.to_str().unwrap());
        let unchanged = again(known.clone()).await;
        assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(unchanged.bytes().await.unwrap().len(), 0);
        assert_eq!(again("\"other\"".to_owned()).await.status(), StatusCode::OK);
        sqlx::query("UPDATE plans SET plan_name = 'New' WHERE plan_id = 6")
            .execute(&database.pool)
            .await
            .unwrap();
        eventually("the new name", SECOND, async || {
            let answer = again(known.clone()).await;
            (answer.status() == StatusCode::OK).then_some(())
        })
        .await;
        site.stop().await;
    });
}

#[test]
fn public_offers_end_without_anyone_saying_so() {
    in_system(async {
        let database = seeded("catalogue_offers").await;
        sqlx::query("UPDATE offers SET offer_validity = 7 WHERE offer_id IN (4, 5)")
            .execute(&database.pool)
            .await
            .unwrap();
        sqlx::query("UPDATE offers SET status = 'inactive' WHERE offer_id = 3")
            .execute(&database.pool)
            .await
            .unwrap();
        let site = Site::start(&database).await;
        for (query, ids) in [
            ("", &[5, 4, 2, 1][..]),
            ("?order_dir=asc", &[1, 2, 4, 5]),
            ("?is_special=true", &[1]),
            ("?offer_type_id=3", &[4]),
            ("?search=loyal", &[5]),
            ("?status=inactive", &[]),
            ("?order_by=offer_validity&order_dir=asc", &[4, 5, 1, 2]),
            ("?limit=2&page=2", &[2, 1]),
        ] {
            assert_eq!(site.ids(&format!("/offers/offers/public{query}"), "offer_id").await, ids, "{query}");
        }
        let special = site.list("/offers/offers/public?is_special=true").await;
        assert_eq!(
            special[0]["offer_type"],
            json!({"offer_type_id": 1, "offer_type_name": "Festive Offers"})
        );
        assert_eq!(special[0]["criteria"]["rewards"]["discount_value"], 50);

        site.clock.advance(TimeDelta::days(7) - TimeDelta::microseconds(1));
        assert_eq!(site.ids("/offers/offers/public", "offer_id").await, [5, 4, 2, 1]);
        site.clock.advance(TimeDelta::microseconds(1));
        assert_eq!(site.ids("/offers/offers/public", "offer_id").await, [2, 1]);
        for (path, status) in [
            ("/offers/offers/1", StatusCode::OK),
            ("/offers/offers/3", StatusCode::NOT_FOUND),
            ("/offers/offers/4", StatusCode::NOT_FOUND),
            ("/offers/offers/99", StatusCode::NOT_FOUND),
            ("/offers/offers/x", StatusCode::UNPROCESSABLE_ENTITY),
        ] {
            assert_eq!(site.client.get(site.url(path)).send().await.unwrap().status(), status, "{path}");
        }
        site.stop().await;
    });
}

#[test]
fn a_change_is_seen_here_at_once_and_elsewhere_within_a_second() {
    in_system(async {
        let database = seeded("catalogue_changes").await;
        let (all, _) = administrators(&database).await;
        let (here, there) = (Site::start(&database).await, Site::start(&database).await);
        for price in 400..410 {
            assert!(here.price(2).await < price && there.price(2).await < price);
            let (status, answer) = here.put("/plans/plan/2", &all, &format!(r#"{{"price": {price}}}"#)).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
            assert_eq!(here.price(2).await, price);
            eventually("the price elsewhere", SECOND, async || (there.price(2).await == price).then_some(()))
                .await;
        }
        // A listener whose connection dies misses nothing.
        for round in 0..3_i64 {
            // After the round before, it may still be on its way back.
            eventually("a listener to end", 5 * SECOND, async || {
                let ended: i64 = sqlx::query_scalar(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE datname = current_database() AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')",
                )
                .fetch_one(&database.pool)
                .await
                .unwrap();
                (ended > 0).then_some(())
            })
            .await;
            let rupees = 500 + round;
            sqlx::query("UPDATE plans SET price = $1 WHERE plan_id = 2")
                .bind(rupees * 100)
                .execute(&database.pool)
                .await
                .unwrap();
            eventually("the price after a lost listener", SECOND, async || {
                (there.price(2).await == rupees).then_some(())
            })
            .await;
        }
        here.stop().await;
        there.stop().await;
    });
}

#[test]
fn without_a_listener_lists_come_from_sql_and_own_changes_count_at_once() {
    in_system(async {
        let database = seeded("catalogue_unheard").await;
        administrators(&database).await;
        let session = Uuid::new_v4();
        sqlx::query(
        "INSERT INTO sessions (session_id, subject_kind, subject_id, rotated_at, refresh_expires_at, access_expires_at, \
                               login_time, last_active) VALUES ($1, 'admin', 1, $2, $3, $3, $2, $2)",
    )
    .bind(session)
    .bind(base())
    .bind(base() + TimeDelta::days(365))
    .execute(&database.pool)
    .await
    .unwrap();
        let token = token_of(session, 1, "9000000001");
        let clock: Arc<ManualClock> = Arc::new(ManualClock::at(base()));
        let gate = Gate::new(
            Keys::derive(SECRET).unwrap(),
            clock.clone(),
            database.pool.clone(),
            Announcer::default(),
        );
        // A listener that never runs: nothing is heard.
        let store = CatalogueStore::new(database.pool.clone());
        let lists = PublicLists::new(store.clone(), clock, &mut Listener::new(), Announcer::default());
        let app = actix_web::App::new()
            .app_data(Data::new(lists))
            .app_data(Data::new(store))
            .app_data(Data::new(gate))
            .configure(catalogue::routes);
        let app = web_test::init_service(app).await;
        let price = async || {
            let request = web_test::TestRequest::get().uri("/plans/public/all?limit=1").to_request();
            let plans: Vec<Value> = web_test::call_and_read_body_json(&app, request).await;
            plans[0]["price"].as_i64().unwrap()
        };
        assert_eq!(price().await, 299);
        sqlx::query("UPDATE plans SET price = 31000 WHERE plan_id = 1")
            .execute(&database.pool)
            .await
            .unwrap();
        eventually("the change", SECOND, async || (price().await == 310).then_some(())).await;
        for rupees in 400..420 {
            let request = web_test::TestRequest::put()
                .uri("/plans/plan/1")
                .insert_header(("Authorization", format!("Bearer {token}")));
            let request = request.set_payload(format!("{{\"price\": {rupees}}}")).to_request();
            let answer: Value = web_test::call_and_read_body_json(&app, request).await;
            assert_eq!(answer["price"], rupees, "{answer}");
            assert_eq!(price().await, rupees);
        }
    });
}

#[test]
fn changes_are_checked_and_answered_in_full() {
    in_system(async {
        let database = seeded("catalogue_put").await;
        let (all, viewer) = administrators(&database).await;
        let site = Site::start(&database).await;
        let before = load(&mut database.pool.acquire().await.unwrap()).await.unwrap();
        for (path, token, body, status, code) in [
            ("/plans/plan/2", "nonsense", "{}", 401, "not_authenticated"),
            ("/plans/plan/2", viewer.as_str(), r#"{"price": 1}"#, 403, "forbidden"),
            ("/offers/offers/2", &viewer, "{}", 403, "forbidden"),
            ("/plans/plan/99", &all, r#"{"price": 1}"#, 404, "not_found"),
            ("/offers/offers/99", &all, "{}", 404, "not_found"),
            ("/plans/plan/2", &all, "{", 400, "malformed_body"),
            ("/plans/plan/2", &all, r#"{"price": 0}"#, 422, "invalid_input"),
            ("/plans/plan/2", &all, r#"{"plan_type": "both"}"#, 422, "invalid_input"),
            ("/plans/plan/2", &all, r#"{"group_id": 99}"#, 400, "unknown_reference"),
            ("/plans/plan/2", &all, r#"{"criteria": {"conditions": {"x": 1}}}"#, 422, "invalid_input"),
            ("/offers/offers/2", &all, r#"{"offer_type_id": 99}"#, 400, "unknown_reference"),
        ] {
            let (answered, problem) = site.put(path, token, body).await;
            assert_eq!(
                (answered.as_u16(), problem["code"].as_str().unwrap()),
                (status, code),
                "{path} {body}: {problem}"
            );
        }
        let after = load(&mut database.pool.acquire().await.unwrap()).await.unwrap();
        assert_eq!((&after.plans, &after.offers), (&before.plans, &before.offers));

        let body = r#"{"price": "379.00", "group_id": null, "status": "inactive", "plan_name": " Renamed ", "ignored": 1,
        "criteria": {"conditions": {"min_amount": 100.50}, "benefits": {"data": "3 GB"}}}"#;
        let (status, plan) = site.put("/plans/plan/2", &all, body).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            plan,
            json!({
                "plan_name": "Renamed", "validity": 28, "most_popular": true, "plan_type": "prepaid", "group_id": null,
                "description": "28 days", "price": 379, "plan_id": 2, "status": "inactive", "created_by": null,
                "criteria": {"conditions": {"min_amount": 100.50}, "benefits": {"data": "3 GB"}},
                "created_at": "2026-01-10T00:00:00Z", "message": "Plan updated successfully",
                "updated_fields": ["plan_name", "group_id", "criteria", "price", "status"], "cache_status": "Invalidated",
            })
        );
        assert!(!site.ids("/plans/public/all", "plan_id").await.contains(&2));
        let one = site.url("/plans/plan/2");
        assert_eq!(site.client.get(&one).send().await.unwrap().status(), StatusCode::NOT_FOUND);
        let seen: Value =
            site.client.get(&one).bearer_auth(&viewer).send().await.unwrap().json().await.unwrap();
        assert_eq!(seen["price"], 379);

        let body =
            r#"{"offer_validity": null, "is_special": true, "criteria": {"rewards": {"extra_data": "5GB"}}}"#;
        let (status, offer) = site.put("/offers/offers/1", &all, body).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(offer["updated_fields"], json!(["offer_validity", "is_special", "criteria"]));
        assert_eq!(offer["offer_type"], json!({"offer_type_id": 1, "offer_type_name": "Festive Offers"}));
        let catalogue = load(&mut database.pool.acquire().await.unwrap()).await.unwrap();
        assert_eq!(catalogue.offers[&OfferId(1)].rewards.extra_data.as_deref(), Some("5GB"));
        assert_eq!(catalogue.offers[&OfferId(1)].validity_days, None);
        site.stop().await;
    });
}

/// What a wallet batch does first: the lock in a statement of its own, then the catalogue.
async fn batch(connection: &mut PgConnection) -> i64 {
    sqlx::query("BEGIN").execute(&mut *connection).await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock_shared(4201)").execute(&mut *connection).await.unwrap();
    load(connection).await.unwrap().plans[&PlanId(2)].price.rupees()
}

async fn someone_waits(database: &TestDatabase) {
    eventually("waiting for the catalogue's lock", PATIENCE, async || {
        let waiting: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4201 AND NOT granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
        )
        .fetch_one(&database.pool)
        .await
        .unwrap();
        waiting.then_some(())
    })
    .await;
}

#[test]
fn no_batch_commits_at_the_old_price_after_the_answer() {
    in_system(async {
        let database = seeded("catalogue_price").await;
        let (all, _) = administrators(&database).await;
        let site = Site::start(&database).await;
        let mut early = database.options().connect().await.unwrap();
        let mut late = database.options().connect().await.unwrap();

        // A batch that has read the old price keeps the answer back until it has committed.
        assert_eq!(batch(&mut early).await, 349);
        let mut answer = Box::pin(site.put("/plans/plan/2", &all, r#"{"price": 399}"#));
        tokio::select! {
            () = someone_waits(&database) => {}
            answered = &mut answer => panic!("answered under a running batch: {answered:?}"),
        }
        // A batch that begins while the change waits gets its turn after it, with the new price.
        let mut later = Box::pin(batch(&mut late));
        tokio::select! {
            price = &mut later => panic!("overtook the change, with price {price}"),
            answered = &mut answer => panic!("answered under a running batch: {answered:?}"),
            () = eventually("two waiting", PATIENCE, async || {
                let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE objid = 4201 AND NOT granted \
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
                    .fetch_one(&database.pool)
                    .await
                    .unwrap();
                (waiting >= 2).then_some(())
            }) => {}
        }
        sqlx::query("COMMIT").execute(&mut early).await.unwrap();
        let ((status, _), price) = tokio::join!(answer, later);
        assert_eq!((status, price), (StatusCode::OK, 399));
        sqlx::query("COMMIT").execute(&mut late).await.unwrap();
        early.close().await.unwrap();
        late.close().await.unwrap();
        site.stop().await;
    });
}

#[test]
fn changes_of_several_rows_do_not_deadlock() {
    in_system(async {
        let database = seeded("catalogue_deadlock").await;
        let mut first = database.options().connect().await.unwrap();
        let mut second = database.options().connect().await.unwrap();
        sqlx::query("BEGIN").execute(&mut first).await.unwrap();
        sqlx::query("UPDATE plans SET price = 100 WHERE plan_id = 1").execute(&mut first).await.unwrap();
        let mut crossing = std::pin::pin!(async {
            sqlx::query("UPDATE plans SET price = 200 WHERE plan_id = 2").execute(&mut second).await.unwrap();
            sqlx::query("UPDATE plans SET price = 200 WHERE plan_id = 1").execute(&mut second).await.unwrap();
        });
        tokio::select! {
            () = someone_waits(&database) => {}
            () = &mut crossing => panic!("did not wait"),
        }
        sqlx::query("UPDATE plans SET price = 100 WHERE plan_id = 2").execute(&mut first).await.unwrap();
        sqlx::query("COMMIT").execute(&mut first).await.unwrap();
        crossing.await;
        let prices: Vec<i64> = sqlx::query_scalar("SELECT price FROM plans WHERE plan_id IN (1, 2)")
            .fetch_all(&database.pool)
            .await
            .unwrap();
        assert_eq!(prices, [200, 200]);
    });
}
