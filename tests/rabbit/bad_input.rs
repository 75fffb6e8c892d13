//! What partners send and nobody can do, through the broker to the real handler: set aside with its reason and as it came,
//! and the queue goes on. (A handler that panics: `commands`.)

use std::collections::BTreeMap;
use std::time::Duration;

use gencharge_actors::partner::{CONTENT_TYPE, MAX_BYTES};
use lapin::BasicProperties;
use reqwest::Method;
use serde_json::{Value, json};

use crate::partners::{ADMIN, partner};
use crate::support::app::{TestApp, with_settings};
use crate::support::broker::{Broker, Client};
use crate::support::eventually;
use crate::support::money::ASHA;

const PATIENCE: Duration = Duration::from_secs(30);

/// A recharge that nothing is wrong with.
fn good(id: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/shop", "type": "gencharge.recharge.requested.v1",
        "data": { "phone_number": ASHA, "plan_id": 1 },
    })
}

/// The same with something else in one place.
fn but(id: &str, place: &str, value: Value) -> Vec<u8> {
    let mut message = good(id);
    let (object, field) = place.rsplit_once('/').unwrap();
    message.pointer_mut(object).unwrap().as_object_mut().unwrap().insert(field.to_owned(), value);
    message.to_string().into_bytes()
}

fn without(id: &str, field: &str) -> Vec<u8> {
    let mut message = good(id);
    message.as_object_mut().unwrap().remove(field);
    message.to_string().into_bytes()
}

fn properties() -> BasicProperties {
    BasicProperties::default()
        .with_user_id("guest".into())
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(2)
}

struct Desk<'a> {
    app: &'a TestApp,
    client: Client,
    commands: String,
    admin: String,
    /// Reason and body of everything that must be set aside.
    expected: BTreeMap<Vec<u8>, &'static str>,
}

impl Desk<'_> {
    async fn send(&self, properties: BasicProperties, body: &[u8]) {
        self.client.publish(&self.commands, "recharge.requested", properties, body).await;
    }

    /// Something that must be set aside.
    async fn bad(&mut self, code: &'static str, properties: BasicProperties, body: &[u8]) {
        self.send(properties, body).await;
        self.expected.insert(body.to_vec(), code);
    }

    /// The next thing that the partner is told.
    async fn told(&self, results: &str) -> Value {
        let message = self.client.get(results).await;
        serde_json::from_slice(&message.delivery.data).unwrap()
    }

    /// Waits until everything expected is set aside, and demands that it is whole and nothing else is there.
    async fn all_set_aside(&self) {
        let list = eventually("everything set aside", PATIENCE, async || {
            let list = self.app.get("/messages/parked?limit=200", &self.admin).await.ok();
            let list = list.as_array().unwrap().clone();
            (list.len() >= self.expected.len()).then_some(list)
        })
        .await;
        assert_eq!(list.len(), self.expected.len(), "{list:#?}");
        for message in list {
            let whole =
                self.app.get(&format!("/messages/parked/{}", message["parked_id"]), &self.admin).await.ok();
            // Only one of them is no text.
            let body = whole["text"].as_str().map_or(b"\x00\xff".as_slice(), str::as_bytes);
            assert_eq!(whole["code"], self.expected[body], "{whole}");
            assert_eq!(whole["queue"], self.commands);
            assert!(!whole["detail"].as_str().unwrap().is_empty());
        }
    }
}

/// One that nobody took before its time was over.
async fn let_one_expire(broker: &Broker) -> Vec<u8> {
    let (client, body) = (broker.client().await, good("too-late").to_string().into_bytes());
    let expiring = properties().with_expiration("1".into());
    client.publish(&broker.topology.commands(), "recharge.requested", expiring, &body).await;
    eventually("the broker sets it aside", PATIENCE, async || {
        (client.depth(&broker.topology.parking()).await == 1).then_some(())
    })
    .await;
    body
}

#[test]
fn what_nobody_can_do_is_set_aside_whole_with_its_reason_and_the_queue_goes_on() {
    let Some(broker) = Broker::of_test() else { return };
    let expired = actix_web::rt::System::new().block_on(let_one_expire(&broker));
    with_settings(&broker.settings(), async |app| {
        let client = broker.client().await;
        let admin = app.sign_in(ADMIN).await.access;
        let commands = broker.topology.commands();
        let expected = BTreeMap::from([(expired, "expired")]);
        let mut desk = Desk { app, client, commands, admin, expected };
        // Nobody's, and nobody's that is known.
        let anonymous = BasicProperties::default().with_content_type(CONTENT_TYPE.into());
        desk.bad("unknown_partner", anonymous, good("nobody").to_string().as_bytes()).await;
        desk.bad("unknown_partner", properties(), good("unknown").to_string().as_bytes()).await;
        desk.all_set_aside().await;

        let id = partner(app, "guest", 0).await;
        for (code, body) in [
            ("malformed_body", b"{\"specversion\": ".to_vec()),
            ("malformed_body", b"\x00\xff".to_vec()),
            ("unsupported_specversion", but("1", "/specversion", json!("0.3"))),
            ("invalid_input", without("2", "source")),
            ("invalid_input", but("3", "/id", json!(3))),
            ("unknown_type", but("4", "/type", json!("gencharge.wallet.emptied.v1"))),
            ("unknown_version", but("5", "/type", json!("gencharge.recharge.requested.v2"))),
            ("unknown_field", but("6", "/priority", json!(9))),
            ("unknown_field", but("7", "/data/discount", json!(9))),
            ("invalid_input", but("8", "/data/plan_id", json!("one"))),
            ("partner_mismatch", but("9", "/data/partner", json!("globex"))),
            ("body_too_large", but("10", "/subject", json!("x".repeat(MAX_BYTES)))),
            ("message_expired", but("11", "/expiresat", json!("2020-01-01T00:00:00Z"))),
        ] {
            desk.bad(code, properties(), &body).await;
        }
        let plain = properties().with_content_type("application/json".into());
        desk.bad("unsupported_media_type", plain, good("12").to_string().as_bytes()).await;
        desk.all_set_aside().await;

        app.delivered(PATIENCE).await;
        // Without money, and with: both are told, neither is set aside.
        let results = broker.topology.results_of("guest").unwrap();
        let code = |answer: &Value| (answer["type"].clone(), answer["data"]["code"].clone());
        let failed = json!("gencharge.recharge.failed.v1");
        assert_eq!(code(&desk.told(&results).await), (failed.clone(), json!("message_expired")));
        desk.send(properties(), good("13").to_string().as_bytes()).await;
        assert_eq!(code(&desk.told(&results).await), (failed, json!("insufficient_funds")));
        let body = json!({ "amount": 1000 });
        app.order(&format!("/partners/{id}/funding"), &desk.admin, "fund", &body).await.ok();
        desk.send(properties(), good("14").to_string().as_bytes()).await;
        let done = json!("gencharge.recharge.completed.v1");
        assert_eq!(code(&desk.told(&results).await), (done, Value::Null));

        let body = json!({ "permissions": { "recharge": false, "wallet_topup": true } });
        let change = app.request(Method::PATCH, &format!("/partners/{id}")).bearer_auth(&desk.admin);
        app.send(change.json(&body)).await.ok();
        desk.bad("permission_missing", properties(), good("15").to_string().as_bytes()).await;
        desk.all_set_aside().await;
        assert_eq!(desk.client.depth(&desk.commands).await, 0);
        assert_eq!(app.count("SELECT count(*) FROM subscriptions").await, 1);
        app.verify().await;
    });
}
