//! The loop and the workloads against a scripted server.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::engine::{self, Plan, Workload};
use crate::keylog::{self, Entry, Writer};
use crate::money::{Money, Payer, Shape};
use crate::reads::{Get, Login};
use crate::request::Target;
use crate::retry::Retry;
use crate::tokens::{self, Line};
use crate::totals::Totals;

const LINES: [Line<'_>; 3] = [
    Line { phone: "9000000001", token: "t1" },
    Line { phone: "9000000002", token: "t2" },
    Line { phone: "+919000000003", token: "t3" },
];

/// A request as the server saw it.
#[derive(Debug, Clone, Default)]
struct Seen {
    line: String,
    headers: HashMap<String, String>,
    body: String,
}

/// What the server does with a request.
enum Reply {
    /// Write these pieces, each in its own segment.
    Pieces(Vec<Vec<u8>>),
    /// Write this and close.
    Last(Vec<u8>),
    /// Close without a word.
    Break,
    /// Keep silent until the client goes away.
    Silence,
}

fn ok(body: &str) -> Vec<u8> {
    answer(200, "", body)
}

fn answer(status: u16, header: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{header}\r\n{body}", body.len()).into_bytes()
}

type Script = dyn FnMut(&Seen) -> Reply + Send;

/// Serves on its own threads, which end with their connections; the accepting one ends with the test process.
fn serve(script: impl FnMut(&Seen) -> Reply + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(script)));
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let script = Arc::clone(&script);
            std::thread::spawn(move || converse(stream, &script));
        }
    });
    address
}

fn converse(stream: TcpStream, script: &Mutex<Box<Script>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut seen = Seen::default();
        reader.read_line(&mut seen.line).ok().filter(|&read| read > 0)?;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            seen.headers.insert(name.to_owned(), value.to_owned());
        }
        let length = seen.headers.get("Content-Length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        seen.body = String::from_utf8(body).unwrap();
        let reply = (script.lock().unwrap())(&seen);
        match reply {
            Reply::Pieces(pieces) => {
                for piece in pieces {
                    writer.write_all(&piece).ok()?;
                    std::thread::yield_now();
                }
            }
            Reply::Last(bytes) => return writer.write_all(&bytes).ok(),
            Reply::Break => return None,
            Reply::Silence => return reader.read(&mut [0]).ok().map(|_| ()),
        }
    }
}

fn run<W: Workload>(address: SocketAddr, connections: usize, millis: u64, workload: &mut W) -> Totals {
    let plan = Plan {
        address,
        connections,
        warmup: Duration::ZERO,
        duration: Duration::from_millis(millis),
        timeout: Duration::from_millis(300),
    };
    let totals = engine::run(&plan, workload).unwrap();
    workload.finish().unwrap();
    totals
}

fn scratch_file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("gencharge-loadgen-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn counter(workload: &impl Workload, name: &str) -> u64 {
    workload.counters().iter().find(|(known, _)| *known == name).unwrap().1
}

#[test]
fn statuses_codes_and_breaks_are_counted() {
    let mut number = 0_u64;
    let seen = Arc::new(Mutex::new([0_u64; 7]));
    let counts = Arc::clone(&seen);
    let address = serve(move |_| {
        number += 1;
        let step = usize::try_from(number % 7).unwrap();
        counts.lock().unwrap()[step] += 1;
        let body = "z".repeat(1000);
        match step {
            0 => Reply::Pieces(ok(&body).chunks(97).map(<[u8]>::to_vec).collect()),
            1 => Reply::Pieces(vec![
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab".to_vec(),
                b"c\r\n0\r".to_vec(),
                b"\n\r\n".to_vec(),
            ]),
            2 => Reply::Pieces(vec![answer(404, "", r#"{"code":"not_found","status":404}"#)]),
            3 => Reply::Pieces(vec![answer(500, "", "not json")]),
            4 => Reply::Break,
            5 => Reply::Last(answer(200, "Connection: close\r\n", "bye")),
            // More than one answer to one request: the connection cannot be trusted any more.
            _ => Reply::Pieces(vec![[ok("a"), ok("b")].concat()]),
        }
    });
    let totals = run(address, 2, 400, &mut Get::new("/x", "h", Some(&LINES), 1).unwrap());
    let seen = *seen.lock().unwrap();
    let near = |counted: u64, of: u64| {
        assert!(counted > 0 && counted <= of && counted + 2 >= of, "{counted} of {of}: {:?}", totals.breaks);
    };
    near(totals.classes[2], seen[0] + seen[1] + seen[5] + seen[6]);
    assert_eq!(totals.ops_ok, totals.classes[2]);
    assert_eq!(totals.latency.len(), totals.ops_ok);
    assert_eq!(totals.ops_failed, totals.classes[4] + totals.classes[5]);
    let error = |status| totals.errors.iter().find(|error| error.status == status).unwrap();
    assert_eq!(error(404).code, "not_found");
    near(error(404).count, seen[2]);
    assert_eq!(error(500).code, "-");
    near(error(500).count, seen[3]);
    near(totals.breaks.closed, seen[4]);
    near(totals.breaks.bad_answer, seen[6]);
    near(totals.breaks.reconnects, seen[5] + seen[6]);
}

#[test]
fn silence_and_absence_end_in_time() {
    let address = serve(|_| Reply::Silence);
    let totals = run(address, 1, 700, &mut Get::new("/x", "h", None, 1).unwrap());
    assert!((1..=2).contains(&totals.breaks.timed_out), "{:?}", totals.breaks);
    assert_eq!(totals.requests, 0);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let totals = run(nobody, 1, 200, &mut Get::new("/x", "h", None, 1).unwrap());
    // 10 ms, doubling: about five attempts in 200 ms, not thousands.
    assert!((2..=8).contains(&totals.breaks.connect), "{:?}", totals.breaks);
}

#[test]
fn recharges_pay_for_the_own_number_and_hot_ones_for_others() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let address = serve(move |request| {
        log.lock().unwrap().push(request.clone());
        Reply::Pieces(vec![ok("{}")])
    });
    let recharge = Shape::recharge(Payer::Own, 7, Some("queue"));
    run(address, 2, 100, &mut Money::new(recharge, "h", &LINES, 2, (1, 5), 0, None).unwrap());
    let own = std::mem::take(&mut *seen.lock().unwrap());
    assert!(own.len() > 10);
    let mut keys = std::collections::HashSet::new();
    for request in &own {
        assert_eq!(request.line, "POST /recharge/subscribe HTTP/1.1\r\n");
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        let line = LINES.iter().find(|line| body["phone_number"] == line.phone).unwrap();
        assert_eq!(request.headers["Authorization"], format!("Bearer {}", line.token));
        assert_eq!(body["plan_id"], 7);
        assert_eq!(body["activation_mode"], "queue");
        assert!(keys.insert(request.headers["Idempotency-Key"].clone()), "a key twice");
    }
    let hot = Shape::recharge(Payer::First, 7, None);
    run(address, 2, 100, &mut Money::new(hot, "h", &LINES, 2, (1, 6), 0, None).unwrap());
    for request in seen.lock().unwrap().iter() {
        assert_eq!(request.headers["Authorization"], "Bearer t1");
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        assert_ne!(body["phone_number"], LINES[0].phone);
        assert_eq!(body.get("activation_mode"), None);
    }
    assert!(
        Money::new(Shape::recharge(Payer::First, 7, None), "h", &LINES[..1], 1, (1, 1), 0, None).is_err()
    );
}

/// Answers by key as the product does; `forgets` every tenth replay.
fn ledger(forgets: bool) -> impl FnMut(&Seen) -> Reply {
    let mut known: HashMap<String, u64> = HashMap::new();
    let (mut last, mut replays) = (0_u64, 0_u64);
    move |request| {
        let key = request.headers["Idempotency-Key"].clone();
        if let Some(id) = known.get(&key) {
            replays += 1;
            if !forgets || !replays.is_multiple_of(10) {
                let body = format!("{{\"txn_id\":{id}}}");
                return Reply::Pieces(vec![answer(200, "Idempotent-Replayed: true\r\n", &body)]);
            }
        }
        last += 1;
        known.insert(key, last);
        Reply::Pieces(vec![ok(&format!("{{\"txn_id\":{last}}}"))])
    }
}

#[test]
fn repeats_must_be_replays_of_the_same_answer() {
    for forgets in [false, true] {
        let address = serve(ledger(forgets));
        let mut load = Money::new(Shape::topup("1.00"), "h", &LINES, 2, (1, 7), 50, None).unwrap();
        run(address, 2, 200, &mut load);
        let repeats = counter(&load, "repeats_answered");
        assert!(repeats > 20);
        let (lost, changed) = (counter(&load, "repeats_not_replayed"), counter(&load, "repeats_changed"));
        if forgets {
            assert!(lost >= repeats / 10 - 1 && changed >= lost, "{lost} {changed} of {repeats}");
        } else {
            assert_eq!((lost, changed, load.violations()), (0, 0, 0));
        }
    }
}

#[test]
fn a_login_is_two_requests_and_one_operation() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let address = serve(move |request| {
        log.lock().unwrap().push(request.clone());
        let asks = request.line.starts_with("POST /auth/login ");
        Reply::Pieces(vec![ok(if asks { r#"{"message":"sent","dev_otp":"123456"}"# } else { "{}" })])
    });
    let mut login = Login::new("h", &LINES, 1, 1).unwrap();
    let totals = run(address, 1, 100, &mut login);
    assert!(totals.ops_ok > 3);
    assert!(totals.requests.abs_diff(totals.ops_ok * 2) <= 1);
    assert_eq!(login.violations(), 0);
    let seen = seen.lock().unwrap();
    let verified: Vec<_> = seen.iter().skip(1).step_by(2).map(|request| request.body.as_str()).collect();
    assert!(verified.contains(&"username=9000000001&password=123456"));
    assert!(verified.contains(&"username=%2B919000000003&password=123456"));
    assert!(Login::new("h", &LINES, 4, 1).is_err());
}

fn entries(text: &str) -> Vec<Entry<'_>> {
    keylog::parse(text).unwrap()
}

#[test]
fn a_retry_resolves_what_a_broken_run_left_open() {
    // Every fifth request is carried out but not answered, every seventh is not even carried out.
    let ledger = Arc::new(Mutex::new(ledger(false)));
    let (inner, mut number) = (Arc::clone(&ledger), 0_u64);
    let flaky = serve(move |request| {
        number += 1;
        if number.is_multiple_of(7) {
            return Reply::Pieces(vec![answer(503, "", r#"{"code":"mailbox_full"}"#)]);
        }
        let reply = (inner.lock().unwrap())(request);
        if number.is_multiple_of(5) { Reply::Break } else { reply }
    });
    let path = scratch_file("retry");
    let log = Some(Writer::open(&path).unwrap());
    let shape = || Shape::recharge(Payer::Own, 7, None);
    run(flaky, 3, 300, &mut Money::new(shape(), "h", &LINES, 3, (1, 8), 10, log).unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    let (done, open): (Vec<_>, Vec<_>) = entries(&text).into_iter().partition(|entry| entry.known.is_some());
    assert!(done.len() > 5 && open.len() > 3, "{} {}", done.len(), open.len());
    assert_eq!(open[0].path, "/recharge/subscribe");

    let host = Target::parse(&format!("http://{flaky}")).unwrap().host;
    let log = Some(Writer::open(&path).unwrap());
    let mut retry = Retry::new(entries(&text), &host, tokens::by_phone(&LINES), 3, true, log);
    run(flaky, 3, 20_000, &mut retry);
    assert_eq!(retry.violations(), 0, "{:?}", retry.counters());
    let size = |entries: &[Entry<'_>]| u64::try_from(entries.len()).unwrap();
    assert_eq!(counter(&retry, "acknowledged_before"), size(&done));
    assert!(counter(&retry, "resolved_had_been_done") > 0);
    assert!(counter(&retry, "resolved_done_now") > 0);
    assert_eq!(counter(&retry, "rechecked"), size(&done) + size(&open));
    let after = std::fs::read_to_string(&path).unwrap();
    assert!(entries(&after).iter().all(|entry| entry.known.is_some() && !entry.contradicted));

    // A server that knows none of these keys any more: every acknowledged answer was lost.
    let amnesiac = serve(self::ledger(false));
    let mut retry = Retry::new(entries(&after), &host, tokens::by_phone(&LINES), 3, true, None);
    run(amnesiac, 3, 20_000, &mut retry);
    let all = size(&entries(&after));
    assert_eq!(counter(&retry, "acknowledged_then_not_replayed"), all);
    assert!(counter(&retry, "acknowledged_then_changed") > 0);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_retry_that_cannot_ask_says_so() {
    let text = "k1\t9000000001\t/p\t{}\tunknown\t0\t-\nk2\t9999999999\t/p\t{}\tdone\t200\t5\nk3\t9000000002\t/p\t{}\tunknown\t0\t-\n";
    let address = serve(|request| match request.headers["Idempotency-Key"].as_str() {
        "k3" => Reply::Pieces(vec![answer(401, "", r#"{"code":"token_expired"}"#)]),
        _ => Reply::Pieces(vec![answer(503, "", "")]),
    });
    let mut retry = Retry::new(entries(text), "h", tokens::by_phone(&LINES), 1, true, None);
    run(address, 1, 300, &mut retry);
    assert_eq!(counter(&retry, "unresolved"), 1);
    assert_eq!(counter(&retry, "refused"), 1);
    assert_eq!(counter(&retry, "without_token"), 1);
    assert!(retry.violations() >= 3);
}
