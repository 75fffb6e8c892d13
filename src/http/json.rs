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

/// A whole number as clients send it: a JSON number, or its text, as forms in pages have it.
struct Whole(i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor)
    }
}

struct WholeVisitor;

impl serde::de::Visitor<'_> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a whole number")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Whole, E> {
        Ok(Whole(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Whole, E> {
        let unexpected = serde::de::Unexpected::Unsigned(number);
        i64::try_from(number).map(Whole).map_err(|_| E::invalid_value(unexpected, &self))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Whole, E> {
        text.trim().parse().map(Whole).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

/// For `#[serde(deserialize_with)]`: a whole number, or its text.
///
/// # Errors
/// Those of the deserializer, and everything else.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Whole::deserialize(deserializer).map(|whole| whole.0)
}

/// For `#[serde(default, deserialize_with)]`: the same, or null.
///
/// # Errors
/// As [`whole`].
pub fn optional_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Option::<Whole>::deserialize(deserializer).map(|whole| whole.map(|whole| whole.0))
}

/// For `#[serde(default, deserialize_with)]`: the same in a list, or null.
///
/// # Errors
/// As [`whole`].
pub fn optional_wholes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<i64>>, D::Error> {
    let wholes = Option::<Vec<Whole>>::deserialize(deserializer)?;
    Ok(wholes.map(|wholes| wholes.into_iter().map(|whole| whole.0).collect()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Numbers {
        #[serde(deserialize_with = "whole")]
        one: i64,
        #[serde(default, deserialize_with = "optional_whole")]
        other: Option<i64>,
        #[serde(default, deserialize_with = "optional_wholes")]
        more: Option<Vec<i64>>,
    }

    #[test]
    fn whole_numbers_may_be_text() {
        let read = |text: &str| serde_json::from_str::<Numbers>(text);
        let numbers = |one, other, more: &[i64]| Numbers { one, other, more: Some(more.to_vec()) };
        assert_eq!(read(r#"{"one": 7, "other": null, "more": []}"#).unwrap(), numbers(7, None, &[]));
        assert_eq!(
            read(r#"{"one": "7", "other": "-8", "more": [1, "2"]}"#).unwrap(),
            numbers(7, Some(-8), &[1, 2])
        );
        assert_eq!(read(r#"{"one": 7}"#).unwrap(), Numbers { one: 7, other: None, more: None });
        for bad in ["7.5", "true", "null", r#""""#, r#""7x""#, "9223372036854775808", "[7]"] {
            assert!(read(&format!(r#"{{"one": {bad}}}"#)).is_err(), "{bad}");
        }
    }
}
