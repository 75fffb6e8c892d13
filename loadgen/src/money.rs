//! The scenarios that move money: `recharge`, `hot`, `topup`.

use crate::engine::{Answer, Step, Verdict, Workload};
use crate::keylog::{self, Kind, Request, Writer};
use crate::request::{Dice, Keys, post_head, write_post};
use crate::tokens::Line;

/// How many earlier requests are remembered for repetition.
const REMEMBERED: usize = 4096;

/// Who pays for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payer {
    /// A random line, for its own number.
    Own,
    /// The first line, for a random other line's number.
    First,
}

/// What is sent: a body with or without a phone number in its middle.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Path.
    pub path: &'static str,
    /// The body up to the phone number; the whole body where there is none.
    pub before: String,
    /// The body after the phone number.
    pub after: Option<String>,
    /// Who pays.
    pub payer: Payer,
}

impl Shape {
    /// A recharge from the wallet. `mode`: `activation_mode`, if any.
    pub fn recharge(payer: Payer, plan_id: u64, mode: Option<&str>) -> Self {
        let mode = mode.map_or_else(String::new, |mode| format!(",\"activation_mode\":\"{mode}\""));
        Self {
            path: "/recharge/subscribe",
            before: "{\"phone_number\":\"".to_owned(),
            after: Some(format!(
                "\",\"plan_id\":{plan_id},\"payment_method\":\"Wallet\",\"source\":\"recharge\"{mode}}}"
            )),
            payer,
        }
    }

    /// A top-up of one's own wallet; `amount` in rupees with two decimals.
    pub fn topup(amount: &str) -> Self {
        Self {
            path: "/recharge/wallet/topup",
            before: format!("{{\"amount\":\"{amount}\",\"payment_method\":\"UPI\"}}"),
            after: None,
            payer: Payer::Own,
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    sequence: u64,
    payer: usize,
    number: usize,
}

/// An earlier request with its answer; the detail as a hash.
#[derive(Debug, Clone, Copy)]
struct Earlier {
    sent: Sent,
    status: u16,
    detail: u64,
}

/// The workload.
#[derive(Debug)]
pub struct Money<'a> {
    shape: Shape,
    head: Vec<u8>,
    lines: &'a [Line<'a>],
    dice: Dice,
    keys: Keys,
    sequence: u64,
    repeat_percent: usize,
    slots: Vec<(Sent, Option<Earlier>)>,
    recent: Vec<Earlier>,
    log: Option<Writer>,
    repeats: u64,
    not_replayed: u64,
    changed: u64,
}

impl<'a> Money<'a> {
    /// `run` makes the keys differ from those of other runs; `repeat_percent` of the requests repeat an earlier one.
    pub fn new(
        shape: Shape,
        host: &str,
        lines: &'a [Line<'a>],
        connections: usize,
        (seed, run): (u64, u64),
        repeat_percent: usize,
        log: Option<Writer>,
    ) -> Result<Self, String> {
        if shape.payer == Payer::First && lines.len() < 2 {
            return Err("hot needs at least two lines in the tokens file".to_owned());
        }
        Ok(Self {
            head: post_head(shape.path, host),
            shape,
            lines,
            dice: Dice::new(seed),
            keys: Keys::new(run),
            sequence: 0,
            repeat_percent,
            slots: vec![(Sent::default(), None); connections],
            recent: Vec::new(),
            log,
            repeats: 0,
            not_replayed: 0,
            changed: 0,
        })
    }

    fn choose(&mut self) -> (Sent, Option<Earlier>) {
        if self.repeat_percent > 0 && self.dice.below(100) < self.repeat_percent {
            let index = self.dice.below(self.recent.len());
            if let Some(earlier) = self.recent.get(index) {
                return (earlier.sent, Some(*earlier));
            }
        }
        self.sequence = self.sequence.saturating_add(1);
        let (payer, number) = match self.shape.payer {
            Payer::Own => {
                let line = self.dice.below(self.lines.len());
                (line, line)
            }
            Payer::First => (0, 1 + self.dice.below(self.lines.len().saturating_sub(1))),
        };
        (Sent { sequence: self.sequence, payer, number }, None)
    }

    fn log(&mut self, sent: Sent, answer: Option<&Answer<'_>>) {
        let Some(log) = &mut self.log else { return };
        let Some(payer) = self.lines.get(sent.payer) else { return };
        let body = body(&self.shape, self.lines, sent);
        let request =
            Request { key: self.keys.key(sent.sequence), phone: payer.phone, path: self.shape.path, body };
        log.write(&request, answer);
    }

    fn compare(&mut self, sent: Sent, earlier: Option<Earlier>, answer: &Answer<'_>) {
        if !matches!(Kind::of(answer.status), Kind::Done | Kind::Rejected) {
            return;
        }
        let detail = hash(&keylog::detail(answer));
        let Some(earlier) = earlier else {
            let now = Earlier { sent, status: answer.status, detail };
            if self.recent.len() < REMEMBERED {
                self.recent.push(now);
            } else {
                let index = self.dice.below(REMEMBERED);
                if let Some(place) = self.recent.get_mut(index) {
                    *place = now;
                }
            }
            return;
        };
        self.repeats = self.repeats.saturating_add(1);
        self.not_replayed = self.not_replayed.saturating_add(u64::from(!answer.replayed));
        let same = earlier.status == answer.status && earlier.detail == detail;
        self.changed = self.changed.saturating_add(u64::from(!same));
    }
}

fn body<'b>(shape: &'b Shape, lines: &[Line<'b>], sent: Sent) -> [&'b [u8]; 3] {
    let phone = match (&shape.after, lines.get(sent.number)) {
        (Some(_), Some(line)) => line.phone,
        _ => "",
    };
    let after = shape.after.as_deref().unwrap_or_default();
    [shape.before.as_bytes(), phone.as_bytes(), after.as_bytes()]
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl Workload for Money<'_> {
    fn wants_body(&self) -> bool {
        self.log.is_some() || self.repeat_percent > 0
    }

    fn next(&mut self, slot: usize, out: &mut Vec<u8>) -> Step {
        let (sent, earlier) = self.choose();
        if let Some(place) = self.slots.get_mut(slot) {
            *place = (sent, earlier);
        }
        let Some(payer) = self.lines.get(sent.payer) else { return Step::Done };
        let body = body(&self.shape, self.lines, sent);
        write_post(out, &self.head, payer.token, self.keys.key(sent.sequence), body);
        Step::Send
    }

    fn answered(&mut self, slot: usize, answer: &Answer<'_>) -> Verdict {
        if let Some(&(sent, earlier)) = self.slots.get(slot) {
            if self.repeat_percent > 0 {
                self.compare(sent, earlier, answer);
            }
            self.log(sent, Some(answer));
        }
        Verdict::Finished
    }

    fn broken(&mut self, slot: usize) {
        if let Some(&(sent, _)) = self.slots.get(slot) {
            self.log(sent, None);
        }
    }

    fn tick(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        if self.repeat_percent == 0 {
            return Vec::new();
        }
        vec![
            ("repeats_answered", self.repeats),
            ("repeats_not_replayed", self.not_replayed),
            ("repeats_changed", self.changed),
        ]
    }

    fn violations(&self) -> u64 {
        self.not_replayed.saturating_add(self.changed)
    }

    fn finish(&mut self) -> Result<(), String> {
        self.log.as_mut().map_or(Ok(()), Writer::finish)
    }
}
