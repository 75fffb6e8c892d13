//! The gateway's callbacks: signed, fresh, and each event taken once.

use actix_web::HttpRequest;
use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{Digest128, IdempotencyKey, KeyScope, Paise};
use gencharge_actors::wallet::{Command, KeyOrigin, Order, OrderKey, Payment, Settle, Settlement};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;
use utoipa::ToSchema;

use crate::config::Secret;
use crate::http::json::{AmountText, parse_body};
use crate::http::{Code, FieldError, Problem};

/// When it was sent, in Unix seconds.
const TIMESTAMP: &str = "x-payment-timestamp";
/// `v1=` and the hexadecimal HMAC-SHA256 of the timestamp, a dot, and the body.
const SIGNATURE: &str = "x-payment-signature";
/// How far the timestamp may be from now, in seconds.
const WINDOW: u64 = 300;

/// What the gateway tells.
#[derive(Deserialize, ToSchema)]
pub struct CallbackRequest {
    /// The gateway's name for the event; the same one is taken once.
    #[schema(example = "evt_1")]
    event_id: String,
    /// `payment.captured` or `payment.failed`.
    #[serde(rename = "type")]
    #[schema(example = "payment.captured")]
    kind: String,
    /// Which payment.
    #[schema(example = 10001)]
    payment_id: i64,
    /// What was captured, in rupees: all of the payment, or nothing was.
    #[schema(value_type = Option<String>, example = "91.01")]
    amount: Option<AmountText>,
}

/// An event that was read and believed.
pub struct Told {
    pub payment_id: i64,
    settlement: Settlement,
    amount: Option<Paise>,
    key: OrderKey,
}

/// Believes a body whose signature holds and is fresh.
///
/// # Errors
/// `invalid_signature`, before anything of the body is looked at.
pub fn authentic(
    request: &HttpRequest,
    body: &[u8],
    secret: Option<&Secret>,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let refuse = |detail: &str| Err(Problem::new(Code::InvalidSignature, detail));
    let Some(secret) = secret else {
        return refuse("No callbacks are taken here: GENCHARGE_PAYMENT_CALLBACK_SECRET is not set");
    };
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let (Some(timestamp), Some(signature)) = (header(TIMESTAMP), header(SIGNATURE)) else {
        return refuse("Send X-Payment-Timestamp and X-Payment-Signature");
    };
    let Some(signature) = signature.strip_prefix("v1=").and_then(from_hex) else {
        return refuse("X-Payment-Signature must be v1= and 64 hexadecimal digits");
    };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else {
        return refuse("The callback secret cannot be used");
    };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    // In constant time.
    if mac.verify_slice(&signature).is_err() {
        return refuse(
            "The signature is not that of this timestamp and body: sign `<timestamp>.<body>` with the shared secret",
        );
    }
    match timestamp.parse::<i64>() {
        Ok(sent) if sent.abs_diff(now.timestamp()) <= WINDOW => Ok(()),
        _ => refuse(
            "X-Payment-Timestamp is not within five minutes of now: sign the event again and send that",
        ),
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || text.len() != 64 {
        return None;
    }
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

impl Told {
    /// Reads a body that is believed.
    ///
    /// # Errors
    /// `malformed_body`, or `invalid_input` naming every wrong field.
    pub fn read(body: &actix_web::web::Bytes) -> Result<Self, Problem> {
        let told: CallbackRequest = parse_body(body)?;
        let mut faults = Vec::new();
        let mut fault =
            |field: &str, message: String| faults.push(FieldError { field: field.to_owned(), message });
        let key = IdempotencyKey::try_from(told.event_id.as_str())
            .map_err(|error| fault("event_id", error.to_string()))
            .ok();
        let settlement = match told.kind.as_str() {
            "payment.captured" => Some(Settlement::Captured),
            "payment.failed" => Some(Settlement::Failed),
            _ => {
                fault("type", "must be payment.captured or payment.failed".to_owned());
                None
            }
        };
        let amount = told.amount.map(|amount| amount.paise()).transpose();
        let amount = amount.map_err(|error| fault("amount", error.to_string())).ok();
        let (Some(key), Some(settlement), Some(amount)) = (key, settlement, amount) else {
            return Err(Problem::fields(faults));
        };
        let key = OrderKey {
            key: Digest128::of_key(KeyScope::System("payment callback"), &key),
            request: Digest128::of_request("POST", "/payments/callback", body),
            origin: KeyOrigin::Client,
        };
        Ok(Self { payment_id: told.payment_id, settlement, amount, key })
    }

    /// The order to the payer's wallet.
    ///
    /// # Errors
    /// `invalid_input` when another amount was captured than was asked for.
    pub fn order(self, payment: Payment) -> Result<Order, Problem> {
        if self.settlement == Settlement::Captured && self.amount != Some(payment.amount) {
            return Err(Problem::field("amount", format!("must be the payment's {}", payment.amount)));
        }
        let settle = Settle { payment, settlement: self.settlement };
        Ok(Order { command: Command::Settle(Box::new(settle)), key: self.key, asked: None })
    }
}
