//! Figures that take long to make are kept: readers get what was made last, with the moment of its making, and an actor makes
//! it anew while somebody asks. What is made quickly is made for every reader.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use gencharge_actors::upkeep::{Tidied, Upkeep, UpkeepError};
use serde_json::value::RawValue;

use super::figures::Json;
use super::report::Report;
use super::store::Analytics;

/// Figures that took no longer than this are made live.
pub const LIVE: Duration = Duration::from_millis(100);

/// Kept figures are made anew when they are older than this many times what making them took, so that it takes at most a
/// twentieth of a core ...
const RESTS: i32 = 20;

/// ... and older than this.
const REST_AT_LEAST: TimeDelta = TimeDelta::seconds(10);

/// Older ones than twice the rest and this are not shown: whoever asks waits for new ones.
const GRACE: TimeDelta = TimeDelta::seconds(60);

/// Figures that nobody asked for since are forgotten.
const ASKED_WITHIN: TimeDelta = TimeDelta::hours(1);

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
            self.keep(report, &figures, made_at, took).await?;
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
        let kept: Option<(String, DateTime<Utc>)> = sqlx::query_as(
            "SELECT figures, asked_at FROM analytics_kept
             WHERE report = $1 AND zone = $2 AND made_at > $3 - 2 * greatest(made_in * $4, $5) - $6",
        )
        .bind(report.name())
        .bind(self.zone.name())
        .bind(now)
        .bind(f64::from(RESTS))
        .bind(REST_AT_LEAST)
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
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO analytics_kept AS k (report, zone, figures, made_at, made_in, asked_at)
             VALUES ($1, $2, $3, $4, $5, $4)
             ON CONFLICT (report) DO UPDATE SET zone = excluded.zone, figures = excluded.figures,
                 made_at = excluded.made_at, made_in = excluded.made_in, claimed_until = NULL
             WHERE k.made_at < excluded.made_at OR k.zone <> excluded.zone",
        )
        .bind(report.name())
        .bind(self.zone.name())
        .bind(figures.get())
        .bind(made_at)
        .bind(TimeDelta::microseconds(i64::try_from(took.as_micros()).unwrap_or(i64::MAX)))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Makes one report anew that is due, unless another process does; false when none is.
    async fn renew(&self) -> Result<bool, sqlx::Error> {
        let now = self.view().now;
        let name: Option<String> = sqlx::query_scalar(
            "UPDATE analytics_kept SET claimed_until = $1 + $4 WHERE report = (
                 SELECT report FROM analytics_kept
                 WHERE made_at <= $1 - greatest(made_in * $2, $3) AND (claimed_until IS NULL OR claimed_until <= $1)
                 ORDER BY made_at LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING report",
        )
        .bind(now)
        .bind(f64::from(RESTS))
        .bind(REST_AT_LEAST)
        .bind(CLAIM)
        .fetch_optional(&self.pool)
        .await?;
        let Some(name) = name else { return Ok(false) };
        let made = match Report::named(&name) {
            Some(report) => Some((report, self.timed(report).await?)),
            None => None, // another version's
        };
        match made {
            Some((report, (figures, made_at, took))) if took > self.live => {
                self.keep(report, &figures, made_at, took).await?;
            }
            _ => {
                sqlx::query("DELETE FROM analytics_kept WHERE report = $1")
                    .bind(name)
                    .execute(&self.pool)
                    .await?;
            }
        }
        Ok(true)
    }
}

/// Makes kept figures anew while somebody asks for them, and forgets the others.
pub struct Keeper(Analytics);

impl Keeper {
    /// Keeps what `analytics` shows.
    #[must_use]
    pub const fn new(analytics: Analytics) -> Self {
        Self(analytics)
    }

    async fn round(&self) -> Result<Tidied, sqlx::Error> {
        let deleted = sqlx::query("DELETE FROM analytics_kept WHERE asked_at < $1 - $2")
            .bind(self.0.view().now)
            .bind(ASKED_WITHIN)
            .execute(&self.0.pool)
            .await?
            .rows_affected();
        let more = self.0.renew().await?;
        Ok(Tidied { made: more.into(), deleted, more, ..Tidied::default() })
    }
}

impl Upkeep for Keeper {
    fn tidy(&self) -> BoxFuture<'_, Result<Tidied, UpkeepError>> {
        Box::pin(async move { self.round().await.map_err(|error| UpkeepError(error.to_string())) })
    }
}
