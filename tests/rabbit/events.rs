//! Events reach their consumers through the broker.

use std::time::Duration;

use gencharge::platform::bus::rabbit::EventQueue;
use serde_json::{Value, json};

use crate::partners::partner;
use crate::support::app::{TestApp, actor, with_settings};
use crate::support::broker::Broker;
use crate::support::eventually;
use crate::support::money::{ASHA, SUBSCRIBE, TOP_UP, UNDELIVERED, recharge};
use crate::support::own_broker::OwnBroker;

const PATIENCE: Duration = Duration::from_secs(30);
const ADMIN: &str = "9000000001";

/// Writes an event for a partner as its order does: a copy of one there is. Gives its id.
async fn answer_acme(app: &TestApp) -> i64 {
    let mut tx = app.pool.begin().await.unwrap();
    let copied = sqlx::query_scalar(
        "WITH event AS (SELECT * FROM outbox_events WHERE type = 'gencharge.recharge.completed.v1' LIMIT 1),
         batch AS (INSERT INTO outbox_batches (batch_id, created_at, events)
                   SELECT nextval('outbox_batch_id_seq'), created_at, 1 FROM event RETURNING batch_id)
         INSERT INTO outbox_events (event_id, batch_id, created_at, type, txn_id, data, addressee)
         SELECT nextval('event_id_seq'), batch.batch_id, created_at, type, txn_id, data, 'acme' FROM event, batch
         RETURNING event_id",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    copied
}

async fn told(app: &TestApp, token: &str, text: &str) -> Value {
    eventually(&format!("a notice with {text:?}"), PATIENCE, async || {
        let notices = app.get("/notification/my", token).await.ok();
        let found = notices.as_array().unwrap().iter().find(|notice| {
            notice["description"].as_str().is_some_and(|description| description.contains(text))
        });
        found.cloned()
    })
    .await
}

#[test]
fn a_recharge_is_told_to_customer_and_administrators_through_the_broker() {
    let Some(broker) = Broker::of_test() else { return };
    with_settings(&broker.settings(), async |app| {
        let customer = app.sign_in(ASHA).await.access;
        app.fund(&customer, 1000).await;
        app.order(SUBSCRIBE, &customer, "k", &recharge(ASHA, 1)).await.ok();
        told(app, &customer, "Recharge successful").await;
        let admin = app.sign_in(ADMIN).await.access;
        told(app, &admin, "New subscription").await;

        let ready = app.get("/readyz", "").await.ok();
        assert_eq!(ready["broker"], "reachable");
        let gauge = |name: &str, gauge: &str| actor(&ready, name)["gauges"][gauge].as_u64().unwrap();
        assert!(gauge("relay", "confirmed") > 0, "no shortcut past the broker");
        for queue in [EventQueue::UserNotices, EventQueue::AdminNotices] {
            assert!(gauge(&format!("consumer-{}", queue.word()), "handled") > 0);
        }
    });
}

#[test]
fn an_answer_goes_to_its_partners_queue_as_a_cloudevent() {
    let Some(broker) = Broker::of_test() else { return };
    with_settings(&broker.settings(), async |app| {
        let client = broker.client().await;
        let customer = app.sign_in(ASHA).await.access;
        app.fund(&customer, 1000).await;
        app.order(SUBSCRIBE, &customer, "k", &recharge(ASHA, 1)).await.ok();
        let copied = answer_acme(app).await;
        let queue = broker.topology.results_of("acme").unwrap();
        app.delivered(2 * PATIENCE).await;
        let message = client.get(&queue).await.delivery;
        assert_eq!(message.properties.delivery_mode(), &Some(2), "it survives the broker");
        let event: Value = serde_json::from_slice(&message.data).unwrap();
        assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &json!(copied.to_string())));
        assert_eq!(
            (&event["partner"], &event["type"]),
            (&json!("acme"), &json!("gencharge.recharge.completed.v1"))
        );
        assert_eq!(event["data"]["to_phone"], format!("+91{ASHA}"));
        // Consumers got it too.
        told(app, &customer, "Recharge successful").await;
    });
}

#[test]
fn a_partner_whose_queue_does_not_answer_holds_up_nobody_else() {
    let started = actix_web::rt::System::new().block_on(OwnBroker::start("mute"));
    let Some(own) = started else { return };
    let broker = Broker::at(own.url());
    with_settings(&broker.settings(), async |app| {
        let customer = app.sign_in(ASHA).await.access;
        app.fund(&customer, 1000).await;
        app.order(SUBSCRIBE, &customer, "k", &recharge(ASHA, 1)).await.ok();
        let (client, queue) = (broker.client().await, broker.topology.results_of("acme").unwrap());
        partner(app, "acme", 0).await;
        assert_eq!(client.depth(&queue).await, 0, "a queue that is made with the partner");
        own.is_mute(&queue);
        answer_acme(app).await;
        // Its batch is tried before this one's, and then held.
        app.order(TOP_UP, &customer, "t", &json!({ "amount": "77.00", "payment_method": "UPI" })).await.ok();
        told(app, &customer, "77.00").await;
        eventually("only the partner's batch waiting", PATIENCE, async || {
            (app.count(UNDELIVERED).await == 1).then_some(())
        })
        .await;
        own.answers(&queue);
        app.delivered(2 * PATIENCE).await;
        client.get(&queue).await;
    });
}
