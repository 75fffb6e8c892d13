//! The loop: non-blocking sockets on one thread, one request in flight on each connection.
//!
//! A request costs one `write`, one `read` and a share of an `epoll_wait`; nothing is allocated for it.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Registry, Token};

use crate::http::{Fed, Reader};
use crate::totals::{Break, Totals};

const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const LAST_BACKOFF: Duration = Duration::from_secs(1);
/// How long a connection rests after 429 or 503.
const REST: Duration = Duration::from_millis(50);
const SCAN_EVERY: Duration = Duration::from_millis(5);
const SCRATCH: usize = 256 * 1024;

/// What a connection shall do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The request is in the buffer.
    Send,
    /// Nothing now: ask again after this time.
    Pause(Duration),
    /// Nothing ever again.
    Done,
}

/// Whether an operation takes another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The operation ended with this answer.
    Finished,
    /// The next request of this connection belongs to the same operation.
    Continues,
}

/// A complete answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    /// `Idempotent-Replayed: true`.
    pub replayed: bool,
    /// Empty on 2xx unless [`Workload::wants_body`].
    pub body: &'a [u8],
}

/// What to send, and what to make of the answers. A slot is the number of a connection, from 0.
pub trait Workload {
    /// Whether the bodies of 2xx answers are read.
    fn wants_body(&self) -> bool;
    /// Writes the slot's next request into `out`, which is empty.
    fn next(&mut self, slot: usize, out: &mut Vec<u8>) -> Step;
    /// The slot's request was answered.
    fn answered(&mut self, slot: usize, answer: &Answer<'_>) -> Verdict;
    /// The slot's request was (perhaps partly) sent and will not be answered: its outcome is unknown.
    fn broken(&mut self, slot: usize);
    /// Called about every second.
    fn tick(&mut self) {}
    /// What the workload itself counted, from its first request on (warm-up included), for the report.
    fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
    /// Promises the server broke; not 0 makes the run fail.
    fn violations(&self) -> u64 {
        0
    }
    /// After the run: closes what is open.
    fn finish(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// How long and how wide.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Connections, each with one request in flight.
    pub connections: usize,
    /// Not counted.
    pub warmup: Duration,
    /// Counted, after the warm-up.
    pub duration: Duration,
    /// A request without an answer for so long is given up, its connection replaced.
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Waiting,
    /// Connected, resting until then.
    Resting(Instant),
    /// Not connected until then.
    Down(Instant),
    Ended,
}

struct Connection {
    slot: usize,
    stream: Option<TcpStream>,
    phase: Phase,
    reader: Reader,
    out: Vec<u8>,
    written: usize,
    continues: bool,
    op_started: Instant,
    sent_at: Instant,
    backoff: Duration,
}

struct Shared<'a, W> {
    registry: Registry,
    address: SocketAddr,
    scratch: Vec<u8>,
    workload: &'a mut W,
    totals: Totals,
    stopping: bool,
}

/// Runs the workload; returns what was counted in the time between the warm-up and the end. Requests in flight at the end are
/// waited for (not counted), so that the workload learns their outcome.
pub fn run<W: Workload>(plan: &Plan, workload: &mut W) -> Result<Totals, String> {
    let mut poll = Poll::new().map_err(|error| format!("cannot poll: {error}"))?;
    let registry = poll.registry().try_clone().map_err(|error| format!("cannot poll: {error}"))?;
    let mut events = Events::with_capacity(1024);
    let begin = Instant::now();
    let wants_body = workload.wants_body();
    let mut shared = Shared {
        registry,
        address: plan.address,
        scratch: vec![0; SCRATCH],
        workload,
        totals: Totals::new(begin)?,
        stopping: false,
    };
    let mut connections: Vec<Connection> =
        (0..plan.connections).map(|slot| Connection::new(slot, wants_body, begin)).collect();
    let (warm, end) = (begin + plan.warmup, begin + plan.warmup + plan.duration);
    let mut counting = false;
    let (mut scanned, mut ticked) = (begin, begin);
    let mut resting = scan(&mut connections, &mut shared, plan, begin);
    loop {
        let wait = if resting.0 { SCAN_EVERY } else { Duration::from_millis(20) };
        match poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                return Err(format!("cannot poll: {error}"));
            }
            _ => {}
        }
        for event in &events {
            if let Some(connection) = connections.get_mut(event.token().0) {
                connection.on_event(event, &mut shared);
            }
        }
        let now = Instant::now();
        if !counting && now >= warm {
            counting = true;
            shared.totals.start(now)?;
        }
        if !shared.stopping && (now >= end || resting.1) {
            shared.totals.stop(now);
            shared.stopping = true;
        }
        if now.duration_since(scanned) >= SCAN_EVERY || shared.stopping {
            scanned = now;
            resting = scan(&mut connections, &mut shared, plan, now);
        }
        if now.duration_since(ticked) >= Duration::from_secs(1) {
            ticked = now;
            shared.workload.tick();
        }
        if shared.stopping && connections.iter().all(|one| one.phase != Phase::Waiting) {
            break;
        }
    }
    Ok(shared.totals)
}

/// Wakes who rested long enough and gives up what took too long. Returns whether any rests, and whether all have ended.
fn scan<W: Workload>(
    connections: &mut [Connection],
    shared: &mut Shared<'_, W>,
    plan: &Plan,
    now: Instant,
) -> (bool, bool) {
    let (mut resting, mut ended) = (false, true);
    for connection in connections {
        match connection.phase {
            Phase::Down(until) if until <= now && !shared.stopping => connection.connect(shared),
            Phase::Resting(until) if until <= now => connection.start(shared, now),
            Phase::Waiting | Phase::Connecting if now.duration_since(connection.sent_at) >= plan.timeout => {
                connection.fail(shared, Break::TimedOut);
            }
            _ => {}
        }
        resting |= matches!(connection.phase, Phase::Down(_) | Phase::Resting(_));
        ended &= connection.phase == Phase::Ended;
    }
    (resting, ended)
}

impl Connection {
    fn new(slot: usize, keep_success: bool, now: Instant) -> Self {
        Self {
            slot,
            stream: None,
            phase: Phase::Down(now),
            reader: Reader::new(keep_success),
            out: Vec::with_capacity(2048),
            written: 0,
            continues: false,
            op_started: now,
            sent_at: now,
            backoff: FIRST_BACKOFF,
        }
    }

    fn connect<W: Workload>(&mut self, shared: &mut Shared<'_, W>) {
        self.sent_at = Instant::now();
        let connected = TcpStream::connect(shared.address).and_then(|mut stream| {
            stream.set_nodelay(true)?;
            shared.registry.register(
                &mut stream,
                Token(self.slot),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => {
                self.stream = Some(stream);
                self.phase = Phase::Connecting;
            }
            Err(_) => self.fail(shared, Break::Connect),
        }
    }

    /// Drops the connection and tries again later; a request in flight is of unknown outcome.
    fn fail<W: Workload>(&mut self, shared: &mut Shared<'_, W>, reason: Break) {
        let in_flight = self.phase == Phase::Waiting;
        self.stream = None;
        if in_flight || self.continues {
            self.continues = false;
            shared.workload.broken(self.slot);
        }
        if in_flight || reason == Break::Connect || self.phase == Phase::Connecting {
            shared.totals.broken(reason);
        }
        self.phase = Phase::Down(Instant::now() + self.backoff);
        self.backoff = self.backoff.saturating_mul(2).min(LAST_BACKOFF);
    }

    fn on_event<W: Workload>(&mut self, event: &mio::event::Event, shared: &mut Shared<'_, W>) {
        match self.phase {
            Phase::Connecting => {
                let Some(stream) = &self.stream else { return };
                if event.is_error() || !matches!(stream.take_error(), Ok(None)) {
                    return self.fail(shared, Break::Connect);
                }
                match stream.peer_addr() {
                    Ok(_) => self.start(shared, Instant::now()),
                    Err(error) if error.kind() == ErrorKind::NotConnected => {}
                    Err(_) => self.fail(shared, Break::Connect),
                }
            }
            Phase::Waiting => {
                if self.written < self.out.len() && event.is_writable() && !self.flush(shared) {
                    return;
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.receive(event.is_read_closed() || event.is_error(), shared);
                }
            }
            Phase::Resting(_) if event.is_read_closed() || event.is_error() => {
                self.fail(shared, Break::Closed);
            }
            Phase::Resting(_) | Phase::Down(_) | Phase::Ended => {}
        }
    }

    /// Asks the workload for the next request and sends it.
    fn start<W: Workload>(&mut self, shared: &mut Shared<'_, W>, now: Instant) {
        if shared.stopping {
            self.phase = Phase::Ended;
            return;
        }
        self.out.clear();
        match shared.workload.next(self.slot, &mut self.out) {
            Step::Send => {}
            Step::Pause(time) => {
                self.phase = Phase::Resting(now + time);
                return;
            }
            Step::Done => {
                self.phase = Phase::Ended;
                return;
            }
        }
        self.reader.reset();
        self.written = 0;
        self.sent_at = now;
        if !self.continues {
            self.op_started = now;
        }
        self.phase = Phase::Waiting;
        self.flush(shared);
    }

    /// Writes what is left of the request; false when the connection broke.
    fn flush<W: Workload>(&mut self, shared: &mut Shared<'_, W>) -> bool {
        while let (Some(stream), Some(left)) = (&mut self.stream, self.out.get(self.written..)) {
            if left.is_empty() {
                break;
            }
            match stream.write(left) {
                Ok(0) => {
                    self.fail(shared, Break::Closed);
                    return false;
                }
                Ok(written) => self.written = self.written.saturating_add(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.fail(shared, Break::Closed);
                    return false;
                }
            }
        }
        true
    }

    fn receive<W: Workload>(&mut self, closed: bool, shared: &mut Shared<'_, W>) {
        while let Some(stream) = &mut self.stream {
            let read = match stream.read(&mut shared.scratch) {
                Ok(0) => return self.fail(shared, Break::Closed),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return self.fail(shared, Break::Closed),
            };
            let input = shared.scratch.get(..read).unwrap_or_default();
            match self.reader.feed(input) {
                Err(_) => return self.fail(shared, Break::BadAnswer),
                // A read that did not fill the buffer emptied the socket: the next bytes raise a new event.
                Ok(Fed::More) if read < shared.scratch.len() && !closed => return,
                Ok(Fed::More) => {}
                Ok(Fed::Done { head, body, consumed }) => {
                    let body = self.reader.body(input, body);
                    let answer = Answer { status: head.status, replayed: head.replayed, body };
                    let now = Instant::now();
                    shared.totals.answered(&answer);
                    let verdict = shared.workload.answered(self.slot, &answer);
                    self.continues = verdict == Verdict::Continues;
                    if !self.continues {
                        shared.totals.finished(head.status, now.duration_since(self.op_started));
                    }
                    if consumed < read {
                        shared.totals.broken(Break::BadAnswer);
                    }
                    let gone = closed || head.close || consumed < read;
                    return self.after_answer(head.status, gone, now, shared);
                }
            }
        }
    }

    fn after_answer<W: Workload>(
        &mut self,
        status: u16,
        gone: bool,
        now: Instant,
        shared: &mut Shared<'_, W>,
    ) {
        self.backoff = FIRST_BACKOFF;
        let rest = matches!(status, 429 | 503);
        if gone {
            self.stream = None;
            self.phase = Phase::Down(if rest { now + REST } else { now });
            shared.totals.reconnected();
            if !rest && !shared.stopping {
                self.connect(shared);
            }
        } else if rest && !shared.stopping {
            self.phase = Phase::Resting(now + REST);
        } else {
            self.start(shared, now);
        }
    }
}
