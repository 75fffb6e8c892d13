//! Blocking, and who may do it.

use std::time::Duration;

use serde_json::json;

use crate::support::app::{TestApp, with_app};
use crate::support::eventually;

const ASHA: &str = "9800000001";
/// SuperAdmin, Manager, Support, ContentEditor, Viewer.
const ADMINS: [&str; 5] = ["9000000001", "9000000004", "9000000007", "9000000010", "9000000013"];

async fn id_of(app: &TestApp, token: &str) -> i64 {
    app.get("/user/me", token).await.ok()["user_id"].as_i64().unwrap()
}

#[test]
fn a_block_bites_on_the_next_request_and_the_next_refresh() {
    with_app(async |app| {
        let (asha, admin) = (app.sign_in(ASHA).await, app.sign_in(ADMINS[0]).await);
        let user = id_of(app, &asha.access).await;
        let block = format!("/user/admin/block/{user}");
        let blocked = app.post(&block, &admin.access, json!({})).await.ok();
        assert_eq!((&blocked["status"], &blocked["phone_number"]), (&json!("blocked"), &json!(ASHA)));
        assert_eq!(app.get("/user/me", &asha.access).await.problem(), "not_authenticated");
        let refresh = app.post("/auth/refresh", "", json!({ "refresh_token": asha.refresh })).await;
        assert_eq!(refresh.problem(), "not_authenticated");
        let states: (String, String) = sqlx::query_as(
            "SELECT u.status, w.status FROM users u JOIN wallets w ON w.wallet_id = u.user_id WHERE u.user_id = $1",
        )
        .bind(user)
        .fetch_one(&app.pool)
        .await
        .unwrap();
        assert_eq!(states, ("blocked".to_owned(), "blocked".to_owned()));
        assert_eq!(app.post(&block, &admin.access, json!({})).await.problem(), "state_conflict");
        let unblock = format!("/user/admin/unblock/{user}");
        assert_eq!(app.post(&unblock, &admin.access, json!({})).await.ok()["status"], "active");
        assert_eq!(app.post(&unblock, &admin.access, json!({})).await.problem(), "state_conflict");
        // The old sign-in stays ended; a new one works.
        assert_eq!(app.get("/user/me", &asha.access).await.problem(), "not_authenticated");
        let again = app.sign_in(ASHA).await;
        assert_eq!(app.get("/user/me", &again.access).await.status, 200);
        assert_eq!(
            app.post("/user/admin/block/999999", &admin.access, json!({})).await.problem(),
            "not_found"
        );
        assert_eq!(
            app.post("/user/admin/block/x", &admin.access, json!({})).await.problem(),
            "invalid_input"
        );
    });
}

#[test]
fn a_block_waits_for_the_batch_that_holds_the_wallet() {
    with_app(async |app| {
        let (asha, admin) = (app.sign_in(ASHA).await, app.sign_in(ADMINS[0]).await);
        let user = id_of(app, &asha.access).await;
        let mut batch = app.pool.begin().await.unwrap();
        sqlx::query("SELECT 1 FROM wallets WHERE wallet_id = $1 FOR UPDATE")
            .bind(user)
            .execute(&mut *batch)
            .await
            .unwrap();
        let block = format!("/user/admin/block/{user}");
        let mut blocking = std::pin::pin!(app.post(&block, &admin.access, json!({})));
        let waits = async || {
            let waiting: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())",
            )
            .fetch_one(&app.pool)
            .await
            .unwrap();
            waiting.then_some(())
        };
        tokio::select! {
            answer = &mut blocking => panic!("answered while the wallet was locked: {answer:?}"),
            () = eventually("the wait for the wallet", Duration::from_secs(5), waits) => {}
        }
        batch.commit().await.unwrap();
        assert_eq!(blocking.await.ok()["status"], "blocked");
    });
}

#[test]
fn a_block_bites_within_a_second_at_another_process() {
    with_app(async |app| {
        let other = app.start_another().await;
        let elsewhere = format!("http://{}/user/me", other.addr);
        let (asha, admin) = (app.sign_in(ASHA).await, app.sign_in(ADMINS[0]).await);
        let user = id_of(app, &asha.access).await;
        assert_eq!(app.get(&elsewhere, &asha.access).await.status, 200);
        app.post(&format!("/user/admin/block/{user}"), &admin.access, json!({})).await.ok();
        eventually("the block at the other process", Duration::from_secs(1), async || {
            (app.get(&elsewhere, &asha.access).await.status == 401).then_some(())
        })
        .await;
        assert!(other.stop().await);
    });
}

#[test]
fn what_was_missed_while_the_listener_was_away_still_bites() {
    with_app(async |app| {
        let (asha, admin) = (app.sign_in(ASHA).await, app.sign_in(ADMINS[0]).await);
        let user = id_of(app, &asha.access).await;
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')",
        )
        .execute(&app.pool)
        .await
        .unwrap();
        // Behind the application's back, and without telling anybody.
        sqlx::query("UPDATE sessions SET revoked_at = now() WHERE subject_kind = 'user' AND subject_id = $1")
            .bind(user)
            .execute(&app.pool)
            .await
            .unwrap();
        eventually("the revocation", Duration::from_secs(1), async || {
            (app.get("/user/me", &asha.access).await.status == 401).then_some(())
        })
        .await;
        assert_eq!(app.get("/user/me", &admin.access).await.problem(), "forbidden");
    });
}

#[test]
fn rights_follow_the_role_and_its_changes() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await;
        let user = id_of(app, &asha.access).await;
        let block = format!("/user/admin/block/{user}");
        assert_eq!(app.post(&block, "", json!({})).await.problem(), "not_authenticated");
        assert_eq!(app.post(&block, &asha.access, json!({})).await.problem(), "forbidden");
        for phone in &ADMINS[2..] {
            let admin = app.sign_in(phone).await;
            assert_eq!(app.post(&block, &admin.access, json!({})).await.problem(), "forbidden", "{phone}");
        }
        let manager = app.sign_in(ADMINS[1]).await;
        assert_eq!(app.get("/user/me", &manager.access).await.problem(), "forbidden");
        // The role loses the right: its holders' tokens do too, within a second.
        sqlx::query(
            "WITH changed AS (UPDATE role_permissions rp SET edit = false FROM roles r, permissions p \
                 WHERE r.role_id = rp.role_id AND p.permission_id = rp.permission_id \
                   AND r.role_name = 'Manager' AND p.resource = 'Users' RETURNING 1) \
             SELECT pg_notify('gencharge_access', 'b') FROM changed",
        )
        .execute(&app.pool)
        .await
        .unwrap();
        eventually("the change of the role", Duration::from_secs(1), async || {
            let answer = app.post("/user/admin/block/999999", &manager.access, json!({})).await;
            (answer.problem() == "forbidden").then_some(())
        })
        .await;
        // A removed administrator is nobody.
        sqlx::query("WITH gone AS (DELETE FROM admins WHERE phone = 919000000004 RETURNING 1) SELECT pg_notify('gencharge_access', 'b') FROM gone")
            .execute(&app.pool)
            .await
            .unwrap();
        eventually("the removal", Duration::from_secs(1), async || {
            (app.post(&block, &manager.access, json!({})).await.status == 401).then_some(())
        })
        .await;
    });
}
