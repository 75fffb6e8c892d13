//! Payment instruments at rest: what is dropped, how the rest is sealed, and how it is shown.

use std::sync::Arc;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use gencharge_actors::kernel::Random;
use hmac::{Hmac, Mac as _};
use serde_json::{Map, Value};
use sha2::Sha256;

/// The way of sealing that is written: AES-256-GCM under a key derived from the secret setting, a random nonce of 96 bits for
/// each record, and the owner as associated data, so that a record moved to another customer does not open.
pub const FORMAT: i16 = 1;
const PURPOSE: &[u8] = b"gencharge/autopay-credentials/v1";
const NONCE_BYTES: usize = 12;

/// Names of fields that are only for the moment of a payment, without case and punctuation. They are never stored.
const NEVER_STORED: &[&str] = &[
    "cvv",
    "cvv2",
    "cvc",
    "cvc2",
    "cid",
    "csc",
    "securitycode",
    "cardsecuritycode",
    "cardverificationvalue",
    "cardverificationcode",
    "cvvnumber",
    "cardcvv",
    "cardcvc",
    "pin",
    "upipin",
    "mpin",
    "atmpin",
    "cardpin",
    "otp",
    "password",
];

/// A sealed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// How it is sealed.
    pub format: i16,
    /// Never used twice.
    pub nonce: Vec<u8>,
    /// The text and its tag.
    pub text: Vec<u8>,
}

/// The record does not open: another key, another owner, or it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record cannot be opened")]
pub struct Unopened;

/// Seals and opens records. Clones share the key.
#[derive(Clone)]
pub struct Vault {
    cipher: Aes256Gcm,
    random: Arc<dyn Random>,
}

impl Vault {
    /// With a key derived from the secret setting; `None` when that cannot be one.
    #[must_use]
    pub fn derive(secret: &str, random: Arc<dyn Random>) -> Option<Self> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
        mac.update(PURPOSE);
        let cipher = Aes256Gcm::new_from_slice(&mac.finalize().into_bytes()).ok()?;
        Some(Self { cipher, random })
    }

    /// Seals `text` for `owner`.
    ///
    /// # Errors
    /// [`Unopened`] only for texts of gigabytes.
    pub fn seal(&self, owner: i64, text: &[u8]) -> Result<Sealed, Unopened> {
        let mut nonce = [0_u8; NONCE_BYTES];
        self.random.fill(&mut nonce);
        let payload = Payload { msg: text, aad: &owner.to_be_bytes() };
        let text = self.cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| Unopened)?;
        Ok(Sealed { format: FORMAT, nonce: nonce.to_vec(), text })
    }

    /// Opens `owner`'s record.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open(&self, owner: i64, sealed: &Sealed) -> Result<Vec<u8>, Unopened> {
        let nonce: [u8; NONCE_BYTES] = sealed.nonce.as_slice().try_into().map_err(|_| Unopened)?;
        if sealed.format != FORMAT {
            return Err(Unopened);
        }
        let payload = Payload { msg: &sealed.text, aad: &owner.to_be_bytes() };
        self.cipher.decrypt(&Nonce::from(nonce), payload).map_err(|_| Unopened)
    }
}

/// Takes out what is never stored, at any depth.
pub fn drop_secrets(fields: &mut Map<String, Value>) {
    fields.retain(|name, _| !is_never_stored(name));
    fields.values_mut().for_each(drop_in);
}

fn drop_in(value: &mut Value) {
    match value {
        Value::Object(fields) => drop_secrets(fields),
        Value::Array(items) => items.iter_mut().for_each(drop_in),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_never_stored(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    NEVER_STORED.contains(&plain.to_ascii_lowercase().as_str())
}

/// The same fields, with values that only their owner recognises.
#[must_use]
pub fn masked(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value.clone(),
        Value::Number(number) => Value::String(mask(&number.to_string())),
        Value::String(text) => Value::String(mask(text)),
        Value::Array(items) => Value::Array(items.iter().map(masked).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), masked(value))).collect())
        }
    }
}

/// The last four characters of eight or more, the provider of a UPI address, otherwise nothing.
fn mask(text: &str) -> String {
    if let Some((name, provider)) = text.split_once('@') {
        let first: String = name.chars().take(1).collect();
        return format!("{first}****@{provider}");
    }
    let count = text.chars().count();
    if count < 8 {
        return "****".to_owned();
    }
    let last: String = text.chars().skip(count.saturating_sub(4)).collect();
    format!("****{last}")
}

#[cfg(test)]
mod tests {
    use gencharge_actors::kernel::SystemRandom;
    use serde_json::json;

    use super::*;

    fn vault(secret: &str) -> Vault {
        Vault::derive(secret, Arc::new(SystemRandom)).unwrap()
    }

    #[test]
    fn a_record_opens_for_its_owner_under_its_key_unchanged() {
        let vault_ = vault("a secret of at least thirty-two bytes");
        let sealed = vault_.seal(7, b"4111111111111111").unwrap();
        assert_eq!(vault_.open(7, &sealed).unwrap(), b"4111111111111111");
        assert!(!sealed.text.windows(4).any(|part| part == b"4111"));
        assert_eq!(vault_.open(8, &sealed), Err(Unopened));
        assert_eq!(vault("another secret of thirty-two bytes!!").open(7, &sealed), Err(Unopened));
        let mut changed = sealed.clone();
        changed.text[0] ^= 1;
        assert_eq!(vault_.open(7, &changed), Err(Unopened));
        assert_eq!(vault_.open(7, &Sealed { format: 2, ..sealed.clone() }), Err(Unopened));
        assert_ne!(vault_.seal(7, b"4111111111111111").unwrap().nonce, sealed.nonce);
    }

    #[test]
    fn security_codes_are_dropped_at_any_depth() {
        let mut fields = json!({
            "number": "4111111111111111", "CVV": "123", "cvv_2": 456, "Security-Code": "789",
            "nested": { "cvc": "321", "list": [{ "upi pin": 1234, "bank": "SBI" }] },
        });
        drop_secrets(fields.as_object_mut().unwrap());
        assert_eq!(
            fields,
            json!({ "number": "4111111111111111", "nested": { "list": [{ "bank": "SBI" }] } })
        );
    }

    #[test]
    fn shown_values_tell_only_their_owner() {
        let shown = masked(&json!({
            "number": "4111111111111234", "upi": "asha.k@okbank", "expiry": "12/30", "account": 123_456_789_u64,
            "default": true, "nick": null,
        }));
        assert_eq!(
            shown,
            json!({
                "number": "****1234", "upi": "a****@okbank", "expiry": "****", "account": "****6789",
                "default": true, "nick": null,
            })
        );
    }
}
