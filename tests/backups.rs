//! Backups: made, listed, restored elsewhere and compared, deleted; damaged files and wrong orders refused.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

use crate::support::app::{TestApp, with_app};
use crate::support::eventually;
use crate::support::money::{ASHA, RAVI, SUBSCRIBE, recharge, verify_all};

const ROOT: &str = "9000000001";
const CREATE: &str = "/backup/backup/create";
const LIST: &str = "/backup/backup/";

async fn make(app: &TestApp, token: &str, tables: Value) -> Value {
    let body = json!({ "backup_data": "manual", "description": "by a test", "tables": tables });
    let answer = app.post(CREATE, token, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json
}

async fn row(app: &TestApp, token: &str, id: &str) -> Value {
    let list = app.get(LIST, token).await.ok();
    list.as_array().unwrap().iter().find(|row| row["backup_id"] == *id).unwrap().clone()
}

/// A database's name that no other test has.
async fn scratch(app: &TestApp) -> String {
    let name: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&app.pool).await.unwrap();
    format!("{name}_scratch")
}

/// Begins a restore and waits for what the backup tells of it.
async fn restore(app: &TestApp, token: &str, id: &str, target: &str) -> Value {
    let before = row(app, token, id).await["details"].as_array().unwrap().len();
    let path = format!("/backup/backup/{id}/restore");
    let answer = eventually("the end of the job before", Duration::from_secs(20), async || {
        let answer = app.post(&path, token, json!({ "target_db": target, "clean": true })).await;
        (answer.status != 409).then_some(answer)
    })
    .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json["target_db"], target);
    eventually("the restore", Duration::from_secs(60), async || {
        let details = row(app, token, id).await["details"].clone();
        details.as_array().unwrap().get(before).cloned()
    })
    .await
}

async fn open(app: &TestApp, name: &str) -> PgConnection {
    app.pool.connect_options().as_ref().clone().database(name).connect().await.unwrap()
}

async fn drop_database(app: &TestApp, name: &str) {
    let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    sqlx::query(AssertSqlSafe(statement)).execute(&app.pool).await.unwrap();
}

async fn number(db: &mut PgConnection, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(db).await.unwrap()
}

#[test]
fn a_backup_taken_while_recharges_run_is_restored_whole() {
    with_app(async |app| {
        let root = app.sign_in(ROOT).await.access;
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        app.fund(&asha, 5_000).await;
        app.post(SUBSCRIBE, &asha, recharge(ASHA, 1)).await.ok();
        let paying = async {
            for _ in 0..40 {
                app.fund(&asha, 7).await;
                app.fund(&ravi, 11).await;
            }
        };
        let (made, ()) = tokio::join!(make(app, &root, json!([])), paying);
        let id = made["backup_id"].as_str().unwrap();
        assert_eq!(made["backup_file"], format!("{id}.gcb"));
        let good = row(app, &root, id).await;
        assert_eq!((&good["backup_status"], &good["size_mb"]), (&json!("success"), &made["size_mb"]));
        assert_eq!((&good["created_by"], &good["backup_data"]), (&json!(1), &json!("manual")));
        let kept = good["details"][0]["ledger"]["transactions"].as_i64().unwrap();

        let target = scratch(app).await;
        let told = restore(app, &root, id, &target).await;
        assert_eq!(told["restored"]["ready_for_switching"], true, "{told}");
        let mut db = open(app, &target).await;
        verify_all(&mut db).await;
        assert_eq!(number(&mut db, "SELECT count(*) FROM transactions").await, kept);
        assert_eq!(
            number(&mut db, "SELECT count(*) FROM plans").await,
            app.count("SELECT count(*) FROM plans").await
        );
        assert_eq!(number(&mut db, "SELECT count(*) FROM backups").await, 0, "it does not know of itself");
        // Ids go on beyond those that are there.
        let next = "SELECT (nextval('txn_id_seq') > (SELECT max(txn_id) FROM transactions))::int::bigint";
        assert_eq!(number(&mut db, next).await, 1);
        db.close().await.unwrap();

        let logs = "SELECT count(*) FROM doc_backup_restore_logs WHERE document ->> 'status' = 'completed'";
        if std::env::var("GENCHARGE_TEST_MONGODB_URL").is_err() {
            assert_eq!(app.count(logs).await, 2);
        }
        // Again into the same one, which is ours; never into one that is not, nor into the live one.
        assert!(restore(app, &root, id, &target).await["restored"].is_object());
        let path = format!("/backups/{id}/restore");
        let (live,): (String,) =
            sqlx::query_as("SELECT current_database()::text").fetch_one(&app.pool).await.unwrap();
        for bad in [live.as_str(), "postgres", "template1", "", "Upper", "a;b", "../x", &"x".repeat(51)] {
            let answer = app.post(&path, &root, json!({ "target_db": bad, "clean": true })).await;
            assert_eq!((answer.status, answer.problem()), (422, "invalid_input"), "{bad}");
        }
        let answer = app.post(&path, &root, json!({ "target_db": target })).await;
        assert_eq!(answer.problem(), "invalid_input");
        drop_database(app, &target).await;
    });
}

#[test]
fn damaged_files_are_refused_and_nothing_is_made() {
    with_app(async |app| {
        let root = app.sign_in(ROOT).await.access;
        let made = make(app, &root, json!([])).await;
        let (id, path) = (made["backup_id"].as_str().unwrap(), made["backup_path"].as_str().unwrap());
        let (whole, target) = (std::fs::read(path).unwrap(), scratch(app).await);
        let exists = async || {
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM pg_database WHERE datname = $1")
                .bind(&target)
                .fetch_one(&app.pool)
                .await
                .unwrap()
        };
        // Altered, at its old length.
        for place in [20, whole.len() / 2, whole.len() - 1] {
            let mut altered = whole.clone();
            altered[place] ^= 1;
            std::fs::write(path, altered).unwrap();
            let told = restore(app, &root, id, &target).await;
            assert!(told["error"].as_str().unwrap().contains("damaged"), "{told}");
            assert_eq!(exists().await, 0);
        }
        let order = json!({ "target_db": target });
        let restore_path = format!("/backup/backup/{id}/restore");
        for length in [whole.len() - 1, whole.len() / 2, 0] {
            std::fs::write(path, &whole[..length]).unwrap();
            assert_eq!(app.post(&restore_path, &root, order.clone()).await.problem(), "state_conflict");
        }
        std::fs::remove_file(path).unwrap();
        assert_eq!(app.post(&restore_path, &root, order).await.problem(), "unknown_reference");
        assert_eq!(exists().await, 0);
    });
}

#[test]
fn chosen_tables_and_rows_are_kept_alone() {
    with_app(async |app| {
        let root = app.sign_in(ROOT).await.access;
        let asha = app.sign_in(ASHA).await.access;
        app.fund(&asha, 10).await;
        let tables = json!([
            { "table_name": "Plans" },
            { "table_name": "transactions", "date_column": "created_at", "start_date": "2100-01-01" },
            { "table_name": "ReferralRewards", "date_column": null },
        ]);
        let made = make(app, &root, tables).await;
        let id = made["backup_id"].as_str().unwrap();
        let details = row(app, &root, id).await["details"].clone();
        let rows = |name: &str| {
            details
                .as_array()
                .unwrap()
                .iter()
                .find(|it| it["table_name"] == name)
                .map(|it| it["rows"].as_i64())
        };
        assert_eq!(rows("plans").flatten(), Some(app.count("SELECT count(*) FROM plans").await));
        assert_eq!((rows("transactions").flatten(), rows("users")), (Some(0), None));
        let target = scratch(app).await;
        let told = restore(app, &root, id, &target).await;
        assert_eq!(told["restored"]["ready_for_switching"], false, "{told}");
        let mut db = open(app, &target).await;
        assert_eq!(Some(number(&mut db, "SELECT count(*) FROM plans").await), rows("plans").flatten());
        db.close().await.unwrap();
        drop_database(app, &target).await;
        for bad in [
            json!([{ "table_name": "pg_authid" }]),
            json!([{ "table_name": "plans; DROP TABLE plans" }]),
            json!([{ "table_name": "plans" }, { "table_name": "plans" }]),
            json!([{ "table_name": "plans", "date_column": "plan_name", "start_date": "2026-01-01" }]),
            json!([{ "table_name": "plans", "start_date": "2026-01-01" }]),
            json!([{ "table_name": "plans", "date_column": "created_at", "start_date": "yesterday" }]),
            json!([{}]),
        ] {
            let body = json!({ "backup_data": "x", "description": "", "tables": bad });
            let answer = eventually("a free desk", Duration::from_secs(20), async || {
                let answer = app.post(CREATE, &root, body.clone()).await;
                (answer.status != 409).then_some(answer)
            })
            .await;
            assert_eq!(answer.problem(), "invalid_input", "{bad}");
        }
        assert_eq!(
            app.get(LIST, &root).await.ok().as_array().unwrap().len(),
            1,
            "refused orders leave nothing"
        );
    });
}

#[test]
fn backups_are_deleted_with_their_files_by_those_who_may() {
    with_app(async |app| {
        let root = app.sign_in(ROOT).await.access;
        let made = make(app, &root, json!([])).await;
        let (id, file) = (made["backup_id"].as_str().unwrap(), made["backup_path"].as_str().unwrap());
        let path = format!("/backup/backup/{id}");
        for (who, code) in [("9000000010", "forbidden"), (ASHA, "forbidden"), ("", "not_authenticated")] {
            let token = if who.is_empty() { String::new() } else { app.sign_in(who).await.access };
            assert_eq!(app.get("/backups", &token).await.problem(), code);
            assert_eq!(app.post(CREATE, &token, json!({ "backup_data": "x" })).await.problem(), code);
            assert_eq!(app.post(&format!("{path}/restore"), &token, json!({})).await.problem(), code);
        }
        let delete = async |path: &str| app.send(app.request(Method::DELETE, path).bearer_auth(&root)).await;
        assert!(Path::new(file).exists());
        assert_eq!(delete(&path).await.status, 204);
        assert!(!Path::new(file).exists());
        assert_eq!(delete(&path).await.problem(), "not_found");
        for unknown in ["nothing", "..%2F..%2Fetc", "%00"] {
            assert_eq!(delete(&format!("/backups/{unknown}")).await.problem(), "not_found", "{unknown}");
            let restore = format!("/backup/backup/{unknown}/restore");
            assert_eq!(app.post(&restore, &root, json!({ "target_db": "x" })).await.problem(), "not_found");
        }
        // What a dead process left is not good, and is told as failed.
        sqlx::query(
            "INSERT INTO backups (backup_id, backup_data, snapshot_name, status, created_at)
             VALUES ('cut_off', 'x', 'x', 'running', now())",
        )
        .execute(&app.pool)
        .await
        .unwrap();
        make(app, &root, json!([])).await;
        assert_eq!(row(app, &root, "cut_off").await["backup_status"], "failed");
    });
}
