//! `gencharge verify`.

use std::process::ExitCode;

use chrono::TimeDelta;
use gencharge_actors::kernel::{Clock, SystemClock};
use sqlx::ConnectOptions;

use super::Failure;
use crate::config::Config;
use crate::platform::postgres::Database;
use crate::verify::{Finding, verify};

/// Prints a line for each invariant; fails when one is broken.
pub(super) async fn run(config: &Config, database: &Database) -> Result<ExitCode, Failure> {
    let mut connection = database.connect_options().connect().await?;
    let retention = TimeDelta::from_std(config.postgres.outbox_retention)?;
    let findings = verify(&mut connection, SystemClock.now() - retention, print).await?;
    let broken = findings.iter().filter(|finding| finding.broken > 0).count();
    if broken > 0 {
        return Err(format!("{broken} of {} invariants are broken", findings.len()).into());
    }
    Ok(ExitCode::SUCCESS)
}

fn print(finding: &Finding) {
    if finding.broken == 0 {
        println!("ok      {} ({} checked)", finding.name, finding.seen);
    } else {
        println!("BROKEN  {} ({} of {})", finding.name, finding.broken, finding.seen);
    }
}
