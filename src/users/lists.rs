//! The administrators' lists: customers, and those who were deleted.

use gencharge_actors::kernel::{AccountStatus, UserType};
use sqlx::{PgPool, Postgres, QueryBuilder};

use super::store::{LIVE_COLUMNS, LIVE_ROWS, Profile, Users};
use crate::http::array::Window;
use crate::http::list::{RowChunks, WHOLE_LIST_ROWS};
use crate::http::params::Params;
use crate::platform::postgres::rows;

/// The longest part of a name that is looked for.
const MAX_NAME: usize = 50;

/// A list as asked for.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    archived: bool,
    name: Option<String>,
    phone: Option<String>,
    status: Option<AccountStatus>,
    user_type: Option<UserType>,
    order: &'static str,
    descending: bool,
    pub(super) window: Window,
}

/// What a list came to, with the number of all its rows.
pub(super) enum Answer {
    Whole(Vec<Profile>, i64),
    Stream(RowChunks<Profile>, i64),
    /// Too many long lists are being sent.
    Busy,
}

impl Listing {
    pub(super) fn read(params: &mut Params, archived: bool) -> Self {
        let order = params.choice("sort_by", &["user_id", "name", "created_at", "wallet_balance"]);
        Self {
            archived,
            name: params.short_text("name", MAX_NAME),
            phone: params.digits("phone_number"),
            status: params.word("status"),
            user_type: params.word("user_type"),
            order,
            descending: params.choice("sort_order", &["asc", "desc"]) == "desc",
            window: Window::read(params, 0),
        }
    }

    fn select(&self, columns: &str) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("SELECT ");
        sql.push(columns).push(" FROM ");
        sql.push(if self.archived { "archived_users u" } else { LIVE_ROWS });
        sql.push(" WHERE true");
        if let Some(name) = &self.name {
            sql.push(" AND strpos(lower(u.name), lower(").push_bind(name.clone()).push(")) > 0");
        }
        if let Some(digits) = &self.phone {
            sql.push(" AND strpos(right(u.phone::text, 10), ").push_bind(digits.clone()).push(") > 0");
        }
        if let Some(status) = self.status {
            sql.push(" AND u.status = ").push_bind(status.as_str());
        }
        if let Some(user_type) = self.user_type {
            sql.push(" AND u.user_type = ").push_bind(user_type.as_str());
        }
        sql
    }

    fn rows(&self) -> QueryBuilder<Postgres> {
        let columns = if self.archived {
            "u.user_id, u.phone, u.name, u.email, u.user_type, u.status, u.referral_code, u.referee_code, \
             u.created_at, u.updated_at, u.wallet_balance AS balance, u.deleted_at"
        } else {
            LIVE_COLUMNS
        };
        let mut sql = self.select(columns);
        let column = match self.order {
            "wallet_balance" => "balance",
            "name" => "u.name",
            "created_at" => "u.created_at",
            _ => "u.user_id",
        };
        sql.push(" ORDER BY ").push(column);
        sql.push(if self.descending { " DESC NULLS LAST" } else { " ASC NULLS LAST" });
        sql.push(", u.user_id");
        let page = self.window.page();
        sql.push(" OFFSET ").push_bind(page.offset);
        if let Some(limit) = page.limit {
            sql.push(" LIMIT ").push_bind(limit);
        }
        sql
    }
}

impl Users {
    /// Answers `listing`.
    pub(super) async fn list(&self, listing: &Listing) -> Result<Answer, sqlx::Error> {
        let total = count(&self.pool, listing).await?;
        let page = listing.window.page();
        if page.limit.is_none() && total.saturating_sub(page.offset) > WHOLE_LIST_ROWS {
            let Some(place) = self.long_reads.try_enter() else { return Ok(Answer::Busy) };
            return Ok(Answer::Stream(rows::stream(self.pool.clone(), listing.rows(), place), total));
        }
        let rows = listing.rows().build_query_as().persistent(false).fetch_all(&self.pool).await?;
        Ok(Answer::Whole(rows, total))
    }
}

async fn count(pool: &PgPool, listing: &Listing) -> Result<i64, sqlx::Error> {
    listing.select("count(*)").build_query_scalar().persistent(false).fetch_one(pool).await
}
