//! The jobs, one at a time on one database: making a backup, restoring one. What happened stands in the table `backups`,
//! in the documents of [`BACKUP_LOGS`] and in the audit log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use futures_util::future::LocalBoxFuture;
use gencharge_actors::backup::{BackupActor, BackupJobs, Begin, Progress};
use gencharge_actors::kernel::{Clock, Random};
use gencharge_actors::runtime::Handle;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::sync::oneshot;

use super::dump::{Choice, check_choices, dump, tables};
use super::error::BackupError;
use super::file::{EXTENSION, Manifest, Sealed, Writer};
use super::load::{Restored, Target, check_target, restore, unhurried};
use super::rows::{self, Row, SCHEDULED};
use super::schedule;
use crate::audit::Entry;
use crate::config::{BackupConfig, Config};
use crate::http::{Code, Problem};
use crate::platform::documents::{Collection, DocumentStore, moment, new_id};

/// The documents `{_id, job_type, backup_id, status, details, action_by, created_at}`.
pub static BACKUP_LOGS: Collection = Collection {
    name: "backup_restore_logs",
    required: &["job_type", "backup_id", "status", "created_at"],
    indexes: &[&["-created_at"], &["backup_id", "-created_at"]],
    expires: None,
};

/// Held for as long as a job lasts: whoever holds it knows that nobody else is at one.
const JOB_LOCK: i64 = 4211;
/// How long the actor may take to begin a job.
const PATIENCE: Duration = Duration::from_secs(5);

/// A backup to be made.
#[derive(Debug)]
pub struct NewBackup {
    /// What it is of, in the caller's words.
    pub label: String,
    /// More words.
    pub description: Option<String>,
    /// Which tables; none: everything.
    pub choices: Vec<Choice>,
    /// The file; in the configured folder when absent.
    pub output: Option<PathBuf>,
    /// Who asks; the target is filled in.
    pub by: Entry,
}

/// A backup to be restored.
#[derive(Debug)]
pub struct Restoration {
    /// Which one, if it has a row.
    pub backup_id: Option<String>,
    /// Its file.
    pub file: PathBuf,
    /// The scratch database.
    pub target: String,
    /// Replace an earlier one of that name.
    pub clean: bool,
    /// Who asks.
    pub by: Entry,
}

/// What can be asked for.
#[derive(Debug)]
pub enum Order {
    /// A backup.
    Backup(NewBackup),
    /// A restore.
    Restore(Restoration),
}

/// A finished backup.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its id.
    pub backup_id: String,
    /// Its file.
    pub path: PathBuf,
    /// The file's size.
    pub bytes: u64,
    /// Rows and documents in it.
    pub rows: u64,
}

/// What was done.
#[derive(Clone, Debug)]
pub enum Done {
    /// A backup.
    Backup(Made),
    /// A restore.
    Restore(Restored),
}

/// Does the jobs.
pub struct BackupDesk {
    settings: BackupConfig,
    timezone: Tz,
    outbox_retention: TimeDelta,
    options: PgConnectOptions,
    pool: PgPool,
    documents: Arc<dyn DocumentStore>,
    /// True when documents are in a store of their own, so that the tables do not hold them.
    documents_apart: bool,
    collections: &'static [&'static Collection],
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    began: DateTime<Utc>,
}

impl BackupDesk {
    /// A desk for the database of `options`, which `pool` reaches too.
    #[must_use]
    pub fn new(
        config: &Config,
        options: PgConnectOptions,
        pool: PgPool,
        documents: Arc<dyn DocumentStore>,
        collections: &'static [&'static Collection],
        (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
    ) -> Self {
        Self {
            settings: config.backup.clone(),
            timezone: config.timezone,
            outbox_retention: TimeDelta::from_std(config.postgres.outbox_retention).unwrap_or(TimeDelta::MAX),
            documents_apart: config.services.mongodb_url.is_some(),
            began: clock.now(),
            options,
            pool,
            documents,
            collections,
            clock,
            random,
        }
    }

    /// Does `order` to its end.
    ///
    /// # Errors
    /// [`BackupError`]; a failed job leaves no file and no database.
    pub async fn perform(&self, order: Order, progress: Progress) -> Result<Done, BackupError> {
        let lock = self.lock(true).await?.ok_or(BackupError::Busy)?;
        let outcome = match order {
            Order::Backup(new) => Box::pin(self.make(new, &progress)).await.map(Done::Backup),
            Order::Restore(order) => Box::pin(self.bring_back(order, &progress)).await.map(Done::Restore),
        };
        // The lock goes with its connection.
        lock.close().await?;
        if let Err(error) = &outcome {
            tracing::error!(%error, "backups.failed");
        }
        outcome
    }

    /// The right to do a job, when nobody else has it. What dead processes left is given up.
    async fn lock(&self, patiently: bool) -> Result<Option<PgConnection>, BackupError> {
        let mut db = self.options.connect().await?;
        let free: bool = if patiently {
            // Somebody may only be looking what is due.
            sqlx::query("SET lock_timeout = '3s'").execute(&mut db).await?;
            match sqlx::query("SELECT pg_advisory_lock($1)").bind(JOB_LOCK).execute(&mut db).await {
                Ok(_) => true,
                Err(error) if is_lock_timeout(&error) => false,
                Err(error) => return Err(error.into()),
            }
        } else {
            sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(JOB_LOCK).fetch_one(&mut db).await?
        };
        if !free {
            return Ok(None);
        }
        for path in rows::give_up(&mut db).await? {
            rows::remove_file(&path);
            let _ = std::fs::remove_file(format!("{path}.part"));
        }
        Ok(Some(db))
    }

    async fn make(&self, new: NewBackup, progress: &Progress) -> Result<Made, BackupError> {
        let now = self.clock.now();
        let mut bytes = [0; 4];
        self.random.fill(&mut bytes);
        let id = format!("backup_{}_{}", now.format("%Y%m%d_%H%M%S"), super::file::hex(&bytes));
        let path = match new.output {
            Some(path) => path,
            None => {
                let folder = crate::platform::data_folder::create(&self.settings.dir);
                let folder = folder.map_err(|error| BackupError::file(&self.settings.dir, error))?;
                folder.join(format!("{id}.{EXTENSION}"))
            }
        };
        if path.exists() {
            return Err(BackupError::refused("output", format!("{} exists already", path.display())));
        }
        let mut db = self.options.connect().await?;
        unhurried(&mut db).await?;
        let mut snapshot = db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        // The first statement takes the snapshot, in which this backup does not stand yet.
        check_choices(&tables(&mut snapshot).await?, &new.choices)?;
        let row = Row {
            backup_id: id.clone(),
            backup_data: new.label,
            snapshot_name: id.clone(),
            storage_url: Some(path.display().to_string()),
            status: String::new(),
            size_bytes: None,
            description: new.description,
            details: None,
            created_at: now,
            created_by: new.by.actor.admin_id().map(gencharge_actors::kernel::AdminId::get),
        };
        let by = Entry { target: format!("backup/{id}"), ..new.by };
        let who = by.actor.to_string();
        rows::begin(&self.pool, &row, by).await?;
        self.log("backup", &id, "started", Value::Null, &who).await;
        let written = self.write(&mut snapshot, &path, &new.choices, now, progress).await;
        drop(snapshot);
        drop(db);
        match written {
            Ok((manifest, sealed)) => {
                let (size, details) = (i64::try_from(sealed.bytes).ok(), describe(&manifest, &sealed));
                rows::end(&self.pool, &id, size, &details).await?;
                self.log("backup", &id, "completed", details, &who).await;
                let rows = manifest.tables.iter().chain(&manifest.collections).map(|(_, rows)| rows).sum();
                Ok(Made { backup_id: id, path, bytes: sealed.bytes, rows })
            }
            Err(error) => {
                let details = json!([{ "error": error.to_string() }]);
                rows::end(&self.pool, &id, None, &details).await?;
                self.log("backup", &id, "failed", details, &who).await;
                Err(error)
            }
        }
    }

    async fn write(
        &self,
        snapshot: &mut PgConnection,
        path: &std::path::Path,
        choices: &[Choice],
        now: DateTime<Utc>,
        progress: &Progress,
    ) -> Result<(Manifest, Sealed), BackupError> {
        let writer = Writer::create(path.to_owned());
        let documents = self.documents_apart.then_some((&self.documents, self.collections));
        match Box::pin(dump(snapshot, documents, choices, now, &writer, progress)).await {
            Ok(manifest) => Ok((manifest, writer.seal().await?)),
            // The file's own error says more than that it could not be written.
            Err(BackupError::CutOff) => Err(writer.seal().await.err().unwrap_or(BackupError::CutOff)),
            Err(error) => Err(error),
        }
    }

    async fn bring_back(&self, order: Restoration, progress: &Progress) -> Result<Restored, BackupError> {
        let id = order.backup_id.clone().unwrap_or_else(|| order.file.display().to_string());
        let target = Target {
            live: self.options.clone(),
            name: order.target.clone(),
            clean: order.clean,
            collections: self.collections,
            outbox_retention: self.outbox_retention,
        };
        let by = Entry { target: format!("backup/{id}"), ..order.by };
        let who = by.actor.to_string();
        let mut db = self.pool.acquire().await?;
        crate::audit::record(&mut db, self.clock.now(), by.with(json!({ "target_db": order.target })))
            .await?;
        drop(db);
        self.log("restore", &id, "started", json!({ "target_db": order.target }), &who).await;
        let restored = restore(&order.file, &target, progress).await;
        let (status, details) = match &restored {
            Ok(restored) => {
                let next = if restored.ready_for_switching {
                    format!(
                        "stop the servers, let DATABASE_URL name the database {}, start them",
                        restored.target_db
                    )
                } else {
                    "a part of the tables: not fit for switching".to_owned()
                };
                ("completed", json!({ "restored": restored, "next": next }))
            }
            Err(error) => ("failed", json!({ "restore_failed": order.target, "error": error.to_string() })),
        };
        self.log("restore", &id, status, details.clone(), &who).await;
        if let Some(id) = &order.backup_id {
            let mut detail = details;
            if let Some(detail) = detail.as_object_mut() {
                detail.insert("at".to_owned(), json!(moment(self.clock.now())));
            }
            rows::append(&self.pool, id, &detail).await?;
        }
        restored
    }

    /// Keeps a log document. A document store that is away must not fail the job.
    async fn log(&self, job: &str, id: &str, status: &str, details: Value, who: &str) {
        let now = self.clock.now();
        let document = [
            ("_id", json!(new_id(now, self.random.as_ref()))),
            ("job_type", json!(job)),
            ("backup_id", json!(id)),
            ("status", json!(status)),
            ("details", details),
            ("action_by", json!(who)),
            ("created_at", json!(moment(now))),
        ];
        let document = document.into_iter().map(|(field, value)| (field.to_owned(), value)).collect();
        if let Err(error) = self.documents.insert(&BACKUP_LOGS, vec![document]).await {
            tracing::warn!(%error, "backups.log_not_kept");
        }
    }

    async fn remove(&self, row: &Row, by: Entry) -> Result<bool, BackupError> {
        let who = by.actor.to_string();
        let gone = rows::delete(&self.pool, &row.backup_id, self.clock.now(), by).await?;
        if gone {
            if let Some(path) = row.storage_url.clone() {
                let _ = tokio::task::spawn_blocking(move || rows::remove_file(&path)).await;
            }
            self.log("deleted", &row.backup_id, "completed", Value::Null, &who).await;
        }
        Ok(gone)
    }

    /// Deletes what the retention is over for; says whether the daily backup is due.
    async fn round(&self) -> Result<bool, BackupError> {
        let now = self.clock.now();
        if let Some(lock) = self.lock(false).await? {
            lock.close().await?;
        }
        let retention = TimeDelta::from_std(self.settings.retention).unwrap_or(TimeDelta::MAX);
        let kept_from = now.checked_sub_signed(retention).unwrap_or(DateTime::UNIX_EPOCH);
        for row in rows::expired(&self.pool, kept_from).await? {
            self.remove(
                &row,
                Entry::by_system("DELETE_BACKUP", "backups", format!("backup/{}", row.backup_id)),
            )
            .await?;
        }
        let Some(at) = self.settings.daily else { return Ok(false) };
        Ok(self.next_daily(at).await?.is_some_and(|due| due <= now))
    }

    /// After the last one; a service that never made one waits for the hour to come.
    async fn next_daily(&self, at: NaiveTime) -> Result<Option<DateTime<Utc>>, BackupError> {
        let last = rows::last_scheduled(&self.pool).await?.unwrap_or(self.began);
        Ok(schedule::next(last, at, self.timezone))
    }
}

impl BackupJobs for BackupDesk {
    type Order = Order;
    type Outcome = Result<Done, BackupError>;

    fn run(&self, order: Order, progress: Progress) -> LocalBoxFuture<'_, Self::Outcome> {
        Box::pin(self.perform(order, progress))
    }

    fn due(&self) -> LocalBoxFuture<'_, Option<Order>> {
        Box::pin(async move {
            match self.round().await {
                Ok(true) => Some(Order::Backup(NewBackup {
                    label: SCHEDULED.to_owned(),
                    description: Some("the daily backup".to_owned()),
                    choices: Vec::new(),
                    output: None,
                    by: Entry::by_system("CREATE_BACKUP", "backups", ""),
                })),
                Ok(false) => None,
                Err(error) => {
                    tracing::warn!(%error, "backups.round_failed");
                    None
                }
            }
        })
    }
}

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "55P03")
}

/// What the row tells of a good backup: the file, then each table.
fn describe(manifest: &Manifest, sealed: &Sealed) -> Value {
    let mut details = vec![json!({
        "sha256": sealed.sha256,
        "ledger": manifest.totals,
    })];
    details.extend(manifest.tables.iter().map(|(table, rows)| json!({ "table_name": table, "rows": rows })));
    details.extend(
        manifest.collections.iter().map(|(name, count)| json!({ "collection": name, "documents": count })),
    );
    Value::Array(details)
}

/// What the routes ask; clones share it.
#[derive(Clone)]
pub struct Backups {
    desk: Arc<BackupDesk>,
    actor: Handle<BackupActor<BackupDesk>>,
}

impl Backups {
    /// Jobs go to `actor`, which works for `desk`.
    #[must_use]
    pub const fn new(desk: Arc<BackupDesk>, actor: Handle<BackupActor<BackupDesk>>) -> Self {
        Self { desk, actor }
    }

    async fn begin(&self, order: Order) -> Result<oneshot::Receiver<Result<Done, BackupError>>, Problem> {
        match self.actor.ask(Begin(order), PATIENCE).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err(BackupError::Busy.into()),
            Err(error) => Err(Problem::new(Code::Overloaded, format!("Backups: {error}"))),
        }
    }

    /// Makes a backup; `None` when that takes longer than `within`: it goes on.
    pub(super) async fn make(&self, new: NewBackup, within: Duration) -> Result<Option<Made>, Problem> {
        let outcome = self.begin(Order::Backup(new)).await?;
        match tokio::time::timeout(within, outcome).await {
            Err(_) => Ok(None),
            Ok(Ok(Ok(Done::Backup(made)))) => Ok(Some(made)),
            Ok(Ok(Err(error))) => Err(error.into()),
            Ok(Ok(Ok(Done::Restore(_))) | Err(_)) => Err(BackupError::CutOff.into()),
        }
    }

    /// Begins to restore a backup into `target`.
    pub(super) async fn restore(
        &self,
        id: &str,
        target: &str,
        clean: bool,
        by: Entry,
    ) -> Result<(), Problem> {
        let row = self.one(id).await?;
        {
            let mut db = self.desk.pool.acquire().await?;
            check_target(&mut db, target, clean).await?;
        }
        if row.status != "success" {
            return Err(Problem::new(Code::StateConflict, "This backup is not complete: use another"));
        }
        let file = PathBuf::from(row.storage_url.unwrap_or_default());
        let Ok(found) = tokio::fs::metadata(&file).await else {
            let detail =
                "The backup's file is not in its place any more: bring it back, or use another backup";
            return Err(Problem::new(Code::UnknownReference, detail));
        };
        if i64::try_from(found.len()).ok() != row.size_bytes {
            return Err(BackupError::Damaged("its length is not what was written".to_owned()).into());
        }
        let (backup_id, target) = (Some(row.backup_id), target.to_owned());
        self.begin(Order::Restore(Restoration { backup_id, file, target, clean, by })).await.map(drop)
    }

    /// The newest backups.
    pub(super) async fn list(&self) -> Result<Vec<Row>, Problem> {
        Ok(rows::list(&self.desk.pool).await?)
    }

    async fn one(&self, id: &str) -> Result<Row, Problem> {
        // A zero byte is in no id, and in no text that the database takes.
        let row = if id.contains('\0') { None } else { rows::one(&self.desk.pool, id).await? };
        row.ok_or_else(|| Problem::not_found("Backup"))
    }

    /// Deletes a backup and its file.
    pub(super) async fn delete(&self, id: &str, by: Entry) -> Result<(), Problem> {
        let row = self.one(id).await?;
        if row.status == "running" {
            return Err(Problem::new(
                Code::StateConflict,
                "The backup is being made: delete it when it has ended",
            ));
        }
        if self.desk.remove(&row, by).await? { Ok(()) } else { Err(Problem::not_found("Backup")) }
    }
}
