//! `--retry-log`: asks a server about every key of a key log again.
//!
//! First every key without an acknowledged answer is sent until it gets a definite one; then every acknowledged key is sent once
//! more, and must be answered as before, as a replay.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::engine::{Answer, Step, Verdict, Workload};
use crate::keylog::{self, Definite, Entry, Kind, Request, Writer};
use crate::request::{post_head, write_post};

const WAIT_FOR_OTHERS: Duration = Duration::from_millis(20);
/// Changed keys that are named on standard error.
const NAMED: u64 = 20;

#[derive(Debug, Default)]
struct Counts {
    acknowledged_before: u64,
    unacknowledged_before: u64,
    found_done: u64,
    done_now: u64,
    rejected: u64,
    refused: u64,
    rechecked: u64,
    changed: u64,
    lost: u64,
    contradicted: u64,
    without_token: u64,
}

/// The workload.
#[derive(Debug)]
pub struct Retry<'a> {
    entries: Vec<Entry<'a>>,
    host: &'a str,
    heads: HashMap<&'a str, Vec<u8>>,
    tokens: HashMap<&'a str, &'a str>,
    queue: VecDeque<usize>,
    recheck: bool,
    slots: Vec<Option<usize>>,
    log: Option<Writer>,
    counts: Counts,
}

impl<'a> Retry<'a> {
    /// `tokens`: by phone as in the log. `recheck`: also ask again for what is acknowledged.
    pub fn new(
        entries: Vec<Entry<'a>>,
        host: &'a str,
        tokens: HashMap<&'a str, &'a str>,
        connections: usize,
        recheck: bool,
        log: Option<Writer>,
    ) -> Self {
        let mut retry = Self {
            entries,
            host,
            heads: HashMap::new(),
            tokens,
            queue: VecDeque::new(),
            recheck,
            slots: vec![None; connections],
            log,
            counts: Counts::default(),
        };
        let mut acknowledged = Vec::new();
        for (index, entry) in retry.entries.iter().enumerate() {
            retry.counts.contradicted += u64::from(entry.contradicted);
            if entry.known.is_some() {
                retry.counts.acknowledged_before += 1;
                acknowledged.push(index);
            } else {
                retry.counts.unacknowledged_before += 1;
                retry.queue.push_back(index);
            }
        }
        if recheck {
            retry.queue.extend(acknowledged);
        }
        retry
    }

    fn unresolved(&self) -> u64 {
        let open = self.entries.iter().filter(|entry| entry.known.is_none()).count();
        u64::try_from(open).unwrap_or(u64::MAX).saturating_sub(self.counts.refused)
    }

    /// Keys that were to be asked for again and were not, for want of time.
    fn unasked(&self) -> u64 {
        let busy = self.slots.iter().flatten().count();
        u64::try_from(self.queue.len().saturating_add(busy)).unwrap_or(u64::MAX)
    }

    fn log(&mut self, index: usize, answer: Option<&Answer<'_>>) {
        if let (Some(log), Some(entry)) = (&mut self.log, self.entries.get(index)) {
            let body = [entry.body.as_bytes(), b"", b""];
            let request = Request { key: entry.key.as_bytes(), phone: entry.phone, path: entry.path, body };
            log.write(&request, answer);
        }
    }

    /// Takes an answer that must not change any more.
    fn settle(&mut self, index: usize, kind: Kind, answer: &Answer<'_>) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let now = Definite { status: answer.status, detail: keylog::detail(answer).into() };
        let Some(before) = &entry.known else {
            let count = match kind {
                Kind::Done if answer.replayed => &mut self.counts.found_done,
                Kind::Done => &mut self.counts.done_now,
                Kind::Rejected | Kind::Refused | Kind::Unknown => &mut self.counts.rejected,
            };
            *count += 1;
            entry.known = Some(now);
            if self.recheck {
                self.queue.push_back(index);
            }
            return;
        };
        self.counts.rechecked += 1;
        let changed = *before != now;
        let lost = !answer.replayed;
        self.counts.changed += u64::from(changed);
        self.counts.lost += u64::from(lost);
        if (changed || lost) && self.counts.changed.max(self.counts.lost) <= NAMED {
            eprintln!(
                "key {}: acknowledged {} {}, now {} {}{}",
                entry.key,
                before.status,
                before.detail,
                now.status,
                now.detail,
                if lost { ", not a replay" } else { "" },
            );
        }
    }
}

impl Workload for Retry<'_> {
    fn wants_body(&self) -> bool {
        true
    }

    fn next(&mut self, slot: usize, out: &mut Vec<u8>) -> Step {
        loop {
            let Some(index) = self.queue.pop_front() else {
                let busy = self.slots.iter().any(Option::is_some);
                return if busy { Step::Pause(WAIT_FOR_OTHERS) } else { Step::Done };
            };
            let Some(entry) = self.entries.get(index) else { continue };
            let Some(token) = self.tokens.get(entry.phone) else {
                self.counts.without_token += 1;
                continue;
            };
            let head = self.heads.entry(entry.path).or_insert_with(|| post_head(entry.path, self.host));
            write_post(out, head, token, entry.key.as_bytes(), [entry.body.as_bytes(), b"", b""]);
            if let Some(place) = self.slots.get_mut(slot) {
                *place = Some(index);
            }
            return Step::Send;
        }
    }

    fn answered(&mut self, slot: usize, answer: &Answer<'_>) -> Verdict {
        let Some(index) = self.slots.get_mut(slot).and_then(Option::take) else { return Verdict::Finished };
        self.log(index, Some(answer));
        let acknowledged = self.entries.get(index).is_some_and(|entry| entry.known.is_some());
        match Kind::of(answer.status) {
            kind @ (Kind::Done | Kind::Rejected) => self.settle(index, kind, answer),
            // A replay that is answered 401 or 422 is a changed answer; 429 only asks for patience.
            Kind::Refused if answer.status != 429 => {
                if acknowledged {
                    self.settle(index, Kind::Refused, answer);
                } else {
                    self.counts.refused += 1;
                }
            }
            Kind::Refused | Kind::Unknown => self.queue.push_back(index),
        }
        Verdict::Finished
    }

    fn broken(&mut self, slot: usize) {
        if let Some(index) = self.slots.get_mut(slot).and_then(Option::take) {
            self.log(index, None);
            self.queue.push_back(index);
        }
    }

    fn tick(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let counts = &self.counts;
        vec![
            ("acknowledged_before", counts.acknowledged_before),
            ("unacknowledged_before", counts.unacknowledged_before),
            ("resolved_had_been_done", counts.found_done),
            ("resolved_done_now", counts.done_now),
            ("resolved_rejected", counts.rejected),
            ("refused", counts.refused),
            ("unresolved", self.unresolved()),
            ("rechecked", counts.rechecked),
            ("not_asked_in_time", self.unasked()),
            ("without_token", counts.without_token),
            ("acknowledged_then_changed", counts.changed),
            ("acknowledged_then_not_replayed", counts.lost),
            ("contradicted_in_log", counts.contradicted),
        ]
    }

    fn violations(&self) -> u64 {
        let counts = &self.counts;
        let broken = counts.changed + counts.lost + counts.contradicted;
        // What could not be asked proves nothing, and so fails too.
        broken + self.unresolved() + self.unasked() + counts.without_token + counts.refused
    }

    fn finish(&mut self) -> Result<(), String> {
        self.log.as_mut().map_or(Ok(()), Writer::finish)
    }
}
