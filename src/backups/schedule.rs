//! When the daily backup is due.

use chrono::{DateTime, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

/// The first moment after `after` at which the clocks of `zone` show `at`. On a day that leaves it out: an hour later.
pub(super) fn next(after: DateTime<Utc>, at: NaiveTime, zone: Tz) -> Option<DateTime<Utc>> {
    let today = after.with_timezone(&zone).date_naive();
    [Some(today), today.succ_opt()].into_iter().flatten().find_map(|day| {
        let local = day.and_time(at);
        let moment = zone
            .from_local_datetime(&local)
            .earliest()
            .or_else(|| zone.from_local_datetime(&(local + TimeDelta::hours(1))).earliest())?
            .with_timezone(&Utc);
        (moment > after).then_some(moment)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_zone() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let two = NaiveTime::from_hms_opt(2, 0, 0).unwrap();
        let due = |after: &str, zone| next(at(after), two, zone).unwrap();
        let (india, berlin) = (chrono_tz::Asia::Kolkata, chrono_tz::Europe::Berlin);
        assert_eq!(due("2026-01-31T20:29:59Z", india), at("2026-01-31T20:30:00Z"));
        assert_eq!(due("2026-01-31T20:30:00Z", india), at("2026-02-01T20:30:00Z"));
        // 02:00 does not exist on the day that summer time begins.
        assert_eq!(due("2026-03-28T12:00:00Z", berlin), at("2026-03-29T01:00:00Z"));
        assert_eq!(due("2026-10-24T12:00:00Z", berlin), at("2026-10-25T00:00:00Z"));
    }
}
