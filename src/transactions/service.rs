//! From what was asked to rows, total and the next cursor.

use std::sync::Arc;

use actix_web::HttpResponse;
use chrono_tz::Tz;
use gencharge_actors::kernel::Clock;
use sqlx::PgPool;

use super::listing::{Listing, Scope};
use super::shape::{TransactionOut, TransactionRow};
use super::store::TransactionStore;
use crate::http::list::{Cursor, RowChunks, Tail, WHOLE_LIST_ROWS};
use crate::http::{Code, Problem, list};
use crate::platform::postgres::rows::LongReads;

/// The lists of transactions.
#[derive(Clone)]
pub struct TransactionLists {
    store: TransactionStore,
    clock: Arc<dyn Clock>,
    zone: Tz,
}

/// What a list came to.
enum Answer {
    /// A page, or a list short enough to be sent whole.
    Page(Vec<TransactionOut>, Tail),
    /// Everything, while it arrives.
    Stream(RowChunks<TransactionRow>),
    /// Too many long lists are being sent.
    Busy,
}

impl TransactionLists {
    /// Reads from `pool`; days are counted in `zone`.
    #[must_use]
    pub fn new(pool: PgPool, long_reads: LongReads, clock: Arc<dyn Clock>, zone: Tz) -> Self {
        Self { store: TransactionStore::new(pool, long_reads), clock, zone }
    }

    /// The zone in which days are counted.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// Answers `listing`.
    ///
    /// # Errors
    /// Those of the database.
    async fn answer(&self, listing: &Listing) -> Result<Answer, sqlx::Error> {
        let size = i64::from(listing.size);
        let take = if size == 0 { WHOLE_LIST_ROWS } else { size };
        let (mut rows, total) = self.rows(listing, take.saturating_add(1)).await?;
        // One row more than the page says whether there is a next one.
        let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > take;
        if more && size == 0 {
            let chunks = self.store.everything(listing, self.clock.now());
            return Ok(chunks.map_or(Answer::Busy, Answer::Stream));
        }
        rows.truncate(usize::try_from(take).unwrap_or(usize::MAX));
        let total = match total {
            Some(total) => total,
            None => self.total(listing, rows.len(), more).await?,
        };
        let page = listing.page_number();
        let mut tail = Tail::new(total, page, listing.size);
        tail.next_cursor = rows.last().filter(|_| more).map(|last| {
            let keys = listing.order.keys(last);
            Cursor { order: listing.order.name().to_owned(), keys, page: page.saturating_add(1), total }
                .encode()
        });
        Ok(Answer::Page(self.shown(listing.scope, rows).await?, tail))
    }

    /// The same as a response.
    ///
    /// # Errors
    /// Those of the database; `overloaded`.
    pub async fn respond(&self, listing: &Listing) -> Result<HttpResponse, Problem> {
        match self.answer(listing).await? {
            Answer::Page(rows, tail) => list::page("transactions", &rows, &tail),
            Answer::Stream(chunks) => {
                let (lists, scope): (_, Scope) = (self.clone(), listing.scope);
                Ok(list::streamed("transactions", chunks, move |rows| {
                    let lists = lists.clone();
                    async move { lists.shown(scope, rows).await }
                }))
            }
            Answer::Busy => Err(Problem::new(
                Code::Overloaded,
                "Too many long lists are being sent: try again shortly, or read page by page with cursor",
            )
            .retry_after(10)),
        }
    }

    async fn rows(
        &self,
        listing: &Listing,
        take: i64,
    ) -> Result<(Vec<TransactionRow>, Option<i64>), sqlx::Error> {
        let now = self.clock.now();
        match listing.scope {
            Scope::Own(user) if listing.is_plain() => {
                let (rows, total) = self.store.own_newest(user, now, listing.offset(), take).await?;
                Ok((rows, Some(total)))
            }
            Scope::Own(_) | Scope::All => {
                let rows = self.store.some(listing, now, listing.offset(), take).await?;
                Ok((rows, listing.after.as_ref().map(|cursor| cursor.total)))
            }
        }
    }

    /// Counts only when the page does not tell: a last page with rows on it does.
    async fn total(&self, listing: &Listing, rows: usize, more: bool) -> Result<i64, sqlx::Error> {
        if !more && (rows > 0 || listing.offset() == 0) {
            return Ok(listing.offset().saturating_add(i64::try_from(rows).unwrap_or(i64::MAX)));
        }
        self.store.count(listing, self.clock.now()).await
    }

    /// Rows as the scope's readers see them: administrators get the customer with each.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn shown(
        &self,
        scope: Scope,
        rows: Vec<TransactionRow>,
    ) -> Result<Vec<TransactionOut>, sqlx::Error> {
        match scope {
            Scope::Own(_) => Ok(rows.into_iter().map(TransactionOut::from).collect()),
            Scope::All => {
                let mut ids: Vec<i64> = rows.iter().map(|row| row.user_id).collect();
                ids.sort_unstable();
                ids.dedup();
                let users = self.store.users(&ids).await?;
                let with_user = |row: TransactionRow| {
                    let user = users.get(&row.user_id).cloned().map(Box::new);
                    TransactionOut { user, ..TransactionOut::from(row) }
                };
                Ok(rows.into_iter().map(with_user).collect())
            }
        }
    }
}
