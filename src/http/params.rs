//! Query parameters, read by hand so that every wrong one is named at once.

use std::str::FromStr;

use actix_web::HttpRequest;
use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, Utc};
use gencharge_actors::kernel::{Paise, PhoneNumber};

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
        Self { pairs, faults: Vec::new() }
    }

    /// The raw text of a parameter.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
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

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.parsed(name, "must be true or false")
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
        let day = |text: &str| {
            let day = text.parse::<NaiveDate>().ok()?.checked_add_days(Days::new(days))?;
            day.and_hms_opt(0, 0, 0).map(|naive| naive.and_utc())
        };
        let naive = |text: &str| Some(text.parse::<NaiveDateTime>().ok()?.and_utc());
        let moment = text.parse().ok().or_else(|| naive(text)).or_else(|| day(text));
        if moment.is_none() {
            self.fault(name, "must be a time such as 2026-01-31T10:00:00Z or a day");
        }
        moment
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

fn serde_urlencoded_pairs(query: &str) -> Vec<(String, String)> {
    actix_web::web::Query::<Vec<(String, String)>>::from_query(query)
        .map(actix_web::web::Query::into_inner)
        .unwrap_or_default()
}
