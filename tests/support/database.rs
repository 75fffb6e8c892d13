//! A database of its own for one test, on the server of `GENCHARGE_TEST_DATABASE_URL`.

use std::sync::atomic::{AtomicU32, Ordering};

use gencharge::platform::postgres::Database;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A migrated database that is dropped with its test.
pub struct TestDatabase {
    pub pool: PgPool,
    options: PgConnectOptions,
    name: String,
}

impl TestDatabase {
    pub async fn new(what: &str) -> TestDatabase {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("gct_{}_{number}_{what}", std::process::id());
        run_on_server(format!("CREATE DATABASE {name}")).await;
        let options = server().database(&name);
        let database = Database::connect(options.clone(), 8).await.unwrap();
        database.migrate().await.unwrap();
        TestDatabase { pool: database.pool().clone(), options, name }
    }

    /// For connections of one's own.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // A thread of its own: this one may be inside of a runtime already.
        let _ = std::thread::spawn(move || runtime().block_on(run_on_server(drop))).join();
    }
}

fn server() -> PgConnectOptions {
    std::env::var("GENCHARGE_TEST_DATABASE_URL")
        .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned())
        .parse()
        .unwrap()
}

async fn run_on_server(statement: String) {
    let mut connection: PgConnection = server().connect().await.unwrap();
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
