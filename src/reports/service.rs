//! Runs reports.

use std::sync::Arc;

use chrono_tz::Tz;
use gencharge_actors::kernel::{Clock, UserId};
use sqlx::PgPool;
use tokio::sync::mpsc;

use super::definition::Report;
use super::query::{Asked, Context};
use crate::http::list::RowChunks;
use crate::platform::postgres::rows::{self, LongReads};

/// Rows that are read at once on a pooled connection; more are streamed on one of their own.
const WHOLE_ROWS: u32 = 2_000;

/// One row: a text for each column.
pub type Cells = Vec<Option<String>>;

/// A row as the database gives it.
#[derive(sqlx::FromRow)]
pub struct Row {
    /// Its cells.
    #[sqlx(rename = "array")]
    pub cells: Cells,
}

/// Reads reports.
#[derive(Clone)]
pub struct Reports {
    pool: PgPool,
    long_reads: LongReads,
    clock: Arc<dyn Clock>,
    zone: Tz,
}

impl Reports {
    /// Reads from `pool`; times without a zone are those of `zone`.
    #[must_use]
    pub fn new(pool: PgPool, long_reads: LongReads, clock: Arc<dyn Clock>, zone: Tz) -> Self {
        Self { pool, long_reads, clock, zone }
    }

    /// The zone of times without one.
    #[must_use]
    pub const fn zone(&self) -> Tz {
        self.zone
    }

    fn context(&self, me: Option<UserId>) -> Context {
        Context { me, now: self.clock.now() }
    }

    /// How many rows there are, whatever the page.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn count(
        &self,
        report: &Report,
        asked: &Asked,
        me: Option<UserId>,
    ) -> Result<i64, sqlx::Error> {
        let mut sql = asked.count(report, self.context(me));
        sql.build_query_scalar().persistent(false).fetch_one(&self.pool).await
    }

    /// All rows; `None` when there are more than `most`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn at_most(
        &self,
        report: &Report,
        asked: &Asked,
        me: Option<UserId>,
        most: u32,
    ) -> Result<Option<Vec<Row>>, sqlx::Error> {
        let mut sql = asked.rows(report, self.context(me), Some(most.saturating_add(1)));
        let rows: Vec<Row> = sql.build_query_as().persistent(false).fetch_all(&self.pool).await?;
        Ok((u32::try_from(rows.len()).unwrap_or(u32::MAX) <= most).then_some(rows))
    }

    /// The rows, in chunks; `None` when too many long reports are being sent.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn rows(
        &self,
        report: &Report,
        asked: &Asked,
        me: Option<UserId>,
    ) -> Result<Option<RowChunks<Row>>, sqlx::Error> {
        if let Some(rows) = self.at_most(report, asked, me, WHOLE_ROWS).await? {
            return Ok(Some(whole(rows)));
        }
        let Some(place) = self.long_reads.try_enter() else { return Ok(None) };
        Ok(Some(rows::stream(self.pool.clone(), asked.rows(report, self.context(me), None), place)))
    }
}

/// Rows that are here already, as chunks with their end.
fn whole(rows: Vec<Row>) -> RowChunks<Row> {
    let (chunks, receiver) = mpsc::channel(2);
    if !rows.is_empty() {
        let _ = chunks.try_send(Ok(rows));
    }
    let _ = chunks.try_send(Ok(Vec::new()));
    receiver
}
