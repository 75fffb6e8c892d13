//! `/role`.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ASHA, MANAGER, SUPER_ADMIN, VIEWER, bare, column, refused_to_others, send};
use crate::support::app::{TestApp, with_app};

async fn permission(app: &TestApp, token: &str, resource: &str) -> Value {
    let all = app.get("/role/permissions/all", token).await.ok();
    all.as_array().unwrap().iter().find(|row| row["resource"] == resource).unwrap().clone()
}

async fn role(app: &TestApp, token: &str, name: &str) -> Value {
    app.get(&format!("/role/?role_name={name}"), token).await.ok()[0].clone()
}

#[test]
fn roles_show_what_each_allows() {
    with_app(async |app| {
        for path in ["/role/", "/role/1", "/role/permissions/all"] {
            refused_to_others(app, Method::GET, path, MANAGER).await;
            app.clock.advance(chrono::TimeDelta::seconds(31));
        }
        let token = app.sign_in(SUPER_ADMIN).await.access;
        let all = app.get("/role", &token).await;
        assert_eq!(all.headers["x-total-count"], "5");
        assert_eq!(
            column(&all.json, "role_name"),
            ["SuperAdmin", "Manager", "Support", "ContentEditor", "Viewer"]
        );
        // The flags are the link's, not the permission's.
        let users = |role: &Value| {
            let rows = role["permissions"].as_array().unwrap();
            rows.iter().find(|row| row["resource"] == "Users").cloned()
        };
        let flags =
            |row: &Value| ["read", "write", "edit", "delete"].map(|flag| row[flag].as_bool().unwrap());
        assert_eq!(flags(&users(&all.json[1]).unwrap()), [true; 4]);
        assert_eq!(flags(&users(&all.json[2]).unwrap()), [true, false, false, false]);
        assert!(users(&all.json[4]).is_none());
        // Two roles, not two rows of a join.
        let two = app.get("/role/?limit=2&skip=1&sort_by=role_name&sort_order=desc", &token).await;
        assert_eq!(column(&two.json, "role_name"), ["Support", "SuperAdmin"]);
        assert_eq!(two.headers["x-total-count"], "5");
        let content = app.get("/role/?permission_resource=CONTENT", &token).await.ok();
        assert_eq!(
            column(&content, "role_name"),
            ["SuperAdmin", "ContentEditor", "Viewer"].map(Value::from).to_vec()
        );
        assert!(content[2]["permissions"].as_array().unwrap().len() > 1, "the whole role is shown");
        let id = all.json[1]["role_id"].clone();
        assert_eq!(app.get(&format!("/role/{id}"), &token).await.ok(), all.json[1]);
        assert_eq!(app.get("/role/999", &token).await.problem(), "not_found");
        assert_eq!(app.get("/role/x", &token).await.problem(), "invalid_input");
        assert_eq!(
            app.get("/role/?sort_by=id&sort_order=up", &token).await.json["errors"].as_array().unwrap().len(),
            2
        );
        let posts = permission(app, &token, "Posts").await;
        assert_eq!(flags(&posts), [true, true, true, false]);
    });
}

#[test]
fn roles_are_made_changed_and_deleted() {
    with_app(async |app| {
        let token = app.sign_in(SUPER_ADMIN).await.access;
        let (users, plans) = (permission(app, &token, "Users").await, permission(app, &token, "Plans").await);
        let made = app
            .post(
                "/role/",
                &token,
                json!({ "role_name": " Clerk ", "permission_ids": [users["permission_id"]] }),
            )
            .await;
        assert_eq!(made.status, 201);
        assert_eq!((&made.json["role_name"], &made.json["permissions"][0]), (&json!("Clerk"), &users));
        let path = format!("/role/{}", made.json["role_id"]);
        let put = async |body| send(app, Method::PUT, &path, &token, body).await;
        assert_eq!(put(json!({})).await.ok(), made.json);
        assert_eq!(put(json!({ "role_name": "Desk" })).await.ok()["role_name"], "Desk");
        // Flags of one's own, as far as they can be granted.
        let flags = json!([{ "permission_id": users["permission_id"], "read": true, "edit": true }]);
        let desk = put(json!({ "permissions": flags })).await.ok();
        let mut expected = users.clone();
        (expected["write"], expected["delete"]) = (json!(false), json!(false));
        assert_eq!(desk["permissions"], json!([expected]));
        // What the role has keeps its flags; what is new comes with all.
        let both =
            put(json!({ "permission_ids": [users["permission_id"], plans["permission_id"]] })).await.ok();
        assert_eq!(both["permissions"], json!([expected, plans]));

        let admin = json!({ "name": "Clerk", "email": "clerk@example.com", "phone_number": "9000000101", "role_name": "Desk" });
        app.post("/admin/", &token, admin).await.ok();
        let clerk = app.sign_in("9000000101").await.access;
        assert_eq!(app.get("/user/admin?limit=1", &clerk).await.status, 200);
        put(json!({ "permission_ids": [plans["permission_id"]] })).await.ok();
        assert_eq!(
            app.get("/user/admin?limit=1", &clerk).await.problem(),
            "forbidden",
            "on the next request"
        );

        assert_eq!(bare(app, Method::DELETE, &path, &token).await.problem(), "state_conflict", "in use");
        bare(app, Method::DELETE, "/admin/9000000101", &token).await.ok();
        bare(app, Method::DELETE, &path, &token).await.ok();
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            assert_eq!(send(app, method, &path, &token, json!({})).await.problem(), "not_found");
        }
    });
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing_behind() {
    with_app(async |app| {
        let token = app.sign_in(SUPER_ADMIN).await.access;
        let post = async |body| send(app, Method::POST, "/role/", &token, body).await;
        let bad = post(json!({ "role_name": "Ghost", "permission_ids": [1, 4711, 4712] })).await;
        assert_eq!((bad.status, bad.problem()), (400, "unknown_permission"));
        assert!(bad.json["detail"].as_str().unwrap().contains("4711, 4712"));
        assert_eq!(
            app.get("/role/?role_name=Ghost", &token).await.ok(),
            json!([]),
            "the role once stayed behind"
        );
        assert_eq!(post(json!({ "role_name": "Viewer" })).await.problem(), "duplicate");
        let long = "x".repeat(51);
        for body in [
            json!({}),
            json!({ "role_name": " " }),
            json!({ "role_name": long }),
            json!({ "role_name": 7 }),
            json!({ "role_name": "A", "permission_ids": ["x"] }),
            json!({ "role_name": "A", "permission_ids": [1], "permissions": [] }),
            json!({ "role_name": "A", "permission_ids": vec![1; 1001] }),
        ] {
            assert_eq!(post(body.clone()).await.problem(), "invalid_input", "{body}");
        }
        let viewer = role(app, &token, "Viewer").await;
        let path = format!("/role/{}", viewer["role_id"]);
        let put = async |body| send(app, Method::PUT, &path, &token, body).await;
        assert_eq!(put(json!({ "role_name": "Manager" })).await.problem(), "duplicate");
        assert_eq!(
            put(json!({ "role_name": "Looker", "permission_ids": [4711] })).await.problem(),
            "unknown_permission"
        );
        assert_eq!(role(app, &token, "Viewer").await, viewer, "all or nothing");
        let (manager, asha) = (app.sign_in(MANAGER).await.access, app.sign_in(ASHA).await.access);
        for (method, path) in [(Method::POST, "/role/"), (Method::PUT, &path), (Method::DELETE, &path)] {
            for (token, code) in [("", "not_authenticated"), (&manager, "forbidden"), (&asha, "forbidden")] {
                let answer = send(app, method.clone(), path, token, json!({ "role_name": "A" })).await;
                assert_eq!(answer.problem(), code, "{method}");
            }
        }
        let made = join_all((0..6).map(|_| post(json!({ "role_name": "Same" })))).await;
        assert_eq!(made.iter().filter(|answer| answer.status == 201).count(), 1);
        assert!(made.iter().all(|answer| answer.status == 201 || answer.problem() == "duplicate"));
    });
}

#[test]
fn super_admin_keeps_its_name_and_all_it_allows() {
    with_app(async |app| {
        let token = app.sign_in(SUPER_ADMIN).await.access;
        let root = role(app, &token, "SuperAdmin").await;
        let path = format!("/role/{}", root["role_id"]);
        let ids = column(&root["permissions"], "permission_id");
        let put = async |body| send(app, Method::PUT, &path, &token, body).await;
        let fewer_flags: Vec<Value> = ids
            .iter()
            .map(|id| json!({ "permission_id": id, "read": true, "write": true, "edit": true }))
            .collect();
        for body in [
            json!({ "role_name": "Root" }),
            json!({ "permission_ids": [] }),
            json!({ "permission_ids": &ids[1..] }),
            json!({ "permissions": fewer_flags }),
        ] {
            assert_eq!(put(body).await.problem(), "state_conflict");
        }
        assert_eq!(bare(app, Method::DELETE, &path, &token).await.problem(), "state_conflict");
        assert_eq!(put(json!({ "role_name": "SuperAdmin", "permission_ids": ids })).await.ok(), root);
    });
}

#[test]
fn nobody_makes_a_role_beyond_the_own() {
    with_app(async |app| {
        let root = app.sign_in(SUPER_ADMIN).await.access;
        let roles = permission(app, &root, "Roles").await["permission_id"].clone();
        let backup = permission(app, &root, "Backup").await["permission_id"].clone();
        let viewer = role(app, &root, "Viewer").await;
        let mut ids = column(&viewer["permissions"], "permission_id");
        ids.push(roles.clone());
        send(
            app,
            Method::PUT,
            &format!("/role/{}", viewer["role_id"]),
            &root,
            json!({ "permission_ids": ids }),
        )
        .await
        .ok();
        let staff = app.sign_in(VIEWER).await.access;
        let post = async |ids: Value| {
            let body = json!({ "role_name": "Other", "permission_ids": ids });
            send(app, Method::POST, "/role/", &staff, body).await
        };
        assert_eq!(post(json!([backup])).await.problem(), "forbidden");
        let made = post(json!([roles])).await.ok();
        let path = format!("/role/{}", made["role_id"]);
        let body = json!({ "permission_ids": [backup] });
        assert_eq!(send(app, Method::PUT, &path, &staff, body).await.problem(), "forbidden");
        let manager = role(app, &root, "Manager").await;
        let path = format!("/role/{}", manager["role_id"]);
        assert_eq!(
            send(app, Method::PUT, &path, &staff, json!({ "permission_ids": [] })).await.problem(),
            "forbidden"
        );
    });
}
