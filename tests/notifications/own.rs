//! What readers may do with their notices.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp, with_app, with_settings};
use crate::support::eventually;
use crate::support::money::{ASHA, RAVI};

/// The reader's notices, once there are at least this many.
pub async fn notices(app: &TestApp, token: &str, at_least: usize) -> Vec<Value> {
    eventually("the notices", Duration::from_secs(10), async || {
        let list = app.get("/notification/my", token).await.ok();
        let list = list.as_array().unwrap().clone();
        (list.len() >= at_least).then_some(list)
    })
    .await
}

async fn delete(app: &TestApp, token: &str, body: Value) -> Answer {
    let request = app.request(Method::DELETE, "/notification/delete").bearer_auth(token).json(&body);
    app.send(request).await
}

async fn act(app: &TestApp, method: Method, path: &str, token: &str) -> Answer {
    app.send(app.request(method, path).bearer_auth(token)).await
}

#[test]
fn own_notices_are_viewed_and_deleted_and_nobody_elses() {
    with_app(async |app| {
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        let admin = app.sign_in("9000000001").await.access;
        for rupees in [10, 20, 30] {
            app.fund(&asha, rupees).await;
        }
        let ids: Vec<String> = notices(app, &asha, 3)
            .await
            .iter()
            .map(|notice| notice["_id"].as_str().unwrap().to_owned())
            .collect();
        let [first, second, third] = &ids[..] else { panic!("{ids:?}") };

        for other in [&ravi, &admin] {
            assert_eq!(delete(app, other, json!({ "id": first })).await.problem(), "not_found");
            let path = format!("/notification/my/{first}");
            assert_eq!(act(app, Method::DELETE, &path, other).await.problem(), "not_found");
            assert_eq!(act(app, Method::PUT, &format!("{path}/viewed"), other).await.problem(), "not_found");
        }
        let viewed = format!("/notification/my/{third}/viewed");
        assert_eq!(act(app, Method::PUT, &viewed, &asha).await.status, 204);
        assert_eq!(delete(app, &asha, json!({ "id": first })).await.ok(), json!({ "status": "deleted" }));
        assert_eq!(delete(app, &asha, json!({ "id": first })).await.problem(), "not_found");
        let path = format!("/v1/notification/my/{second}");
        assert_eq!(act(app, Method::DELETE, &path, &asha).await.status, 204);
        let left = notices(app, &asha, 1).await;
        assert_eq!(left.len(), 1);
        assert_eq!((&left[0]["_id"], &left[0]["status"]), (&json!(third), &json!("viewed")));
    });
}

#[test]
fn a_notice_to_a_group_is_nobodys_to_delete_and_ids_are_checked() {
    // Written by SQL, whatever else the suite runs on.
    with_settings(&[("MONGODB_URL", "")], async |app| {
        let asha = app.sign_in(ASHA).await.access;
        sqlx::query(
            "INSERT INTO notifications VALUES (repeat('a', 24), 'all_user', NULL, now(), NULL, '{}')",
        )
        .execute(&app.pool)
        .await
        .unwrap();
        let group = json!({ "id": "a".repeat(24) });
        assert_eq!(delete(app, &asha, group.clone()).await.problem(), "not_found");
        assert_eq!(notices(app, &asha, 1).await.len(), 1);
        for bad in ["", "1", "zzzzzzzzzzzzzzzzzzzzzzzz", "'; DELETE FROM notifications; --", "é\u{0}"] {
            let answer = delete(app, &asha, json!({ "id": bad })).await;
            assert_eq!(answer.problem(), "invalid_input", "{bad}");
            assert_eq!(answer.json["errors"][0]["field"], "id");
        }
        for body in [json!({}), json!({ "id": 7 }), json!([])] {
            assert_eq!(delete(app, &asha, body).await.problem(), "invalid_input");
        }
        assert_eq!(delete(app, "", group).await.problem(), "not_authenticated");
        let path = "/notification/my/not-an-id";
        assert_eq!(act(app, Method::DELETE, path, &asha).await.problem(), "invalid_input");
        assert_eq!(act(app, Method::POST, path, &asha).await.problem(), "method_not_allowed");
    });
}
