//! What a caller may ask of a list of plans on numbers.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use gencharge_actors::kernel::{PhoneNumber, SubscriptionStatus, UserId};

use crate::http::days::{day_end, day_start};
use crate::http::list::Cursor;
use crate::http::page::Page;
use crate::http::params::Params;

/// Most rows on a page.
const MAX_SIZE: u32 = 500;
/// Longest validity that can be asked for, in days.
const MAX_DAYS: u32 = 36_500;

/// A list as asked for.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Only this customer's plans on this number.
    pub owner: Option<(UserId, PhoneNumber)>,
    /// Only rows that match.
    pub filter: Filter,
    /// By end; otherwise by start.
    pub by_end: bool,
    /// Latest first.
    pub descending: bool,
    /// 0 and 1 are the first.
    pub page: u32,
    /// 0 is everything.
    pub size: u32,
    /// Continue here instead of at a page.
    pub after: Option<Cursor>,
}

/// Only rows that match all of what is given.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub phone: Option<PhoneNumber>,
    pub phone_like: Option<String>,
    pub plan_id: Option<i64>,
    pub status: Option<SubscriptionStatus>,
    /// Starts at or after.
    pub starts_from: Option<DateTime<Utc>>,
    /// Starts before.
    pub starts_to: Option<DateTime<Utc>>,
    /// Ends at or after.
    pub ends_from: Option<DateTime<Utc>>,
    /// Ends before.
    pub ends_to: Option<DateTime<Utc>>,
    /// At least so many days long.
    pub days_min: Option<i32>,
    /// At most so many days long.
    pub days_max: Option<i32>,
}

impl Listing {
    /// A customer's plans on the own number.
    #[must_use]
    pub fn own(params: &mut Params, zone: Tz, user: UserId, phone: PhoneNumber) -> Self {
        let filter = Filter::read(params, zone);
        Self::read(params, Some((user, phone)), filter)
    }

    /// Everybody's.
    #[must_use]
    pub fn all(params: &mut Params, zone: Tz) -> Self {
        let filter = Filter {
            phone: params.phone("phone_number"),
            phone_like: params.digits("phone_number_like"),
            ..Filter::read(params, zone)
        };
        Self::read(params, None, filter)
    }

    fn read(params: &mut Params, owner: Option<(UserId, PhoneNumber)>, filter: Filter) -> Self {
        let by_end = params.choice("sort_by", &["valid_from", "valid_to"]) == "valid_to";
        let descending = params.choice("sort_order", &["desc", "asc"]) == "desc";
        let page = params.number("page", 0, 0, u32::MAX);
        let size = params.number("size", 0, 0, MAX_SIZE);
        let mut listing = Self { owner, filter, by_end, descending, page, size, after: None };
        listing.after = params.cursor(listing.order_name());
        listing
    }

    /// Names the order in cursors.
    #[must_use]
    pub fn order_name(&self) -> &'static str {
        match (self.by_end, self.descending) {
            (false, true) => "valid_from.desc",
            (false, false) => "valid_from.asc",
            (true, true) => "valid_to.desc",
            (true, false) => "valid_to.asc",
        }
    }

    /// Rows before the page.
    #[must_use]
    pub fn offset(&self) -> i64 {
        if self.after.is_some() { 0 } else { Page::numbered(self.page, self.size).offset }
    }

    /// The page's number, also when it was reached by cursor.
    #[must_use]
    pub fn page_number(&self) -> u32 {
        self.after.as_ref().map_or(self.page.max(1), |cursor| cursor.page)
    }
}

impl Filter {
    fn read(params: &mut Params, zone: Tz) -> Self {
        let mut start = |name: &str| params.day(name).and_then(|day| day_start(zone, day));
        let (starts_from, ends_from) = (start("valid_from_start"), start("valid_to_start"));
        let mut end = |name: &str| params.day(name).and_then(|day| day_end(zone, day));
        let (starts_to, ends_to) = (end("valid_from_end"), end("valid_to_end"));
        let mut days = |name: &str| {
            params.text(name)?;
            i32::try_from(params.number(name, 0, 0, MAX_DAYS)).ok()
        };
        let (days_min, days_max) = (days("validity_days_min"), days("validity_days_max"));
        Self {
            phone: None,
            phone_like: None,
            plan_id: params.id("plan_id"),
            status: params.word("status"),
            starts_from,
            starts_to,
            ends_from,
            ends_to,
            days_min,
            days_max,
        }
    }
}
