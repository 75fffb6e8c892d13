//! What is known of one request, and its line in the access log.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::net::IpAddr;
use std::rc::Rc;

use actix_web::http::StatusCode;
use actix_web::{HttpMessage as _, HttpRequest};
use chrono::{DateTime, Utc};
use gencharge_actors::kernel::Random;

/// Whether a customer or an administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A customer.
    Customer,
    /// An administrator.
    Administrator,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Administrator => "admin",
        }
    }
}

/// One request: its id, where it came from, and who sent it once that is known.
#[derive(Debug)]
pub struct Trace {
    id: String,
    client: Option<IpAddr>,
    who: Cell<Option<(Kind, i64)>>,
}

impl Trace {
    pub(super) fn new(id: String, client: Option<IpAddr>) -> Rc<Self> {
        Rc::new(Self { id, client, who: Cell::new(None) })
    }

    /// The id in the answer's header, in problem documents and in the log.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The client's address, behind trusted proxies; none only where there is no connection (some tests).
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// The trace of a request.
    #[must_use]
    pub fn of(request: &HttpRequest) -> Option<Rc<Self>> {
        request.extensions().get::<Rc<Self>>().map(Rc::clone)
    }

    /// Notes who sent the request, for the log.
    pub fn sent_by(request: &HttpRequest, kind: Kind, id: i64) {
        if let Some(trace) = request.extensions().get::<Rc<Self>>() {
            trace.who.set(Some((kind, id)));
        }
    }
}

/// Makes ids that no other worker or process makes: 16 random digits of the worker's, 16 that count.
pub(super) struct Ids {
    prefix: u64,
    next: Cell<u64>,
}

impl Ids {
    pub(super) fn new(random: &dyn Random) -> Self {
        let mut prefix = [0; 8];
        random.fill(&mut prefix);
        Self { prefix: u64::from_le_bytes(prefix), next: Cell::new(1) }
    }

    pub(super) fn make(&self) -> String {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        format!("{:016x}{number:016x}", self.prefix)
    }
}

/// Writes times; the part down to the second is made once a second.
#[derive(Default)]
pub(super) struct Times(RefCell<(i64, String)>);

impl Times {
    fn write(&self, buffer: &mut Vec<u8>, time: DateTime<Utc>) {
        let (second, text) = &mut *self.0.borrow_mut();
        if *second != time.timestamp() || text.is_empty() {
            *second = time.timestamp();
            *text = time.format("%Y-%m-%dT%H:%M:%S").to_string();
        }
        buffer.extend_from_slice(text.as_bytes());
        put(buffer, format_args!(".{:06}Z", time.timestamp_subsec_micros()));
    }
}

/// What a line tells.
pub(super) struct Line<'a> {
    pub(super) time: DateTime<Utc>,
    pub(super) trace: &'a Trace,
    pub(super) method: &'static str,
    /// The route's template as a JSON string.
    pub(super) route: &'a str,
    pub(super) status: StatusCode,
    /// The problem's code.
    pub(super) code: Option<&'static str>,
    pub(super) micros: u128,
    /// Of the body; `None` when it is streamed.
    pub(super) bytes: Option<u64>,
}

impl Line<'_> {
    /// Ids are plain characters, the rest are words of ours, so nothing needs escaping.
    pub(super) fn write(&self, buffer: &mut Vec<u8>, times: &Times) {
        buffer.extend_from_slice(b"{\"time\":\"");
        times.write(buffer, self.time);
        for (name, text) in [
            ("\",\"request_id\":\"", self.trace.id.as_str()),
            ("\",\"method\":\"", self.method),
            ("\",\"route\":", self.route),
        ] {
            buffer.extend_from_slice(name.as_bytes());
            buffer.extend_from_slice(text.as_bytes());
        }
        put(buffer, format_args!(",\"status\":{}", self.status.as_u16()));
        if let Some(code) = self.code {
            put(buffer, format_args!(",\"code\":\"{code}\""));
        }
        put(buffer, format_args!(",\"microseconds\":{}", self.micros));
        if let Some(bytes) = self.bytes {
            put(buffer, format_args!(",\"bytes\":{bytes}"));
        }
        if let Some(client) = self.trace.client {
            put(buffer, format_args!(",\"ip\":\"{client}\""));
        }
        if let Some((kind, id)) = self.trace.who.get() {
            put(buffer, format_args!(",\"user_kind\":\"{}\",\"user_id\":{id}", kind.as_str()));
        }
        buffer.push(b'}');
    }
}

fn put(buffer: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    let _ = buffer.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use gencharge_actors::kernel::SeededRandom;

    #[test]
    fn a_line_is_one_json_object() {
        let trace = Trace::new("abc".to_owned(), Some("192.0.2.1".parse().unwrap()));
        trace.who.set(Some((Kind::Customer, 7)));
        let time = DateTime::from_timestamp_micros(1_700_000_000_000_042).unwrap();
        let line = Line {
            time,
            trace: &trace,
            method: "GET",
            route: "\"/docs/{_:.*}\"",
            status: StatusCode::NOT_FOUND,
            code: Some("not_found"),
            micros: 12,
            bytes: Some(3),
        };
        let mut buffer = Vec::new();
        line.write(&mut buffer, &Times::default());
        let line: serde_json::Value = serde_json::from_slice(&buffer).unwrap();
        let expected = serde_json::json!({
            "time": "2023-11-14T22:13:20.000042Z", "request_id": "abc", "method": "GET", "route": "/docs/{_:.*}",
            "status": 404, "code": "not_found", "microseconds": 12, "bytes": 3, "ip": "192.0.2.1",
            "user_kind": "customer", "user_id": 7,
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn ids_differ() {
        let random = SeededRandom::new(1);
        let (one, other) = (Ids::new(&random), Ids::new(&random));
        let ids = std::collections::HashSet::from([one.make(), one.make(), other.make(), other.make()]);
        assert_eq!(ids.len(), 4);
        assert!(ids.iter().all(|id| id.len() == 32));
    }
}
