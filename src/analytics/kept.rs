//! Figures that take long to make are kept: readers get what was made last, with the moment of its making, and an actor makes
//! it anew, often while somebody asks and now and then otherwise, so that the first to ask does not wait either. What is made
//! quickly is made for every reader; the actor only looks whether it still is.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use gencharge_actors::upkeep::{Tidied, Upkeep, UpkeepError};
use serde_json::value::RawValue;
use sqlx::AssertSqlSafe;

use super::figures::Json;
use super::report::Report;
use super::store::Analytics;

/// Figures that took no longer than this are made live.
pub const LIVE: Duration = Duration::from_millis(100);

/// How long kept figures (a row of `analytics_kept`) rest before they are made anew. $1: now, $2: the longest that is live.
/// While somebody asks, as many times what making them took that it takes at most a twentieth of a core each, otherwise a
/// two-hundredth.
const REST: &str = "CASE WHEN made_in > $2 AND asked_at > $1 - interval '1 hour'
    THEN greatest(20 * made_in, interval '10 s') ELSE greatest(200 * made_in, interval '100 s') END";

/// Older ones than twice the rest and this are not shown: whoever asks waits for new ones.
const GRACE: TimeDelta = TimeDelta::seconds(60);

/// How exactly it is remembered when somebody asked.
const ASKED_EXACTLY: TimeDelta = TimeDelta::minutes(1);

/// How long a process may take to make figures anew, before another tries.
const CLAIM: TimeDelta = TimeDelta::minutes(2);

impl Analytics {
    /// The figures of a report: kept ones that are fresh enough, else new ones.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn figures(&self, report: Report) -> Result<Json, sqlx::Error> {
        if let Some(figures) = self.kept(report).await? {
            return Ok(figures);
        }
        let (figures, made_at, took) = self.timed(report).await?;
        if took > self.live {
            self.keep(report, &figures, made_at, took, made_at).await?;
        }
        Ok(figures)
    }

    async fn timed(&self, report: Report) -> Result<(Json, DateTime<Utc>, Duration), sqlx::Error> {
        let (view, started) = (self.view(), Instant::now());
        let figures = report.make(&view).await?;
        Ok((figures, view.now, started.elapsed()))
    }

    async fn kept(&self, report: Report) -> Result<Option<Json>, sqlx::Error> {
        let now = self.view().now;
        let kept: Option<(String, DateTime<Utc>)> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT figures, asked_at FROM analytics_kept
             WHERE report = $3 AND zone = $4 AND made_in > $2 AND made_at > $1 - 2 * ({REST}) - $5"
        )))
        .bind(now)
        .bind(interval(self.live))
        .bind(report.name())
        .bind(self.zone.name())
        .bind(GRACE)
        .fetch_optional(&self.pool)
        .await?;
        let Some((figures, asked_at)) = kept else { return Ok(None) };
        if now.signed_duration_since(asked_at) > ASKED_EXACTLY {
            sqlx::query("UPDATE analytics_kept SET asked_at = $2 WHERE report = $1")
                .bind(report.name())
                .bind(now)
                .execute(&self.pool)
                .await?;
        }
        RawValue::from_string(figures).map(Some).map_err(|error| sqlx::Error::Decode(error.into()))
    }

    async fn keep(
        &self,
        report: Report,
        figures: &Json,
        made_at: DateTime<Utc>,
        took: Duration,
        asked_at: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO analytics_kept AS k (report, zone, figures, made_at, made_in, asked_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (report) DO UPDATE SET zone = excluded.zone, figures = excluded.figures,
                 made_at = excluded.made_at, made_in = excluded.made_in, claimed_until = NULL,
                 asked_at = greatest(k.asked_at, excluded.asked_at)
             WHERE k.made_at < excluded.made_at OR k.zone <> excluded.zone",
        )
        .bind(report.name())
        .bind(self.zone.name())
        .bind(figures.get())
        .bind(made_at)
        .bind(interval(took))
        .bind(asked_at)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// A row for every report, as if made long ago; rows of reports that are no more go. Answers how many went.
    async fn know_all(&self) -> Result<u64, sqlx::Error> {
        let names: Vec<_> = Report::ALL.iter().map(|report| report.name()).collect();
        sqlx::query(
            "INSERT INTO analytics_kept (report, zone, figures, made_at, made_in, asked_at)
             SELECT name, $2, 'null', 'epoch', interval '0', 'epoch' FROM unnest($1::text[]) AS name
             ON CONFLICT DO NOTHING",
        )
        .bind(&names)
        .bind(self.zone.name())
        .execute(&self.pool)
        .await?;
        let gone = sqlx::query("DELETE FROM analytics_kept WHERE report <> ALL ($1)").bind(names);
        Ok(gone.execute(&self.pool).await?.rows_affected())
    }

    /// Makes one report anew that is due, unless another process does; false when none is.
    async fn renew(&self) -> Result<bool, sqlx::Error> {
        let name: Option<String> = sqlx::query_scalar(AssertSqlSafe(format!(
            "UPDATE analytics_kept SET claimed_until = $1 + $3 WHERE report = (
                 SELECT report FROM analytics_kept
                 WHERE made_at <= $1 - ({REST}) AND (claimed_until IS NULL OR claimed_until <= $1)
                 ORDER BY made_at LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING report"
        )))
        .bind(self.view().now)
        .bind(interval(self.live))
        .bind(CLAIM)
        .fetch_optional(&self.pool)
        .await?;
        let Some(report) = name.and_then(|name| Report::named(&name)) else { return Ok(false) };
        let (figures, made_at, took) = self.timed(report).await?;
        self.keep(report, &figures, made_at, took, DateTime::UNIX_EPOCH).await?;
        Ok(true)
    }
}

fn interval(duration: Duration) -> TimeDelta {
    TimeDelta::microseconds(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

/// Makes kept figures anew, and looks whether others have become slow.
pub struct Keeper(Analytics);

impl Keeper {
    /// Keeps what `analytics` shows.
    #[must_use]
    pub const fn new(analytics: Analytics) -> Self {
        Self(analytics)
    }

    async fn round(&self) -> Result<Tidied, sqlx::Error> {
        let deleted = self.0.know_all().await?;
        let more = self.0.renew().await?;
        Ok(Tidied { made: more.into(), deleted, more, ..Tidied::default() })
    }
}

impl Upkeep for Keeper {
    fn tidy(&self) -> BoxFuture<'_, Result<Tidied, UpkeepError>> {
        Box::pin(async move { self.round().await.map_err(|error| UpkeepError(error.to_string())) })
    }
}
