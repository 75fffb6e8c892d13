//! `gencharge serve`.

use std::process::ExitCode;

use super::{Failure, stop_requested, with_database};
use crate::config::Config;

/// Runs until told to stop.
pub(super) async fn run(config: Config) -> Result<ExitCode, Failure> {
    with_database(&config, async |database| {
        let migrations = database.migrate().await?;
        tracing::info!(migrations, database = %database.place(), "database ready");
        stop_requested()?.await;
        Ok(ExitCode::SUCCESS)
    })
    .await
}
