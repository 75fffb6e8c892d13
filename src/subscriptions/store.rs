//! The SQL of the lists, and the lists.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use gencharge_actors::kernel::{Clock, SubscriptionStatus};
use sqlx::{PgPool, Postgres, QueryBuilder};

use super::listing::Listing;
use super::shape::{COLUMNS, CurrentActivePlanOut};
use crate::http::list::{Cursor, RowChunks, Tail, WHOLE_LIST_ROWS};
use crate::platform::postgres::rows::{self, LongReads};

/// The lists of plans on numbers.
#[derive(Clone)]
pub struct SubscriptionLists {
    pool: PgPool,
    long_reads: LongReads,
    clock: Arc<dyn Clock>,
    zone: Tz,
}

/// What a list came to.
pub enum Answer {
    /// A page, or a list short enough to be sent whole.
    Page(Vec<CurrentActivePlanOut>, Tail),
    /// Everything, while it arrives.
    Stream(RowChunks<CurrentActivePlanOut>),
    /// Too many long lists are being sent.
    Busy,
}

impl SubscriptionLists {
    /// Reads from `pool`; days are counted in `zone`.
    #[must_use]
    pub fn new(pool: PgPool, long_reads: LongReads, clock: Arc<dyn Clock>, zone: Tz) -> Self {
        Self { pool, long_reads, clock, zone }
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
    pub async fn answer(&self, listing: &Listing) -> Result<Answer, sqlx::Error> {
        let now = self.clock.now();
        let size = i64::from(listing.size);
        let take = if size == 0 { WHOLE_LIST_ROWS } else { size };
        // One row more than the page says whether there is a next one.
        let mut rows: Vec<CurrentActivePlanOut> = select(listing, now, Some(take.saturating_add(1)))
            .build_query_as()
            .persistent(false)
            .fetch_all(&self.pool)
            .await?;
        let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > take;
        if more && size == 0 {
            let Some(place) = self.long_reads.try_enter() else { return Ok(Answer::Busy) };
            let all = select(listing, now, None);
            return Ok(Answer::Stream(rows::stream(self.pool.clone(), all, place)));
        }
        rows.truncate(usize::try_from(take).unwrap_or(usize::MAX));
        let total = self.total(listing, now, rows.len(), more).await?;
        let page = listing.page_number();
        let mut tail = Tail::new(total, page, listing.size);
        tail.next_cursor = rows.last().filter(|_| more).map(|last| {
            let keys = [0, last.moment(listing.by_end), last.id];
            let order = listing.order_name().to_owned();
            Cursor { order, keys, page: page.saturating_add(1), total }.encode()
        });
        Ok(Answer::Page(rows, tail))
    }

    /// Counts only when neither the cursor nor the page tells.
    async fn total(
        &self,
        listing: &Listing,
        now: DateTime<Utc>,
        rows: usize,
        more: bool,
    ) -> Result<i64, sqlx::Error> {
        if let Some(cursor) = &listing.after {
            return Ok(cursor.total);
        }
        if !more && (rows > 0 || listing.offset() == 0) {
            return Ok(listing.offset().saturating_add(i64::try_from(rows).unwrap_or(i64::MAX)));
        }
        let mut sql = QueryBuilder::new("SELECT count(*) FROM subscriptions s WHERE ");
        sql.push_bind(now).push(" IS NOT NULL");
        conditions(&mut sql, listing);
        sql.build_query_scalar().persistent(false).fetch_one(&self.pool).await
    }
}

/// The statement for `listing`, with at most `take` rows of its page or with everything.
fn select(listing: &Listing, now: DateTime<Utc>, take: Option<i64>) -> QueryBuilder<Postgres> {
    let moment = if listing.by_end { "s.valid_to" } else { "s.valid_from" };
    let mut sql = QueryBuilder::new("SELECT ");
    sql.push(COLUMNS);
    sql.push(" FROM subscriptions s LEFT JOIN plans p ON p.plan_id = s.plan_id WHERE ");
    // The first parameter: COLUMNS and conditions name it $1.
    sql.push_bind(now).push(" IS NOT NULL");
    conditions(&mut sql, listing);
    if let Some(cursor) = &listing.after {
        let [_, micros, id] = cursor.keys;
        let at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
        sql.push(" AND (").push(moment).push(", s.subscription_id)");
        sql.push(if listing.descending { " < (" } else { " > (" });
        sql.push_bind(at).push(", ").push_bind(id).push(")");
    }
    let direction = if listing.descending { " DESC" } else { " ASC" };
    sql.push(" ORDER BY ").push(moment).push(direction);
    sql.push(", s.subscription_id").push(direction);
    if let Some(take) = take {
        sql.push(" LIMIT ").push_bind(take).push(" OFFSET ").push_bind(listing.offset());
    }
    sql
}

fn conditions(sql: &mut QueryBuilder<Postgres>, listing: &Listing) {
    let filter = &listing.filter;
    if let Some((user, phone)) = listing.owner {
        sql.push(" AND s.phone = ").push_bind(phone.e164());
        sql.push(" AND s.user_id = ").push_bind(user.get());
    }
    if let Some(phone) = filter.phone {
        sql.push(" AND s.phone = ").push_bind(phone.e164());
    }
    if let Some(part) = &filter.phone_like {
        // Digits only, so nothing in it is a wildcard.
        sql.push(" AND right(s.phone::text, 10) LIKE ").push_bind(format!("%{part}%"));
    }
    if let Some(plan_id) = filter.plan_id {
        sql.push(" AND s.plan_id = ").push_bind(plan_id);
    }
    match filter.status {
        None => {}
        Some(SubscriptionStatus::Expired) => {
            sql.push(" AND (s.status = 'expired' OR s.valid_to <= $1)");
        }
        Some(SubscriptionStatus::Active) => {
            sql.push(
                " AND s.status <> 'expired' AND s.valid_to > $1 AND (s.status = 'active' OR s.valid_from <= $1)",
            );
        }
        Some(SubscriptionStatus::Queued) => {
            sql.push(" AND s.status = 'queued' AND s.valid_to > $1 AND s.valid_from > $1");
        }
    }
    let moments = [
        (" AND s.valid_from >= ", filter.starts_from),
        (" AND s.valid_from < ", filter.starts_to),
        (" AND s.valid_to >= ", filter.ends_from),
        (" AND s.valid_to < ", filter.ends_to),
    ];
    for (condition, moment) in moments {
        if let Some(moment) = moment {
            sql.push(condition).push_bind(moment);
        }
    }
    let days = [(" >= ", filter.days_min), (" <= ", filter.days_max)];
    for (condition, days) in days {
        if let Some(days) = days {
            sql.push(" AND s.valid_to - s.valid_from").push(condition);
            sql.push("make_interval(days => ").push_bind(days).push(")");
        }
    }
}
