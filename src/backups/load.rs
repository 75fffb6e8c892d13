//! Loads a file into a scratch database of ours, and compares what is there then with what was backed up.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use gencharge_actors::backup::Progress;
use serde::Serialize;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::sync::mpsc;

use super::dump::{quoted, tables};
use super::error::BackupError;
use super::file::{Frame, Header, Manifest, Reader, Table, check};
use super::totals::totals;
use crate::platform::documents::postgres::PgDocumentStore;
use crate::platform::documents::{Collection, DocumentStore as _};
use crate::platform::postgres::{Database, known_migrations};
use crate::verify::verify;

/// The comment that marks a database as ours to replace.
const MARK: &str = "gencharge scratch";
/// The longest name.
const MAX_NAME: usize = 50;
/// Frames read ahead.
const AHEAD: usize = 8;

/// Where to.
pub(super) struct Target {
    /// The server, by way of the live database.
    pub live: PgConnectOptions,
    /// The scratch database's name.
    pub name: String,
    /// An earlier scratch database of that name may be replaced.
    pub clean: bool,
    /// Every collection there is.
    pub collections: &'static [&'static Collection],
    /// For how long the outbox keeps what it has delivered.
    pub outbox_retention: TimeDelta,
}

/// A restored and compared database.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// Its name.
    pub target_db: String,
    /// Tables and collections in it.
    pub tables: u64,
    /// Rows and documents in it.
    pub rows: u64,
    /// Invariants that hold in it; none is asked of a part of the tables.
    pub invariants: u64,
    /// True when it is the whole: `DATABASE_URL` may name it.
    pub ready_for_switching: bool,
}

/// Refuses names that are no scratch database's.
pub(super) fn check_name(name: &str) -> Result<(), BackupError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let reserved = ["postgres", "template0", "template1"].contains(&name) || name.starts_with("pg_");
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) || reserved {
        let message = "must be a new database's name: 1 to 50 small letters, digits or _";
        return Err(BackupError::refused("target_db", message));
    }
    Ok(())
}

/// Whether the name may be used. True when a database of ours has it and is to be replaced.
pub(super) async fn check_target(
    db: &mut PgConnection,
    name: &str,
    clean: bool,
) -> Result<bool, BackupError> {
    check_name(name)?;
    let found: Option<(bool, Option<String>)> = sqlx::query_as(
        "SELECT datname = current_database(), shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1",
    )
    .bind(name)
    .fetch_optional(db)
    .await?;
    let message = match found {
        None => return Ok(false),
        Some((true, _)) => "is the live database, which is never restored into: name a new one",
        Some((false, mark)) if !mark.as_deref().is_some_and(|mark| mark.starts_with(MARK)) => {
            "is a database that no restore has made: name a new one"
        }
        Some(_) if !clean => "exists already: name a new one, or say clean to replace it",
        Some(_) => return Ok(true),
    };
    Err(BackupError::refused("target_db", message))
}

/// Restores `file`. Nothing is made before the whole file was checked; what does not turn out right is dropped again.
pub(super) async fn restore(
    file: &Path,
    target: &Target,
    progress: &Progress,
) -> Result<Restored, BackupError> {
    let path = file.to_owned();
    let checked = tokio::task::spawn_blocking(move || check(&path)).await;
    let (header, manifest, _) = checked.map_err(|_| BackupError::CutOff)??;
    if header.migrations != known_migrations() {
        let message = "was made by another version of this program: restore it with that version".to_owned();
        return Err(BackupError::Refused { field: "backup", message });
    }
    let mut server = target.live.connect().await?;
    unhurried(&mut server).await?;
    let name = quoted(&target.name);
    if check_target(&mut server, &target.name, target.clean).await? {
        run(&mut server, format!("DROP DATABASE {name} WITH (FORCE)")).await?;
    }
    run(&mut server, format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")).await?;
    run(&mut server, format!("COMMENT ON DATABASE {name} IS '{MARK}'")).await?;
    let restored = Box::pin(fill(file, target, &header, &manifest, progress)).await;
    if restored.is_err() {
        run(&mut server, format!("DROP DATABASE {name} WITH (FORCE)")).await?;
    }
    server.close().await?;
    restored
}

/// Statements made of checked names and constants.
async fn run(db: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(db).await.map(|_| ())
}

/// Lifts the limits that requests have.
pub(super) async fn unhurried(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let settings = "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
                    SET client_min_messages = warning";
    run(db, settings.to_owned()).await
}

async fn fill(
    file: &Path,
    target: &Target,
    header: &Header,
    manifest: &Manifest,
    progress: &Progress,
) -> Result<Restored, BackupError> {
    let options = target.live.clone().database(&target.name);
    let database = Database::connect(options.clone(), 2).await?;
    let prepared = prepare(&database, target.collections).await;
    let documents = PgDocumentStore::new(database.pool().clone());
    let mut db = options.connect().await?;
    let filled = match prepared {
        Ok(()) => Box::pin(load(file, &mut db, &documents, target, header, manifest, progress)).await,
        Err(error) => Err(error),
    };
    database.close().await;
    let loaded = filled?;
    let invariants = if header.partial { 0 } else { compare(&mut db, target, header, manifest).await? };
    db.close().await?;
    Ok(Restored {
        target_db: target.name.clone(),
        tables: u64::try_from(manifest.tables.len() + manifest.collections.len()).unwrap_or_default(),
        rows: loaded,
        invariants,
        ready_for_switching: !header.partial,
    })
}

async fn prepare(database: &Database, collections: &[&Collection]) -> Result<(), BackupError> {
    database.migrate().await?;
    Ok(PgDocumentStore::new(database.pool().clone()).prepare(collections).await?)
}

fn read_ahead(path: PathBuf) -> mpsc::Receiver<Result<Frame, BackupError>> {
    let (frames, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut reader = match Reader::open(&path) {
            Ok(reader) => reader,
            Err(error) => return drop(frames.blocking_send(Err(error))),
        };
        loop {
            match reader.next() {
                Ok(None) => return,
                Ok(Some(frame)) => {
                    if frames.blocking_send(Ok(frame)).is_err() {
                        return;
                    }
                }
                Err(error) => return drop(frames.blocking_send(Err(error))),
            }
        }
    });
    receiver
}

/// Loads every frame in one transaction; gives the number of rows and documents.
async fn load(
    file: &Path,
    db: &mut PgConnection,
    documents: &PgDocumentStore,
    target: &Target,
    header: &Header,
    manifest: &Manifest,
    progress: &Progress,
) -> Result<u64, BackupError> {
    unhurried(db).await?;
    let known: Vec<String> = tables(db).await?.into_iter().map(|table| table.name).collect();
    if let Some((name, _)) = manifest.tables.iter().find(|(name, _)| !known.contains(name)) {
        return Err(BackupError::Damaged(format!("it has a table {name:?} that this version does not know")));
    }
    let mut tx = db.begin().await?;
    // What triggers would do is in the file as well, and so is what the migrations wrote.
    // The tables of documents that come one by one are filled beside this transaction.
    let apart = !manifest.collections.is_empty();
    let locked = known.iter().filter(|name| !apart || !name.starts_with("doc_"));
    let all: Vec<_> = locked.map(|name| quoted(name)).collect();
    for name in &all {
        run(&mut tx, format!("ALTER TABLE {name} DISABLE TRIGGER USER")).await?;
    }
    run(&mut tx, format!("TRUNCATE {}", all.join(", "))).await?;
    if header.partial {
        run(&mut tx, DROP_REFERENCES.to_owned()).await?;
    }
    let (mut frames, mut collection, mut counts) = (read_ahead(file.to_owned()), None, Vec::new());
    let mut next = frames.recv().await;
    while let Some(frame) = next.take() {
        match frame? {
            Frame::Table(table) => {
                let (rows, following) = load_table(&mut tx, &table, &mut frames, progress).await?;
                progress.tables.add(1);
                counts.push((table.name, rows));
                next = following;
                continue;
            }
            Frame::Collection(name) => {
                collection = target.collections.iter().find(|known| known.name == name).copied();
                counts.push((name, 0));
            }
            Frame::Documents(found) => {
                let unknown = || BackupError::Damaged("documents of no known collection".to_owned());
                let new = documents.insert(collection.ok_or_else(unknown)?, found).await?;
                progress.rows.add(new);
                if let Some((_, count)) = counts.last_mut() {
                    *count += new;
                }
            }
            Frame::Header(_) | Frame::Manifest(_) => {}
            Frame::Rows(_) => return Err(BackupError::Damaged("rows of no table".to_owned())),
        }
        next = frames.recv().await;
    }
    for name in &all {
        run(&mut tx, format!("ALTER TABLE {name} ENABLE TRIGGER USER")).await?;
    }
    for (sequence, value) in &manifest.sequences {
        sqlx::query("SELECT setval(quote_ident($1)::regclass, $2)")
            .bind(sequence)
            .bind(value)
            .execute(&mut *tx)
            .await?;
    }
    let expected: Vec<_> = manifest.tables.iter().chain(&manifest.collections).cloned().collect();
    if counts != expected {
        return Err(BackupError::Differs(format!("{counts:?} rows instead of {expected:?}")));
    }
    tx.commit().await?;
    run(db, "ANALYZE".to_owned()).await?;
    Ok(counts.iter().map(|(_, count)| count).sum())
}

/// A part of the tables may refer to what was left out.
const DROP_REFERENCES: &str = "DO $$ DECLARE it record; BEGIN
    FOR it IN SELECT conrelid::regclass AS child, conname FROM pg_constraint
              WHERE contype = 'f' AND conparentid = 0 AND connamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', it.child, it.conname);
    END LOOP; END $$";

/// Loads a table; gives its rows, and the first frame after it.
async fn load_table(
    db: &mut PgConnection,
    table: &Table,
    frames: &mut mpsc::Receiver<Result<Frame, BackupError>>,
    progress: &Progress,
) -> Result<(u64, Option<Result<Frame, BackupError>>), BackupError> {
    if let Some((first, last)) = table.span {
        ensure_partitions(db, &table.name, first, last).await?;
    }
    let columns: Vec<_> = table.columns.iter().map(|column| quoted(column)).collect();
    let statement = format!("COPY {} ({}) FROM STDIN", quoted(&table.name), columns.join(", "));
    let mut copy = db.copy_in_raw(&statement).await?;
    let following = loop {
        match frames.recv().await {
            Some(Ok(Frame::Rows(rows))) => {
                progress.bytes.add_len(rows.len());
                copy.send(rows).await?;
            }
            other => break other,
        }
    };
    let rows = copy.finish().await?;
    progress.rows.add(rows);
    Ok((rows, following))
}

/// The new database has partitions from now on; the rows may be older. Their names tell how long one is.
async fn ensure_partitions(
    db: &mut PgConnection,
    table: &str,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT ensure_partitions($1, (
             SELECT CASE WHEN relname ~ '_[0-9]{8}$' THEN 'day' ELSE 'month' END FROM pg_inherits
             JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = quote_ident($1)::regclass LIMIT 1),
             $2, $3::timestamptz + interval '1 second')",
    )
    .bind(table)
    .bind(first)
    .bind(last)
    .execute(db)
    .await
    .map(|_| ())
}

/// The ledger's totals, then every invariant; gives how many hold.
async fn compare(
    db: &mut PgConnection,
    target: &Target,
    header: &Header,
    manifest: &Manifest,
) -> Result<u64, BackupError> {
    let found = totals(db).await?;
    if found != manifest.totals {
        return Err(BackupError::Differs("the ledger's totals are not those of the backup".to_owned()));
    }
    let findings = verify(db, header.created_at - target.outbox_retention, |_| ()).await?;
    let broken: Vec<_> = findings.iter().filter(|it| it.broken > 0).map(|it| it.name).collect();
    if broken.is_empty() {
        return Ok(u64::try_from(findings.len()).unwrap_or_default());
    }
    Err(BackupError::Differs(format!("invariants do not hold: {}", broken.join("; "))))
}
