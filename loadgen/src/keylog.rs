//! The key log: every request with an idempotency key, and what came of it.
//!
//! One line a request, fields parted by tabs: key, payer's phone, path, body, kind, status (0: none), detail. Kinds:
//! `done` (2xx; detail is the `txn_id`), `rejected` (decided against, kept by the server under the key; detail is the problem's
//! code), `refused` (certainly not done and not kept: 401, 422, 429), `unknown` (5xx, or the connection broke).

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::engine::Answer;
use crate::totals::problem_code;

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Done and acknowledged.
    Done,
    /// Decided against; a retry must get the same answer.
    Rejected,
    /// Certainly not done, and a retry may be done.
    Refused,
    /// Perhaps done.
    Unknown,
}

impl Kind {
    /// By HTTP status; 0 where no answer came.
    pub fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Done,
            401 | 422 | 429 => Self::Refused,
            408 => Self::Unknown,
            400..=499 => Self::Rejected,
            _ => Self::Unknown,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Deserialize)]
struct Transaction<'a> {
    #[serde(borrow)]
    txn_id: &'a RawValue,
}

/// What tells two answers apart beyond their status: the `txn_id` of a 2xx, else the problem's code; `-` where there is none.
pub fn detail<'a>(answer: &Answer<'a>) -> std::borrow::Cow<'a, str> {
    if Kind::of(answer.status) != Kind::Done {
        return problem_code(answer.body);
    }
    serde_json::from_slice::<Transaction<'_>>(answer.body)
        .map_or("-".into(), |transaction| transaction.txn_id.get().trim_matches('"').into())
}

/// Who asked for what under which key.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Idempotency key.
    pub key: &'a [u8],
    /// The payer, as in the tokens file.
    pub phone: &'a str,
    /// Path with its leading slash.
    pub path: &'a str,
    /// The body in parts.
    pub body: [&'a [u8]; 3],
}

/// Appends to a log file. The first failure is kept and ends the writing.
#[derive(Debug)]
pub struct Writer {
    out: BufWriter<File>,
    failed: Option<String>,
}

impl Writer {
    /// Opens for appending; makes the file when there is none.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| format!("--key-log {}: {error}", path.display()))?;
        Ok(Self { out: BufWriter::with_capacity(1 << 20, file), failed: None })
    }

    /// Appends a line; `answer` is `None` where none came.
    pub fn write(&mut self, request: &Request<'_>, answer: Option<&Answer<'_>>) {
        let status = answer.map_or(0, |answer| answer.status);
        let detail = answer.map_or("-".into(), detail);
        let kind = Kind::of(status).name();
        let written = self.line(request, kind, status, &detail);
        self.note(written);
    }

    /// Hands what is buffered to the system.
    pub fn flush(&mut self) {
        let flushed = self.out.flush();
        self.note(flushed);
    }

    /// Flushes, and gives the first failure there was.
    pub fn finish(&mut self) -> Result<(), String> {
        self.flush();
        self.failed.take().map_or(Ok(()), |error| Err(format!("key log incomplete: {error}")))
    }

    fn line(&mut self, request: &Request<'_>, kind: &str, status: u16, detail: &str) -> std::io::Result<()> {
        self.out.write_all(request.key)?;
        write!(self.out, "\t{}\t{}\t", request.phone, request.path)?;
        for part in request.body {
            self.out.write_all(part)?;
        }
        writeln!(self.out, "\t{kind}\t{status}\t{detail}")
    }

    fn note(&mut self, result: std::io::Result<()>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error.to_string());
        }
    }
}

/// An answer that must not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definite {
    /// HTTP status.
    pub status: u16,
    /// See [`detail`].
    pub detail: Box<str>,
}

/// A key of the log, all its lines taken together.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Idempotency key.
    pub key: &'a str,
    /// The payer.
    pub phone: &'a str,
    /// Path.
    pub path: &'a str,
    /// Body.
    pub body: &'a str,
    /// The first acknowledged answer, if there was one.
    pub known: Option<Definite>,
    /// A later line acknowledges something else.
    pub contradicted: bool,
}

/// Reads a log; an incomplete last line (the writer was killed) is left out.
pub fn parse(text: &str) -> Result<Vec<Entry<'_>>, String> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut by_key: HashMap<&str, usize> = HashMap::new();
    let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
    for (at, line) in whole.lines().enumerate() {
        let bad = || format!("retry log, line {}: not a line of a key log", at.saturating_add(1));
        let mut fields = line.split('\t');
        let mut field = || fields.next().ok_or_else(bad);
        let (key, phone, path, body, kind) = (field()?, field()?, field()?, field()?, field()?);
        let (status, detail) = (field()?, field()?);
        let status: u16 = status.parse().map_err(|_| bad())?;
        let definite =
            matches!(kind, "done" | "rejected").then(|| Definite { status, detail: detail.into() });
        match by_key.get(key).and_then(|&index| entries.get_mut(index)) {
            None => {
                by_key.insert(key, entries.len());
                entries.push(Entry { key, phone, path, body, known: definite, contradicted: false });
            }
            Some(entry) => match (&entry.known, definite) {
                (Some(before), Some(now)) if *before != now => entry.contradicted = true,
                (None, now) => entry.known = now,
                _ => {}
            },
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_judged_by_what_a_retry_may_do() {
        for (status, kind) in [
            (200, Kind::Done),
            (201, Kind::Done),
            (400, Kind::Rejected),
            (403, Kind::Rejected),
            (409, Kind::Rejected),
            (401, Kind::Refused),
            (422, Kind::Refused),
            (429, Kind::Refused),
            (0, Kind::Unknown),
            (500, Kind::Unknown),
            (503, Kind::Unknown),
        ] {
            assert_eq!(Kind::of(status), kind, "{status}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let path = std::env::temp_dir().join(format!("gencharge-keylog-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut log = Writer::open(&path).unwrap();
        let request = |key| Request { key, phone: "9000000001", path: "/p", body: [b"{\"a\"", b":", b"1}"] };
        let answer = |status, body| Answer { status, replayed: false, body };
        log.write(&request(b"k1"), Some(&answer(200, br#"{"x":{"txn_id":1},"txn_id":42}"#)));
        log.write(&request(b"k2"), None);
        log.write(&request(b"k3"), Some(&answer(503, b"busy")));
        log.write(&request(b"k2"), Some(&answer(400, br#"{"code":"no_funds","detail":"x"}"#)));
        log.write(&request(b"k1"), Some(&answer(200, br#"{"txn_id":"43"}"#)));
        log.finish().unwrap();
        let mut text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        text.push_str("k9\t90000");
        let entries = parse(&text).unwrap();
        assert_eq!(entries.iter().map(|entry| entry.key).collect::<Vec<_>>(), ["k1", "k2", "k3"]);
        assert_eq!(entries[0].known, Some(Definite { status: 200, detail: "42".into() }));
        assert!(entries[0].contradicted);
        assert_eq!(entries[1].known, Some(Definite { status: 400, detail: "no_funds".into() }));
        assert!(!entries[1].contradicted);
        assert_eq!((entries[2].known.as_ref(), entries[2].body), (None, "{\"a\":1}"));
        assert!(parse("garbage\n").is_err());
    }
}
