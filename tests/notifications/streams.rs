//! The stream of new notices.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::Value;
use tokio::time::timeout;

use super::own::notices;
use crate::support::app::{TestApp, with_app};
use crate::support::money::{ASHA, RAVI};

const PATIENCE: Duration = Duration::from_secs(10);

/// An event as received.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: Value,
}

/// An open stream.
pub struct Stream {
    body: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<actix_web::web::Bytes>>>>,
    text: String,
}

impl Stream {
    /// Opens it, and waits for the event `ready`, which is answered too.
    pub async fn open(app: &TestApp, base: &str, token: &str, last: Option<&str>) -> (Stream, Event) {
        let mut request = app.request(Method::GET, &format!("{base}/notification/stream")).bearer_auth(token);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Stream { body: Box::pin(response.bytes_stream()), text: String::new() };
        let ready = stream.next().await.unwrap();
        assert_eq!(ready.name, "ready");
        (stream, ready)
    }

    /// The next event; `None` when the server has ended the stream.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let mut event = Event::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => event.id = id.to_owned(),
                        Some(("event", name)) => event.name = name.to_owned(),
                        Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                        _ => {}
                    }
                }
                if !event.name.is_empty() {
                    return Some(event);
                }
                continue;
            }
            let more = timeout(PATIENCE, self.body.next()).await.expect("no event came");
            self.text.push_str(std::str::from_utf8(&more?.unwrap()).unwrap());
        }
    }

    /// What the next event says.
    pub async fn says(&mut self) -> String {
        let event = self.next().await.expect("the stream ended");
        assert_eq!(event.name, "notification", "{event:?}");
        event.data["description"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_notice_is_seen_within_a_second_of_its_commit_whoever_wrote_it() {
    with_app(async |app| {
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        let another = app.start_another().await;
        let there = format!("http://{}", another.addr);
        let (mut here_asha, _) = Stream::open(app, "", &asha, None).await;
        let (mut there_asha, _) = Stream::open(app, &there, &asha, None).await;
        let (mut there_ravi, _) = Stream::open(app, &there, &ravi, None).await;
        for round in 1..=3_i64 {
            let rupees = 100 + round;
            app.fund(&asha, rupees).await;
            let committed = Instant::now();
            let expected = format!("Top-up successful: Rs {rupees}.00 added to your wallet.");
            assert_eq!(here_asha.says().await, expected);
            assert_eq!(there_asha.says().await, expected);
            let took = committed.elapsed();
            assert!(took < Duration::from_secs(1), "seen after {took:?}");
        }
        // Ravi's stream carries nothing of Asha's.
        app.fund(&ravi, 7).await;
        assert_eq!(there_ravi.says().await, "Top-up successful: Rs 7.00 added to your wallet.");
        drop((here_asha, there_asha, there_ravi));
        assert!(another.stop().await);
    });
}

#[test]
fn a_stream_that_comes_back_gets_what_it_missed_each_once_and_in_order() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let (mut stream, ready) = Stream::open(app, "", &asha, None).await;
        app.fund(&asha, 1).await;
        let first = stream.next().await.unwrap();
        assert_eq!(first.data["description"], "Top-up successful: Rs 1.00 added to your wallet.");
        drop(stream);
        // More than the store gives at once and than a listener holds.
        for rupees in 2..=150 {
            app.fund(&asha, rupees).await;
        }
        notices(app, &asha, 50).await;
        for (last, from) in [(&ready.id, 1), (&first.id, 2)] {
            let (mut stream, _) = Stream::open(app, "", &asha, Some(last)).await;
            for rupees in from..=150 {
                let expected = format!("Top-up successful: Rs {rupees}.00 added to your wallet.");
                assert_eq!(stream.says().await, expected);
            }
            drop(stream);
        }
        // A place that is not there yet holds nothing back.
        let (mut stream, _) = Stream::open(app, "", &asha, Some("9000000000000000000")).await;
        app.fund(&asha, 500).await;
        assert_eq!(stream.says().await, "Top-up successful: Rs 500.00 added to your wallet.");
        for bad in ["-1", "1.5", "x", "99999999999999999999"] {
            let request = app.request(Method::GET, "/notification/stream").bearer_auth(&asha);
            let answer = app.send(request.header("Last-Event-ID", bad)).await;
            assert_eq!(answer.problem(), "invalid_input", "{bad}");
        }
    });
}

#[test]
fn a_stream_ends_with_its_token_or_when_the_customer_is_signed_out() {
    with_app(async |app| {
        let (asha, ravi) = (app.sign_in(ASHA).await.access, app.sign_in(RAVI).await.access);
        let (mut of_asha, _) = Stream::open(app, "", &asha, None).await;
        let (mut of_ravi, _) = Stream::open(app, "", &ravi, None).await;
        app.post("/auth/logout", &asha, Value::Null).await.ok();
        let end = of_asha.next().await.unwrap();
        assert_eq!((end.name.as_str(), &end.data["reason"]), ("end", &Value::from("signed_out")));
        assert_eq!(of_asha.next().await, None);
        // Ravi's is open until the token is over.
        app.fund(&ravi, 5).await;
        assert_eq!(of_ravi.says().await, "Top-up successful: Rs 5.00 added to your wallet.");
        app.clock.advance(TimeDelta::minutes(2));
        assert_eq!(of_ravi.next().await.unwrap().name, "end");
        assert_eq!(of_ravi.next().await, None);
        assert_eq!(app.get("/notification/stream", &asha).await.problem(), "not_authenticated");
    });
}

#[test]
fn streams_of_one_reader_are_bounded_and_end_when_the_process_stops() {
    with_app(async |app| {
        let asha = app.sign_in(ASHA).await.access;
        let another = app.start_another().await;
        let there = format!("http://{}", another.addr);
        let mut open = Vec::new();
        for _ in 0..8 {
            open.push(Stream::open(app, &there, &asha, None).await.0);
        }
        let ninth = app.get(&format!("{there}/notification/stream"), &asha).await;
        assert_eq!(ninth.problem(), "rate_limited");
        assert!(ninth.headers.contains_key("retry-after"));
        let stopping = actix_web::rt::spawn(another.stop());
        for stream in &mut open {
            assert_eq!(stream.next().await.unwrap().data["reason"], "stopping");
        }
        drop(open);
        assert!(timeout(PATIENCE, stopping).await.unwrap().unwrap());
    });
}
