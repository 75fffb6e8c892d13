//! The lists of rules: a customer's own and the administrators'.

use std::collections::HashMap;

use gencharge_actors::kernel::{AutopayStatus, AutopayTag, UserId};
use sqlx::{PgPool, Postgres, QueryBuilder};

use super::shape::{AutoPayOut, AutoPayOutAdmin, COLUMNS};
use crate::catalogue::CatalogueStore;
use crate::http::list::{RowChunks, Tail, WHOLE_LIST_ROWS};
use crate::http::page::Page;
use crate::http::params::Params;
use crate::platform::postgres::rows::{self, LongReads};
use crate::users::{Profile, UserResponse};

/// Most rows on a page.
const MAX_SIZE: u32 = 100;
const ORDERS: &[&str] = &["created_at_desc", "created_at_asc", "next_due_date_desc", "next_due_date_asc"];

/// A list as asked for.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Only this customer's rules.
    owner: Option<UserId>,
    status: Option<AutopayStatus>,
    tag: Option<AutopayTag>,
    /// A part of the ten digits.
    phone_like: Option<String>,
    order: &'static str,
    page: u32,
    /// 0 is everything.
    size: u32,
}

impl Listing {
    /// Reads it from the query string; only `owner`'s rules when there is one.
    #[must_use]
    pub fn read(params: &mut Params, owner: Option<UserId>) -> Self {
        Self {
            owner,
            status: params.word("status"),
            tag: params.word("tag"),
            phone_like: params.digits("phone_number"),
            order: params.choice("sort", ORDERS),
            page: params.number("page", 0, 0, u32::MAX).max(1),
            size: params.number("size", 0, 0, MAX_SIZE),
        }
    }

    fn conditions(&self, sql: &mut QueryBuilder<Postgres>) {
        if let Some(owner) = self.owner {
            sql.push(" AND r.user_id = ").push_bind(owner.get());
        }
        if let Some(status) = self.status {
            sql.push(" AND r.status = ").push_bind(status.as_str());
        }
        if let Some(tag) = self.tag {
            sql.push(" AND r.tag = ").push_bind(tag.as_str());
        }
        if let Some(part) = &self.phone_like {
            // Digits only, so nothing in it is a wildcard.
            sql.push(" AND right(r.phone::text, 10) LIKE ").push_bind(format!("%{part}%"));
        }
    }

    fn select(&self, take: Option<i64>) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("SELECT ");
        sql.push(COLUMNS).push(" FROM autopay_rules r WHERE true");
        self.conditions(&mut sql);
        sql.push(match self.order {
            "created_at_asc" => " ORDER BY r.created_at, r.autopay_id",
            "next_due_date_desc" => " ORDER BY r.next_due_date DESC, r.autopay_id DESC",
            "next_due_date_asc" => " ORDER BY r.next_due_date, r.autopay_id",
            _ => " ORDER BY r.created_at DESC, r.autopay_id DESC",
        });
        if let Some(take) = take {
            sql.push(" LIMIT ").push_bind(take).push(" OFFSET ").push_bind(self.offset());
        }
        sql
    }

    fn offset(&self) -> i64 {
        Page::numbered(self.page, self.size).offset
    }
}

/// What a list came to.
pub enum Answer {
    /// A page, or a list short enough to be sent whole.
    Page(Vec<AutoPayOut>, Tail),
    /// Everything, while it arrives.
    Stream(RowChunks<AutoPayOut>),
    /// Too many long lists are being sent.
    Busy,
}

/// The lists of rules.
#[derive(Clone)]
pub struct AutopayLists {
    pool: PgPool,
    long_reads: LongReads,
    catalogue: CatalogueStore,
}

impl AutopayLists {
    /// Reads from `pool`.
    #[must_use]
    pub fn new(pool: PgPool, long_reads: LongReads, catalogue: CatalogueStore) -> Self {
        Self { pool, long_reads, catalogue }
    }

    /// Answers `listing`.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn answer(&self, listing: &Listing) -> Result<Answer, sqlx::Error> {
        let size = i64::from(listing.size);
        let take = if size == 0 { WHOLE_LIST_ROWS } else { size };
        // One row more than the page says whether there is a next one.
        let mut rules: Vec<AutoPayOut> = listing
            .select(Some(take.saturating_add(1)))
            .build_query_as()
            .persistent(false)
            .fetch_all(&self.pool)
            .await?;
        let more = i64::try_from(rules.len()).unwrap_or(i64::MAX) > take;
        if more && size == 0 {
            let Some(place) = self.long_reads.try_enter() else { return Ok(Answer::Busy) };
            return Ok(Answer::Stream(rows::stream(self.pool.clone(), listing.select(None), place)));
        }
        rules.truncate(usize::try_from(take).unwrap_or(usize::MAX));
        let total = if !more && (!rules.is_empty() || listing.offset() == 0) {
            listing.offset().saturating_add(i64::try_from(rules.len()).unwrap_or(i64::MAX))
        } else {
            let mut sql = QueryBuilder::new("SELECT count(*) FROM autopay_rules r WHERE true");
            listing.conditions(&mut sql);
            sql.build_query_scalar().persistent(false).fetch_one(&self.pool).await?
        };
        Ok(Answer::Page(rules, Tail::new(total, listing.page, listing.size)))
    }

    /// Rules with payer, owner of the number and plan.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn with_details(&self, rules: Vec<AutoPayOut>) -> Result<Vec<AutoPayOutAdmin>, sqlx::Error> {
        let mut plan_ids: Vec<i64> = rules.iter().map(|rule| rule.plan_id).collect();
        plan_ids.sort_unstable();
        plan_ids.dedup();
        let plans = self.catalogue.plans_of(&plan_ids).await?;
        let users = self.users(&rules).await?;
        let by_phone: HashMap<&str, &UserResponse> =
            users.values().map(|user| (user.phone_number.as_str(), user)).collect();
        let detailed = rules.into_iter().map(|rule| AutoPayOutAdmin {
            id_user_details: users.get(&rule.user_id).cloned(),
            phone_user_details: rule
                .phone_number
                .and_then(|phone| by_phone.get(phone.national().as_str()).copied().cloned()),
            plan_details: plans.get(&rule.plan_id).cloned(),
            rule,
        });
        Ok(detailed.collect())
    }

    async fn users(&self, rules: &[AutoPayOut]) -> Result<HashMap<i64, UserResponse>, sqlx::Error> {
        let profiles: Vec<Profile> = sqlx::query_as(
            "SELECT u.user_id, u.phone, u.name, u.email, u.user_type, u.status, u.referral_code, u.referee_code,
                 u.created_at, u.updated_at, w.balance, NULL::timestamptz AS deleted_at
             FROM users u JOIN wallets w ON w.wallet_id = u.user_id
             WHERE u.user_id = ANY($1) OR u.phone = ANY($2)",
        )
        .bind(rules.iter().map(|rule| rule.user_id).collect::<Vec<_>>())
        .bind(rules.iter().filter_map(|rule| rule.phone_number).map(|phone| phone.e164()).collect::<Vec<_>>())
        .fetch_all(&self.pool)
        .await?;
        Ok(profiles.into_iter().map(|profile| (profile.user_id, UserResponse::from(profile))).collect())
    }
}
