//! The whole application on a database of its own.
//!
//! Each test gets a copy of a migrated and seeded template on a real PostgreSQL, an application on a free port, a clock that
//! moves only when told, and at the end a check that nothing was left over.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use gencharge::app::{App, Parts, RunningApp};
use gencharge::catalogue;
use gencharge::cli::people::seed_people;
use gencharge::config::{Config, Secret};
use gencharge::platform::postgres::Database;
use gencharge::platform::tls;
use gencharge_actors::kernel::{Clock as _, ManualClock, Paise, SystemClock, SystemRandom};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::sync::OnceCell;

use super::eventually;
use super::folder::TempFolder;
use super::stores::Stores;
use super::trap::TrapClock;

const URL: &str = "GENCHARGE_TEST_DATABASE_URL";
/// 4299: one process at a time makes templates and removes what dead processes left.
const TEMPLATE_LOCK: i64 = 4299;
/// Every application's secret key.
pub const SECRET: &str = "a secret that only these tests know";

static TEMPLATE: OnceCell<String> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// An application, its database and its clock.
pub struct TestApp {
    pub pool: PgPool,
    pub clock: ManualClock,
    pub trap: TrapClock,
    folder: TempFolder,
    base: String,
    http: reqwest::Client,
    settings: Vec<(String, String)>,
}

/// Both tokens of a sign-in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub access: String,
    pub refresh: String,
    pub cookie: String,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub json: Value,
    pub text: String,
}

impl Answer {
    /// The code of a problem document; fails when it is not one, or lacks a field.
    #[track_caller]
    pub fn problem(&self) -> &str {
        let kind = self.headers.get("content-type").map(|value| value.to_str().unwrap());
        assert_eq!(kind, Some("application/problem+json"), "{self:?}");
        for field in ["type", "title", "status", "detail", "code", "request_id", "errors"] {
            assert!(!self.json[field].is_null(), "no {field}: {self:?}");
        }
        assert_eq!(self.json["status"], self.status);
        self.json["code"].as_str().unwrap()
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.json
    }
}

/// Runs a test on an application with the usual settings.
pub fn with_app(test: impl AsyncFnOnce(&TestApp)) {
    with_settings(&[], test);
}

/// Runs a test on an application with these settings besides the usual.
pub fn with_settings(settings: &[(&str, &str)], test: impl AsyncFnOnce(&TestApp)) {
    // Actors need a system; the server's workers and the actors' threads end with it.
    actix_web::rt::System::new().block_on(run(settings, test));
}

async fn run(settings: &[(&str, &str)], test: impl AsyncFnOnce(&TestApp)) {
    let server = server_options();
    let template = TEMPLATE.get_or_init(|| make_template(&server)).await;
    let name = format!("gencharge_it_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let mut admin = server.connect().await.unwrap();
    execute(&mut admin, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
    let database = Database::connect(server.clone().database(&name), 8).await.unwrap();
    let stores = Stores::of_test(&name);
    let mut all = stores.settings();
    all.extend(settings);
    let (app, running) = TestApp::start(&database, &all).await;
    let outcome = AssertUnwindSafe(test(&app)).catch_unwind().await;
    drop(app);
    let clean = running.stop().await;
    database.close().await;
    stores.remove().await;
    if let Err(panic) = outcome {
        execute(&mut admin, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        resume_unwind(panic);
    }
    assert!(clean, "a background task did not end");
    let left = "the end of every SQL connection";
    eventually(left, Duration::from_secs(5), async || {
        let open: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE datname = $1")
            .bind(&name)
            .fetch_one(&mut admin)
            .await
            .unwrap();
        (open == 0).then_some(())
    })
    .await;
    execute(&mut admin, &format!("DROP DATABASE {name}")).await;
    admin.close().await.unwrap();
}

fn server_options() -> PgConnectOptions {
    let url = std::env::var(URL).unwrap_or_else(|_| {
        panic!("{URL} is not set: `./dev test` starts a PostgreSQL and sets it; or give the address of one where databases may be made")
    });
    url.parse().unwrap_or_else(|error| panic!("{URL}: {error}"))
}

async fn execute(db: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(db).await.unwrap();
}

async fn make_template(server: &PgConnectOptions) -> String {
    let mut admin = server.connect().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut admin).await.unwrap();
    remove_leftovers(&mut admin).await;
    let name = format!("gencharge_it_{}_template", std::process::id());
    execute(&mut admin, &format!("CREATE DATABASE {name}")).await;
    let database = Database::connect(server.clone().database(&name), 2).await.unwrap();
    database.migrate().await.unwrap();
    let mut tx = database.pool().begin().await.unwrap();
    let now = SystemClock.now();
    seed_people(&mut tx, Paise::new(5_000), now).await.unwrap();
    catalogue::seed_catalogue(&mut tx, now).await.unwrap();
    tx.commit().await.unwrap();
    database.close().await;
    // The lock goes with the connection.
    admin.close().await.unwrap();
    name
}

/// Databases of test processes that are gone.
async fn remove_leftovers(admin: &mut PgConnection) {
    let names: Vec<String> =
        sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname LIKE 'gencharge\\_it\\_%'")
            .fetch_all(&mut *admin)
            .await
            .unwrap();
    for name in names {
        let process = name.split('_').nth(2).unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            execute(admin, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
    }
}

/// An actor, in what `/readyz` says.
pub fn actor<'a>(ready: &'a Value, name: &str) -> &'a Value {
    let mut actors = ready["actors"].as_array().unwrap().iter();
    actors.find(|actor| actor["name"] == name).unwrap_or_else(|| panic!("{name}: {ready}"))
}

impl TestApp {
    async fn start(database: &Database, settings: &[(&str, &str)]) -> (Self, RunningApp) {
        tls::use_ring();
        let folder = TempFolder::new("app");
        let mut all: Vec<(String, String)> = [
            ("GENCHARGE_BIND", "127.0.0.1:0"),
            ("GENCHARGE_DATA_DIR", folder.path().to_str().unwrap()),
            ("GENCHARGE_DEV_OTP", "1"),
            ("GENCHARGE_HTTP_WORKERS", "2"),
            ("GENCHARGE_BACKUP_DAILY", "off"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let clock = ManualClock::at(SystemClock.now());
        let app = Self {
            pool: database.pool().clone(),
            trap: TrapClock::of(&clock),
            clock,
            folder,
            base: String::new(),
            http: reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap(),
            settings: all,
        };
        let running = app.start_another().await;
        (Self { base: format!("http://{}", running.addr), ..app }, running)
    }

    /// One more application on the same database and clock, as another process would be. Stop it before the test ends.
    pub async fn start_another(&self) -> RunningApp {
        self.start_another_on(self.pool.clone()).await
    }

    /// The same over another way to the database.
    pub async fn start_another_on(&self, pool: PgPool) -> RunningApp {
        let parts = Parts {
            config: Config::from_map(self.settings.clone()).unwrap(),
            secret: Secret::new(SECRET),
            pool,
            clock: Arc::new(self.trap.clone()),
            random: Arc::new(SystemRandom),
        };
        App::start(parts).await.unwrap()
    }

    /// Where text messages go.
    pub fn sms_log(&self) -> std::path::PathBuf {
        self.folder.path().join("sms.log")
    }

    /// A request to this application; `path` may be a whole URL of another.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        self.http.request(method, url)
    }

    /// Sends a request and reads the answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let json = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.clone()));
        assert_ne!(status, 500, "{json}");
        Answer { status, headers, json, text }
    }

    /// GET as the holder of `token` (empty: nobody).
    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(signed(self.request(Method::GET, path), token)).await
    }

    /// POST JSON as the holder of `token` (empty: nobody).
    pub async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.send(signed(self.request(Method::POST, path), token).json(&body)).await
    }

    /// Asks for a login code; the answer carries it.
    pub async fn login_code(&self, phone: &str) -> String {
        let answer = self.post("/auth/login", "", json!({ "phone_number": phone })).await.ok();
        answer["dev_otp"].as_str().unwrap().to_owned()
    }

    /// Signs an existing customer or administrator in.
    pub async fn sign_in(&self, phone: &str) -> SignedIn {
        let otp = self.login_code(phone).await;
        let body = json!({ "phone_number": phone, "otp": otp });
        signed_in(self.post("/auth/verify-otp-login", "", body).await)
    }

    /// Makes a customer by signup.
    pub async fn sign_up(&self, phone: &str) -> SignedIn {
        let answer = self.post("/auth/signup", "", json!({ "phone_number": phone })).await.ok();
        let body = json!({ "phone_number": phone, "otp": answer["dev_otp"] });
        signed_in(self.post("/auth/verify-otp-signup", "", body).await)
    }
}

fn signed(request: reqwest::RequestBuilder, token: &str) -> reqwest::RequestBuilder {
    if token.is_empty() { request } else { request.bearer_auth(token) }
}

/// Both tokens and the cookie of an answer.
#[track_caller]
pub fn signed_in(answer: Answer) -> SignedIn {
    let cookie = answer.headers.get("set-cookie").map(|value| value.to_str().unwrap().to_owned());
    let json = answer.ok();
    assert_eq!(json["token_type"], "bearer");
    let text = |field: &str| json[field].as_str().unwrap().to_owned();
    SignedIn { access: text("access_token"), refresh: text("refresh_token"), cookie: cookie.unwrap() }
}
