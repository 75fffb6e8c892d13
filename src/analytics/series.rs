//! Counts and amounts by day, and what is read from them: windows, trends and growth. Pure.

use std::collections::BTreeMap;

use super::figures::{Json, hundredths, json, list, object, ratio, rupees};
use chrono::{Datelike as _, Days, Months, NaiveDate};

/// Periods with their lengths in days; each ends with yesterday.
pub const PERIODS: [(&str, u64); 6] = [
    ("yesterday", 1),
    ("last_week", 7),
    ("last_30_days", 30),
    ("last_3_months", 90),
    ("last_6_months", 183),
    ("last_year", 365),
];

/// A count and an amount in paise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub count: i64,
    /// How much.
    pub amount: i64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.amount = self.amount.saturating_add(other.amount);
    }
}

/// What to show of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The count.
    Count,
    /// The count, and `total_amount` in rupees.
    CountAndAmount,
}

/// Sums by day, as seen on one day.
#[derive(Clone, Debug)]
pub struct Series {
    today: NaiveDate,
    days: BTreeMap<NaiveDate, Sum>,
}

impl Series {
    /// Of these days, seen on `today`; a day may come several times.
    pub fn new(today: NaiveDate, days: impl IntoIterator<Item = (NaiveDate, Sum)>) -> Self {
        let mut all: BTreeMap<NaiveDate, Sum> = BTreeMap::new();
        for (day, sum) in days {
            all.entry(day).or_default().add(sum);
        }
        Self { today, days: all }
    }

    fn back(&self, days: u64) -> NaiveDate {
        self.today.checked_sub_days(Days::new(days)).unwrap_or(NaiveDate::MIN)
    }

    fn between(&self, from: NaiveDate, to: NaiveDate) -> Sum {
        let mut sum = Sum::default();
        if from < to {
            self.days.range(from..to).for_each(|(_, day)| sum.add(*day));
        }
        sum
    }

    /// The `length` days that end with the day before `before` days ago (0: with yesterday).
    #[must_use]
    pub fn window(&self, length: u64, before: u64) -> Sum {
        self.between(self.back(before.saturating_add(length)), self.back(before))
    }

    /// `{"<period>": {"period_label", "count"[, "total_amount"]}}` for each of `periods`.
    #[must_use]
    pub fn periods(&self, periods: &[(&'static str, u64)], shown: Shown) -> Json {
        object(periods.iter().map(|(label, days)| {
            (*label, point(("period_label", json(label)), self.window(*days, 0), shown))
        }))
    }

    /// A point for each of the last `days` days, zeros too.
    #[must_use]
    pub fn days(&self, days: u64, shown: Shown) -> Json {
        list((1..=days).rev().map(|back| {
            let day = self.back(back);
            point(("date", json(&day)), self.days.get(&day).copied().unwrap_or_default(), shown)
        }))
    }

    /// A point for each of the last `months` months, this one included up to yesterday, zeros too; its first day stands
    /// under `label`.
    #[must_use]
    pub fn months(&self, months: u32, shown: Shown, label: &'static str) -> Json {
        let this = self.today.with_day(1).unwrap_or(self.today);
        list((0..months).rev().map(|back| {
            let first = this.checked_sub_months(Months::new(back)).unwrap_or(this);
            let next = first.checked_add_months(Months::new(1)).unwrap_or(first);
            point((label, json(&first)), self.between(first, next.min(self.today)), shown)
        }))
    }

    /// `last_7_days` and `last_30_days`.
    #[must_use]
    pub fn trends(&self, shown: Shown) -> Json {
        object([("last_7_days", self.days(7, shown)), ("last_30_days", self.days(30, shown))])
    }

    /// `last_6_months` and `last_1_year`.
    #[must_use]
    pub fn monthly_trends(&self, shown: Shown) -> Json {
        let months = |count| self.months(count, shown, "month");
        object([("last_6_months", months(6)), ("last_1_year", months(12))])
    }

    /// The last `days` days against as many before, in percent with two decimals: 0 when both are empty, 100 when only the
    /// earlier is.
    #[must_use]
    pub fn growth(&self, days: u64) -> Json {
        let (later, earlier) = (self.window(days, 0).count, self.window(days, days).count);
        match (earlier, later) {
            (0, 0) => hundredths(0),
            (0, _) => hundredths(10_000),
            _ => ratio(i128::from(later).saturating_sub(earlier.into()), 100, earlier.into()),
        }
    }

    /// Week over week and month over month.
    #[must_use]
    pub fn growth_rates(&self) -> Json {
        object([("week_over_week_pct", self.growth(7)), ("month_over_month_pct", self.growth(30))])
    }
}

fn point(label: (&'static str, Json), sum: Sum, shown: Shown) -> Json {
    let amount = (shown == Shown::CountAndAmount).then(|| ("total_amount", rupees(sum.amount)));
    object([label, ("count", json(&sum.count))].into_iter().chain(amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn series(days: &[(&str, i64)]) -> Series {
        let days = days.iter().map(|(text, count)| (day(text), Sum { count: *count, amount: count * 1_050 }));
        Series::new(day("2026-03-01"), days)
    }

    #[test]
    fn windows_end_with_yesterday_and_lie_side_by_side() {
        let series = series(&[
            ("2026-03-01", 100),
            ("2026-02-28", 1),
            ("2026-02-22", 2),
            ("2026-02-21", 4),
            ("2026-02-15", 8),
            ("2026-02-14", 16),
        ]);
        assert_eq!(series.window(1, 0).count, 1);
        assert_eq!(series.window(7, 0).count, 3);
        assert_eq!(series.window(7, 7).count, 12);
        assert_eq!(series.growth(7).get(), "-75.00");
        let week = series.periods(&[("last_week", 7)], Shown::CountAndAmount);
        let expected = r#"{"last_week":{"period_label":"last_week","count":3,"total_amount":31.50}}"#;
        assert_eq!(week.get(), expected);
    }

    #[test]
    fn trends_show_empty_days_and_months() {
        let series = series(&[("2026-02-28", 1), ("2025-12-31", 5), ("2026-03-01", 9)]);
        let points = |json: Json| serde_json::from_str::<Vec<serde_json::Value>>(json.get()).unwrap();
        let days = points(series.days(7, Shown::Count));
        assert_eq!(days.len(), 7);
        assert_eq!((&days[0]["date"], &days[0]["count"]), (&"2026-02-22".into(), &0.into()));
        assert_eq!((&days[6]["date"], &days[6]["count"]), (&"2026-02-28".into(), &1.into()));
        let months = points(series.months(6, Shown::Count, "month"));
        let counts: Vec<_> = months.iter().map(|month| month["count"].as_i64().unwrap()).collect();
        assert_eq!(counts, [0, 0, 5, 0, 1, 0], "today is not counted");
        assert_eq!(months[5]["month"], "2026-03-01");
    }

    #[test]
    fn growth_from_nothing() {
        assert_eq!(series(&[]).growth(7).get(), "0.00");
        assert_eq!(series(&[("2026-02-28", 3)]).growth(7).get(), "100.00");
    }
}
