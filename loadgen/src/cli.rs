//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// What to do again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Recharge the own number of a random line, from the wallet
    Recharge,
    /// The first line recharges the numbers of random other lines
    Hot,
    /// Top up the own wallet of a random line
    Topup,
    /// GET --path
    Get,
    /// Ask for a code and sign in with it (server with GENCHARGE_DEV_OTP=1); one op is both requests
    Login,
}

impl Scenario {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recharge => "recharge",
            Self::Hot => "hot",
            Self::Topup => "topup",
            Self::Get => "get",
            Self::Login => "login",
        }
    }
}

/// The activation mode of recharges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Behind the tail (at most GENCHARGE_MAX_QUEUED_PLANS a number)
    Queue,
    /// In place of the active plan
    Activate,
    /// Leave the field out
    Absent,
}

/// A light closed-loop HTTP/1.1 load generator for GenCharge: one thread, one request in flight per connection.
/// ops/s and latencies count operations answered 2xx. Exit code 3: the server broke a promise (or could not be asked).
#[derive(Debug, Parser)]
#[command(name = "gencharge-loadgen")]
pub struct Args {
    /// What to do
    pub scenario: Scenario,
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:8000")]
    pub base: String,
    /// Connections
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub connections: u16,
    /// Seconds measured; with --retry-log: the most it may take
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Seconds of load before the measuring begins
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub warmup: u64,
    /// Seconds without an answer after which a request is given up
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout: u64,
    /// Lines of `phone token` (not needed by get without --auth)
    #[arg(long)]
    pub tokens: Option<PathBuf>,
    /// Print one line of JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Seed of the choice of lines
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// recharge, hot: the plan
    #[arg(long, default_value_t = 1)]
    pub plan_id: u64,
    /// recharge, hot: activation mode
    #[arg(long, value_enum, default_value_t = Mode::Absent)]
    pub mode: Mode,
    /// topup: rupees
    #[arg(long, default_value = "1.00", value_parser = amount)]
    pub amount: String,
    /// recharge, hot, topup: how many of 100 requests repeat an earlier one, key and all
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=99))]
    pub repeat_percent: u8,
    /// get: what
    #[arg(long)]
    pub path: Option<String>,
    /// get: send the token of a random line
    #[arg(long)]
    pub auth: bool,
    /// Append key, request and outcome of every request to this file
    #[arg(long)]
    pub key_log: Option<PathBuf>,
    /// Instead of new requests: send the keys of this key log again until each has a definite answer, then check that
    /// acknowledged answers did not change
    #[arg(long)]
    pub retry_log: Option<PathBuf>,
    /// With --retry-log: only resolve what is not acknowledged
    #[arg(long, requires = "retry_log")]
    pub no_recheck: bool,
}

fn amount(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { Ok(text.to_owned()) } else { Err("give rupees, like 1.00".to_owned()) }
}
