//! A client that repeats itself: every order has a key, some are sent twice at once, and what has no definite answer is sent
//! again under the same key until it has one.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio::time::{Instant, sleep, timeout};

use crate::support::money::{SUBSCRIBE, TOP_UP, recharge, verify_all, with};

/// A definite answer; it must never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The transaction.
    Done(i64),
    /// The problem's code.
    Rejected(String),
}

/// An order that was sent.
#[derive(Clone, Debug)]
struct Sent {
    customer: usize,
    path: &'static str,
    body: Value,
    outcome: Option<Outcome>,
    /// A request under the key was answered by nothing, or by "unknown".
    doubtful: bool,
}

/// A customer with a token that outlives the test.
#[derive(Clone, Debug)]
pub struct Customer {
    pub phone: String,
    pub token: String,
}

/// Reads lines of `phone token`.
pub fn customers(tokens: &str) -> Vec<Customer> {
    let customer = |line: &str| {
        let (phone, token) = line.split_once(' ').unwrap();
        let national = phone.trim_start_matches("+91");
        Customer { phone: national[national.len() - 10..].to_owned(), token: token.trim().to_owned() }
    };
    tokens.lines().map(customer).collect()
}

/// The client and everything that it was told.
pub struct Client {
    pub bases: Vec<String>,
    pub customers: Vec<Customer>,
    http: reqwest::Client,
    sent: Mutex<BTreeMap<String, Sent>>,
    next: AtomicUsize,
    pub stop: AtomicBool,
}

enum Answer {
    Definite {
        outcome: Outcome,
        replayed: bool,
    },
    /// Certainly not done, or not known: send it again.
    Again {
        doubtful: bool,
    },
}

impl Client {
    pub fn new(bases: Vec<String>, customers: Vec<Customer>) -> Client {
        gencharge::platform::tls::use_ring();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        let (sent, next, stop) = (Mutex::default(), AtomicUsize::new(0), AtomicBool::new(false));
        Client { bases, customers, http, sent, next, stop }
    }

    pub fn acknowledged(&self) -> usize {
        self.sent.lock().unwrap().values().filter(|sent| sent.outcome.is_some()).count()
    }

    /// How many keys were left in doubt at least once.
    pub fn doubtful(&self) -> usize {
        self.sent.lock().unwrap().values().filter(|sent| sent.doubtful).count()
    }

    async fn send(&self, number: usize, key: &str) -> Answer {
        let Sent { customer, path, body, .. } = self.sent.lock().unwrap()[key].clone();
        let base = &self.bases[number % self.bases.len()];
        let request = self.http.post(format!("{base}{path}")).bearer_auth(&self.customers[customer].token);
        let Ok(answer) = request.header("idempotency-key", key).json(&body).send().await else {
            return Answer::Again { doubtful: true };
        };
        let status = answer.status().as_u16();
        let replayed = answer.headers().contains_key("idempotent-replayed");
        let Ok(json) = answer.json::<Value>().await else { return Answer::Again { doubtful: true } };
        match status {
            200 => Answer::Definite { outcome: Outcome::Done(json["txn_id"].as_i64().unwrap()), replayed },
            503 => Answer::Again { doubtful: json["code"] == "outcome_unknown" },
            400 => {
                let outcome = Outcome::Rejected(json["code"].as_str().unwrap().to_owned());
                Answer::Definite { outcome, replayed }
            }
            _ => panic!("{path} answered {status}: {json}"),
        }
    }

    /// Takes an answer; one that contradicts an earlier one fails the test.
    fn note(&self, key: &str, answer: Answer) {
        let mut all = self.sent.lock().unwrap();
        let sent = all.get_mut(key).unwrap();
        match answer {
            Answer::Again { doubtful } => sent.doubtful |= doubtful,
            Answer::Definite { outcome, replayed } => match &sent.outcome {
                None => sent.outcome = Some(outcome),
                Some(before) => {
                    assert_eq!(*before, outcome, "key {key} was answered differently");
                    let _ = replayed;
                }
            },
        }
    }

    fn fresh(&self) -> (usize, String) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let customer = number % self.customers.len();
        let own = &self.customers[customer].phone;
        let other = &self.customers[(number / 3) % self.customers.len()].phone;
        let (path, body) = match number % 5 {
            0 => (TOP_UP, json!({ "amount": "1.00", "payment_method": "UPI" })),
            1 => (TOP_UP, json!({ "amount": "2.50", "payment_method": "Wallet", "phone_number": other })),
            2 => (SUBSCRIBE, with(recharge(own, 7), json!({ "activation_mode": "activate" }))),
            3 => (SUBSCRIBE, recharge(own, 7)),
            _ => (SUBSCRIBE, with(recharge(other, 1), json!({ "activation_mode": "activate" }))),
        };
        let key = format!("order-{number}");
        let sent = Sent { customer, path, body, outcome: None, doubtful: false };
        self.sent.lock().unwrap().insert(key.clone(), sent);
        (number, key)
    }

    /// Sends orders until told to stop; `lanes` at a time.
    pub async fn load(&self, lanes: usize) {
        join_all((0..lanes).map(async |_| {
            while !self.stop.load(Ordering::Relaxed) {
                let (number, key) = self.fresh();
                if number.is_multiple_of(4) {
                    let (one, two) = join(self.send(number, &key), self.send(number + 1, &key)).await;
                    self.note(&key, one);
                    self.note(&key, two);
                } else {
                    let answer = self.send(number, &key).await;
                    self.note(&key, answer);
                }
                // Some patience while the server is away, so that not every order of the load is in doubt.
                if self.sent.lock().unwrap()[&key].outcome.is_none() {
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }))
        .await;
    }

    /// Sends everything again until every key has its answer; what was acknowledged must be a replay of the same.
    pub async fn settle(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let all: Vec<(String, bool)> = self
            .sent
            .lock()
            .unwrap()
            .iter()
            .map(|(key, sent)| (key.clone(), sent.outcome.is_some()))
            .collect();
        for part in all.chunks(32) {
            join_all(part.iter().enumerate().map(async |(number, (key, acknowledged))| {
                loop {
                    let answer = timeout(Duration::from_secs(30), self.send(number, key)).await.unwrap();
                    let known = match &answer {
                        Answer::Definite { replayed, .. } => Some(*replayed),
                        Answer::Again { .. } => None,
                    };
                    self.note(key, answer);
                    match known {
                        Some(replayed) => {
                            assert!(replayed || !acknowledged, "{key} was acknowledged and is done again");
                            break;
                        }
                        None => assert!(Instant::now() < end, "{key} has no answer"),
                    }
                    sleep(Duration::from_millis(50)).await;
                }
            }))
            .await;
        }
    }

    /// The database holds exactly what was acknowledged: every transaction named in an answer, and no other of a customer's.
    pub async fn agrees_with(&self, connection: &mut PgConnection) {
        let mut acknowledged: Vec<i64> = Vec::new();
        for sent in self.sent.lock().unwrap().values() {
            match sent.outcome.as_ref().unwrap() {
                Outcome::Done(txn_id) => acknowledged.push(*txn_id),
                Outcome::Rejected(code) => {
                    let usual = ["queue_full", "insufficient_funds", "same_wallet"];
                    assert!(usual.contains(&code.as_str()), "{code}: {sent:?}");
                }
            }
        }
        acknowledged.sort_unstable();
        let count = acknowledged.len();
        acknowledged.dedup();
        assert_eq!(acknowledged.len(), count, "two keys have one transaction");
        // A transfer's credit, and the opening balances, are nobody's order; the demo's customers have a history of their own.
        let stored: Vec<i64> = sqlx::query_scalar(
            "SELECT txn_id FROM transactions WHERE from_phone BETWEEN 916000000000 AND 916599999999
                 AND NOT (txn_type = 'credit' AND payment_method = 'Wallet') ORDER BY txn_id",
        )
        .fetch_all(&mut *connection)
        .await
        .unwrap();
        assert_eq!(stored, acknowledged, "lost, or done twice");
        verify_all(connection).await;
    }
}
