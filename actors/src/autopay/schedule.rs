//! When a rule is due, told and tried: pure, in the customers' time zone.

use chrono::{DateTime, Datelike, Days, MappedLocalTime, Months, NaiveDateTime, TimeDelta, TimeZone, Utc};

use crate::kernel::AutopayRepeat;

/// A debit is told at least this long before it is made.
pub const NOTICE: TimeDelta = TimeDelta::hours(24);

/// It is told this long before the due date: an hour to spare, so that a backlog delays no debit.
pub const TELL_BEFORE: TimeDelta = TimeDelta::hours(25);

/// Pauses after the first, second and third refused try; the fourth is the last.
const PAUSES: [TimeDelta; 3] = [TimeDelta::hours(6), TimeDelta::hours(24), TimeDelta::hours(48)];

/// Tries after the first one are made from this hour of the day on ...
const FIRST_HOUR: u32 = 8;
/// ... and before this one, in the customers' time zone.
const LAST_HOUR: u32 = 20;

/// The dates of a regular rule.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    /// How they repeat.
    pub repeat: AutopayRepeat,
    /// The date as the customer set it: months are counted from it, so that the 31st comes back after a shorter month.
    pub anchor: DateTime<Utc>,
    /// The plan's validity in days; at least 1.
    pub days: u32,
}

impl Series {
    /// The first date later than both `from`, a date of the series, and `now`. `None` only at the end of the calendar.
    #[must_use]
    pub fn next<Z: TimeZone>(
        &self,
        from: DateTime<Utc>,
        now: DateTime<Utc>,
        zone: &Z,
    ) -> Option<DateTime<Utc>> {
        match self.repeat {
            AutopayRepeat::Validity => {
                let passed = passed_steps(from, now, self.step());
                from.checked_add_signed(self.step().checked_mul(passed.checked_add(1)?)?)
            }
            AutopayRepeat::Monthly => {
                let floor = from.max(now);
                let first = self.months_until(floor, zone);
                // The count may be one short or one long, as days and hours are left out of it.
                (first.saturating_sub(1)..=first.saturating_add(2))
                    .find_map(|month| self.month(month, zone).filter(|date| *date > floor))
            }
        }
    }

    /// The latest date that is not later than `now`, or `from` if there is none after it: what is charged when several
    /// dates passed at once.
    #[must_use]
    pub fn latest<Z: TimeZone>(&self, from: DateTime<Utc>, now: DateTime<Utc>, zone: &Z) -> DateTime<Utc> {
        let latest = match self.repeat {
            AutopayRepeat::Validity => {
                let passed = passed_steps(from, now, self.step());
                self.step().checked_mul(passed).and_then(|by| from.checked_add_signed(by))
            }
            AutopayRepeat::Monthly => {
                let last = self.months_until(now, zone).saturating_add(1);
                let passed = |month: &u32| self.month(*month, zone).filter(|date| *date <= now);
                (last.saturating_sub(2)..=last).rev().find_map(|month| passed(&month))
            }
        };
        latest.unwrap_or(from).max(from)
    }

    fn step(&self) -> TimeDelta {
        TimeDelta::days(i64::from(self.days.max(1)))
    }

    /// Calendar months from the anchor's to that of `moment`.
    fn months_until<Z: TimeZone>(&self, moment: DateTime<Utc>, zone: &Z) -> u32 {
        let index = |moment: DateTime<Utc>| {
            let local = moment.with_timezone(zone).naive_local();
            i64::from(local.year()).saturating_mul(12).saturating_add(i64::from(local.month0()))
        };
        u32::try_from(index(moment).saturating_sub(index(self.anchor))).unwrap_or(0)
    }

    /// The anchor's day and time, `months` later; the last day of a month that is too short.
    fn month<Z: TimeZone>(&self, months: u32, zone: &Z) -> Option<DateTime<Utc>> {
        let local = self.anchor.with_timezone(zone).naive_local();
        moment(local.checked_add_months(Months::new(months))?, zone)
    }
}

/// Whole steps from `from` to `now`; none when `now` is not later.
fn passed_steps(from: DateTime<Utc>, now: DateTime<Utc>, step: TimeDelta) -> i32 {
    let passed = now.signed_duration_since(from).num_seconds().div_euclid(step.num_seconds().max(1));
    i32::try_from(passed.max(0)).unwrap_or(i32::MAX)
}

/// A local time as a moment. Where clocks jump over it, it comes when they have.
pub fn moment<Z: TimeZone>(local: NaiveDateTime, zone: &Z) -> Option<DateTime<Utc>> {
    let mut local = local;
    for _ in 0..48 {
        match zone.from_local_datetime(&local) {
            MappedLocalTime::Single(moment) | MappedLocalTime::Ambiguous(moment, _) => {
                return Some(moment.to_utc());
            }
            MappedLocalTime::None => local = local.checked_add_signed(TimeDelta::minutes(30))?,
        }
    }
    None
}

/// When a date is told to the customer.
#[must_use]
pub fn tell_at(due: DateTime<Utc>) -> DateTime<Utc> {
    due.checked_sub_signed(TELL_BEFORE).unwrap_or(due)
}

/// When a date told at `told` is charged: on the date, and at least [`NOTICE`] after it was told. Only the date that the
/// customer set oneself, less than that before it (`set_at`), needs no other notice than the customer's own word.
#[must_use]
pub fn charge_at(
    due: DateTime<Utc>,
    told: DateTime<Utc>,
    (anchor, set_at): (DateTime<Utc>, DateTime<Utc>),
) -> DateTime<Utc> {
    let own_word = due == anchor && due.signed_duration_since(set_at) < NOTICE;
    if own_word { due } else { told.checked_add_signed(NOTICE).unwrap_or(told).max(due) }
}

/// When to try again after `tries` refused tries, the last at `now`: later each time, by day, and before the rule's own
/// next date. `None`: not at all.
#[must_use]
pub fn retry_at<Z: TimeZone>(
    tries: u32,
    now: DateTime<Utc>,
    next_due: Option<DateTime<Utc>>,
    zone: &Z,
) -> Option<DateTime<Utc>> {
    let index = usize::try_from(tries.checked_sub(1)?).ok()?;
    let at = by_day(now.checked_add_signed(*PAUSES.get(index)?)?, zone)?;
    next_due.is_none_or(|next| at < next).then_some(at)
}

/// `at`, or the next morning when it is night.
fn by_day<Z: TimeZone>(at: DateTime<Utc>, zone: &Z) -> Option<DateTime<Utc>> {
    use chrono::Timelike as _;
    let local = at.with_timezone(zone).naive_local();
    let day = match local.hour() {
        hour if hour < FIRST_HOUR => local.date(),
        hour if hour >= LAST_HOUR => local.date().checked_add_days(Days::new(1))?,
        _ => return Some(at),
    };
    moment(day.and_hms_opt(FIRST_HOUR, 0, 0)?, zone)
}
