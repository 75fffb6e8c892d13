//! `gencharge migrate`.

use std::process::ExitCode;

use super::Failure;
use crate::platform::postgres::Database;

/// Brings the schema up to date.
pub(super) async fn run(database: &Database) -> Result<ExitCode, Failure> {
    let migrations = database.migrate().await?;
    println!("schema up to date ({migrations} migrations; {})", database.place());
    Ok(ExitCode::SUCCESS)
}
