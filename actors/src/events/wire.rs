//! How money, phones and times are written in event data. Hand-made because it runs for every transaction: chrono's
//! and `collect_str`'s formatting would take most of the time.

/// Decimal digits of `value`, right-aligned into `out` (zeros in front).
fn digits(out: &mut [u8], mut value: u64) {
    for place in out.iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

fn ascii(bytes: &[u8]) -> &str {
    // Only digits and ASCII punctuation get here.
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Rupees as text with two decimals: `"299.00"`.
pub(super) mod amount {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::kernel::Paise;

    pub fn serialize<S: Serializer>(amount: &Paise, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&amount.to_string())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Paise, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Paise::parse(&text).map_err(D::Error::custom)
    }

    pub fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": r"^[0-9]+\.[0-9]{2}$" })
    }
}

/// The same where there may be none.
pub(super) mod optional_amount {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::kernel::Paise;

    pub fn serialize<S: Serializer>(amount: &Option<Paise>, serializer: S) -> Result<S::Ok, S::Error> {
        match amount {
            Some(amount) => super::amount::serialize(amount, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Paise>, D::Error> {
        let text = <Option<std::borrow::Cow<'de, str>>>::deserialize(deserializer)?;
        text.map(|text| Paise::parse(&text).map_err(D::Error::custom)).transpose()
    }
}

/// E.164 with a plus sign: `"+919876543210"`.
pub(super) mod phone {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::kernel::PhoneNumber;

    pub fn serialize<S: Serializer>(phone: &PhoneNumber, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [b'+'; 13];
        if let Some((_, rest)) = text.split_first_mut() {
            super::digits(rest, phone.e164().unsigned_abs());
        }
        serializer.serialize_str(super::ascii(&text))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PhoneNumber, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        PhoneNumber::parse(&text).map_err(D::Error::custom)
    }

    pub fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": r"^\+91[6-9][0-9]{9}$" })
    }
}

/// RFC 3339 in UTC with microseconds: `"2026-01-31T10:00:00.000000Z"`.
pub(super) mod moment {
    use chrono::{DateTime, Datelike, Timelike, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(moment: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        let year = u64::try_from(moment.year()).unwrap_or(0);
        if !(1..=9999).contains(&year) {
            return serializer.collect_str(&moment.format("%+"));
        }
        let naive = moment.naive_utc();
        let parts = [
            (0, 4, year),
            (5, 2, naive.month().into()),
            (8, 2, naive.day().into()),
            (11, 2, naive.hour().into()),
            (14, 2, naive.minute().into()),
            (17, 2, naive.second().into()),
            (20, 6, u64::from(naive.nanosecond() / 1000).min(999_999)),
        ];
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        for (from, length, value) in parts {
            if let Some(part) = text.get_mut(from..from + length) {
                super::digits(part, value);
            }
        }
        serializer.serialize_str(super::ascii(&text))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        DateTime::<Utc>::deserialize(deserializer)
    }

    pub fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// What has a text that it is read back from.
pub(super) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        <std::borrow::Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A moment that may be missing; use with `skip_serializing_if` and `default`.
pub(super) mod optional_moment {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(
        moment: &Option<DateTime<Utc>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match moment {
            Some(moment) => super::moment::serialize(moment, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DateTime<Utc>>, D::Error> {
        Option::deserialize(deserializer)
    }

    pub fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        super::moment::schema(generator)
    }
}
