//! Query parameters, read by hand so that every wrong one is named at once.

use std::str::FromStr;

use actix_web::HttpRequest;
use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use gencharge_actors::kernel::{Paise, PhoneNumber};

use super::days::{day_end, day_start};
use super::list::Cursor;
use super::problem::{FieldError, Problem};

/// The query string of a request, with the faults found so far.
pub struct Params {
    pairs: Vec<(String, String)>,
    faults: Vec<FieldError>,
}

impl Params {
    /// The parameters of `request`, percent-decoded. Empty values count as absent.
    #[must_use]
    pub fn of(request: &HttpRequest) -> Self {
        let pairs = serde_urlencoded_pairs(request.query_string());
        Self { pairs, faults: Vec::new() }.without_nul()
    }

    /// The fields of a JSON object as parameters: a list is a repeated one, null an absent one, objects are left out.
    #[must_use]
    pub fn of_object(object: &serde_json::Map<String, serde_json::Value>) -> Self {
        use serde_json::Value;
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        let mut pairs = Vec::new();
        for (name, value) in object {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            pairs.extend(values.iter().filter_map(text).map(|text| (name.clone(), text)));
        }
        Self { pairs, faults: Vec::new() }.without_nul()
    }

    /// Every value of a repeated parameter; more than `most` are a fault.
    pub fn every(&mut self, name: &str, most: usize) -> Vec<String> {
        let given = self.pairs.iter().filter(|(key, value)| key == name && !value.is_empty());
        let values: Vec<String> = given.map(|(_, value)| value.clone()).collect();
        if values.len() > most {
            self.fault(name, format!("must have at most {most} values"));
            return Vec::new();
        }
        values
    }

    /// The raw text of a parameter.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// Faults the parameters with a character that no store can hold, and forgets them.
    fn without_nul(mut self) -> Self {
        let (bad, pairs) = self.pairs.into_iter().partition(|(_, value)| value.contains('\0'));
        self.pairs = pairs;
        let bad: Vec<(String, String)> = bad;
        for (name, _) in bad {
            self.fault(&name, "must not contain the character U+0000");
        }
        self
    }

    /// Notes a fault of `name`.
    pub fn fault(&mut self, name: &str, message: impl Into<String>) {
        self.faults.push(FieldError { field: name.to_owned(), message: message.into() });
    }

    /// Text of at most `max` characters.
    pub fn short_text(&mut self, name: &str, max: usize) -> Option<String> {
        let text = self.text(name)?.to_owned();
        if text.chars().count() > max {
            self.fault(name, format!("must have at most {max} characters"));
            return None;
        }
        Some(text)
    }

    /// A value that parses from its text; a fault saying `must` otherwise.
    pub fn parsed<T: FromStr>(&mut self, name: &str, must: &str) -> Option<T> {
        let parsed = self.text(name)?.parse().ok();
        if parsed.is_none() {
            self.fault(name, must);
        }
        parsed
    }

    /// A word of a vocabulary (see [`gencharge_actors::kernel`]).
    pub fn word<T>(&mut self, name: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        match self.text(name)?.parse() {
            Ok(word) => Some(word),
            Err(error) => {
                self.fault(name, error.to_string());
                None
            }
        }
    }

    /// A whole number from `min` to `max`, or `default`.
    pub fn number(&mut self, name: &str, default: u32, min: u32, max: u32) -> u32 {
        let must = format!("must be a whole number from {min} to {max}");
        match self.parsed::<u32>(name, &must) {
            Some(value) if (min..=max).contains(&value) => value,
            Some(_) => {
                self.fault(name, must);
                default
            }
            None => default,
        }
    }

    /// An id.
    pub fn id(&mut self, name: &str) -> Option<i64> {
        self.parsed(name, "must be a whole number")
    }

    /// `true` or `false`, in the spellings that clients' languages have for them.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        match self.text(name)?.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
            "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
            _ => {
                self.fault(name, "must be true or false");
                None
            }
        }
    }

    /// An amount of rupees, zero or more.
    pub fn amount(&mut self, name: &str) -> Option<Paise> {
        match Paise::parse(self.text(name)?) {
            Ok(amount) => Some(amount),
            Err(error) => {
                self.fault(name, error.to_string());
                None
            }
        }
    }

    /// A phone number.
    pub fn phone(&mut self, name: &str) -> Option<PhoneNumber> {
        match PhoneNumber::parse(self.text(name)?) {
            Ok(phone) => Some(phone),
            Err(error) => {
                self.fault(name, error.to_string());
                None
            }
        }
    }

    /// A part of a phone number as it is shown: 1 to 10 digits.
    pub fn digits(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?.to_owned();
        if text.len() > 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            self.fault(name, "must be 1 to 10 digits");
            return None;
        }
        Some(text)
    }

    /// Where to continue a list of this order (`cursor`, which excludes `page`).
    pub fn cursor(&mut self, order: &str) -> Option<Cursor> {
        let cursor = Cursor::decode(self.text("cursor")?, order);
        if cursor.is_none() {
            self.fault("cursor", "must be a next_cursor of this list in the same order");
        }
        if self.text("page").is_some() {
            self.fault("cursor", "cannot be combined with page");
        }
        cursor
    }

    /// A calendar day (`2026-01-31`).
    pub fn day(&mut self, name: &str) -> Option<NaiveDate> {
        self.parsed(name, "must be a day such as 2026-01-31")
    }

    /// A moment (RFC 3339; UTC when it names no offset), or a day (its first moment, UTC).
    pub fn moment(&mut self, name: &str) -> Option<DateTime<Utc>> {
        self.moment_or_day(name, 0)
    }

    /// The moment before which something is to be: as given, or the first after the given day, UTC.
    pub fn end_moment(&mut self, name: &str) -> Option<DateTime<Utc>> {
        self.moment_or_day(name, 1)
    }

    fn moment_or_day(&mut self, name: &str, days: u64) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        let moment = match LocalMoment::parse(text, Tz::UTC) {
            Some(LocalMoment::Day(first, _)) => first.checked_add_days(Days::new(days)),
            Some(LocalMoment::Moment(moment)) => Some(moment),
            None => None,
        };
        if moment.is_none() {
            self.fault(name, "must be a time such as 2026-01-31T10:00:00Z or a day");
        }
        moment
    }

    /// A moment (RFC 3339; without an offset: of `zone`), or a whole day of `zone`.
    pub fn local_moment(&mut self, name: &str, zone: Tz) -> Option<LocalMoment> {
        let text = self.text(name)?;
        let moment = LocalMoment::parse(text, zone);
        if moment.is_none() {
            self.fault(name, "must be a time such as 2026-01-31T10:00:00+05:30, or a day such as 2026-01-31");
        }
        moment
    }

    /// A decimal number of at most 18 digits, zero or more, as its text.
    pub fn decimal(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?.to_owned();
        let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if text.len() > 19 || !digits(whole) || !digits(part) {
            self.fault(name, "must be a number such as 28 or 1.5, zero or more");
            return None;
        }
        Some(text)
    }

    /// One of `words`; `None` when it is not given.
    pub fn one_of(
        &mut self,
        name: &str,
        words: impl Iterator<Item = &'static str> + Clone,
    ) -> Option<&'static str> {
        let text = self.text(name)?;
        let found = words.clone().find(|word| *word == text);
        if found.is_none() {
            self.fault(name, format!("must be one of: {}", words.collect::<Vec<_>>().join(" ")));
        }
        found
    }

    /// One of `words`, or the first.
    pub fn choice(&mut self, name: &str, words: &'static [&'static str]) -> &'static str {
        let first = words.first().copied().unwrap_or_default();
        let Some(text) = self.text(name) else { return first };
        match words.iter().find(|word| **word == text) {
            Some(word) => word,
            None => {
                self.fault(name, format!("must be one of: {}", words.join(" ")));
                first
            }
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `invalid_input` naming every wrong parameter.
    pub fn done(self) -> Result<(), Problem> {
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::fields(self.faults)) }
    }
}

/// A moment, or a whole day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalMoment {
    /// This moment.
    Moment(DateTime<Utc>),
    /// From the first of these moments up to, and without, the second.
    Day(DateTime<Utc>, DateTime<Utc>),
}

impl LocalMoment {
    fn parse(text: &str, zone: Tz) -> Option<Self> {
        if let Ok(day) = text.parse::<NaiveDate>() {
            return Some(Self::Day(day_start(zone, day)?, day_end(zone, day)?));
        }
        // A plus sign that was not percent-encoded arrives as a space.
        let text = text.replace(' ', "+");
        let local = || text.replace('+', "T").parse::<NaiveDateTime>().ok();
        let moment = text.parse::<DateTime<Utc>>().ok();
        moment
            .or_else(|| zone.from_local_datetime(&local()?).earliest().map(|moment| moment.to_utc()))
            .map(Self::Moment)
    }

    /// Its first moment.
    #[must_use]
    pub const fn first(self) -> DateTime<Utc> {
        match self {
            Self::Moment(moment) | Self::Day(moment, _) => moment,
        }
    }

    /// The first moment after a day; `None` for a single moment.
    #[must_use]
    pub const fn after_last(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Moment(_) => None,
            Self::Day(_, after) => Some(after),
        }
    }
}

fn serde_urlencoded_pairs(query: &str) -> Vec<(String, String)> {
    actix_web::web::Query::<Vec<(String, String)>>::from_query(query)
        .map(actix_web::web::Query::into_inner)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_moments_are_days_or_times_with_or_without_a_zone() {
        let parse = |text: &str| LocalMoment::parse(text, Tz::Asia__Kolkata);
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let ten = LocalMoment::Moment(at("2026-01-31T04:30:00Z"));
        for text in [
            "2026-01-31T10:00:00",
            "2026-01-31 10:00:00",
            "2026-01-31T10:00:00+05:30",
            "2026-01-31T10:00:00 05:30",
            "2026-01-31T04:30:00Z",
        ] {
            assert_eq!(parse(text), Some(ten), "{text}");
        }
        let day = LocalMoment::Day(at("2026-01-30T18:30:00Z"), at("2026-01-31T18:30:00Z"));
        assert_eq!(parse("2026-01-31"), Some(day));
        for text in ["", "x", "2026-02-30", "2026-01-31T25:00:00", "31.01.2026"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn flags_and_moments_come_in_many_spellings() {
        let object = serde_json::json!({
            "a": "True", "b": "0", "c": "maybe", "d": "2026-01-31 10:00:00", "e": "2026-01-31T10:00:00 05:30", "f": "2026-01-31",
        });
        let mut params = Params::of_object(object.as_object().unwrap());
        assert_eq!((params.flag("a"), params.flag("b"), params.flag("c")), (Some(true), Some(false), None));
        let at = |text: &str| Some(text.parse::<DateTime<Utc>>().unwrap());
        assert_eq!(params.moment("d"), at("2026-01-31T10:00:00Z"));
        assert_eq!(params.moment("e"), at("2026-01-31T04:30:00Z"));
        assert_eq!(params.moment("f"), at("2026-01-31T00:00:00Z"));
        assert_eq!(params.end_moment("f"), at("2026-02-01T00:00:00Z"));
        let faults = params.done().unwrap_err().errors;
        assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn an_object_is_read_like_a_query_string() {
        let object = serde_json::json!({"ids": [1, "2", null], "flag": true, "none": null, "deep": {"a": 1}});
        let mut params = Params::of_object(object.as_object().unwrap());
        assert_eq!(params.every("ids", 5), ["1", "2"]);
        assert_eq!(params.flag("flag"), Some(true));
        assert_eq!((params.text("none"), params.text("deep")), (None, None));
        assert!(params.every("ids", 1).is_empty() && params.done().is_err());
    }
}
