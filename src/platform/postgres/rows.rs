//! Long results, read as fast as they are taken.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Rows handed over at a time.
const CHUNK: usize = 500;
/// Chunks waiting for the reader.
const AHEAD: usize = 4;
/// How long one result may take: it holds a snapshot, which keeps hot tables from being cleaned.
const DEADLINE: Duration = Duration::from_secs(600);

/// Bounds how many long results are open at once; clones share the bound.
#[derive(Clone, Debug)]
pub struct LongReads(Arc<Semaphore>);

impl LongReads {
    /// At most `limit` at once. Keep it below the pool's size.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Semaphore::new(limit)))
    }

    /// A place, if one is free.
    #[must_use]
    pub fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }
}

/// Runs `query` on a connection of its own and hands its rows over in chunks; an empty chunk ends them. When the
/// receiver is dropped, the connection is closed rather than drained.
pub fn stream<T>(
    pool: PgPool,
    mut query: QueryBuilder<Postgres>,
    place: OwnedSemaphorePermit,
) -> mpsc::Receiver<Result<Vec<T>, sqlx::Error>>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static,
{
    let (chunks, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let _place = place;
        let read = tokio::time::timeout(DEADLINE, read_all(&pool, &mut query, &chunks)).await;
        let failure = match read {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()),
        };
        // Nobody left to tell is fine; a reader too slow to take it sees the channel close without the end mark.
        let _ = chunks.try_send(Err(failure));
    });
    receiver
}

async fn read_all<T>(
    pool: &PgPool,
    query: &mut QueryBuilder<Postgres>,
    chunks: &mpsc::Sender<Result<Vec<T>, sqlx::Error>>,
) -> Result<(), sqlx::Error>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static,
{
    let mut connection = pool.acquire().await?;
    connection.close_on_drop();
    // Ends with the connection. The caller's deadline bounds the read instead of the pool's shorter limit.
    sqlx::query("SET statement_timeout = 0").execute(&mut *connection).await?;
    let mut rows = query.build_query_as::<T>().persistent(false).fetch(&mut *connection);
    let mut chunk = Vec::with_capacity(CHUNK);
    while let Some(row) = rows.try_next().await? {
        chunk.push(row);
        if chunk.len() >= CHUNK {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
            if chunks.send(Ok(full)).await.is_err() {
                return Ok(());
            }
        }
    }
    if !chunk.is_empty() && chunks.send(Ok(chunk)).await.is_err() {
        return Ok(());
    }
    let _ = chunks.send(Ok(Vec::new())).await;
    Ok(())
}
