//! What nobody could take, as administrators see it.

use std::time::Duration;

use chrono::TimeDelta;
use gencharge_actors::kernel::Clock as _;
use gencharge_actors::kernel::SystemClock;
use lapin::BasicProperties;
use serde_json::json;

use crate::support::app::{TestApp, with_app, with_settings};
use crate::support::broker::Broker;
use crate::support::eventually;
use crate::support::money::ASHA;

const ADMIN: &str = "9000000001";
const PATIENCE: Duration = Duration::from_secs(30);

async fn parked(app: &TestApp, token: &str, count: usize) -> Vec<serde_json::Value> {
    eventually("parked messages", PATIENCE, async || {
        let list = app.get("/messages/parked", token).await.ok();
        let list = list.as_array().unwrap();
        (list.len() == count).then(|| list.clone())
    })
    .await
}

#[test]
fn administrators_look_at_parked_messages_give_them_back_and_throw_them_away() {
    let Some(broker) = Broker::of_test() else { return };
    with_settings(&broker.settings(), async |app| {
        let client = broker.client().await;
        let admin = app.sign_in(ADMIN).await.access;
        // No event of this system: its consumer sets it aside.
        let queue = broker.topology.event_queue(gencharge::platform::bus::rabbit::EventQueue::Audit);
        let properties = BasicProperties::default().with_message_id("m-1".into());
        client.publish("", &queue, properties.clone(), b"{\"no\":\"event\"}").await;
        client.publish("", &queue, properties, b"\xff\xfe").await;
        let list = parked(app, &admin, 2).await;
        for message in &list {
            assert_eq!((&message["code"], &message["queue"]), (&json!("malformed_event"), &json!(queue)));
            assert_eq!(message["message_id"], "m-1");
        }
        let whole =
            async |id: &serde_json::Value| app.get(&format!("/messages/parked/{id}"), &admin).await.ok();
        let mut bodies = Vec::new();
        for message in &list {
            let whole = whole(&message["parked_id"]).await;
            bodies.push((whole["text"].clone(), whole["base64"].clone()));
        }
        assert!(bodies.contains(&(json!("{\"no\":\"event\"}"), json!(null))));
        assert!(bodies.contains(&(json!(null), json!("//4="))));

        let id = &list[0]["parked_id"];
        let customer = app.sign_in(ASHA).await.access;
        for token in ["", &customer] {
            assert!([401, 403].contains(&app.get("/messages/parked", token).await.status));
            let answer = app.post(&format!("/messages/parked/{id}/replay"), token, json!({})).await;
            assert!([401, 403].contains(&answer.status));
        }
        // The relay, too, has its connection.
        app.delivered(PATIENCE).await;
        // Given back it cannot be taken either, and is here again under another id. At another time: what is set aside twice in
        // one microsecond counts as one.
        app.clock.advance(TimeDelta::milliseconds(1));
        app.post(&format!("/messages/parked/{id}/replay"), &admin, json!({})).await.ok();
        let ready = app.get("/readyz", "").await.ok();
        assert_eq!(ready["broker"], "reachable", "a visit that ended is no absence: {ready}");
        let again = eventually("its return", PATIENCE, async || {
            let list = app.get("/messages/parked", &admin).await.ok();
            let list = list.as_array().unwrap().clone();
            (list.len() == 2 && list.iter().all(|message| message["parked_id"] != *id)).then_some(list)
        })
        .await;
        for message in again {
            let path = format!("/messages/parked/{}", message["parked_id"]);
            app.send(app.request(reqwest::Method::DELETE, &path).bearer_auth(&admin)).await.ok();
            assert_eq!(app.get(&path, &admin).await.problem(), "not_found");
        }
        parked(app, &admin, 0).await;
        assert_eq!(app.get("/messages/parked?limit=0&queue=", &admin).await.status, 422);
        eventually("the audit log's entries", PATIENCE, async || {
            let log = app.get("/audit-logs?service=messages", &admin).await.ok();
            (log["count"] == 3).then_some(())
        })
        .await;
    });
}

#[test]
fn a_parked_batch_is_put_back_and_delivered() {
    with_app(async |app| {
        let admin = app.sign_in(ADMIN).await.access;
        let mut connection = app.pool.acquire().await.unwrap();
        sqlx::query("UPDATE outbox_batches SET claimed_until = now() + interval '1 hour'")
            .execute(&mut *connection)
            .await
            .unwrap();
        crate::outbox::write(&mut connection, 900_001, 2, SystemClock.now()).await;
        sqlx::query("UPDATE outbox_batches SET delivered_at = NULL, parked_at = now(), attempts = 12, last_error = 'why' WHERE batch_id = 900001")
            .execute(&mut *connection)
            .await
            .unwrap();
        let list = app.get("/messages/outbox", &admin).await.ok();
        assert_eq!((&list[0]["batch_id"], &list[0]["events"]), (&json!(900_001), &json!(2)));
        assert_eq!(list[0]["last_error"], "why");
        app.post("/messages/outbox/900001/replay", &admin, json!({})).await.ok();
        eventually("its delivery", PATIENCE, async || {
            let left = app
                .count("SELECT count(*) FROM outbox_batches WHERE batch_id = 900001 AND delivered_at IS NULL")
                .await;
            (left == 0).then_some(())
        })
        .await;
        let again = app.post("/messages/outbox/900001/replay", &admin, json!({})).await;
        assert_eq!(again.problem(), "not_found");
        assert_eq!(app.post("/messages/parked/1/replay", &admin, json!({})).await.problem(), "not_found");
        // The rows above belong to no recharge: the check of the ledger is not for this test.
    });
}
