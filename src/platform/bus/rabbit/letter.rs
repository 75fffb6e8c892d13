//! Messages that come and go between this system's own queues: who sent them first, how often they failed, and why they
//! were set aside, in headers that only this system's broker user is believed to have written.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use gencharge_actors::messages::{ParkReason, Parked};
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use sha2::{Digest as _, Sha256};

use super::link::{LinkError, Outgoing};
use super::topology::{Delay, Topology, short};

/// `delivery_mode` of a message that survives the broker.
pub(super) const PERSISTENT: u8 = 2;
/// Failures (panics, refusals) after which a message is set aside.
pub(super) const MAX_FAILURES: u32 = 5;

/// Headers that the broker writes.
const BROKERS: [&str; 4] = ["x-death", "x-first-death-", "x-last-death-", "x-delivery-count"];
const OURS: &str = "x-gencharge-";
const USER: &str = "x-gencharge-user";
const KEY: &str = "x-gencharge-key";
const QUEUE: &str = "x-gencharge-queue";
const TRIES: &str = "x-gencharge-tries";
const FAILURES: &str = "x-gencharge-failures";
const CODE: &str = "x-gencharge-code";
const DETAIL: &str = "x-gencharge-detail";
const PARKED_AT: &str = "x-gencharge-parked-at";

/// A message as it was first sent, and its history here.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// Its producer, vouched for by the broker.
    pub user_id: Option<Arc<str>>,
    /// The key it was first published with.
    pub key: String,
    /// Postponements so far.
    pub tries: u32,
    /// Failures so far.
    pub failures: u32,
    /// The producer's headers.
    pub headers: BTreeMap<String, String>,
    pub properties: BasicProperties,
    pub body: Arc<[u8]>,
    /// The broker's own words when it set the message aside itself.
    death: Option<String>,
    /// Ours, if we sent it.
    notes: BTreeMap<String, String>,
}

impl Letter {
    /// Reads a delivery; `own` is this process' user at the broker.
    pub fn open(delivery: Delivery, own: &str) -> Self {
        let Delivery { routing_key, properties, data, .. } = delivery;
        let sender: Option<Arc<str>> = properties.user_id().as_ref().map(|user| Arc::from(user.as_str()));
        let (mut headers, mut notes) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in properties.headers().iter().flat_map(|table| table.inner()) {
            let Some(value) = text(value) else { continue };
            if name.as_str().starts_with(OURS) {
                notes.insert(name.to_string(), value);
            } else if !BROKERS.iter().any(|brokers| name.as_str().starts_with(brokers)) {
                headers.insert(name.to_string(), value);
            }
        }
        let death = header(&properties, "x-first-death-reason").and_then(text);
        if sender.as_deref() != Some(own) {
            notes.clear();
        }
        let number = |name: &str| notes.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let (tries, failures) = (number(TRIES), number(FAILURES));
        // Ours and passed on: then its first sender is noted, or had no name.
        let user_id = if notes.contains_key(KEY) {
            notes.get(USER).map(|user| Arc::from(user.as_str()))
        } else {
            sender
        };
        let key = notes.get(KEY).cloned().unwrap_or_else(|| routing_key.to_string());
        Self { user_id, key, tries, failures, headers, properties, body: data.into(), death, notes }
    }

    /// When the producer says that it sent it.
    pub fn sent_at(&self) -> Option<DateTime<Utc>> {
        let seconds = (*self.properties.timestamp())?;
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)
    }

    /// To be tried again in `queue` after a pause.
    pub fn postponed(&self, topology: &Topology, own: &str, queue: &str) -> Result<Outgoing, LinkError> {
        let delay = Delay::after(self.tries.max(self.failures));
        let notes = [(TRIES, self.tries.to_string()), (FAILURES, self.failures.to_string())];
        self.passed_on(own, topology.retry(delay), queue.to_owned(), &notes)
    }

    /// To be set aside.
    pub fn parked(
        &self,
        topology: &Topology,
        own: &str,
        queue: &str,
        reason: &ParkReason,
        now: DateTime<Utc>,
    ) -> Result<Outgoing, LinkError> {
        let detail: String = reason.detail.chars().take(500).collect();
        let notes = [
            (QUEUE, queue.to_owned()),
            (CODE, reason.code.to_owned()),
            (DETAIL, detail),
            (PARKED_AT, now.timestamp_micros().to_string()),
        ];
        self.passed_on(own, String::new(), topology.parking(), &notes)
    }

    fn passed_on(
        &self,
        own: &str,
        exchange: String,
        key: String,
        notes: &[(&str, String)],
    ) -> Result<Outgoing, LinkError> {
        let mut table = FieldTable::default();
        let ours = notes.iter().map(|(name, value)| (*name, value.as_str()));
        let user = self.user_id.as_deref().map(|user| (USER, user));
        let theirs = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in theirs.chain(ours).chain(user).chain([(KEY, self.key.as_str())]) {
            table.insert(short(name)?, AMQPValue::LongString(LongString::from(value)));
        }
        // Without its expiration: it has had its chance.
        let old = &self.properties;
        let mut properties = BasicProperties::default()
            .with_headers(table)
            .with_user_id(short(own)?)
            .with_delivery_mode(PERSISTENT);
        if let Some(value) = old.content_type() {
            properties = properties.with_content_type(value.clone());
        }
        if let Some(value) = old.message_id() {
            properties = properties.with_message_id(value.clone());
        }
        if let Some(value) = old.correlation_id() {
            properties = properties.with_correlation_id(value.clone());
        }
        if let Some(value) = old.timestamp() {
            properties = properties.with_timestamp(*value);
        }
        Ok(Outgoing { exchange, key, properties, body: self.body.to_vec() })
    }

    /// A message of the parking queue as it is to be kept.
    pub fn into_parked(self, now: DateTime<Utc>) -> Parked {
        let note = |name: &str| self.notes.get(name).cloned();
        let by_broker = self.death.clone().filter(|_| note(CODE).is_none());
        let queue = note(QUEUE).or_else(|| header(&self.properties, "x-first-death-queue").and_then(text));
        let stamp = note(PARKED_AT);
        let parked_at =
            stamp.as_ref().and_then(|text| text.parse().ok()).and_then(DateTime::from_timestamp_micros);
        let (code, detail) = match by_broker {
            Some(reason) if reason == "expired" => {
                ("expired".to_owned(), "its time ran out before anybody took it".to_owned())
            }
            Some(reason) if reason == "delivery_limit" => {
                ("too_many_deliveries".to_owned(), "consumers vanished with it again and again".to_owned())
            }
            Some(reason) => (reason, "set aside by the broker".to_owned()),
            None => (
                note(CODE).unwrap_or_else(|| "unknown".to_owned()),
                note(DETAIL).unwrap_or_else(|| "nobody says why it is here".to_owned()),
            ),
        };
        let short = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
        let properties = &self.properties;
        let token = token(&self, queue.as_deref(), stamp.as_deref());
        Parked {
            queue: queue.unwrap_or_default(),
            routing_key: self.key.clone(),
            user_id: self.user_id.clone(),
            code,
            detail,
            content_type: short(properties.content_type()),
            message_id: short(properties.message_id()),
            correlation_id: short(properties.correlation_id()),
            sent_at: self.sent_at(),
            parked_at: parked_at.unwrap_or(now),
            token,
            headers: self.headers,
            body: self.body,
        }
    }

    /// A kept message as it goes back to its queue.
    pub fn replayed(parked: &Parked, own: &str) -> Result<Outgoing, LinkError> {
        let mut properties = BasicProperties::default();
        if let Some(value) = &parked.content_type {
            properties = properties.with_content_type(short(value)?);
        }
        if let Some(value) = &parked.message_id {
            properties = properties.with_message_id(short(value)?);
        }
        if let Some(value) = &parked.correlation_id {
            properties = properties.with_correlation_id(short(value)?);
        }
        if let Some(value) = parked.sent_at.and_then(|at| u64::try_from(at.timestamp()).ok()) {
            properties = properties.with_timestamp(value);
        }
        let letter = Self {
            user_id: parked.user_id.clone(),
            key: parked.routing_key.clone(),
            tries: 0,
            failures: 0,
            headers: parked.headers.clone(),
            properties,
            body: Arc::clone(&parked.body),
            death: None,
            notes: BTreeMap::new(),
        };
        letter.passed_on(own, String::new(), parked.queue.clone(), &[])
    }
}

/// The same for every delivery of one parked message. The broker's own dead letters carry the time of their death.
fn token(letter: &Letter, queue: Option<&str>, stamp: Option<&str>) -> String {
    let mut hash = Sha256::new();
    let deaths = header(&letter.properties, "x-death").map(|value| format!("{value:?}"));
    for part in [queue, stamp, Some(&letter.key), letter.user_id.as_deref(), deaths.as_deref()] {
        let part = part.unwrap_or_default();
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.update(&letter.body);
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        AMQPValue::Boolean(value) => Some(value.to_string()),
        AMQPValue::ShortShortInt(value) => Some(value.to_string()),
        AMQPValue::ShortShortUInt(value) => Some(value.to_string()),
        AMQPValue::ShortInt(value) => Some(value.to_string()),
        AMQPValue::ShortUInt(value) => Some(value.to_string()),
        AMQPValue::LongInt(value) => Some(value.to_string()),
        AMQPValue::LongUInt(value) => Some(value.to_string()),
        AMQPValue::LongLongInt(value) => Some(value.to_string()),
        AMQPValue::Timestamp(value) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "gencharge";

    fn delivery(user: Option<&str>, headers: &[(&str, &str)]) -> Delivery {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), AMQPValue::LongString(LongString::from(*value)));
        }
        let mut delivery =
            Delivery::mock(1, "gencharge.commands".into(), "some.key".into(), false, b"body".to_vec());
        delivery.properties = BasicProperties::default().with_headers(table);
        if let Some(user) = user {
            delivery.properties = delivery.properties.clone().with_user_id(user.into());
        }
        delivery
    }

    fn redelivered(message: Outgoing) -> Delivery {
        let mut delivery =
            Delivery::mock(2, message.exchange.into(), message.key.into(), false, message.body);
        delivery.properties = message.properties;
        delivery
    }

    #[test]
    fn nobody_but_this_system_is_believed_about_senders_and_tries() {
        let forged = [(USER, "acme"), (KEY, "other"), (TRIES, "9"), (FAILURES, "9"), ("color", "green")];
        for sender in [Some("mallory"), None] {
            let letter = Letter::open(delivery(sender, &forged), OWN);
            assert_eq!(letter.user_id.as_deref(), sender);
            assert_eq!((&*letter.key, letter.tries, letter.failures), ("some.key", 0, 0));
            assert_eq!(letter.headers, BTreeMap::from([("color".to_owned(), "green".to_owned())]));
        }
    }

    #[test]
    fn what_is_passed_on_keeps_its_sender_or_that_it_has_none() {
        let topology = Topology::new("t");
        for sender in [Some("acme"), None] {
            let mut letter = Letter::open(delivery(sender, &[(USER, "forged")]), OWN);
            (letter.tries, letter.failures) = (2, 1);
            let sent = letter.postponed(&topology, OWN, "t.commands").unwrap();
            assert_eq!((&*sent.exchange, &*sent.key), ("t.retry.1s", "t.commands"));
            let back = Letter::open(redelivered(sent), OWN);
            assert_eq!(back.user_id.as_deref(), sender);
            assert_eq!(
                (&*back.key, back.tries, back.failures, &*back.body),
                ("some.key", 2, 1, &b"body"[..])
            );
        }
    }

    #[test]
    fn a_parked_message_has_one_token_however_often_it_comes() {
        let topology = Topology::new("t");
        let letter = Letter::open(delivery(Some("acme"), &[]), OWN);
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let park = |now| {
            let reason = ParkReason::new("unknown_type", "type");
            let sent = letter.parked(&topology, OWN, "t.commands", &reason, now).unwrap();
            Letter::open(redelivered(sent), OWN).into_parked(now)
        };
        let (first, again) = (park(now), park(now));
        assert_eq!(first, again);
        assert_eq!((&*first.queue, &*first.code, &*first.detail), ("t.commands", "unknown_type", "type"));
        assert_eq!(first.parked_at, now);
        assert_ne!(park(now + chrono::TimeDelta::microseconds(1)).token, first.token);
    }
}
