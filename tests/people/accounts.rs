//! The own account: profile, type, preferences, pausing; and the administrators' lists.

use std::time::Duration;

use futures_util::future::join_all;
use gencharge_actors::account::Change;
use gencharge_actors::kernel::{AccountStatus, Random as _, SeededRandom};
use reqwest::Method;
use serde_json::{Value, json};

use super::{ASHA, MANAGER, RAVI, SUPPORT, VIEWER, bare, column, refused_to_others, send};
use crate::support::app::with_app;
use crate::support::eventually;
use crate::support::money::{SUBSCRIBE, recharge};

/// The plan that is over after a day.
const ONE_DAY: i64 = 7;

const OWN: [(Method, &str); 7] = [
    (Method::DELETE, "/user/me"),
    (Method::PUT, "/user/me/email"),
    (Method::PUT, "/user/me/switch-type"),
    (Method::POST, "/user/me/deactivate"),
    (Method::POST, "/user/me/reactivate"),
    (Method::GET, "/user/preference"),
    (Method::PUT, "/user/preference"),
];

#[test]
fn the_own_account_is_for_customers() {
    with_app(async |app| {
        let admin = app.sign_in(MANAGER).await.access;
        for (method, path) in OWN {
            for (token, code) in [("", "not_authenticated"), (admin.as_str(), "forbidden")] {
                assert_eq!(
                    send(app, method.clone(), path, token, json!({})).await.problem(),
                    code,
                    "{method} {path}"
                );
            }
        }
    });
}

#[test]
fn an_email_address_has_one_owner_also_among_many_at_once() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let put = async |token: &str, email: &str| {
            send(app, Method::PUT, "/user/me/email", token, json!({ "email": email, "name": "ignored" }))
                .await
        };
        let changed = put(&asha, "New@Example.com").await.ok();
        assert_eq!((&changed["email"], &changed["name"]), (&json!("New@Example.com"), &json!("Asha Verma")));
        put(&asha, "new@example.com").await.ok();
        assert_eq!(put(&asha, "RAVI@example.com").await.problem(), "duplicate");
        for bad in ["", "x", "a b@c.de"] {
            assert_eq!(put(&asha, bad).await.json["errors"][0]["field"], "email");
        }
        for body in [json!({}), json!({ "email": null }), json!({ "email": 7 })] {
            assert_eq!(
                send(app, Method::PUT, "/user/me/email", &asha, body).await.problem(),
                "invalid_input"
            );
        }
        let mut tokens = Vec::new();
        for number in 0..6 {
            tokens.push(app.sign_up(&format!("987000000{number}")).await.access);
        }
        let answers = join_all(tokens.iter().map(|token| put(token, "same@example.com"))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        assert!(answers.iter().all(|answer| answer.status == 200 || answer.problem() == "duplicate"));
        // Having set an e-mail address does not keep a customer from registering.
        let body = json!({ "name": "Late", "email": "late@example.com", "user_type": "prepaid" });
        app.post("/auth/register", &tokens[0], body).await.ok();
    });
}

#[test]
fn the_type_switches_when_no_plan_of_the_present_one_is_in_use() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let switch = async |to: &str| {
            send(app, Method::PUT, "/user/me/switch-type", &asha, json!({ "user_type": to })).await
        };
        assert_eq!(switch("postpaid").await.ok()["user_type"], "postpaid");
        app.verify().await;
        assert_eq!(switch("prepaid").await.ok()["user_type"], "prepaid");
        assert_eq!(switch("PREPAID").await.json["errors"][0]["field"], "user_type");
        app.fund(&asha, 1000).await;
        app.post(SUBSCRIBE, &asha, recharge(ASHA, ONE_DAY)).await.ok();
        assert_eq!(switch("postpaid").await.problem(), "state_conflict");
        assert_eq!(switch("prepaid").await.ok()["user_type"], "prepaid", "nothing to switch");
        // When the plan is over the switch goes through, and prepaid plans are refused from then on.
        app.clock.advance(chrono::TimeDelta::days(2));
        let asha = app.sign_in(ASHA).await.access;
        let body = json!({ "user_type": "postpaid" });
        send(app, Method::PUT, "/user/me/switch-type", &asha, body).await.ok();
        assert_eq!(app.post(SUBSCRIBE, &asha, recharge(ASHA, 1)).await.problem(), "plan_type_mismatch");
        app.verify().await;
    });
}

#[test]
fn preferences_are_replaced_as_a_whole() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let defaults = app.get("/user/preference", &asha).await.ok();
        let on = [
            "email_notification",
            "sms_notification",
            "recharge_remainders",
            "transactional_alerts",
            "data_analytics",
        ];
        let off = ["marketing_communication", "promotional_offers", "third_party_integrations"];
        assert!(
            on.iter().all(|name| defaults[name] == true) && off.iter().all(|name| defaults[name] == false)
        );
        assert_eq!(defaults["user_id"], app.get("/user/me", &asha).await.ok()["user_id"]);
        let put = async |body: Value| send(app, Method::PUT, "/user/preference", &asha, body).await;
        let set = put(json!({ "sms_notification": false, "promotional_offers": true })).await.ok();
        assert_eq!((&set["sms_notification"], &set["promotional_offers"]), (&json!(false), &json!(true)));
        assert_eq!(app.get("/user/preference", &asha).await.ok(), set);
        assert_eq!(put(json!({})).await.ok(), defaults);
        for bad in [json!({ "sms_notification": "no" }), json!({ "sms_notification": null })] {
            assert_eq!(put(bad).await.problem(), "invalid_input");
        }
        sqlx::query("DELETE FROM user_preferences").execute(&app.pool).await.unwrap();
        assert_eq!(app.get("/user/preference", &asha).await.ok(), defaults, "a missing row is no failure");
        assert_eq!(put(json!({ "data_analytics": false })).await.ok()["data_analytics"], false);
        assert_eq!(app.get("/user/preference", &asha).await.ok()["data_analytics"], false);
    });
}

#[test]
fn a_paused_account_can_only_be_resumed() {
    with_app(async |app| {
        let other = app.start_another().await;
        let elsewhere = format!("http://{}/user/me", other.addr);
        let phone = app.sign_in(ASHA).await;
        app.clock.advance(chrono::TimeDelta::seconds(31));
        let tablet = app.sign_in(ASHA).await;
        let act =
            async |action: &str| bare(app, Method::POST, &format!("/user/me/{action}"), &phone.access).await;
        assert_eq!(act("reactivate").await.problem(), "state_conflict");
        assert_eq!(act("deactivate").await.ok()["status"], "deactive");
        assert_eq!(act("deactivate").await.problem(), "state_conflict");
        for token in [&phone.access, &tablet.access] {
            assert_eq!(app.get("/user/me", token).await.problem(), "not_authenticated");
            assert_eq!(app.post(SUBSCRIBE, token, recharge(ASHA, 1)).await.problem(), "not_authenticated");
        }
        eventually("the pause at the other process", Duration::from_secs(1), async || {
            (app.get(&elsewhere, &phone.access).await.status == 401).then_some(())
        })
        .await;
        let refresh = app.post("/auth/refresh", "", json!({ "refresh_token": phone.refresh })).await;
        assert_eq!(refresh.problem(), "not_authenticated");
        let resume = bare(app, Method::POST, "/user/me/reactivate", &tablet.access).await;
        assert_eq!(resume.problem(), "not_authenticated", "other sessions have ended");
        assert_eq!(act("reactivate").await.ok()["status"], "active");
        assert_eq!(app.get("/user/me", &phone.access).await.status, 200);
        assert_eq!(app.get("/user/me", &tablet.access).await.problem(), "not_authenticated");
        // The next sign-in resumes too.
        act("deactivate").await.ok();
        app.clock.advance(chrono::TimeDelta::seconds(31));
        let again = app.sign_in(ASHA).await;
        assert_eq!(app.get("/user/me", &again.access).await.ok()["status"], "active");
        app.verify().await;
        assert!(other.stop().await);
    });
}

/// Customers and administrators do what they like, in any order: the state follows the rules, and the wallet the state.
#[test]
fn every_walk_through_the_states_follows_the_rules() {
    with_app(async |app| {
        let admin = app.sign_in(MANAGER).await.access;
        let asha = app.sign_in(ASHA).await.access;
        let id = app.get("/user/me", &asha).await.ok()["user_id"].clone();
        let random = SeededRandom::new(50);
        let mut state = AccountStatus::Active;
        let mut taken = [0; 4];
        for step in 0..80 {
            let choice = usize::try_from(random.below(4)).unwrap();
            let change = Change::ALL[choice];
            // A paused or blocked customer has no session of the usual kind: the walk needs a token that a pause leaves.
            let token = mint(app).await;
            let (path, token) = match change {
                Change::Block => (format!("/user/admin/block/{id}"), &admin),
                Change::Unblock => (format!("/user/admin/unblock/{id}"), &admin),
                Change::Deactivate => ("/user/me/deactivate".to_owned(), &token),
                Change::Reactivate => ("/user/me/reactivate".to_owned(), &token),
            };
            let answer = bare(app, Method::POST, &path, token).await;
            match change.apply(state) {
                Ok(next) => {
                    assert_eq!(
                        answer.ok()["status"],
                        next.as_str(),
                        "step {step}: {change:?} from {state:?}"
                    );
                    state = next;
                    taken[choice] += 1;
                }
                Err(_) => {
                    let own = matches!(change, Change::Deactivate | Change::Reactivate);
                    let code = if own && state == AccountStatus::Blocked {
                        "not_authenticated"
                    } else {
                        "state_conflict"
                    };
                    assert_eq!(answer.problem(), code, "step {step}: {change:?} from {state:?}");
                }
            }
            app.verify().await;
        }
        assert!(taken.iter().all(|count| *count > 0), "the walk is too short: {taken:?}");
    });
}

/// A fresh session of the customer's, whatever the state.
async fn mint(app: &crate::support::app::TestApp) -> String {
    use gencharge::auth::{CUSTOMER_ROLE, Keys, Subject, SubjectKind, mint};
    use gencharge_actors::kernel::{PhoneNumber, SystemRandom};
    let phone = PhoneNumber::parse(ASHA).unwrap();
    let id: i64 = sqlx::query_scalar("SELECT user_id FROM users WHERE phone = $1")
        .bind(phone.e164())
        .fetch_one(&app.pool)
        .await
        .unwrap();
    let subject = Subject { kind: SubjectKind::User, id, phone, role: CUSTOMER_ROLE.to_owned() };
    let keys = Keys::derive(crate::support::app::SECRET).unwrap();
    let minute = Duration::from_secs(60);
    mint(&app.pool, &keys, &app.clock, &SystemRandom, &[subject], minute).await.unwrap().remove(0)
}

#[test]
fn lists_of_customers_are_filtered_sorted_and_paged() {
    with_app(async |app| {
        for path in ["/user/admin", "/user/admin/archived"] {
            refused_to_others(app, Method::GET, path, VIEWER).await;
            app.clock.advance(chrono::TimeDelta::seconds(31));
        }
        let token = app.sign_in(SUPPORT).await.access;
        app.fund(&app.sign_in(RAVI).await.access, 70).await;
        let list = async |query: &str| app.get(&format!("/user/admin{query}"), &token).await;
        let all = list("").await;
        assert_eq!(
            (all.headers["x-total-count"].to_str().unwrap(), all.json.as_array().unwrap().len()),
            ("7", 7)
        );
        for (query, phones) in [
            ("?status=deactive", vec!["9800000005", "9800000006"]),
            ("?status=blocked&user_type=postpaid", vec!["9800000004"]),
            ("?name=VER", vec![ASHA]),
            ("?name=%25", vec![]),
            ("?phone_number=0007", vec!["9800000007"]),
            ("?sort_by=wallet_balance&sort_order=desc&limit=1", vec![RAVI]),
            ("?sort_by=name&limit=2&skip=1", vec!["9800000006", "9800000004"]),
            ("?sort_by=created_at&limit=1", vec![ASHA]),
        ] {
            let phones: Vec<Value> = phones.into_iter().map(Value::from).collect();
            assert_eq!(column(&list(query).await.json, "phone_number"), phones, "{query}");
        }
        let page = list("?user_type=prepaid&limit=2").await;
        assert_eq!(page.headers["x-total-count"], "3");
        assert!(
            page.headers["link"]
                .to_str()
                .unwrap()
                .contains("<?user_type=prepaid&skip=2&limit=2>; rel=\"next\"")
        );
        assert_eq!(page.json[0]["wallet_balance"], 0.0);
        let wrong = list("?status=gone&user_type=x&sort_by=email&sort_order=up&limit=1.5").await;
        assert_eq!(wrong.json["errors"].as_array().unwrap().len(), 5);
        assert_eq!(app.get("/user/admin/archived", &token).await.ok(), json!([]));
    });
}

#[test]
fn a_long_list_of_customers_arrives_whole() {
    with_app(async |app| {
        sqlx::query(
            "WITH made AS (INSERT INTO users (phone, referral_code, created_at) \
                 SELECT 916500000000 + n, 'MANY' || n, now() FROM generate_series(1, 5000) AS n RETURNING user_id, phone) \
             INSERT INTO wallets (wallet_id, phone) SELECT user_id, phone FROM made",
        )
        .execute(&app.pool)
        .await
        .unwrap();
        let token = app.sign_in(SUPPORT).await.access;
        let all = app.get("/user/admin", &token).await;
        assert_eq!(all.headers["x-total-count"], "5007");
        let mut ids = column(&all.json, "user_id");
        assert_eq!(ids.len(), 5007);
        ids.dedup();
        assert_eq!(ids.len(), 5007);
        let rest = app.get("/user/admin?skip=5000", &token).await;
        assert_eq!(rest.json.as_array().unwrap().len(), 7);
    });
}
