//! SQL: one pool, and options for dedicated connections, from `DATABASE_URL` or from a private cluster that this
//! process starts itself.

pub mod columns;
pub mod embedded;
pub mod listener;
pub mod rows;
pub mod upkeep;

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::config::Config;
use embedded::{Embedded, EmbeddedError};

/// The migrations in this binary.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How long a request waits for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A pooled connection that rested longer is tried before it is used; a busy one is not, which saves a round trip.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// How long the first connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Version and checksum (hex) of each migration in this binary, in order.
#[must_use]
pub fn known_migrations() -> Vec<(i64, String)> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    MIGRATIONS.iter().map(|migration| (migration.version, hex(&migration.checksum))).collect()
}

/// Whether the statement was refused by this constraint.
#[must_use]
pub fn violates(error: &sqlx::Error, constraint: &str) -> bool {
    error.as_database_error().is_some_and(|database| database.constraint() == Some(constraint))
}

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The private cluster.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// `DATABASE_URL` cannot be read; its text is not shown, it may hold a password.
    #[error("DATABASE_URL: expected an address such as postgres://user:password@host:5432/name")]
    Address,
    /// Nobody answers there, or refuses.
    #[error("PostgreSQL at {place} cannot be used: {reason}; check DATABASE_URL and that the server runs")]
    Unreachable {
        /// Host, port and database, without the password.
        place: String,
        /// What happened.
        reason: String,
    },
    /// The schema could not be brought up to date.
    #[error("the schema cannot be brought up to date: {0}")]
    Migration(#[from] MigrateError),
    /// A statement failed.
    #[error("PostgreSQL: {0}")]
    Sql(#[from] sqlx::Error),
}

/// The SQL store of this process.
#[derive(Debug)]
pub struct Database {
    pool: PgPool,
    options: PgConnectOptions,
    embedded: Option<Embedded>,
}

impl Database {
    /// Connects as the settings say; starts (or attaches to) the private cluster when there is no `DATABASE_URL`.
    ///
    /// # Errors
    /// When no server answers, or the private cluster cannot be started; the text says what to do.
    pub async fn open(config: &Config) -> Result<Database, DatabaseError> {
        let connections = config.postgres.connections;
        if let Some(url) = &config.postgres.database_url {
            let options = url.expose().parse().map_err(|_| DatabaseError::Address)?;
            return Database::connect(options, connections).await;
        }
        let embedded = Embedded::open(config).await?;
        match Database::connect(embedded.connect_options(), connections).await {
            Ok(database) => Ok(Database { embedded: Some(embedded), ..database }),
            Err(error) => {
                embedded.close().await;
                Err(error)
            }
        }
    }

    /// Connects to a server that somebody else runs, with a pool of at most `connections`.
    ///
    /// # Errors
    /// When a first connection does not succeed.
    pub async fn connect(options: PgConnectOptions, connections: u32) -> Result<Database, DatabaseError> {
        let options = options.application_name("gencharge");
        let unreachable = |reason: String| DatabaseError::Unreachable { place: describe(&options), reason };
        match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
            Err(_) => return Err(unreachable("no answer within 15 s".to_owned())),
            Ok(Err(error)) => return Err(unreachable(error.to_string())),
            Ok(Ok(connection)) => connection.close().await?,
        }
        let pool = pool_options(connections).connect_lazy_with(pooled(&options));
        Ok(Database { pool, options, embedded: None })
    }

    /// The pool that requests share. Its statements end after 30 s, its transactions when they rest for 60 s.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Options for a connection of one's own (a wallet shard, a listener, a long job): no time limits are set.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// The private cluster, when that is what this process uses.
    #[must_use]
    pub fn embedded(&self) -> Option<&Embedded> {
        self.embedded.as_ref()
    }

    /// Where the data is, without a password: for a log line.
    #[must_use]
    pub fn place(&self) -> String {
        describe(&self.options)
    }

    /// Brings the schema up to date and says how many migrations it holds now. Processes that start at the same time
    /// wait for each other at an advisory lock.
    ///
    /// # Errors
    /// When a migration fails, or when the database knows a newer schema than this binary.
    pub async fn migrate(&self) -> Result<usize, DatabaseError> {
        // A migration may take its time, and its text is long: neither belongs into the log.
        let options = self.options.clone().disable_statement_logging();
        let mut connection = options.connect().await?;
        // Without the notices of "IF NOT EXISTS".
        sqlx::query("SET client_min_messages = warning").execute(&mut connection).await?;
        MIGRATIONS.run(&mut connection).await?;
        connection.close().await?;
        Ok(MIGRATIONS.iter().count())
    }

    /// Closes the pool, then stops the private cluster if nobody else uses it.
    pub async fn close(self) {
        // Connections that a stuck task never gives back must not keep the process from ending.
        if tokio::time::timeout(ACQUIRE_TIMEOUT, self.pool.close()).await.is_err() {
            tracing::warn!("some SQL connections were still in use at the end");
        }
        if let Some(embedded) = self.embedded {
            embedded.close().await;
        }
    }
}

fn describe(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_default();
    match options.get_socket() {
        Some(socket) => format!("{}, database {database}", socket.display()),
        None => format!("{}:{}, database {database}", options.get_host(), options.get_port()),
    }
}

fn pooled(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().options([
        ("statement_timeout", "30s"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "60s"),
    ])
}

fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(Duration::from_secs(600))
        .max_lifetime(Duration::from_secs(3600))
        .test_before_acquire(false)
        .before_acquire(|connection, rested| {
            Box::pin(async move { Ok(rested.idle_for < TRUSTED_IDLE || connection.ping().await.is_ok()) })
        })
}
