//! Keeps the sums over all transactions up to the beginning of today.

use std::sync::Arc;

use chrono::TimeDelta;
use chrono_tz::Tz;
use futures_util::future::BoxFuture;
use gencharge_actors::kernel::Clock;
use gencharge_actors::upkeep::{Tidied, Upkeep, UpkeepError};
use sqlx::PgPool;

use crate::http::days::day_start;

/// A day is summed when it has been over for so long: whatever was decided on it is committed then.
const SETTLED: TimeDelta = TimeDelta::minutes(10);

/// Sums days that are over.
#[derive(Clone)]
pub struct PgRollUp {
    pool: PgPool,
    clock: Arc<dyn Clock>,
    zone: Tz,
}

impl PgRollUp {
    /// Sums days of `zone`.
    #[must_use]
    pub fn new(pool: PgPool, clock: Arc<dyn Clock>, zone: Tz) -> Self {
        Self { pool, clock, zone }
    }

    /// Sums what is not summed yet; answers how many sums were added.
    ///
    /// # Errors
    /// Those of the database; nothing is half done.
    pub async fn sum_up(&self) -> Result<i64, sqlx::Error> {
        let settled = self.clock.now().checked_sub_signed(SETTLED).unwrap_or_default();
        let day = settled.with_timezone(&self.zone).date_naive();
        let Some(upto) = day_start(self.zone, day) else { return Ok(0) };
        let mut transaction = self.pool.begin().await?;
        // The first time may read a long history.
        sqlx::query("SET LOCAL statement_timeout = '280s'").execute(&mut *transaction).await?;
        let summed = sqlx::query_scalar("SELECT analytics_sum_up($1, $2)")
            .bind(self.zone.name())
            .bind(upto)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(summed)
    }
}

impl Upkeep for PgRollUp {
    fn tidy(&self) -> BoxFuture<'_, Result<Tidied, UpkeepError>> {
        Box::pin(async move {
            let summed = self.sum_up().await.map_err(|error| UpkeepError(error.to_string()))?;
            Ok(Tidied { made: u64::try_from(summed).unwrap_or(0), ..Tidied::default() })
        })
    }
}
