//! The report of a run: a table, or JSON. All figures are made from integers.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::totals::Totals;

/// A number with `places` decimals, from its value in units of the last one.
fn decimal(value: u64, places: u32) -> String {
    let unit = 10_u64.saturating_pow(places);
    let width = usize::try_from(places).unwrap_or(0);
    if places == 0 { value.to_string() } else { format!("{}.{:0width$}", value / unit, value % unit) }
}

fn number(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    status: u16,
    code: &'a str,
    count: u64,
}

#[derive(Serialize)]
struct Connections {
    connect_failed: u64,
    broken: u64,
    timed_out: u64,
    bad_answer: u64,
    closed_by_server: u64,
}

/// What is printed; see the field names in `--json`.
#[derive(Serialize)]
pub struct Report<'a> {
    scenario: &'a str,
    connections: usize,
    seconds: Box<RawValue>,
    requests: u64,
    ops: u64,
    ops_failed: u64,
    ops_per_s: u64,
    status: BTreeMap<&'static str, u64>,
    errors: Vec<ErrorLine<'a>>,
    connection_errors: Connections,
    latency_ms: BTreeMap<&'static str, Box<RawValue>>,
    cpu_seconds: Box<RawValue>,
    cpu_us_per_request: Box<RawValue>,
    counters: BTreeMap<&'static str, u64>,
    violations: u64,
}

/// The quantiles shown, with the width of the table in mind.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999)];

impl<'a> Report<'a> {
    /// Sums a run up.
    pub fn new(
        scenario: &'a str,
        connections: usize,
        totals: &'a Totals,
        counters: Vec<(&'static str, u64)>,
        violations: u64,
    ) -> Self {
        let elapsed_us = u64::try_from(totals.elapsed.as_micros()).unwrap_or(u64::MAX);
        let per_second = totals.ops_ok.saturating_mul(1_000_000).checked_div(elapsed_us).unwrap_or(0);
        let per_request = totals.cpu_us.saturating_mul(100).checked_div(totals.requests).unwrap_or(0);
        let mut latency_ms: BTreeMap<_, _> = QUANTILES
            .iter()
            .map(|&(name, quantile)| (name, number(decimal(totals.latency.value_at_quantile(quantile), 3))))
            .collect();
        latency_ms.insert("max", number(decimal(totals.latency.max(), 3)));
        let mut errors: Vec<_> = totals
            .errors
            .iter()
            .map(|error| ErrorLine { status: error.status, code: &error.code, count: error.count })
            .collect();
        errors.sort_by_key(|error| std::cmp::Reverse(error.count));
        Self {
            scenario,
            connections,
            seconds: number(decimal(elapsed_us / 1000, 3)),
            requests: totals.requests,
            ops: totals.ops_ok,
            ops_failed: totals.ops_failed,
            ops_per_s: per_second,
            status: ["other", "1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(totals.classes).collect(),
            errors,
            connection_errors: Connections {
                connect_failed: totals.breaks.connect,
                broken: totals.breaks.closed,
                timed_out: totals.breaks.timed_out,
                bad_answer: totals.breaks.bad_answer,
                closed_by_server: totals.breaks.reconnects,
            },
            latency_ms,
            cpu_seconds: number(decimal(totals.cpu_us / 10_000, 2)),
            cpu_us_per_request: number(decimal(per_request, 2)),
            counters: counters.into_iter().collect(),
            violations,
        }
    }

    /// One line of JSON.
    pub fn json(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|error| format!("cannot write the report: {error}"))
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(out, "{name:<32} {value}");
        };
        line("scenario", &self.scenario);
        line("connections", &self.connections);
        line("seconds", &self.seconds);
        line("requests", &self.requests);
        line("ops (2xx)", &self.ops);
        line("ops failed", &self.ops_failed);
        line("ops/s", &self.ops_per_s);
        for name in ["p50", "p90", "p99", "p99_9", "max"] {
            if let Some(value) = self.latency_ms.get(name) {
                line(&format!("latency {} ms", name.replace('_', ".")), value);
            }
        }
        for (class, &count) in self.status.iter().filter(|&(_, &count)| count > 0) {
            line(&format!("status {class}"), &count);
        }
        for error in &self.errors {
            line(&format!("error {} {}", error.status, error.code), &error.count);
        }
        let lost = &self.connection_errors;
        for (name, count) in [
            ("connect failed", lost.connect_failed),
            ("connection broken", lost.broken),
            ("timed out", lost.timed_out),
            ("bad answer", lost.bad_answer),
            ("closed by server", lost.closed_by_server),
        ] {
            if count > 0 {
                line(name, &count);
            }
        }
        for (name, count) in &self.counters {
            line(name, count);
        }
        line("violations", &self.violations);
        line("generator CPU s", &self.cpu_seconds);
        line("generator CPU us/request", &self.cpu_us_per_request);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Answer;
    use std::time::{Duration, Instant};

    #[test]
    fn the_json_has_the_counts() {
        let now = Instant::now();
        let mut totals = Totals::new(now).unwrap();
        totals.start(now).unwrap();
        for status in [200, 200, 503] {
            let body: &[u8] = if status == 503 { br#"{"code":"mailbox_full"}"# } else { b"" };
            totals.answered(&Answer { status, replayed: false, body });
            totals.finished(status, Duration::from_micros(1500));
        }
        totals.stop(now + Duration::from_millis(500));
        totals.cpu_us = 10_000;
        let report = Report::new("get", 2, &totals, vec![("x", 7)], 0);
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json["ops_per_s"], 4);
        assert_eq!(json["seconds"], 0.5);
        assert_eq!(json["status"]["2xx"], 2);
        assert_eq!(json["status"]["5xx"], 1);
        assert_eq!(json["errors"][0]["code"], "mailbox_full");
        assert_eq!(json["errors"][0]["count"], 1);
        assert_eq!(json["latency_ms"]["p50"], 1.5);
        assert_eq!(json["cpu_seconds"], 0.01);
        assert_eq!(json["cpu_us_per_request"], 3333.33);
        assert_eq!(json["counters"]["x"], 7);
        assert!(report.table().contains("error 503 mailbox_full"));
    }

    #[test]
    fn decimals() {
        assert_eq!(decimal(1500, 3), "1.500");
        assert_eq!(decimal(7, 2), "0.07");
        assert_eq!(decimal(7, 0), "7");
    }
}
