//! Dates over the calendar, and what follows from answers.

use chrono::{DateTime, Datelike, FixedOffset, TimeDelta, Timelike, Utc};
use proptest::prelude::*;

use super::settle::is_lost;
use super::*;
use crate::kernel::Reason;
use crate::kernel::{AutopayId, AutopayRepeat, Paise, TxnId};

fn kolkata() -> FixedOffset {
    FixedOffset::east_opt(19_800).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// 09:30 in Kolkata on a day.
fn morning(day: &str) -> DateTime<Utc> {
    at(&format!("{day}T04:00:00Z"))
}

fn series(repeat: AutopayRepeat, anchor: DateTime<Utc>, days: u32) -> Series {
    Series { repeat, anchor, days }
}

#[test]
fn a_rule_of_the_31st_stays_on_the_31st() {
    let monthly = series(AutopayRepeat::Monthly, morning("2027-12-31"), 28);
    let mut due = monthly.anchor;
    let dates = ["2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30", "2028-05-31", "2028-06-30"];
    for date in dates {
        due = monthly.next(due, due, &kolkata()).unwrap();
        assert_eq!(due, morning(date));
    }
    // No leap year: the 28th, and then the 31st again.
    let monthly = series(AutopayRepeat::Monthly, morning("2027-01-31"), 28);
    assert_eq!(
        monthly.next(morning("2027-01-31"), morning("2027-01-31"), &kolkata()),
        Some(morning("2027-02-28"))
    );
    assert_eq!(
        monthly.next(morning("2027-02-28"), morning("2027-02-28"), &kolkata()),
        Some(morning("2027-03-31"))
    );
}

#[test]
fn the_day_is_the_customers_not_utcs() {
    // 1 March 00:30 in Kolkata is still February in UTC.
    let anchor = at("2027-02-28T19:00:00Z");
    let monthly = series(AutopayRepeat::Monthly, anchor, 28);
    assert_eq!(monthly.next(anchor, anchor, &kolkata()), Some(at("2027-03-31T19:00:00Z")));
    assert_eq!(monthly.next(anchor, anchor, &Utc), Some(at("2027-03-28T19:00:00Z")));
}

#[test]
fn dates_that_passed_while_nothing_ran_are_one_charge() {
    let daily = series(AutopayRepeat::Validity, morning("2028-02-27"), 1);
    let now = at("2028-03-01T12:00:00Z");
    assert_eq!(daily.latest(morning("2028-02-27"), now, &kolkata()), morning("2028-03-01"));
    assert_eq!(daily.next(morning("2028-02-27"), now, &kolkata()), Some(morning("2028-03-02")));
    // One that is not due yet stays where it is.
    let later = morning("2028-03-05");
    assert_eq!(daily.latest(later, now, &kolkata()), later);
    let monthly = series(AutopayRepeat::Monthly, morning("2027-10-31"), 28);
    assert_eq!(monthly.latest(morning("2027-10-31"), now, &kolkata()), morning("2028-02-29"));
    assert_eq!(monthly.latest(later, now, &kolkata()), later);
}

#[test]
fn a_debit_is_told_a_day_before_unless_the_customer_has_just_asked_for_it() {
    let (due, long_ago) = (morning("2027-05-10"), morning("2027-05-01"));
    let told = |hours: i64| due - TimeDelta::hours(hours);
    assert_eq!(charge_at(due, told(25), (due, long_ago)), due);
    assert_eq!(charge_at(due, told(3), (due, long_ago)), due + TimeDelta::hours(21));
    assert_eq!(charge_at(due, due + TimeDelta::days(3), (due, long_ago)), due + TimeDelta::days(4));
    // Set two hours before: that date needs no other word, the next one does.
    assert_eq!(charge_at(due, told(2), (due, told(2))), due);
    let next = due + TimeDelta::days(1);
    assert_eq!(charge_at(next, due, (due, told(2))), next);
    assert_eq!(charge_at(next, due + TimeDelta::hours(1), (due, told(2))), next + TimeDelta::hours(1));
}

#[test]
fn tries_come_later_each_time_by_day_and_end() {
    let mut now = at("2027-05-10T16:00:00Z");
    let mut tries = 0;
    let mut made = Vec::new();
    while let Some(next) = retry_at(tries + 1, now, None, &kolkata()) {
        tries += 1;
        let hour = next.with_timezone(&kolkata()).hour();
        assert!((8..20).contains(&hour), "{next}");
        made.push(next);
        now = next;
    }
    // 21:30 there, and six hours on is night: the morning after.
    assert_eq!(made, [at("2027-05-11T02:30:00Z"), at("2027-05-12T02:30:00Z"), at("2027-05-14T02:30:00Z")]);
    let (due, next) = (morning("2027-05-10"), morning("2027-05-11"));
    assert_eq!(retry_at(1, due, Some(next), &kolkata()), Some(at("2027-05-10T10:00:00Z")));
    assert_eq!(retry_at(2, at("2027-05-10T10:00:00Z"), Some(next), &kolkata()), None);
}

fn tried(outcome: Outcome, asked_before: bool) -> Try {
    Try { rule: AutopayId(1), due: morning("2027-05-10"), claim: 1, asked_before, outcome }
}

#[test]
fn only_an_answer_makes_certain() {
    let now = morning("2027-05-10");
    let what = |outcome, asked_before| verdict(&tried(outcome, asked_before), 0, None, now, &kolkata());
    let paid = Outcome::Charged { txn: TxnId(7), amount: Paise::new(100) };
    assert_eq!(what(paid, true), Verdict::Charged { next: None });
    let certain = |verdict| match verdict {
        Verdict::Again { certain, refused, .. } => {
            assert!(!refused);
            certain
        }
        other => panic!("{other:?}"),
    };
    assert!(certain(what(Outcome::NotTaken, false)));
    // This one was not taken; the one before may have been.
    assert!(!certain(what(Outcome::NotTaken, true)));
    assert!(!certain(what(Outcome::Unknown, false)));
    assert_eq!(what(Outcome::Lost, true), Verdict::Over);
    assert!(!is_lost(Some(now - TimeDelta::days(24)), now) && is_lost(Some(now - TimeDelta::days(26)), now));
}

#[test]
fn a_kept_rejection_needs_a_new_key_and_any_other_keeps_its_key() {
    let now = morning("2027-05-10");
    let refused =
        |reason, kept| verdict(&tried(Outcome::Rejected { reason, kept }, false), 0, None, now, &kolkata());
    let again = Verdict::Again { at: now, refused: false, new_key: true, certain: true };
    assert_eq!(refused(Reason::InsufficientFunds, true), again);
    match refused(Reason::InsufficientFunds, false) {
        Verdict::Again { at, refused: true, new_key: false, certain: true } => assert!(at > now),
        other => panic!("{other:?}"),
    }
    assert_eq!(refused(Reason::PlanUnavailable, false), Verdict::Over);
    let funds = Outcome::Rejected { reason: Reason::InsufficientFunds, kept: false };
    assert_eq!(verdict(&tried(funds, false), 3, None, now, &kolkata()), Verdict::Over);
    assert_ne!(charge_key(AutopayId(1), now, 0), charge_key(AutopayId(1), now, 1));
    assert_ne!(charge_key(AutopayId(1), now, 0), charge_key(AutopayId(11), now, 0));
}

fn any_series() -> impl Strategy<Value = (Series, FixedOffset)> {
    let start = at("2024-01-01T00:00:00Z").timestamp();
    let anchor = (0..3_000_i64 * 86_400)
        .prop_map(move |seconds| DateTime::from_timestamp(start + seconds, 0).unwrap());
    let repeat = prop_oneof![Just(AutopayRepeat::Validity), Just(AutopayRepeat::Monthly)];
    let zone = (-48..=56_i32).prop_map(|quarters| FixedOffset::east_opt(quarters * 900).unwrap());
    (repeat, anchor, 1..400_u32, zone)
        .prop_map(|(repeat, anchor, days, zone)| (Series { repeat, anchor, days }, zone))
}

proptest! {
    /// Wherever the clock stands, there is a next date, it is in the future, and no date of the series is left out
    /// between the latest that passed and it.
    #[test]
    fn the_next_date_follows_the_latest((series, zone) in any_series(), ahead in 0..2_000_i64, seconds in 0..86_400_i64) {
        let now = series.anchor + TimeDelta::days(ahead) + TimeDelta::seconds(seconds);
        let next = series.next(series.anchor, now, &zone).unwrap();
        let latest = series.latest(series.anchor, now, &zone);
        prop_assert!(latest <= now && now < next);
        prop_assert_eq!(series.next(latest, latest, &zone), Some(next));
        prop_assert_eq!(series.latest(latest, now, &zone), latest);
    }

    /// Walked one by one or reached in one step after downtime, the dates are the same.
    #[test]
    fn downtime_does_not_move_the_dates((series, zone) in any_series(), steps in 1..40_usize) {
        let mut due = series.anchor;
        for _ in 0..steps {
            let next = series.next(due, due, &zone).unwrap();
            prop_assert!(next > due);
            due = next;
        }
        prop_assert_eq!(series.latest(series.anchor, due, &zone), due);
        prop_assert_eq!(series.next(series.anchor, due - TimeDelta::seconds(1), &zone), Some(due));
    }

    /// A monthly rule is on its day, or on the last one of a month that is too short; at its hour.
    #[test]
    fn months_keep_their_day((series, zone) in any_series(), ahead in 0..2_000_i64) {
        let monthly = Series { repeat: AutopayRepeat::Monthly, ..series };
        let next = monthly.next(monthly.anchor, monthly.anchor + TimeDelta::days(ahead), &zone).unwrap();
        let (wanted, local) = (monthly.anchor.with_timezone(&zone), next.with_timezone(&zone));
        let last_of_month = (local + TimeDelta::days(1)).month() != local.month();
        prop_assert!(local.day() == wanted.day() || (local.day() < wanted.day() && last_of_month));
        prop_assert_eq!(local.time(), wanted.time());
    }

    /// However late the notice, the debit is at least a day behind it and never before its date.
    #[test]
    fn no_debit_without_a_day_of_notice((series, zone) in any_series(), late in -100..200_i64) {
        let due = series.next(series.anchor, series.anchor, &zone).unwrap();
        let told = due + TimeDelta::hours(late);
        let charge = charge_at(due, told, (series.anchor, series.anchor - TimeDelta::days(30)));
        prop_assert!(charge >= due && charge - told >= NOTICE);
    }
}
