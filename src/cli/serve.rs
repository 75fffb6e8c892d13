//! `gencharge serve`.

use std::process::ExitCode;

use gencharge_actors::kernel::{Clock as _, SystemClock};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::people::prepare_access;
use super::{Failure, in_terminal, open_database, received, stop_requested, stopped};
use crate::app::{App, Parts};
use crate::config::Config;
use crate::platform::open_files;
use crate::platform::postgres::Database;

/// Runs until told to stop, or until the server ends by itself, which is a failure.
pub(super) async fn run(config: Config) -> Result<ExitCode, Failure> {
    let open_files = open_files::raise_limit();
    tracing::debug!(open_files, "files and connections that may be open");
    let mut stop = std::pin::pin!(stop_requested()?);
    let rotate = if in_terminal() { None } else { Some(signal(SignalKind::hangup())?) };
    let Some(database) = open_database(&config, stop.as_mut()).await? else { return Ok(stopped()) };
    let outcome = serve(config, &database, stop.as_mut(), rotate).await;
    database.close().await;
    outcome
}

/// How far this machine's clock and the database's may differ.
const SKEW: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

/// Windows, partitions and retention go by this machine's clock, and an acknowledged order is durable only if commits
/// wait for the disk.
async fn refuse_unsafe_server(database: &Database) -> Result<(), Failure> {
    let (theirs, commit): (chrono::DateTime<chrono::Utc>, String) =
        sqlx::query_as("SELECT clock_timestamp(), current_setting('synchronous_commit')")
            .fetch_one(database.pool())
            .await?;
    let skew = SystemClock.now().signed_duration_since(theirs).abs();
    if skew > SKEW {
        return Err(format!(
            "this machine's clock and the database's differ by {skew}: set them right first"
        )
        .into());
    }
    if commit == "off" {
        return Err(
            "the database has synchronous_commit off: acknowledged payments could be lost; turn it on".into(),
        );
    }
    Ok(())
}

async fn serve(
    config: Config,
    database: &Database,
    mut stop: impl Future<Output = ()> + Unpin,
    mut rotate: Option<Signal>,
) -> Result<ExitCode, Failure> {
    // Not interrupted by a request to stop: half a migration rolls back, but takes its time as well.
    let migrations = database.migrate().await?;
    tracing::info!(migrations, database = %database.place(), "database ready");
    refuse_unsafe_server(database).await?;
    prepare_access(database.pool(), &config, SystemClock.now()).await?;
    let mut app = App::start(Parts::new(config, database.pool().clone())?).await?;
    tracing::info!(address = %app.addr, "listening");
    loop {
        tokio::select! {
            () = &mut stop => {
                tracing::info!("stopping: requests in flight end first");
                return if app.stop().await { Ok(ExitCode::SUCCESS) } else { Err("not everything ended in time".into()) };
            }
            why = app.ended() => {
                app.stop().await;
                return Err(why.into());
            }
            () = received(&mut rotate) => app.reopen_logs(),
        }
    }
}
