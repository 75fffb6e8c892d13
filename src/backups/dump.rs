//! Reads one snapshot of the database, and the documents beside it, into a file.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::TryStreamExt as _;
use gencharge_actors::backup::Progress;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};

use super::error::BackupError;
use super::file::{CHUNK, Frame, Header, Manifest, Table, Writer};
use super::totals::totals;
use crate::platform::documents::{Collection, DocumentStore, Filter, Search};

/// Documents read at a time.
const PAGE: u64 = 500;

/// The tables, those that others refer to first. Codes (an unlogged table) are left out: they live for minutes.
const TABLES: &str = "
    WITH RECURSIVE kept AS (
        SELECT oid, relname::text AS name, relkind = 'p' AS parted FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
          AND relpersistence = 'p' AND relname <> '_sqlx_migrations'),
    depth AS (
        SELECT oid, 0 AS level FROM kept
        UNION ALL
        SELECT conrelid, level + 1 FROM depth JOIN pg_constraint ON confrelid = depth.oid AND contype = 'f'
        WHERE conrelid <> confrelid AND level < 20)
    SELECT name, parted,
        ARRAY(SELECT attname::text FROM pg_attribute
              WHERE attrelid = kept.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum),
        ARRAY(SELECT attname::text FROM pg_attribute
              WHERE attrelid = kept.oid AND attnum > 0 AND NOT attisdropped
                AND atttypid IN ('timestamptz'::regtype, 'date'::regtype))
    FROM kept JOIN depth USING (oid) GROUP BY oid, name, parted ORDER BY max(level), name";

/// The rows of a table whose `column` lies at or after `from` and before `to`.
#[derive(Clone, Debug)]
pub struct Range {
    /// A column with a time.
    pub column: String,
    /// Open when absent.
    pub from: Option<DateTime<Utc>>,
    /// Open when absent.
    pub to: Option<DateTime<Utc>>,
}

/// A table to be backed up.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Its name in the database.
    pub table: String,
    /// Only these rows.
    pub range: Option<Range>,
}

/// A table of the database.
pub(super) struct Known {
    pub name: String,
    parted: bool,
    columns: Vec<String>,
    times: Vec<String>,
}

/// The tables that can be backed up, in the order in which they can be loaded.
pub(super) async fn tables(db: &mut PgConnection) -> Result<Vec<Known>, sqlx::Error> {
    let rows: Vec<(String, bool, Vec<String>, Vec<String>)> = sqlx::query_as(TABLES).fetch_all(db).await?;
    let known = |(name, parted, columns, times)| Known { name, parted, columns, times };
    Ok(rows.into_iter().map(known).collect())
}

/// Refuses tables and columns that there are not.
pub(super) fn check_choices(known: &[Known], choices: &[Choice]) -> Result<(), BackupError> {
    for choice in choices {
        let Some(table) = known.iter().find(|table| table.name == choice.table) else {
            let names: Vec<_> = known.iter().map(|table| table.name.as_str()).collect();
            let message = format!("there is no table {:?}; there are: {}", choice.table, names.join(" "));
            return Err(BackupError::refused("tables", message));
        };
        if let Some(range) = &choice.range
            && !table.times.contains(&range.column)
        {
            let message = format!(
                "{} has no time in a column {:?}; use one of: {}",
                table.name,
                range.column,
                table.times.join(" ")
            );
            return Err(BackupError::refused("tables", message));
        }
        if choices.iter().filter(|other| other.table == choice.table).count() > 1 {
            return Err(BackupError::refused("tables", format!("{} is named twice", choice.table)));
        }
    }
    Ok(())
}

/// Writes what `db` sees, which must be one snapshot, and ends with the manifest. No `choices`: everything.
pub(super) async fn dump(
    db: &mut PgConnection,
    documents: Option<(&Arc<dyn DocumentStore>, &[&'static Collection])>,
    choices: &[Choice],
    now: DateTime<Utc>,
    writer: &Writer,
    progress: &Progress,
) -> Result<Manifest, BackupError> {
    let mut known = tables(db).await?;
    // Documents that are kept elsewhere are read from there.
    known.retain(|table| documents.is_none() || !table.name.starts_with("doc_"));
    check_choices(&known, choices)?;
    let migrations =
        sqlx::query_as("SELECT version, encode(checksum, 'hex') FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&mut *db)
            .await?;
    let partial = !choices.is_empty();
    writer.put(Frame::Header(Header { created_at: now, migrations, partial })).await?;
    let mut done = Vec::with_capacity(known.len());
    for table in known {
        let choice = choices.iter().find(|choice| choice.table == table.name);
        if partial && choice.is_none() {
            continue;
        }
        let rows = dump_table(db, &table, choice, writer, progress).await?;
        progress.tables.add(1);
        done.push((table.name, rows));
    }
    let mut collections = Vec::new();
    if let Some((store, all)) = documents.filter(|_| !partial) {
        for collection in all {
            let count = dump_collection(store, collection, writer, progress).await?;
            progress.tables.add(1);
            collections.push((collection.name.to_owned(), count));
        }
    }
    // Sequences are not part of a snapshot: read after the rows, they are beyond every id in them.
    let sequences = sqlx::query_as(
        "SELECT sequencename::text, last_value FROM pg_sequences
         WHERE schemaname = 'public' AND last_value IS NOT NULL ORDER BY 1",
    )
    .fetch_all(&mut *db)
    .await?;
    let manifest = Manifest { tables: done, collections, sequences, totals: totals(db).await? };
    writer.put(Frame::Manifest(manifest.clone())).await?;
    Ok(manifest)
}

/// The condition of a range. Times are written by this program, names were found in the catalogue.
fn condition(range: &Range) -> String {
    let column = quoted(&range.column);
    let mut terms = vec![format!("{column} IS NOT NULL")];
    for (operator, end) in [(">=", range.from), ("<", range.to)] {
        if let Some(end) = end {
            let end = end.to_rfc3339_opts(SecondsFormat::Micros, true);
            terms.push(format!("{column} {operator} '{end}'::timestamptz"));
        }
    }
    terms.join(" AND ")
}

/// A name as SQL takes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn dump_table(
    db: &mut PgConnection,
    table: &Known,
    choice: Option<&Choice>,
    writer: &Writer,
    progress: &Progress,
) -> Result<u64, BackupError> {
    let range = choice.and_then(|choice| choice.range.as_ref());
    let condition = range.map_or_else(|| "TRUE".to_owned(), condition);
    let name = quoted(&table.name);
    let span = if table.parted {
        let statement = format!("SELECT min(created_at), max(created_at) FROM {name} WHERE {condition}");
        let ends: (Option<DateTime<Utc>>, Option<DateTime<Utc>>) =
            sqlx::query_as(AssertSqlSafe(statement)).fetch_one(&mut *db).await?;
        ends.0.zip(ends.1)
    } else {
        None
    };
    let head = Table { name: table.name.clone(), columns: table.columns.clone(), span };
    writer.put(Frame::Table(head)).await?;
    let columns: Vec<_> = table.columns.iter().map(|column| quoted(column)).collect();
    let statement = format!("COPY (SELECT {} FROM {name} WHERE {condition}) TO STDOUT", columns.join(", "));
    let mut stream = db.copy_out_raw(&statement).await?;
    let (mut rows, mut chunk) = (0_u64, Vec::with_capacity(CHUNK));
    // The server sends each row by itself.
    while let Some(row) = stream.try_next().await? {
        rows += 1;
        progress.rows.add(1);
        chunk.extend_from_slice(&row);
        if chunk.len() >= CHUNK {
            hand_over(&mut chunk, writer, progress).await?;
        }
    }
    hand_over(&mut chunk, writer, progress).await?;
    Ok(rows)
}

async fn hand_over(chunk: &mut Vec<u8>, writer: &Writer, progress: &Progress) -> Result<(), BackupError> {
    if chunk.is_empty() {
        return Ok(());
    }
    let full = std::mem::replace(chunk, Vec::with_capacity(CHUNK));
    progress.bytes.add_len(full.len());
    for piece in full.chunks(CHUNK * 4) {
        writer.put(Frame::Rows(piece.to_vec())).await?;
    }
    Ok(())
}

async fn dump_collection(
    store: &Arc<dyn DocumentStore>,
    collection: &'static Collection,
    writer: &Writer,
    progress: &Progress,
) -> Result<u64, BackupError> {
    writer.put(Frame::Collection(collection.name.to_owned())).await?;
    let (mut count, mut last) = (0_u64, None::<Value>);
    loop {
        let search = Search {
            filter: Filter::Within("_id", last.clone(), None),
            sort: &["_id"],
            offset: 0,
            limit: PAGE + 1,
        };
        let mut found = store.find(collection, search).await?;
        // The last one of the page before.
        found.retain(|document| document.get("_id") != last.as_ref());
        let Some(end) = found.last().and_then(|document| document.get("_id")) else { return Ok(count) };
        last = Some(end.clone());
        let number = u64::try_from(found.len()).unwrap_or_default();
        count += number;
        progress.rows.add(number);
        writer.put(Frame::Documents(found)).await?;
    }
}
