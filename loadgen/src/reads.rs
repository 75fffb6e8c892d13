//! The scenarios without money: `get` and `login`.

use serde::Deserialize;

use crate::engine::{Answer, Step, Verdict, Workload};
use crate::request::{Dice, write_decimal};
use crate::tokens::Line;

/// `GET` of one path, with a random token or without one.
#[derive(Debug)]
pub struct Get<'a> {
    head: Vec<u8>,
    lines: Option<&'a [Line<'a>]>,
    dice: Dice,
}

impl<'a> Get<'a> {
    /// `lines`: whose tokens to send; `None` sends none.
    pub fn new(path: &str, host: &str, lines: Option<&'a [Line<'a>]>, seed: u64) -> Result<Self, String> {
        if !path.starts_with('/') || path.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(format!("--path {path}: must begin with / and have no blanks (encode them)"));
        }
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
        Ok(Self { head, lines, dice: Dice::new(seed) })
    }
}

impl Workload for Get<'_> {
    fn wants_body(&self) -> bool {
        false
    }

    fn next(&mut self, _slot: usize, out: &mut Vec<u8>) -> Step {
        out.extend_from_slice(&self.head);
        if let Some(line) = self.lines.and_then(|lines| lines.get(self.dice.below(lines.len()))) {
            out.extend_from_slice(b"Authorization: Bearer ");
            out.extend_from_slice(line.token.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        Step::Send
    }

    fn answered(&mut self, _slot: usize, _answer: &Answer<'_>) -> Verdict {
        Verdict::Finished
    }

    fn broken(&mut self, _slot: usize) {}
}

#[derive(Debug, Clone, Default)]
struct Visitor {
    line: usize,
    code: String,
}

/// Asks for a code, then signs in with it: one operation of two requests. Needs a server that answers `dev_otp`.
#[derive(Debug)]
pub struct Login<'a> {
    ask: Vec<u8>,
    verify: Vec<u8>,
    lines: &'a [Line<'a>],
    next_line: usize,
    visitors: Vec<Visitor>,
    body: Vec<u8>,
    without_code: u64,
}

#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    dev_otp: std::borrow::Cow<'a, str>,
}

impl<'a> Login<'a> {
    /// Takes the lines in their order, from a seeded one on: two visitors must not use one number at a time.
    pub fn new(host: &str, lines: &'a [Line<'a>], connections: usize, seed: u64) -> Result<Self, String> {
        if lines.len() < connections {
            return Err("login needs at least as many lines in the tokens file as connections".to_owned());
        }
        let head = |path, kind| {
            format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: ")
        };
        Ok(Self {
            ask: head("/auth/login", "application/json").into_bytes(),
            verify: head("/auth/verify-otp-login", "application/x-www-form-urlencoded").into_bytes(),
            lines,
            next_line: Dice::new(seed).below(lines.len()),
            visitors: vec![Visitor::default(); connections],
            body: Vec::with_capacity(128),
            without_code: 0,
        })
    }
}

impl Workload for Login<'_> {
    fn wants_body(&self) -> bool {
        true
    }

    fn next(&mut self, slot: usize, out: &mut Vec<u8>) -> Step {
        let Some(visitor) = self.visitors.get_mut(slot) else { return Step::Done };
        let asks = visitor.code.is_empty();
        if asks {
            visitor.line = self.next_line;
            self.next_line = (self.next_line + 1) % self.lines.len().max(1);
        }
        let Some(line) = self.lines.get(visitor.line) else { return Step::Done };
        self.body.clear();
        if asks {
            self.body.extend_from_slice(b"{\"phone_number\":\"");
            self.body.extend_from_slice(line.phone.as_bytes());
            self.body.extend_from_slice(b"\"}");
        } else {
            self.body.extend_from_slice(b"username=");
            self.body.extend_from_slice(if line.phone.starts_with('+') { b"%2B" } else { b"" });
            self.body.extend_from_slice(line.phone.trim_start_matches('+').as_bytes());
            self.body.extend_from_slice(b"&password=");
            self.body.extend_from_slice(visitor.code.as_bytes());
        }
        out.extend_from_slice(if asks { &self.ask } else { &self.verify });
        write_decimal(out, self.body.len());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(&self.body);
        Step::Send
    }

    fn answered(&mut self, slot: usize, answer: &Answer<'_>) -> Verdict {
        let Some(visitor) = self.visitors.get_mut(slot) else { return Verdict::Finished };
        let asked = visitor.code.is_empty();
        visitor.code.clear();
        if !asked || answer.status != 200 {
            return Verdict::Finished;
        }
        match serde_json::from_slice::<Asked<'_>>(answer.body) {
            Ok(code) if code.dev_otp.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                visitor.code.push_str(&code.dev_otp);
            }
            _ => {}
        }
        if visitor.code.is_empty() {
            self.without_code = self.without_code.saturating_add(1);
            return Verdict::Finished;
        }
        Verdict::Continues
    }

    fn broken(&mut self, slot: usize) {
        if let Some(visitor) = self.visitors.get_mut(slot) {
            visitor.code.clear();
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        vec![("answers_without_dev_otp", self.without_code)]
    }

    fn violations(&self) -> u64 {
        self.without_code
    }
}
