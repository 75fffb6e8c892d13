//! `/admin`.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ASHA, MANAGER, SUPER_ADMIN, SUPPORT, VIEWER, bare, column, refused_to_others, send};
use crate::support::app::{TestApp, with_app};
use crate::support::eventually;

fn person(number: u32, role: &str) -> Value {
    json!({ "name": format!("Admin {number}"), "email": format!("new{number}@example.com"),
        "phone_number": format!("90000001{number:02}"), "role_name": role })
}

async fn add(app: &TestApp, token: &str, number: u32, role: &str) -> Value {
    send(app, Method::POST, "/admin/", token, person(number, role)).await.ok()
}

#[test]
fn everybody_sees_and_changes_the_own_profile() {
    with_app(async |app| {
        assert_eq!(bare(app, Method::GET, "/admin/me", "").await.problem(), "not_authenticated");
        let asha = app.sign_in(ASHA).await;
        assert_eq!(bare(app, Method::GET, "/admin/me", &asha.access).await.problem(), "forbidden");
        let viewer = app.sign_in(VIEWER).await;
        let me = app.get("/admin/me", &viewer.access).await.ok();
        assert_eq!((&me["phone_number"], &me["role_name"]), (&json!(VIEWER), &json!("Viewer")));
        let patch = async |body| send(app, Method::PATCH, "/admin/me", &viewer.access, body).await;
        assert_eq!(patch(json!({})).await.ok(), me);
        assert_eq!(patch(json!({ "email": null, "unknown": 1 })).await.ok(), me);
        let changed = patch(json!({ "email": "Viewer@Example.com" })).await.ok();
        assert_eq!(changed["email"], "Viewer@Example.com");
        assert!(changed["updated_at"].is_string());
        assert_eq!(patch(json!({ "email": "MANAGER_admin1@example.com" })).await.problem(), "duplicate");
        assert_eq!(patch(json!({ "email": "nobody" })).await.json["errors"][0]["field"], "email");
        assert_eq!(app.get("/admin/me", &viewer.access).await.ok(), changed);
    });
}

#[test]
fn lists_are_filtered_sorted_and_paged() {
    with_app(async |app| {
        refused_to_others(app, Method::GET, "/admin/", MANAGER).await;
        let token = app.sign_in(SUPER_ADMIN).await.access;
        let list = async |query: &str| app.get(&format!("/admin/{query}"), &token).await;
        let first = list("").await;
        assert_eq!(first.headers["x-total-count"], "15");
        assert!(first.headers["link"].to_str().unwrap().contains("<?skip=10&limit=10>; rel=\"next\""));
        assert_eq!(first.json.as_array().unwrap().len(), 10);
        let all = app.get("/admin?limit=0", &token).await;
        assert_eq!(all.json.as_array().unwrap().len(), 15);
        // The filter by role once gave every administrator, repeated.
        let managers = list("?role_name=manag").await;
        assert_eq!(managers.headers["x-total-count"], "3");
        assert_eq!(column(&managers.json, "role_name"), ["Manager", "Manager", "Manager"]);
        assert_eq!(column(&list("?phone_number=0015").await.json, "phone_number"), ["9000000015"]);
        assert_eq!(list("?name=%25&email=_").await.json, json!([]));
        let sorted = list("?sort_by=email&sort_order=desc&limit=2&skip=1").await.json;
        assert_eq!(column(&sorted, "email"), ["viewer_admin2@example.com", "viewer_admin1@example.com"]);
        add(app, &token, 1, "Viewer").await;
        assert_eq!(list("?limit=1").await.json[0]["name"], "Admin 1", "newest first");
        let wrong = list("?sort_by=role&limit=x&skip=-1&phone_number=abc").await;
        assert_eq!(wrong.problem(), "invalid_input");
        assert_eq!(wrong.json["errors"].as_array().unwrap().len(), 4);
    });
}

#[test]
fn administrators_are_added_changed_and_removed() {
    with_app(async |app| {
        let token = app.sign_in(SUPER_ADMIN).await.access;
        let added = add(app, &token, 1, "Support").await;
        assert_eq!((&added["role_name"], &added["phone_number"]), (&json!("Support"), &json!("9000000101")));
        let path = format!("/admin/{}", added["admin_id"]);
        let theirs = app.sign_in("9000000101").await;
        assert_eq!(app.get("/admin/me", &theirs.access).await.ok()["admin_id"], added["admin_id"]);
        let change = async |path: &str, body| send(app, Method::PATCH, path, &token, body).await;

        // Another role holds from the next request on, with the same token.
        assert_eq!(app.get("/role/", &theirs.access).await.problem(), "forbidden");
        let by_phone =
            change("/admin/9000000101", json!({ "role_name": "SuperAdmin", "name": "Root" })).await;
        assert_eq!(by_phone.ok()["name"], "Root");
        assert_eq!(app.get("/role/", &theirs.access).await.status, 200);
        change(&path, json!({ "role_name": "Viewer" })).await.ok();
        assert_eq!(app.get("/role/", &theirs.access).await.problem(), "forbidden");

        // Another number ends the sessions of the old one.
        let moved = change(&path, json!({ "phone_number": "9000000102" })).await.ok();
        assert_eq!((&moved["phone_number"], &moved["name"]), (&json!("9000000102"), &json!("Root")));
        assert_eq!(app.get("/admin/me", &theirs.access).await.problem(), "not_authenticated");
        let theirs = app.sign_in("9000000102").await;

        assert_eq!(bare(app, Method::DELETE, &path, &token).await.ok()["message"], "Administrator removed");
        assert_eq!(app.get("/admin/me", &theirs.access).await.problem(), "not_authenticated");
        let refresh = app.post("/auth/refresh", "", json!({ "refresh_token": theirs.refresh })).await;
        assert_eq!(refresh.problem(), "not_authenticated");
        for method in [Method::PATCH, Method::DELETE] {
            assert_eq!(send(app, method.clone(), &path, &token, json!({})).await.problem(), "not_found");
            assert_eq!(
                send(app, method.clone(), "/admin/9000000102", &token, json!({})).await.problem(),
                "not_found"
            );
            assert_eq!(send(app, method, "/admin/x", &token, json!({})).await.problem(), "invalid_input");
        }
    });
}

#[test]
fn what_cannot_be_is_refused() {
    with_app(async |app| {
        let token = app.sign_in(SUPER_ADMIN).await.access;
        let post = async |body| send(app, Method::POST, "/admin/", &token, body).await;
        let with = |field: &str, value: Value| {
            let mut body = person(1, "Viewer");
            body[field] = value;
            body
        };
        for (field, value, code) in [
            ("status", json!("active"), "invalid_input"),
            ("name", json!("A"), "invalid_input"),
            ("email", json!("x"), "invalid_input"),
            ("phone_number", json!("12345"), "invalid_input"),
            ("phone_number", json!(SUPPORT), "duplicate"),
            ("phone_number", json!(ASHA), "duplicate"),
            ("email", json!("SUPPORT_admin1@example.com"), "duplicate"),
            ("role_name", json!("Nobody"), "not_found"),
        ] {
            assert_eq!(post(with(field, value)).await.problem(), code, "{field}");
        }
        let unknown = post(with("role_name", json!("Nobody"))).await;
        assert!(unknown.json["detail"].as_str().unwrap().contains("available_roles: SuperAdmin, Manager"));
        let many = post(json!({ "name": "", "email": "", "phone_number": "", "role_name": "Viewer" })).await;
        assert_eq!(many.json["errors"].as_array().unwrap().len(), 3);
        for body in [
            json!({ "phone_number": ASHA }),
            json!({ "phone_number": MANAGER }),
            json!({ "email": "manager_admin1@example.com" }),
        ] {
            assert_eq!(
                send(app, Method::PATCH, &format!("/admin/{VIEWER}"), &token, body).await.problem(),
                "duplicate"
            );
        }
        for (method, path) in
            [(Method::POST, "/admin/"), (Method::PATCH, "/admin/15"), (Method::DELETE, "/admin/15")]
        {
            let manager = app.sign_in("9000000005").await;
            let asha = app.sign_in("9800000007").await;
            for (token, code) in
                [("", "not_authenticated"), (&manager.access, "forbidden"), (&asha.access, "forbidden")]
            {
                assert_eq!(
                    send(app, method.clone(), path, token, person(1, "Viewer")).await.problem(),
                    code,
                    "{method}"
                );
            }
            app.clock.advance(chrono::TimeDelta::seconds(31));
        }
    });
}

#[test]
fn of_many_at_once_one_gets_the_number_and_the_address() {
    with_app(async |app| {
        let token = app.sign_in(SUPER_ADMIN).await.access;
        let posts = (0..8).map(|number| {
            let mut body = person(number, "Viewer");
            body[if number % 2 == 0 { "phone_number" } else { "email" }] =
                if number % 2 == 0 { json!("9000000150") } else { json!("same@example.com") };
            send(app, Method::POST, "/admin/", &token, body)
        });
        let answers = join_all(posts).await;
        let added = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(added, 2);
        assert!(
            answers
                .iter()
                .filter(|answer| answer.status != 200)
                .all(|answer| answer.problem() == "duplicate")
        );
    });
}

#[test]
fn a_number_goes_to_a_customer_or_an_administrator_never_to_both() {
    with_app(async |app| {
        let token = app.sign_in(SUPER_ADMIN).await.access;
        let mut customers = 0;
        for round in 0..12 {
            let phone = format!("90000002{round:02}");
            let code = app.post("/auth/signup", "", json!({ "phone_number": phone })).await.ok();
            let mut body = person(round, "Viewer");
            body["phone_number"] = json!(phone);
            let verify = json!({ "phone_number": phone, "otp": code["dev_otp"] });
            let (admin, customer) = futures_util::join!(
                send(app, Method::POST, "/admin/", &token, body),
                app.post("/auth/verify-otp-signup", "", verify)
            );
            assert_ne!(admin.status == 200, customer.status == 200, "{admin:?} {customer:?}");
            let loser = if admin.status == 200 { customer } else { admin };
            assert_eq!(loser.problem(), "duplicate");
            customers += i32::from(loser.text.contains("administrator"));
        }
        let both: i64 = app.count("SELECT count(*) FROM users JOIN admins USING (phone)").await;
        assert_eq!(both, 0, "{customers} went to customers");
    });
}

#[test]
fn the_last_super_admin_stays_also_when_two_go_at_once() {
    with_app(async |app| {
        let token = app.sign_in(SUPER_ADMIN).await.access;
        bare(app, Method::DELETE, "/admin/9000000003", &token).await.ok();
        let second = app.sign_in("9000000002").await.access;
        // Each removes or demotes the other.
        let (a, b) = futures_util::join!(
            bare(app, Method::DELETE, "/admin/9000000002", &token),
            send(app, Method::PATCH, "/admin/9000000001", &second, json!({ "role_name": "Viewer" }))
        );
        assert_eq!([a.status, b.status].iter().filter(|status| **status == 200).count(), 1, "{a:?} {b:?}");
        let left = app
            .count("SELECT count(*) FROM admins JOIN roles USING (role_id) WHERE role_name = 'SuperAdmin'");
        assert_eq!(left.await, 1);
        let last = if a.status == 200 { (SUPER_ADMIN, &token) } else { ("9000000002", &second) };
        let path = format!("/admin/{}", last.0);
        assert_eq!(bare(app, Method::DELETE, &path, last.1).await.problem(), "state_conflict");
        let demote = send(app, Method::PATCH, &path, last.1, json!({ "role_name": "Manager" })).await;
        assert_eq!(demote.problem(), "state_conflict");
        // The same role again is no demotion.
        send(app, Method::PATCH, &path, last.1, json!({ "role_name": "SuperAdmin" })).await.ok();
    });
}

#[test]
fn nobody_gives_or_takes_what_the_own_role_does_not_allow() {
    with_app(async |app| {
        let root = app.sign_in(SUPER_ADMIN).await.access;
        let all = app.get("/role/permissions/all", &root).await.ok();
        let admins = all.as_array().unwrap().iter().find(|row| row["resource"] == "Admins").unwrap();
        let viewer = app.get("/role/?role_name=Viewer", &root).await.ok();
        let mut ids = column(&viewer[0]["permissions"], "permission_id");
        ids.push(admins["permission_id"].clone());
        let role = json!({ "role_name": "Staff", "permission_ids": ids });
        app.post("/role/", &root, role).await;
        add(app, &root, 1, "Staff").await;
        let staff = app.sign_in("9000000101").await.access;
        let post = async |role| send(app, Method::POST, "/admin/", &staff, person(2, role)).await;
        assert_eq!(post("SuperAdmin").await.problem(), "forbidden");
        assert_eq!(post("ContentEditor").await.problem(), "forbidden");
        post("Staff").await.ok();
        for path in ["/admin/9000000101", "/admin/9000000102"] {
            let promote = send(app, Method::PATCH, path, &staff, json!({ "role_name": "SuperAdmin" })).await;
            assert_eq!(promote.problem(), "forbidden");
        }
        let path = format!("/admin/{SUPER_ADMIN}");
        assert_eq!(bare(app, Method::DELETE, &path, &staff).await.problem(), "forbidden");
        bare(app, Method::DELETE, "/admin/9000000102", &staff).await.ok();
    });
}

#[test]
fn a_change_bites_within_a_second_at_another_process() {
    with_app(async |app| {
        let other = app.start_another().await;
        let elsewhere = format!("http://{}/user/admin?limit=1", other.addr);
        let (root, manager) = (app.sign_in(SUPER_ADMIN).await.access, app.sign_in(MANAGER).await.access);
        assert_eq!(app.get(&elsewhere, &manager).await.status, 200);
        let path = format!("/admin/{MANAGER}");
        send(app, Method::PATCH, &path, &root, json!({ "role_name": "ContentEditor" })).await.ok();
        assert_eq!(app.get("/user/admin?limit=1", &manager).await.problem(), "forbidden");
        eventually("the change at the other process", Duration::from_secs(1), async || {
            (app.get(&elsewhere, &manager).await.status == 403).then_some(())
        })
        .await;
        bare(app, Method::DELETE, &path, &root).await.ok();
        eventually("the removal at the other process", Duration::from_secs(1), async || {
            (app.get(&elsewhere, &manager).await.status == 401).then_some(())
        })
        .await;
        assert!(other.stop().await);
    });
}

/// Every change that an administrator makes is in the audit log, with who and what, and without personal data.
#[test]
fn changes_are_in_the_audit_log() {
    with_app(async |app| {
        let token = app.sign_in(SUPER_ADMIN).await.access;
        let admin = add(app, &token, 1, "Viewer").await["admin_id"].clone();
        let path = format!("/admin/{admin}");
        let change = json!({ "role_name": "Support", "email": "secret@example.com" });
        send(app, Method::PATCH, &path, &token, change).await.ok();
        bare(app, Method::DELETE, &path, &token).await.ok();
        let role =
            send(app, Method::POST, "/role/", &token, json!({ "role_name": "Clerk", "permission_ids": [1] }));
        let role = role.await.ok()["role_id"].clone();
        send(app, Method::PUT, &format!("/role/{role}"), &token, json!({ "permission_ids": [] })).await.ok();
        bare(app, Method::DELETE, &format!("/role/{role}"), &token).await.ok();
        let user = app.get("/user/admin?name=Asha", &token).await.ok()[0]["user_id"].clone();
        for action in ["block", "unblock"] {
            bare(app, Method::POST, &format!("/user/admin/{action}/{user}"), &token).await.ok();
        }
        bare(app, Method::DELETE, &format!("/user/admin/{user}"), &token).await.ok();
        // What was refused is not there.
        bare(app, Method::DELETE, &format!("/user/admin/{user}"), &token).await.problem();
        let rows: Vec<(Value,)> = sqlx::query_as(
            "SELECT data::jsonb FROM outbox_events WHERE type = 'gencharge.audit.recorded.v1' \
               AND data::jsonb ->> 'service' <> 'auth' ORDER BY created_at, event_id",
        )
        .fetch_all(&app.pool)
        .await
        .unwrap();
        let told: Vec<String> = rows
            .iter()
            .map(|(row,)| format!("{} {} {}", row["actor"], row["action"], row["target"]).replace('"', ""))
            .collect();
        let expected = [
            format!("AD_1 ADD_ADMIN admin/{admin}"),
            format!("AD_1 UPDATE_ADMIN admin/{admin}"),
            format!("AD_1 REMOVE_ADMIN admin/{admin}"),
            format!("AD_1 ADD_ROLE role/{role}"),
            format!("AD_1 UPDATE_ROLE role/{role}"),
            format!("AD_1 DELETE_ROLE role/{role}"),
            format!("AD_1 BLOCK_USER user/{user}"),
            format!("AD_1 UNBLOCK_USER user/{user}"),
            format!("AD_1 DELETE_USER user/{user}"),
        ];
        assert_eq!(told, expected);
        assert_eq!(rows[1].0["changes"], json!({ "email": "changed", "role_name": "Support" }));
        assert_eq!(rows[3].0["changes"], json!({ "role_name": "Clerk", "permissions": { "Users": "rwed" } }));
        assert_eq!(rows[8].0["role"], "SuperAdmin");
        let listed = eventually("the document", Duration::from_secs(5), async || {
            let page = app.get("/audit-logs?action=DELETE_USER", &token).await.ok();
            (page["count"] == 1).then_some(page)
        });
        assert_eq!(listed.await["logs"][0]["changes"], json!({ "set_aside": "0.00" }));
    });
}
