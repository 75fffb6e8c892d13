//! `gencharge token`.

use std::process::ExitCode;

use gencharge_actors::kernel::{PhoneNumber, SystemClock, SystemRandom};

use super::{Failure, TokenArgs};
use crate::auth::{Keys, find_subject, mint};
use crate::config::{Config, secret_key};
use crate::platform::postgres::Database;

/// Prints an access token for a customer or administrator, and nothing else.
pub(super) async fn run(config: &Config, database: &Database, args: &TokenArgs) -> Result<ExitCode, Failure> {
    let phone = PhoneNumber::parse(&args.phone).map_err(|error| format!("--phone: {error}"))?;
    let keys = Keys::derive(secret_key(config)?.expose())?;
    let subject = find_subject(database.pool(), phone).await?;
    let subject = subject.ok_or("--phone: no active customer or administrator has this number")?;
    let tokens = mint(database.pool(), &keys, &SystemClock, &SystemRandom, &[subject], args.ttl).await?;
    for token in tokens {
        println!("{token}");
    }
    Ok(ExitCode::SUCCESS)
}
