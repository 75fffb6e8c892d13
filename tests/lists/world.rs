//! An application on a database of its own, with a clock that stands still.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use gencharge::app::{App, Parts, RunningApp};
use gencharge::auth::{Keys, Subject, SubjectKind};
use gencharge::config::{Config, Secret};
use gencharge::platform::postgres::Database;
use gencharge_actors::kernel::{Clock, ManualClock, PhoneNumber, SystemClock, SystemRandom};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgPool};
use uuid::Uuid;

const SECRET: &str = "tests-only-secret-of-more-than-32-bytes";

pub struct World {
    pub clock: ManualClock,
    app: RunningApp,
    database: Database,
    server: PgConnectOptions,
    name: String,
    keys: Keys,
    http: reqwest::Client,
}

impl World {
    pub async fn new() -> World {
        let address = std::env::var("GENCHARGE_TEST_DATABASE_URL")
            .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
        let server: PgConnectOptions = address.parse().unwrap();
        let name = format!("lists_{}", Uuid::new_v4().simple());
        let mut connection = server.connect().await.unwrap();
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
        let database = Database::connect(server.clone().database(&name), 10).await.unwrap();
        database.migrate().await.unwrap();
        let clock = ManualClock::at(SystemClock.now());
        let config = Config::from_map([("GENCHARGE_BIND", "127.0.0.1:0"), ("GENCHARGE_HTTP_WORKERS", "1")]);
        let app = App::start(Parts {
            config: config.unwrap(),
            secret: Secret::new(SECRET.to_owned()),
            pool: database.pool().clone(),
            clock: Arc::new(clock.clone()),
            random: Arc::new(SystemRandom),
        });
        let app = app.await.unwrap();
        let keys = Keys::derive(SECRET).unwrap();
        World { clock, app, database, server, name, keys, http: reqwest::Client::new() }
    }

    pub fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    pub async fn end(self) {
        assert!(self.app.stop().await, "a background task did not end");
        self.database.close().await;
        let mut connection = self.server.connect().await.unwrap();
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        sqlx::query(AssertSqlSafe(drop)).execute(&mut connection).await.unwrap();
    }

    /// The moment `hours` before now.
    pub fn ago(&self, hours: i64) -> DateTime<Utc> {
        self.clock.now() - TimeDelta::hours(hours)
    }

    pub async fn sql(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(self.pool()).await.unwrap();
    }

    /// A customer with a wallet; the number is 98000000<id>.
    pub async fn customer(&self, id: i64) {
        sqlx::query(
            "WITH u AS (INSERT INTO users (user_id, phone, name, user_type, referral_code, created_at) \
                 VALUES ($1, 919800000000 + $1, 'Customer ' || $1, 'prepaid', 'C' || $1, now())) \
             INSERT INTO wallets (wallet_id, balance, phone, user_type) \
             VALUES ($1, 5025, 919800000000 + $1, 'prepaid')",
        )
        .bind(id)
        .execute(self.pool())
        .await
        .unwrap();
    }

    fn token(&self, kind: SubjectKind, id: i64, phone: i64) -> String {
        let phone = PhoneNumber::from_e164(phone).unwrap();
        let subject = Subject { kind, id, phone, role: "user".to_owned() };
        let now = self.clock.now();
        self.keys.access(&subject, Uuid::new_v4(), Uuid::new_v4(), now, now + TimeDelta::hours(1))
    }

    async fn get(&self, token: &str, path: &str) -> (u16, String) {
        let address = format!("http://{}{path}", self.app.addr);
        let response = self.http.get(address).bearer_auth(token).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// As the customer: status and JSON.
    pub async fn as_customer(&self, id: i64, path: &str) -> (u16, Value) {
        let token = self.token(SubjectKind::User, id, 919_800_000_000 + id);
        let (status, body) = self.get(&token, path).await;
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }

    /// As administrator 1, see [`World::administrators`].
    pub async fn as_admin(&self, id: i64, path: &str) -> (u16, Value) {
        let token = self.token(SubjectKind::Admin, id, 919_000_000_000 + id);
        let (status, body) = self.get(&token, path).await;
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }

    /// Administrator 1 may read recharges, administrator 2 may not.
    pub async fn administrators(&self) {
        self.sql(
            "INSERT INTO roles (role_id, role_name) VALUES (101, 'Reads'), (102, 'Nothing'); \
             INSERT INTO permissions (resource, read, write, edit, delete) VALUES ('Recharge', true, true, true, true) \
                 ON CONFLICT DO NOTHING; \
             INSERT INTO role_permissions SELECT 101, permission_id, true, false, false, false FROM permissions \
                 WHERE resource = 'Recharge'; \
             INSERT INTO admins (admin_id, name, email, phone, role_id, created_at) VALUES \
                 (1, 'One', 'one@example.com', 919000000001, 101, now()), \
                 (2, 'Two', 'two@example.com', 919000000002, 102, now()); \
             NOTIFY gencharge_access",
        )
        .await;
    }
}

/// The values of `field` in the rows of `list`.
pub fn column<T: serde::de::DeserializeOwned>(list: &Value, name: &str, field: &str) -> Vec<T> {
    let rows = list[name].as_array().unwrap_or_else(|| panic!("no {name} in {list}"));
    rows.iter().map(|row| serde_json::from_value(row[field].clone()).unwrap()).collect()
}
