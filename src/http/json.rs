//! Money and bodies in JSON.

use actix_web::web::Bytes;
use gencharge_actors::kernel::{MoneyError, Paise, PhoneNumber};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::problem::{Code, Problem};

/// The largest JSON body an ordinary operation takes, in bytes.
pub const BODY_LIMIT: usize = 64 * 1024;

/// A JSON number with two decimals (`199.00`), made from paise without a float.
#[must_use]
pub fn rupees_number(amount: Paise) -> Box<RawValue> {
    // Two decimals are always a JSON number.
    RawValue::from_string(amount.to_string()).unwrap_or_default()
}

/// For `#[serde(serialize_with)]`: paise as a JSON number with two decimals.
///
/// # Errors
/// Those of the serializer.
pub fn as_number<S: Serializer>(amount: &Paise, serializer: S) -> Result<S::Ok, S::Error> {
    rupees_number(*amount).serialize(serializer)
}

/// For `#[serde(serialize_with)]`: paise as a JSON string with two decimals.
///
/// # Errors
/// Those of the serializer.
pub fn as_string<S: Serializer>(amount: &Paise, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

/// For `#[serde(serialize_with)]`: paise as a JSON number with two decimals, or null.
///
/// # Errors
/// Those of the serializer.
pub fn as_optional_number<S: Serializer>(amount: &Option<Paise>, serializer: S) -> Result<S::Ok, S::Error> {
    amount.map(rupees_number).serialize(serializer)
}

/// For `#[serde(serialize_with)]`: a phone number as ten digits, or null.
///
/// # Errors
/// Those of the serializer.
pub fn national<S: Serializer>(phone: &Option<PhoneNumber>, serializer: S) -> Result<S::Ok, S::Error> {
    phone.map(PhoneNumber::national).serialize(serializer)
}

/// An amount of rupees as clients send it: a JSON number or string, kept as its text.
#[derive(Clone, Debug)]
pub struct AmountText(String);

impl AmountText {
    /// The amount in paise.
    ///
    /// # Errors
    /// [`MoneyError`] for negative, malformed, too precise or too large text.
    pub fn paise(&self) -> Result<Paise, MoneyError> {
        Paise::parse(&self.0)
    }
}

impl<'de> Deserialize<'de> for AmountText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The raw text of a number, so that 0.1 never becomes a float.
        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        let text = raw.get();
        if text.starts_with('"') {
            serde_json::from_str(text).map(Self).map_err(serde::de::Error::custom)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

/// Parses a JSON body; unknown fields are the type's business.
///
/// # Errors
/// `malformed_body` when it is not JSON, `invalid_input` when a field is missing or of another type.
pub fn parse_body<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Problem::field("body", error.to_string()),
        _ => Problem::new(Code::MalformedBody, format!("The body must be JSON: {error}")),
    })
}
