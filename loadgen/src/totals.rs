//! What is counted while a run is measured.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Deserialize;

use crate::cpu;
use crate::engine::Answer;

/// Different (status, code) pairs told apart; the last one turns into `0 other` when there are more.
const MAX_ERRORS: usize = 256;
const MAX_LATENCY_US: u64 = 600_000_000;

/// Why a connection was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Could not connect.
    Connect,
    /// Closed or reset under a request.
    Closed,
    /// No answer in time.
    TimedOut,
    /// Not HTTP, or bytes nobody asked for.
    BadAnswer,
}

/// Answers of one status and problem code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCount {
    /// HTTP status.
    pub status: u16,
    /// The problem's `code`, or `-` where there is none.
    pub code: String,
    /// How many.
    pub count: u64,
}

/// Connections lost, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Breaks {
    /// See [`Break::Connect`].
    pub connect: u64,
    /// See [`Break::Closed`].
    pub closed: u64,
    /// See [`Break::TimedOut`].
    pub timed_out: u64,
    /// See [`Break::BadAnswer`].
    pub bad_answer: u64,
    /// Orderly closes after an answer.
    pub reconnects: u64,
}

/// The counts of a run. They run from [`Totals::start`] to [`Totals::stop`].
pub struct Totals {
    counting: bool,
    started: Instant,
    cpu_at_start: u64,
    /// Time counted.
    pub elapsed: Duration,
    /// CPU of this process in that time, microseconds.
    pub cpu_us: u64,
    /// Requests answered.
    pub requests: u64,
    /// Operations ended in 2xx.
    pub ops_ok: u64,
    /// Operations ended otherwise.
    pub ops_failed: u64,
    /// Answers by status class: index 2 is 2xx; index 0 is what is beyond 5xx.
    pub classes: [u64; 6],
    /// Answers other than 2xx.
    pub errors: Vec<ErrorCount>,
    /// Connections lost.
    pub breaks: Breaks,
    /// Microseconds from the send of an operation's first byte to its whole answer; operations that ended in 2xx.
    pub latency: Histogram<u64>,
}

#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow)]
    code: std::borrow::Cow<'a, str>,
}

/// The `code` of a problem document; `-` where there is none.
pub fn problem_code(body: &[u8]) -> std::borrow::Cow<'_, str> {
    serde_json::from_slice::<Problem<'_>>(body).map_or("-".into(), |problem| problem.code)
}

impl Totals {
    /// Nothing is counted before [`Totals::start`].
    pub fn new(now: Instant) -> Result<Self, String> {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)
            .map_err(|error| format!("cannot make the histogram: {error}"))?;
        Ok(Self {
            counting: false,
            started: now,
            cpu_at_start: 0,
            elapsed: Duration::ZERO,
            cpu_us: 0,
            requests: 0,
            ops_ok: 0,
            ops_failed: 0,
            classes: [0; 6],
            errors: Vec::new(),
            breaks: Breaks::default(),
            latency,
        })
    }

    /// Begins to count.
    pub fn start(&mut self, now: Instant) -> Result<(), String> {
        self.counting = true;
        self.started = now;
        self.cpu_at_start = cpu::used_us()?;
        Ok(())
    }

    /// Ends the counting.
    pub fn stop(&mut self, now: Instant) {
        if self.counting {
            self.counting = false;
            self.elapsed = now.duration_since(self.started);
            self.cpu_us = cpu::used_us().unwrap_or(0).saturating_sub(self.cpu_at_start);
        }
    }

    /// Counts one answer.
    pub fn answered(&mut self, answer: &Answer<'_>) {
        if !self.counting {
            return;
        }
        self.requests = self.requests.saturating_add(1);
        let class = usize::from(answer.status / 100);
        let class = if class < self.classes.len() { class } else { 0 };
        if let Some(count) = self.classes.get_mut(class) {
            *count = count.saturating_add(1);
        }
        if class != 2 {
            self.count_error(answer.status, &problem_code(answer.body));
        }
    }

    /// Counts one operation.
    pub fn finished(&mut self, status: u16, latency: Duration) {
        if !self.counting {
            return;
        }
        if status / 100 == 2 {
            self.ops_ok = self.ops_ok.saturating_add(1);
            self.latency.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        } else {
            self.ops_failed = self.ops_failed.saturating_add(1);
        }
    }

    /// Counts one lost connection.
    pub fn broken(&mut self, reason: Break) {
        if !self.counting {
            return;
        }
        let count = match reason {
            Break::Connect => &mut self.breaks.connect,
            Break::Closed => &mut self.breaks.closed,
            Break::TimedOut => &mut self.breaks.timed_out,
            Break::BadAnswer => &mut self.breaks.bad_answer,
        };
        *count = count.saturating_add(1);
    }

    /// Counts one orderly close by the server.
    pub fn reconnected(&mut self) {
        if self.counting {
            self.breaks.reconnects = self.breaks.reconnects.saturating_add(1);
        }
    }

    fn count_error(&mut self, status: u16, code: &str) {
        if let Some(known) = self.errors.iter_mut().find(|one| one.status == status && one.code == code) {
            known.count = known.count.saturating_add(1);
        } else if self.errors.len() < MAX_ERRORS {
            self.errors.push(ErrorCount { status, code: code.to_owned(), count: 1 });
        } else if let Some(last) = self.errors.last_mut() {
            "other".clone_into(&mut last.code);
            last.status = 0;
            last.count = last.count.saturating_add(1);
        }
    }
}
