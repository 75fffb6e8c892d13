//! Calendar days of a time zone as moments.

use chrono::{DateTime, MappedLocalTime, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

/// The first moment of `day` in `zone`; `None` only at the end of the calendar.
#[must_use]
pub fn day_start(zone: Tz, day: NaiveDate) -> Option<DateTime<Utc>> {
    let mut local = day.and_time(NaiveTime::MIN);
    // Where clocks jump over midnight the day starts later; no zone jumps a whole day within one.
    for _ in 0..24 {
        match zone.from_local_datetime(&local) {
            MappedLocalTime::Single(moment) | MappedLocalTime::Ambiguous(moment, _) => {
                return Some(moment.to_utc());
            }
            MappedLocalTime::None => local = local.checked_add_signed(TimeDelta::minutes(30))?,
        }
    }
    None
}

/// The first moment after `day` in `zone`.
#[must_use]
pub fn day_end(zone: Tz, day: NaiveDate) -> Option<DateTime<Utc>> {
    day_start(zone, day.succ_opt()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_start_where_the_zone_says() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(day_start(Tz::Asia__Kolkata, day("2026-03-01")), Some(at("2026-02-28T18:30:00Z")));
        assert_eq!(day_end(Tz::Asia__Kolkata, day("2026-02-28")), Some(at("2026-02-28T18:30:00Z")));
        // Clocks jumped from 24:00 to 01:00.
        assert_eq!(day_start(Tz::America__Sao_Paulo, day("2018-11-04")), Some(at("2018-11-04T03:00:00Z")));
    }
}
