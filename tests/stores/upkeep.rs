//! What the upkeep deletes when it is long over.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use gencharge::platform::postgres::upkeep::PgUpkeep;
use gencharge_actors::upkeep::Upkeep as _;
use sqlx::PgPool;

use crate::support::app::with_settings;

const ASHA: &str = "9800000001";
const OTHER: &str = "9800000002";

async fn rows(pool: &PgPool) -> (i64, i64) {
    sqlx::query_as("SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM otp_codes)")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[test]
fn old_sessions_and_codes_go() {
    // Codes in PostgreSQL, whatever else the suite runs on.
    with_settings(&[("REDIS_URL", "")], async |app| {
        app.sign_in(ASHA).await;
        app.clock.advance(TimeDelta::hours(1));
        app.sign_in(OTHER).await;
        let upkeep = PgUpkeep::new(app.pool.clone(), Arc::new(app.clock.clone()), Duration::from_secs(3600));
        upkeep.tidy().await.unwrap();
        assert_eq!(rows(&app.pool).await, (2, 2), "an hour still counts");
        // Refresh tokens live two days, sessions are kept a week longer.
        app.clock.advance(TimeDelta::days(9) - TimeDelta::minutes(30));
        upkeep.tidy().await.unwrap();
        assert_eq!(rows(&app.pool).await, (1, 0));
        app.clock.advance(TimeDelta::hours(1));
        upkeep.tidy().await.unwrap();
        assert_eq!(rows(&app.pool).await, (0, 0));
    });
}
