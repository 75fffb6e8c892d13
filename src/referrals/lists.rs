//! Rewards as listed.

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{Paise, PhoneNumber, UserId};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder, Row as _};
use utoipa::ToSchema;

use crate::http::json;
use crate::http::list::{RowChunks, Tail, WHOLE_LIST_ROWS};
use crate::http::page::Page;
use crate::http::params::Params;
use crate::platform::postgres::columns::phone;
use crate::platform::postgres::rows::{self, LongReads};

/// Most rows on a page.
const MAX_SIZE: u32 = 100;

/// A reward; those who were deleted as they were.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReferralRewardOut {
    /// Unique id.
    reward_id: i64,
    /// Who brought the other one.
    referrer_id: i64,
    /// Who was brought.
    referred_id: i64,
    /// The referrer's name.
    referrer_user_name: Option<String>,
    /// The referrer's number, ten digits.
    #[serde(serialize_with = "json::national")]
    #[schema(value_type = Option<String>)]
    referrer_user_phone_number: Option<PhoneNumber>,
    /// The referred customer's name.
    referred_user_name: Option<String>,
    /// The referred customer's number, ten digits.
    #[serde(serialize_with = "json::national")]
    #[schema(value_type = Option<String>)]
    referred_user_phone_number: Option<PhoneNumber>,
    /// Rupees, two decimals.
    #[serde(serialize_with = "json::as_string")]
    #[schema(value_type = String, example = "50.00")]
    reward_amount: Paise,
    /// `pending` until the referred customer first pays for a recharge, then `earned`; or `lapsed`, when it could not be
    /// paid then (the referrer not active, or with as many rewards as one may earn) or one of the two was deleted before.
    status: String,
    /// When the referred customer registered.
    created_at: DateTime<Utc>,
    /// When it was paid into the referrer's wallet.
    claimed_at: Option<DateTime<Utc>>,
    /// The transaction that paid it.
    txn_id: Option<i64>,
}

const COLUMNS: &str = "r.reward_id, r.referrer_id, r.referred_id, COALESCE(a.name, x.name), COALESCE(a.phone, x.phone), \
     COALESCE(b.name, y.name), COALESCE(b.phone, y.phone), r.amount, r.status, r.created_at, r.claimed_at, r.txn_id";
const NAMES: &str = " LEFT JOIN users a ON a.user_id = r.referrer_id LEFT JOIN archived_users x ON x.user_id = r.referrer_id \
     LEFT JOIN users b ON b.user_id = r.referred_id LEFT JOIN archived_users y ON y.user_id = r.referred_id";

impl<'r> FromRow<'r, PgRow> for ReferralRewardOut {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            reward_id: row.try_get(0)?,
            referrer_id: row.try_get(1)?,
            referred_id: row.try_get(2)?,
            referrer_user_name: row.try_get(3)?,
            referrer_user_phone_number: phone(row, 4)?,
            referred_user_name: row.try_get(5)?,
            referred_user_phone_number: phone(row, 6)?,
            reward_amount: Paise::new(row.try_get(7)?),
            status: row.try_get(8)?,
            created_at: row.try_get(9)?,
            claimed_at: row.try_get(10)?,
            txn_id: row.try_get(11)?,
        })
    }
}

/// A list as asked for.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    /// Only this customer's.
    referrer: Option<UserId>,
    status: Option<&'static str>,
    sort: &'static str,
    page: u32,
    size: u32,
}

impl Listing {
    pub(super) fn read(params: &mut Params, referrer: Option<UserId>) -> Self {
        let status = params.choice("status", &["", "pending", "earned", "lapsed"]);
        Self {
            referrer,
            status: (!status.is_empty()).then_some(status),
            sort: params.choice(
                "sort",
                &["created_at_desc", "created_at_asc", "reward_amount_desc", "reward_amount_asc"],
            ),
            page: params.number("page", 0, 0, u32::MAX),
            size: params.number("size", 0, 0, MAX_SIZE),
        }
    }

    fn select(&self, columns: &str, names: &str) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("SELECT ");
        sql.push(columns).push(" FROM referral_rewards r").push(names).push(" WHERE true");
        if let Some(referrer) = self.referrer {
            sql.push(" AND r.referrer_id = ").push_bind(referrer.get());
        }
        if let Some(status) = self.status {
            sql.push(" AND r.status = ").push_bind(status);
        }
        sql
    }

    fn rows(&self) -> QueryBuilder<Postgres> {
        let mut sql = self.select(COLUMNS, NAMES);
        sql.push(match self.sort {
            "created_at_asc" => " ORDER BY r.created_at ASC, r.reward_id ASC",
            "reward_amount_desc" => " ORDER BY r.amount DESC, r.reward_id DESC",
            "reward_amount_asc" => " ORDER BY r.amount ASC, r.reward_id ASC",
            _ => " ORDER BY r.created_at DESC, r.reward_id DESC",
        });
        let page = Page::numbered(self.page, self.size);
        sql.push(" OFFSET ").push_bind(page.offset);
        if let Some(limit) = page.limit {
            sql.push(" LIMIT ").push_bind(limit);
        }
        sql
    }
}

/// What a list came to.
pub(super) enum Answer {
    Page(Vec<ReferralRewardOut>, Tail),
    Stream(RowChunks<ReferralRewardOut>),
    /// Too many long lists are being sent.
    Busy,
}

/// The lists of rewards; clones share everything.
#[derive(Clone)]
pub struct Referrals {
    pool: PgPool,
    long_reads: LongReads,
}

impl Referrals {
    /// Reads from `pool`.
    #[must_use]
    pub fn new(pool: PgPool, long_reads: LongReads) -> Self {
        Self { pool, long_reads }
    }

    /// Answers `listing`.
    pub(super) async fn list(&self, listing: &Listing) -> Result<Answer, sqlx::Error> {
        let total: i64 = listing.select("count(*)", "").build_query_scalar().fetch_one(&self.pool).await?;
        if listing.size == 0 && total > WHOLE_LIST_ROWS {
            let Some(place) = self.long_reads.try_enter() else { return Ok(Answer::Busy) };
            return Ok(Answer::Stream(rows::stream(self.pool.clone(), listing.rows(), place)));
        }
        let rows = listing.rows().build_query_as().fetch_all(&self.pool).await?;
        Ok(Answer::Page(rows, Tail::new(total, listing.page, listing.size)))
    }
}
