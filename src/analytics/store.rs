//! Asks the database for what the figures are made of.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use gencharge_actors::kernel::Clock;
use serde_json::value::RawValue;
use sqlx::{AssertSqlSafe, PgPool};

use super::figures::Json;
use super::kept;
use super::series::{Series, Sum};

/// In front of every statement: what it may refer to as `c`. `since` is far enough back for every trend.
const CONTEXT: &str = "WITH c AS MATERIALIZED (SELECT $1::timestamptz AS now, $2::text AS zone, $3::date AS today, \
    ($3::date - 400)::timestamp AT TIME ZONE $2::text AS since, ($3::date)::timestamp AT TIME ZONE $2::text AS midnight) ";

/// Makes reports.
#[derive(Clone)]
pub struct Analytics {
    pub(super) pool: PgPool,
    clock: Arc<dyn Clock>,
    pub(super) zone: Tz,
    pub(super) live: Duration,
}

impl Analytics {
    /// Reads from `pool`; days are those of `zone`.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, zone: Tz) -> Self {
        Self { pool, clock, zone, live: kept::LIVE }
    }

    /// Figures that take longer than this to make are kept ([`kept`]).
    #[must_use]
    pub fn keeping_slower_than(self, live: Duration) -> Self {
        Self { live, ..self }
    }

    /// The data as seen now.
    #[must_use]
    pub fn view(&self) -> View {
        let now = self.clock.now();
        View {
            pool: self.pool.clone(),
            now,
            today: now.with_timezone(&self.zone).date_naive(),
            zone: self.zone.name(),
        }
    }
}

/// The data as seen at one moment.
#[derive(Clone)]
pub struct View {
    pool: PgPool,
    /// The moment.
    pub now: DateTime<Utc>,
    /// Its day.
    pub today: NaiveDate,
    /// The zone of days.
    pub zone: &'static str,
}

/// What a series counts, in SQL of ours.
#[derive(Clone, Copy)]
pub struct Counted {
    /// After FROM.
    pub from: &'static str,
    /// The time that decides the day.
    pub time: &'static str,
    /// Paise, or `0`.
    pub amount: &'static str,
    /// What must hold besides, or `true`.
    pub condition: &'static str,
}

impl View {
    /// Sums by day over the last 400 days.
    pub async fn series(&self, counted: Counted) -> Result<Series, sqlx::Error> {
        let Counted { from, time, amount, condition } = counted;
        self.days(&format!(
            "SELECT (({time}) AT TIME ZONE c.zone)::date, count(*), coalesce(sum({amount}), 0)::bigint \
             FROM c, {from} WHERE ({time}) >= c.since AND ({time}) < c.midnight AND ({condition}) GROUP BY 1"
        ))
        .await
    }

    /// Sums by day: (day, count, paise).
    pub async fn days(&self, sql: &str) -> Result<Series, sqlx::Error> {
        let rows: Vec<(NaiveDate, i64, i64)> = sqlx::query_as(AssertSqlSafe(format!("{CONTEXT}{sql}")))
            .bind(self.now)
            .bind(self.zone)
            .bind(self.today)
            .fetch_all(&self.pool)
            .await?;
        Ok(Series::new(self.today, rows.into_iter().map(|(day, count, amount)| (day, Sum { count, amount }))))
    }

    /// One JSON value that the database makes.
    pub async fn value(&self, sql: &str) -> Result<Json, sqlx::Error> {
        let text: Option<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("{CONTEXT}SELECT ({sql})::text")))
                .bind(self.now)
                .bind(self.zone)
                .bind(self.today)
                .fetch_one(&self.pool)
                .await?;
        let text = text.unwrap_or_else(|| "null".to_owned());
        RawValue::from_string(text).map_err(|error| sqlx::Error::Decode(error.into()))
    }

    /// The rows of `sql` as a JSON list of objects.
    pub async fn rows(&self, sql: &str) -> Result<Json, sqlx::Error> {
        self.value(&format!("SELECT coalesce(json_agg(row_to_json(listed)), '[]') FROM ({sql}) listed")).await
    }

    /// The single row of `sql` as a JSON object.
    pub async fn row(&self, sql: &str) -> Result<Json, sqlx::Error> {
        self.value(&format!("SELECT row_to_json(listed) FROM ({sql}) listed")).await
    }

    /// Keys with their counts: (text or null, bigint).
    pub async fn counts(&self, sql: &str) -> Result<Vec<(Option<String>, i64)>, sqlx::Error> {
        sqlx::query_as(AssertSqlSafe(format!("{CONTEXT}{sql}")))
            .bind(self.now)
            .bind(self.zone)
            .bind(self.today)
            .fetch_all(&self.pool)
            .await
    }

    /// How many rows of `from` have each value of `key`.
    pub async fn shares(&self, key: &str, from: &str) -> Result<Json, sqlx::Error> {
        let counts =
            self.counts(&format!("SELECT ({key})::text, count(*) FROM c, {from} GROUP BY 1")).await?;
        Ok(super::figures::distribution(
            counts.into_iter().map(|(key, count)| (super::figures::json(&key), count)),
        ))
    }

    /// The pool, for what needs other parameters.
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }
}
