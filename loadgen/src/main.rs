//! A load generator for measuring GenCharge. It shares the machine with the server under test, so its own CPU time per
//! request is kept as small as can be, and reported.

mod cli;
mod cpu;
mod engine;
#[cfg(test)]
mod engine_tests;
mod http;
mod keylog;
mod money;
mod reads;
mod report;
mod request;
mod retry;
mod tokens;
mod totals;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use cli::{Args, Mode, Scenario};
use engine::{Plan, Workload};
use money::{Money, Payer, Shape};
use reads::{Get, Login};
use report::Report;
use request::Target;
use retry::Retry;
use tokens::Line;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(3),
        Err(error) => {
            eprintln!("gencharge-loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(option: &str, path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{option} {}: {error}", path.display()))
}

/// Returns the number of broken promises.
fn run(args: &Args) -> Result<u64, String> {
    let target = Target::parse(&args.base)?;
    let text = args.tokens.as_deref().map(|path| read("--tokens", path)).transpose()?;
    let lines = text.as_deref().map(tokens::parse).transpose()?;
    let needed = || lines.as_deref().ok_or_else(|| "--tokens FILE is needed".to_owned());
    let connections = usize::from(args.connections);
    if args.retry_log.is_none() {
        return match args.scenario {
            Scenario::Recharge | Scenario::Hot | Scenario::Topup => {
                measure(args, &target, &mut money(args, &target, needed()?)?)
            }
            Scenario::Get => {
                let path = args.path.as_deref().ok_or("--path is needed")?;
                let lines = if args.auth { Some(needed()?) } else { None };
                measure(args, &target, &mut Get::new(path, &target.host, lines, args.seed)?)
            }
            Scenario::Login => {
                measure(args, &target, &mut Login::new(&target.host, needed()?, connections, args.seed)?)
            }
        };
    }
    // Read whole before the new log is opened: the two may be one file.
    let old = args.retry_log.as_deref().map_or(Ok(String::new()), |path| read("--retry-log", path))?;
    let log = args.key_log.as_deref().map(keylog::Writer::open).transpose()?;
    let tokens = tokens::by_phone(needed()?);
    let recheck = !args.no_recheck;
    let mut retry = Retry::new(keylog::parse(&old)?, &target.host, tokens, connections, recheck, log);
    measure(args, &target, &mut retry)
}

fn money<'a>(args: &Args, target: &Target, lines: &'a [Line<'a>]) -> Result<Money<'a>, String> {
    let mode = match args.mode {
        Mode::Queue => Some("queue"),
        Mode::Activate => Some("activate"),
        Mode::Absent => None,
    };
    let shape = match args.scenario {
        Scenario::Topup => Shape::topup(&args.amount),
        Scenario::Hot => Shape::recharge(Payer::First, args.plan_id, mode),
        Scenario::Recharge | Scenario::Get | Scenario::Login => {
            Shape::recharge(Payer::Own, args.plan_id, mode)
        }
    };
    // The standard library seeds its hashers from the system: that is all the randomness needed to tell runs apart.
    let run = RandomState::new().build_hasher().finish();
    let log = args.key_log.as_deref().map(keylog::Writer::open).transpose()?;
    let repeat = usize::from(args.repeat_percent);
    Money::new(shape, &target.host, lines, usize::from(args.connections), (args.seed, run), repeat, log)
}

fn measure<W: Workload>(args: &Args, target: &Target, workload: &mut W) -> Result<u64, String> {
    let plan = Plan {
        address: target.address,
        connections: usize::from(args.connections),
        warmup: Duration::from_secs(if args.retry_log.is_some() { 0 } else { args.warmup }),
        duration: Duration::from_secs(args.seconds),
        timeout: Duration::from_secs(args.timeout),
    };
    let totals = engine::run(&plan, workload)?;
    workload.finish()?;
    let violations = workload.violations();
    let name = if args.retry_log.is_some() { "retry" } else { args.scenario.name() };
    let report = Report::new(name, plan.connections, &totals, workload.counters(), violations);
    println!("{}", if args.json { report.json()? } else { report.table() });
    if totals.requests == 0 && args.retry_log.is_none() {
        return Err(format!("no answer from {}: is the server running?", args.base));
    }
    Ok(violations)
}
