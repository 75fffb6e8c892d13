//! The command line: what can be asked for, one runtime for it, and how it ends.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong arguments or settings, 130 ended by Ctrl-C or a request to stop.

mod backup;
pub mod demo;
mod migrate;
pub mod people;
mod publish;
mod seed;
pub mod seed_history;
mod serve;
mod token;
mod verify;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Config, parse_duration, parse_rupees};
use crate::platform::postgres::Database;
use crate::telemetry;

/// What went wrong, for the last line on stderr.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long a start of the database that nobody wants any more may go on.
const OPENING: Duration = Duration::from_secs(30);

/// Backend for prepaid and postpaid mobile recharge.
///
/// Settings come from the environment or a .env file; .env.example lists them. Without DATABASE_URL a private PostgreSQL runs
/// under the data folder, and every command works with and without a running server.
#[derive(Debug, Parser)]
#[command(name = "gencharge", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until Ctrl-C
    Serve,
    /// Bring the database's schema up to date
    Migrate,
    /// Fill the database with demo or load data
    Seed(SeedArgs),
    /// Print an access token for a registered phone number
    Token(TokenArgs),
    /// Check every invariant of the stored data; fails if one is broken
    Verify,
    /// Write everything into one file, in one snapshot, with or without a running server
    Backup(BackupArgs),
    /// Load a backup into a new database, and compare it there with what was backed up
    Restore(RestoreArgs),
    /// Publish partners' commands to the broker, as the user in AMQP_URL; fails if one is not taken
    Publish(PublishArgs),
}

/// Where to.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The new file; in the folder of backups when not said
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What, and where to.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The new database's name, on the same server
    #[arg(long, value_name = "NAME")]
    pub into: String,
    /// Replace the database of that name that an earlier restore has made
    #[arg(long)]
    pub clean: bool,
}

/// Which commands: one, or a file of them.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The message, as JSON
    #[arg(value_name = "JSON", required_unless_present = "file", conflicts_with = "file")]
    pub message: Option<String>,
    /// A file of messages, one a line; - is the standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// What to seed: exactly one kind.
#[derive(Debug, Args)]
pub struct SeedArgs {
    /// Plans, offers, roles, admins and customers to try things with; may be repeated
    #[arg(long, required_unless_present_any = ["load_users", "transactions"])]
    pub demo: bool,
    /// This many active, registered prepaid customers
    #[arg(long, value_name = "N", requires = "tokens", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub load_users: Option<u32>,
    /// Opening balance of each, in rupees (here in paise)
    #[arg(long, value_name = "RUPEES", default_value = "100000", value_parser = parse_rupees)]
    pub balance: i64,
    /// Where to write a line `phone token` for each
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// Life of those tokens, such as 2h
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = parse_duration)]
    pub token_ttl: Duration,
    /// This many past transactions, for measuring at size
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub transactions: Option<u64>,
}

/// Whose token.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// A registered phone number
    #[arg(long)]
    pub phone: String,
    /// Life of the token, such as 10m
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub ttl: Duration,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match Config::load() {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    telemetry::init(&config);
    match actix_web::rt::System::new().block_on(dispatch(cli.command, config)) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("gencharge: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(error: &crate::config::ConfigError) -> ExitCode {
    eprintln!("gencharge: {error}");
    ExitCode::from(2)
}

async fn dispatch(command: Command, config: Config) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve => serve::run(config).await,
        Command::Migrate => with_database(&config, migrate::run).await,
        Command::Seed(args) => {
            with_database(&config, async |database| seed::run(&config, database, &args).await).await
        }
        Command::Token(args) => {
            with_database(&config, async |database| token::run(&config, database, &args).await).await
        }
        Command::Backup(args) => {
            with_database(&config, async |database| backup::backup(&config, database, &args).await).await
        }
        Command::Restore(args) => {
            with_database(&config, async |database| backup::restore(&config, database, &args).await).await
        }
        Command::Publish(args) => publish::run(&config, &args).await,
        Command::Verify => {
            with_database(&config, async |database| verify::run(&config, database).await).await
        }
    }
}

/// Opens the database, runs the work until it ends or the process is told to stop, and closes the database in any case,
/// so that an embedded one started for this command is not left running.
///
/// # Errors
/// Those of the database and of the work.
pub async fn with_database<W>(config: &Config, work: W) -> Result<ExitCode, Failure>
where
    W: AsyncFnOnce(&Database) -> Result<ExitCode, Failure>,
{
    let mut stop = std::pin::pin!(stop_requested()?);
    let Some(database) = open_database(config, stop.as_mut()).await? else { return Ok(stopped()) };
    let outcome = tokio::select! {
        outcome = work(&database) => outcome,
        () = &mut stop => Ok(stopped()),
    };
    database.close().await;
    outcome
}

/// Opens the database; `None` when the process was told to stop meanwhile.
async fn open_database(config: &Config, stop: impl Future<Output = ()>) -> Result<Option<Database>, Failure> {
    let mut opening = std::pin::pin!(Database::open(config));
    tokio::select! {
        database = &mut opening => Ok(Some(database?)),
        () = stop => {
            // What was begun is finished and put away, so that no half-started database is left behind.
            if let Ok(Ok(database)) = tokio::time::timeout(OPENING, opening).await {
                database.close().await;
            }
            Ok(None)
        }
    }
}

fn stopped() -> ExitCode {
    ExitCode::from(130)
}

/// Whether a person runs this in a terminal: SIGHUP then says that the terminal is gone. Otherwise it is the usual word to
/// a server to open its log files anew.
fn in_terminal() -> bool {
    std::io::stdin().is_terminal() || std::io::stderr().is_terminal()
}

/// Ends when the process is asked to stop (SIGINT, SIGTERM; SIGHUP in a terminal).
///
/// # Errors
/// When signals cannot be watched.
pub fn stop_requested() -> Result<impl Future<Output = ()>, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = if in_terminal() { Some(signal(SignalKind::hangup())?) } else { None };
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = received(&mut hangup) => {}
        }
    })
}

/// Ends when the signal comes; never without one to wait for.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_sound() {
        Cli::command().debug_assert();
        let parse = |text: &str| Cli::try_parse_from(text.split(' '));
        let Ok(Cli { command: Command::Seed(seed) }) =
            parse("gencharge seed --load-users 10 --balance 99.50 --tokens t --token-ttl 3h")
        else {
            panic!("a seed command")
        };
        assert_eq!(
            (seed.load_users, seed.balance, seed.token_ttl),
            (Some(10), 9950, Duration::from_secs(10_800))
        );
        for bad in ["seed", "seed --load-users 10", "seed --load-users 0 --tokens t", "token", "serve now"] {
            assert!(parse(&format!("gencharge {bad}")).is_err(), "{bad}");
        }
    }
}
