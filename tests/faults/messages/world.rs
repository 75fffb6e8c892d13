//! An application as a process of its own with a broker of its own, and a partner that is the broker's user.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::partner::{answers, channel, depth};
use crate::faults::client::{Customer, customers};
use crate::support::cluster::Cluster;
use crate::support::folder::TempFolder;
use crate::support::money::verify_all;
use crate::support::own_broker::OwnBroker;
use crate::support::process::{Running, free_port, gencharge, healthy, metric, succeed};
use crate::support::{eventually, eventually_every};

/// How long anything may take that does not depend on how much there is to do.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at how far the work is: each look costs the database time.
pub const LOOK: Duration = Duration::from_millis(250);

/// What the partner was told, by the outbox.
pub const TOLD: &str = "SELECT count(*) FROM outbox_events WHERE addressee = 'guest'";

// Dropped in this order: the application before its database, the database before its folder.
pub struct World {
    app: Option<Running>,
    sql: Option<PgConnection>,
    cluster: Cluster,
    pub broker: OwnBroker,
    pub address: String,
    pub customers: Vec<Customer>,
    http: reqwest::Client,
    data: TempFolder,
}

impl World {
    /// With so many customers; `None` where there is no RabbitMQ to start.
    pub async fn new(name: &str, users: usize) -> Option<World> {
        let broker = OwnBroker::start(&format!("{name}-broker")).await?;
        let folder = TempFolder::new(name);
        let (data, tokens) = (folder.path().join("data"), folder.path().join("tokens"));
        let (users, file) = (users.to_string(), tokens.to_str().unwrap());
        succeed(gencharge(&data, &["seed", "--demo"]));
        let seed = ["seed", "--load-users", &users, "--balance", "1000", "--tokens", file];
        succeed(gencharge(&data, &seed));
        let customers = customers(&std::fs::read_to_string(tokens).unwrap());
        let address = format!("127.0.0.1:{}", free_port());
        gencharge::platform::tls::use_ring();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        let cluster = Cluster::of(&data);
        let mut world =
            World { app: None, sql: None, cluster, broker, address, customers, http, data: folder };
        world.start().await;
        Some(world)
    }

    async fn start(&mut self) {
        let mut command = gencharge(&self.data.path().join("data"), &["serve"]);
        command
            .env("GENCHARGE_BIND", &self.address)
            .env("AMQP_URL", self.broker.url())
            .env("GENCHARGE_DEV_OTP", "1");
        self.app = Some(Running::start(command));
        healthy(&self.address).await;
    }

    /// `kill -9`, and a new start.
    pub async fn kill_app(&mut self) {
        let mut app = self.app.take().unwrap();
        app.signal(Signal::KILL);
        app.ended().await;
        self.start().await;
    }

    /// An orderly end.
    pub async fn stop(mut self) {
        let mut app = self.app.take().unwrap();
        app.signal(Signal::TERM);
        assert!(app.ended().await.success());
    }

    /// A POST that must succeed.
    pub async fn post(&self, path: &str, token: &str, key: &str, body: Value) -> Value {
        post(&self.http, &self.address, path, (token, key), body).await.unwrap()
    }

    /// The client that [`World::post`] uses.
    pub fn http(&self) -> reqwest::Client {
        self.http.clone()
    }

    /// The broker's user as a partner with so many rupees.
    pub async fn partner(&self, rupees: usize) {
        let admin = "9000000001";
        let login = self.post("/auth/login", "", "a", json!({ "phone_number": admin })).await;
        let body = json!({ "phone_number": admin, "otp": login["dev_otp"] });
        let token = self.post("/auth/verify-otp-login", "", "b", body).await;
        let token = token["access_token"].as_str().unwrap();
        let permissions = json!({ "recharge": true, "wallet_topup": true });
        let body = json!({ "name": "test", "broker_user": "guest", "permissions": permissions });
        let id = self.post("/partners", token, "c", body).await["partner_id"].clone();
        let (path, body) = (format!("/partners/{id}/funding"), json!({ "amount": rupees }));
        self.post(&path, token, "fund", body).await;
    }

    /// One number from the database; asked again when it has just been killed.
    pub async fn count(&mut self, sql: &str) -> i64 {
        let Self { sql: open, cluster, .. } = self;
        eventually("an answer of the database", PATIENCE, async || {
            let mut connection = match open.take() {
                Some(connection) => connection,
                None => cluster.connect().await.ok()?,
            };
            let asked = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
            let count = asked.fetch_one(&mut connection).await.ok()?;
            *open = Some(connection);
            Some(count)
        })
        .await
    }

    /// Waits until the number is right.
    pub async fn until(&mut self, what: &str, limit: Duration, sql: &str, right: impl Fn(i64) -> bool) {
        eventually_every(LOOK, what, limit, async || {
            let count = self.count(sql).await;
            right(count).then_some(())
        })
        .await;
    }

    /// A number of `/metrics`.
    pub async fn metric(&self, name: &str) -> Option<u64> {
        metric(&self.http, &self.address, name).await
    }

    /// Demands one answer to each of so many events, done and delivered, and that nothing waits or was set aside.
    pub async fn one_outcome_each(&mut self, events: usize) {
        let wanted = i64::try_from(events).unwrap();
        let distinct = "SELECT count(DISTINCT data::json->'request'->>'id') FROM outbox_events WHERE addressee = 'guest'";
        assert_eq!(self.count(distinct).await, wanted, "an event has no outcome");
        assert_eq!(self.count(TOLD).await, wanted, "an event has two outcomes");
        // The same, as the partner hears it.
        let heard = answers(&self.broker.url(), events).await;
        assert_eq!(heard.len(), events);
        for (request, outcomes) in heard {
            let kinds: Vec<_> = outcomes.iter().map(|(_, kind)| kind.as_str()).collect();
            assert_eq!(kinds, ["gencharge.recharge.completed.v1"], "{request}");
        }
        let (_connection, channel) = channel(&self.broker.url()).await;
        for queue in ["commands", "parking", "user-notices", "admin-notices", "audit"] {
            eventually(queue, PATIENCE, async || {
                (depth(&channel, &format!("gencharge.{queue}")).await == 0).then_some(())
            })
            .await;
        }
        assert_eq!(self.count("SELECT count(*) FROM parked_messages").await, 0, "something was set aside");
        let parked = "SELECT count(*) FROM outbox_batches WHERE parked_at IS NOT NULL";
        assert_eq!(self.count(parked).await, 0, "a batch was set aside");
    }

    /// Demands every invariant.
    pub async fn verify(&mut self) {
        let mut connection = self.cluster.connect().await.unwrap();
        verify_all(&mut connection).await;
        connection.close().await.unwrap();
    }
}

/// Posts; the answer if it was a success.
pub async fn post(
    http: &reqwest::Client,
    address: &str,
    path: &str,
    (token, key): (&str, &str),
    body: Value,
) -> Result<Value, String> {
    let request = http.post(format!("http://{address}{path}")).header("idempotency-key", key);
    let answer = request.bearer_auth(token).json(&body).send().await.map_err(|error| error.to_string())?;
    let (status, text) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
    if status.is_success() {
        Ok(serde_json::from_str(&text).unwrap())
    } else {
        Err(format!("{path}: {text}"))
    }
}
