//! Bodies as clients send them.

use actix_web::web::Bytes;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use gencharge_actors::autopay::moment;
use gencharge_actors::kernel::{AutopayRepeat, AutopayStatus, AutopayTag, PhoneNumber, PlanId};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::http::json::{optional_whole, parse_body, whole};
use crate::http::{Faults, Problem};

/// How far ahead a rule may be due, in days.
const FARTHEST: TimeDelta = TimeDelta::days(5 * 366);

/// Recharge a number on a date, or again and again.
#[derive(Deserialize, ToSchema)]
pub struct CreateAutopay {
    /// The plan to buy each time.
    #[serde(deserialize_with = "whole")]
    plan_id: i64,
    /// The number to recharge: ten digits, or E.164.
    #[schema(example = "9876543210")]
    phone_number: String,
    /// `onetime` or `regular`.
    #[schema(example = "regular")]
    tag: String,
    /// The first date, in the future. Without a zone it is a time of the service's own zone.
    #[schema(example = "2027-01-31T09:30:00+05:30")]
    next_due_date: String,
    /// `enabled` (default) or `disabled`.
    #[schema(example = "enabled")]
    status: Option<String>,
    /// Regular rules: due again after the plan's `validity` (default), or `monthly` on the same day.
    #[schema(example = "validity")]
    repeat: Option<String>,
}

/// What changes; absent fields stay as they are.
#[derive(Deserialize, ToSchema)]
pub struct UpdateAutopay {
    /// Another plan.
    #[serde(default, deserialize_with = "optional_whole")]
    plan_id: Option<i64>,
    /// Another number.
    phone_number: Option<String>,
    /// `onetime` or `regular`.
    tag: Option<String>,
    /// Another next date, in the future.
    next_due_date: Option<String>,
    /// `enabled` or `disabled`.
    status: Option<String>,
    /// `validity` or `monthly`.
    repeat: Option<String>,
}

/// Leave one date out.
#[derive(Deserialize, ToSchema)]
pub struct SkipAutopay {
    /// The rule's `next_due_date`, as the notice told it.
    #[schema(example = "2027-01-31T04:00:00Z")]
    due_date: String,
}

/// A payment instrument to keep.
#[derive(Deserialize, ToSchema)]
pub struct SaveCredentials {
    /// `upi`, `bank` or `card`.
    #[schema(example = "upi")]
    payment_type: String,
    /// Whatever identifies the instrument. Security codes (CVV) and PINs are dropped, never stored.
    #[schema(value_type = Object, example = json!({ "upi_id": "asha@okbank" }))]
    credentials: Map<String, Value>,
}

/// A rule to make.
#[derive(Clone, Debug)]
pub struct NewRule {
    pub plan: PlanId,
    pub phone: PhoneNumber,
    pub tag: AutopayTag,
    pub repeat: AutopayRepeat,
    pub due: DateTime<Utc>,
    pub status: AutopayStatus,
}

/// What changes in a rule.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub plan: Option<PlanId>,
    pub phone: Option<PhoneNumber>,
    pub tag: Option<AutopayTag>,
    pub repeat: Option<AutopayRepeat>,
    pub due: Option<DateTime<Utc>>,
    pub status: Option<AutopayStatus>,
}

/// The body of `POST /autopay/create_autopay`.
///
/// # Errors
/// `malformed_body`, or `invalid_input` naming every wrong field.
pub fn create(body: &Bytes, now: DateTime<Utc>, zone: Tz) -> Result<NewRule, Problem> {
    let body: CreateAutopay = parse_body(body)?;
    let mut faults = Faults::default();
    let phone = faults.keep("phone_number", PhoneNumber::parse(&body.phone_number));
    let tag = faults.keep("tag", body.tag.parse());
    let due = faults.keep("next_due_date", future(&body.next_due_date, now, zone));
    let status = faults.keep("status", body.status.as_deref().unwrap_or("enabled").parse());
    let repeat = faults.keep("repeat", body.repeat.as_deref().unwrap_or("validity").parse());
    match (phone, tag, due, status, repeat) {
        (Some(phone), Some(tag), Some(due), Some(status), Some(repeat)) => {
            Ok(NewRule { plan: PlanId(body.plan_id), phone, tag, repeat, due, status })
        }
        _ => Err(faults.problem()),
    }
}

/// The body of `PATCH /autopay/{autopay_id}`.
///
/// # Errors
/// `malformed_body`, or `invalid_input` naming every wrong field.
pub fn update(body: &Bytes, now: DateTime<Utc>, zone: Tz) -> Result<Changes, Problem> {
    let body: UpdateAutopay = parse_body(body)?;
    let mut faults = Faults::default();
    let phone = body.phone_number.and_then(|text| faults.keep("phone_number", PhoneNumber::parse(&text)));
    let tag = body.tag.and_then(|text| faults.keep("tag", text.parse()));
    let due = body.next_due_date.and_then(|text| faults.keep("next_due_date", future(&text, now, zone)));
    let status = body.status.and_then(|text| faults.keep("status", text.parse()));
    let repeat = body.repeat.and_then(|text| faults.keep("repeat", text.parse()));
    faults.done()?;
    Ok(Changes { plan: body.plan_id.map(PlanId), phone, tag, repeat, due, status })
}

/// The body of `POST /autopay/{autopay_id}/skip`.
///
/// # Errors
/// `malformed_body` or `invalid_input`.
pub fn skip(body: &Bytes, zone: Tz) -> Result<DateTime<Utc>, Problem> {
    let body: SkipAutopay = parse_body(body)?;
    date(&body.due_date, zone).ok_or_else(|| Problem::field("due_date", NO_DATE))
}

/// The body of `PUT /autopay/autopay_credentials`.
///
/// # Errors
/// `malformed_body` or `invalid_input`.
pub fn credentials(body: &Bytes) -> Result<SaveCredentials, Problem> {
    parse_body(body)
}

impl SaveCredentials {
    /// The kind of instrument and what identifies it.
    #[must_use]
    pub fn into_parts(self) -> (String, Map<String, Value>) {
        (self.payment_type, self.credentials)
    }
}

const NO_DATE: &str = "must be a time such as 2027-01-31T09:30:00+05:30";

fn future(text: &str, now: DateTime<Utc>, zone: Tz) -> Result<DateTime<Utc>, &'static str> {
    let date = date(text, zone).ok_or(NO_DATE)?;
    if date <= now {
        return Err("must be in the future");
    }
    if date.signed_duration_since(now) > FARTHEST {
        return Err("must be within five years");
    }
    Ok(date)
}

/// A time with a zone, or one of `zone`, or the first moment of a day there; cut to microseconds.
fn date(text: &str, zone: Tz) -> Option<DateTime<Utc>> {
    let naive = || {
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
            .or_else(|| text.parse::<NaiveDate>().ok().map(|day| day.and_time(NaiveTime::MIN)))
    };
    let date = match DateTime::parse_from_rfc3339(text) {
        Ok(date) => date.to_utc(),
        Err(_) => moment(naive()?, &zone)?,
    };
    DateTime::from_timestamp_micros(date.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_a_zone_are_the_services_own() {
        let kolkata = Tz::Asia__Kolkata;
        let read = |text: &str| date(text, kolkata).map(|date| date.to_rfc3339());
        let same = Some("2027-01-31T04:00:00+00:00".to_owned());
        for text in [
            "2027-01-31T04:00:00Z",
            "2027-01-31T09:30:00+05:30",
            "2027-01-31T09:30:00",
            "2027-01-31 09:30:00.000",
            "2027-01-31T09:30",
        ] {
            assert_eq!(read(text), same, "{text}");
        }
        assert_eq!(read("2027-01-31"), Some("2027-01-30T18:30:00+00:00".to_owned()));
        for bad in ["", "tomorrow", "2027-02-30T10:00:00Z", "2027-13-01", "31-01-2027"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
