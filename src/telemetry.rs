//! Logs to stderr: for people in development, one JSON object a line in production.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::config::Config;

/// Starts logging for the whole process. A second call changes nothing.
pub fn init(config: &Config) {
    // The filter was checked when the settings were read.
    let filter = EnvFilter::try_new(&config.telemetry.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // The broker's client would write messages that nobody takes into the log, whole; the bus tells of them itself.
    let filter = match "lapin::returned_messages=off".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let begun = if config.is_production() {
        logs.json().flatten_event(true).with_current_span(false).try_init()
    } else {
        logs.with_ansi(io::stderr().is_terminal()).with_target(false).try_init()
    };
    // It fails only when logging has already begun, as in a test.
    drop(begun);
}
