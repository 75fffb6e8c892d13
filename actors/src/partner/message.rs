//! From bytes to a command, or to why not.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::command::{COMMANDS, Command, CommandType};
use crate::events::RequestRef;
use crate::kernel::{Digest128, IdempotencyKey, KeyScope, PaymentMethod, Source, UserId};
use crate::messages::ParkReason;
use crate::wallet::{self, Asked, KeyOrigin, Order, OrderKey, Payer, Recharge, TopUp};

/// The media type of messages: CloudEvents in structured mode.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// The largest message, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// A message that can be read. Nobody has said yet that its sender may ask this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    source: String,
    id: String,
    key: IdempotencyKey,
    expires_at: Option<DateTime<Utc>>,
    /// Who it says that it is from.
    partner: Option<String>,
    command: Command,
}

/// Who asks, vouched for by the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnerRef {
    /// The partner, by the number of its wallet.
    pub id: UserId,
    /// Its user at the broker.
    pub user: Arc<str>,
}

/// The attributes of a CloudEvent. Others are refused: what is not understood must not be ignored where money moves.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    datacontenttype: Option<String>,
    #[serde(default)]
    expiresat: Option<DateTime<Utc>>,
    #[serde(borrow)]
    data: &'a RawValue,
    // Known, and not needed.
    #[serde(default, rename = "subject")]
    _subject: Option<String>,
    #[serde(default, rename = "time")]
    _time: Option<DateTime<Utc>>,
    #[serde(default, rename = "dataschema")]
    _dataschema: Option<String>,
}

/// Reads a message.
///
/// # Errors
/// Why nobody can ever do what it asks for: the first fault found, without the message's content.
pub fn decode(content_type: Option<&str>, body: &[u8]) -> Result<Message, ParkReason> {
    if body.len() > MAX_BYTES {
        return Err(ParkReason::new(
            "body_too_large",
            format!("a message may have at most {MAX_BYTES} bytes"),
        ));
    }
    if !is_cloudevent(content_type) {
        return Err(ParkReason::new(
            "unsupported_media_type",
            format!("the content type must be {CONTENT_TYPE}"),
        ));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    if envelope.specversion != "1.0" {
        return Err(ParkReason::new("unsupported_specversion", "specversion must be 1.0"));
    }
    let kind = COMMANDS.into_iter().find(|kind| kind.name() == envelope.kind);
    let kind = kind.ok_or_else(|| unknown_type(&envelope.kind))?;
    if envelope.datacontenttype.is_some_and(|kind| media_type(&kind) != "application/json") {
        return Err(ParkReason::new("unsupported_media_type", "datacontenttype must be application/json"));
    }
    let invalid = |field: &str| {
        ParkReason::new("invalid_input", format!("{field}: must be 1 to 255 visible ASCII characters"))
    };
    let key = IdempotencyKey::try_from(envelope.id.as_str()).map_err(|_| invalid("id"))?;
    IdempotencyKey::try_from(envelope.source.as_str()).map_err(|_| invalid("source"))?;
    let mut command = match kind {
        CommandType::Recharge => Command::Recharge(data(envelope.data)?),
        CommandType::TopUp => Command::TopUp(data(envelope.data)?),
    };
    let partner = command.take_partner();
    let (source, id, expires_at) = (envelope.source, envelope.id, envelope.expiresat);
    Ok(Message { source, id, key, expires_at, partner, command })
}

impl Message {
    /// What it asks for.
    #[must_use]
    pub const fn kind(&self) -> CommandType {
        self.command.kind()
    }

    /// The order for the wallet of `partner`, which the broker says has sent it.
    ///
    /// # Errors
    /// When the message says that it is another's.
    pub fn into_order(self, partner: &PartnerRef) -> Result<Order, ParkReason> {
        if self.partner.is_some_and(|claimed| *claimed != *partner.user) {
            return Err(ParkReason::new(
                "partner_mismatch",
                "the message names another partner than the one that the broker vouches for",
            ));
        }
        let scope = KeyScope::Partner(partner.id.get(), &self.source);
        let key = OrderKey {
            key: Digest128::of_key(scope, &self.key),
            request: Digest128::of_request("MESSAGE", self.command.kind().name(), &self.command.canonical()),
            origin: KeyOrigin::Client,
        };
        let request =
            RequestRef { partner: Arc::clone(&partner.user), source: self.source.into(), id: self.id.into() };
        let payer = Payer { user: partner.id, phone: None };
        let command = match self.command {
            Command::Recharge(ask) => wallet::Command::Recharge(Recharge {
                payer,
                number: ask.phone_number,
                plan: ask.plan_id,
                offer: ask.offer_id,
                method: PaymentMethod::Wallet,
                wallet_amount: None,
                mode: ask.activation_mode,
                source: Source::Recharge,
            }),
            Command::TopUp(ask) => wallet::Command::TopUp(TopUp {
                payer,
                number: ask.phone_number,
                amount: ask.amount,
                method: PaymentMethod::Wallet,
            }),
        };
        Ok(Order { command, key, asked: Some(Box::new(Asked { request, expires_at: self.expires_at })) })
    }
}

/// The type and subtype of a media type, in lower case.
fn media_type(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_cloudevent(content_type: Option<&str>) -> bool {
    content_type.is_some_and(|text| media_type(text) == CONTENT_TYPE)
}

fn unknown_type(name: &str) -> ParkReason {
    let base = |name: &str| name.rsplit_once(".v").map(|(base, _)| base.to_owned());
    if COMMANDS.iter().any(|kind| base(kind.name()) == base(name)) {
        return ParkReason::new("unknown_version", "this version of the type is not known here");
    }
    ParkReason::new("unknown_type", "type is none of the commands: see /asyncapi.yaml")
}

fn data<T: DeserializeOwned>(raw: &RawValue) -> Result<T, ParkReason> {
    serde_json::from_str(raw.get()).map_err(|error| unreadable(&error))
}

/// Says what is wrong, by names of fields and places, never by what the message holds.
fn unreadable(error: &serde_json::Error) -> ParkReason {
    if error.classify() != Category::Data {
        let place = format!("line {}, column {}", error.line(), error.column());
        return ParkReason::new("malformed_body", format!("not JSON in UTF-8: {place}"));
    }
    let text: String = error.to_string().chars().take(200).collect();
    let code = if text.starts_with("unknown field") { "unknown_field" } else { "invalid_input" };
    let shows_content = ["invalid type", "invalid value", "invalid length", "unknown variant"];
    if shows_content.iter().any(|start| text.starts_with(start)) {
        let place = format!("line {}, column {}", error.line(), error.column());
        return ParkReason::new(code, format!("a value that cannot be, {place}: see /asyncapi.yaml"));
    }
    ParkReason::new(code, text)
}
