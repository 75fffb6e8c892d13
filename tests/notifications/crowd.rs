//! A thousand open streams: what they cost the server, and how soon each hears of its notice.
//!
//! `GENCHARGE_TEST_PROGRAM` names an optimised build of the program; the bounds hold for any.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use gencharge::platform::open_files;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::faults::client::{Customer, customers};
use crate::support::cluster::Cluster;
use crate::support::folder::TempFolder;
use crate::support::money::TOP_UP;
use crate::support::process::{Running, free_port, gencharge, healthy, metric, succeed};

const STREAMS: usize = 1_000;
/// Megabytes that all of them may cost.
const MOST: u64 = 100;
/// From the answer of an order, which comes after its commit, to its notice.
const WITHIN: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);
const MEMORY: &str = "process_resident_memory_bytes";

/// An open stream of one customer.
struct Stream(BufReader<TcpStream>);

impl Stream {
    async fn open(address: &str, token: &str) -> Stream {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let ask = format!(
            "GET /notification/stream HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        socket.write_all(ask.as_bytes()).await.unwrap();
        // A small buffer: it is this process that has a thousand of them.
        let mut stream = Stream(BufReader::with_capacity(512, socket));
        stream.hears("event: ready").await;
        stream
    }

    /// Waits for a line; gives the moment.
    async fn hears(&mut self, wanted: &str) -> Instant {
        let mut line = String::new();
        let read = async {
            while line.trim_end() != wanted {
                line.clear();
                assert!(self.0.read_line(&mut line).await.unwrap() > 0, "the stream ended");
            }
        };
        timeout(PATIENCE, read).await.expect("the line did not come");
        Instant::now()
    }
}

async fn order(http: &reqwest::Client, address: &str, customer: &Customer, key: &str) -> Instant {
    let request = http.post(format!("http://{address}{TOP_UP}")).header("idempotency-key", key);
    let body = json!({ "amount": "1.00", "payment_method": "UPI" });
    let answer = request.bearer_auth(&customer.token).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_cost_little_and_each_hears_within_a_second() {
    assert!(open_files::raise_limit().is_none_or(|limit| limit > 2 * 1_024), "too few files may be open");
    gencharge::platform::tls::use_ring();
    let folder = TempFolder::new("crowd");
    let (data, tokens) = (folder.path().join("data"), folder.path().join("tokens"));
    let users = STREAMS.to_string();
    succeed(gencharge(&data, &["seed", "--demo"]));
    let cluster = Cluster::of(&data);
    let seed = ["seed", "--load-users", &users, "--balance", "1000", "--tokens", tokens.to_str().unwrap()];
    succeed(gencharge(&data, &seed));
    let customers = customers(&std::fs::read_to_string(tokens).unwrap());
    let address = format!("127.0.0.1:{}", free_port());
    let mut serve = gencharge(&data, &["serve"]);
    serve.env("GENCHARGE_BIND", &address);
    let mut app = Running::start(serve);
    healthy(&address).await;
    let http = reqwest::Client::new();
    // Everything that is made with the first order is there before the count begins.
    order(&http, &address, &customers[0], "warm").await;
    let before = metric(&http, &address, MEMORY).await.unwrap();
    let mut streams = Vec::new();
    for part in customers.chunks(50) {
        streams.extend(join_all(part.iter().map(|who| Stream::open(&address, &who.token))).await);
    }
    let open = metric(&http, &address, MEMORY).await.unwrap();
    // Many at once; then one by one.
    let mut late: Vec<Duration> = Vec::new();
    for (streams, people) in streams.chunks_mut(50).zip(customers.chunks(50)) {
        late.extend(
            join_all(streams.iter_mut().zip(people).map(async |(stream, who)| {
                let heard = stream.hears("event: notification");
                let (answered, heard) = futures_util::join!(order(&http, &address, who, "all"), heard);
                heard.saturating_duration_since(answered)
            }))
            .await,
        );
    }
    late.sort_unstable();
    let mut alone = Vec::new();
    for (stream, who) in streams.iter_mut().zip(&customers).take(50) {
        let answered = order(&http, &address, who, "one").await;
        alone.push(stream.hears("event: notification").await.saturating_duration_since(answered));
    }
    alone.sort_unstable();
    let after = metric(&http, &address, MEMORY).await.unwrap();
    let megabytes = |bytes: u64| bytes.saturating_sub(before) / 1_000_000;
    println!(
        "{STREAMS} streams: {} MB more when open, {} MB after a notice to each; notices after {:?} (median), {:?} (last) \
         with 50 at once, after {:?} and {:?} one by one",
        megabytes(open),
        megabytes(after),
        late[late.len() / 2],
        late.last().unwrap(),
        alone[alone.len() / 2],
        alone.last().unwrap(),
    );
    assert!(megabytes(open.max(after)) < MOST, "{before} bytes before, {open} when open, {after} after");
    assert!(*alone.last().unwrap() < WITHIN, "{alone:?}");
    drop(streams);
    app.signal(Signal::TERM);
    assert!(app.ended().await.success());
    drop(cluster);
}
