//! What a caller may ask of a list of transactions, read from the query string.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use gencharge_actors::kernel::{
    Category, Paise, PaymentMethod, PhoneNumber, Source, TxnStatus, TxnType, UserId, UserType,
};

use crate::http::days::{day_end, day_start};
use crate::http::list::Cursor;
use crate::http::params::Params;

use super::shape::TransactionRow;

/// Most rows on a page.
const MAX_SIZE: u32 = 10_000;

/// Whose transactions.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    /// Those that a customer sees: own ones, and those of others for the customer.
    Own(UserId),
    /// Everybody's.
    All,
}

/// Only rows that match all of what is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub user_id: Option<i64>,
    pub category: Option<Category>,
    pub txn_type: Option<TxnType>,
    pub service_type: Option<UserType>,
    pub source: Option<Source>,
    pub status: Option<TxnStatus>,
    pub payment_method: Option<PaymentMethod>,
    pub from_phone: Option<PhoneNumber>,
    pub from_phone_like: Option<String>,
    pub to_phone: Option<PhoneNumber>,
    pub to_phone_like: Option<String>,
    pub amount_min: Option<Paise>,
    pub amount_max: Option<Paise>,
    /// At or after.
    pub created_from: Option<DateTime<Utc>>,
    /// Before.
    pub created_to: Option<DateTime<Utc>>,
}

/// The order of a list; ties are broken by time, then by id, in the same direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// By amount; otherwise by time.
    pub by_amount: bool,
    /// Largest or newest first.
    pub descending: bool,
}

impl Order {
    /// Names the order in cursors.
    #[must_use]
    pub fn name(self) -> &'static str {
        match (self.by_amount, self.descending) {
            (false, true) => "created_at.desc",
            (false, false) => "created_at.asc",
            (true, true) => "amount.desc",
            (true, false) => "amount.asc",
        }
    }

    /// The sort keys of a row, as a cursor carries them.
    #[must_use]
    pub fn keys(self, row: &TransactionRow) -> [i64; 3] {
        let amount = if self.by_amount { row.amount.get() } else { 0 };
        [amount, row.created_at.timestamp_micros(), row.txn_id]
    }
}

/// A list as asked for.
#[derive(Clone, Debug)]
pub struct Listing {
    pub(super) scope: Scope,
    pub(super) filter: Filter,
    pub(super) order: Order,
    pub(super) page: u32,
    /// 0 is everything.
    pub(super) size: u32,
    /// Continue here instead of at a page.
    pub(super) after: Option<Cursor>,
}

impl Listing {
    /// The own list of a customer, or of a partner.
    #[must_use]
    pub fn own(params: &mut Params, zone: Tz, user: UserId) -> Self {
        let filter = Filter::read(params, zone);
        Self::read(params, Scope::Own(user), filter)
    }

    /// The administrators' list.
    #[must_use]
    pub fn all(params: &mut Params, zone: Tz) -> Self {
        let filter = Filter {
            user_id: params.id("user_id"),
            from_phone: params.phone("from_phone_number"),
            from_phone_like: params.digits("from_phone_number_like"),
            ..Filter::read(params, zone)
        };
        Self::read(params, Scope::All, filter)
    }

    fn read(params: &mut Params, scope: Scope, filter: Filter) -> Self {
        let order = Order {
            by_amount: params.choice("sort_by", &["created_at", "amount"]) == "amount",
            descending: params.choice("sort_order", &["desc", "asc"]) == "desc",
        };
        let page = params.number("page", 1, 1, u32::MAX);
        let size = params.number("size", 10, 0, MAX_SIZE);
        let after = params.cursor(order.name());
        Self { scope, filter, order, page, size, after }
    }

    /// Rows before the page.
    #[must_use]
    pub fn offset(&self) -> i64 {
        if self.after.is_some() { 0 } else { crate::http::page::Page::numbered(self.page, self.size).offset }
    }

    /// The page's number, also when it was reached by cursor.
    #[must_use]
    pub fn page_number(&self) -> u32 {
        self.after.as_ref().map_or(self.page, |cursor| cursor.page)
    }

    /// True for a customer's list without filters, newest first: the call that has to be fast.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.filter == Filter::default()
            && !self.order.by_amount
            && self.order.descending
            && self.after.is_none()
    }
}

impl Filter {
    fn read(params: &mut Params, zone: Tz) -> Self {
        Self {
            user_id: None,
            category: params.word("category"),
            txn_type: params.word("txn_type"),
            service_type: params.word("service_type"),
            source: params.word("source"),
            status: params.word("status"),
            payment_method: params.word("payment_method"),
            from_phone: None,
            from_phone_like: None,
            to_phone: params.phone("to_phone_number"),
            to_phone_like: params.digits("to_phone_number_like"),
            amount_min: params.amount("amount_min"),
            amount_max: params.amount("amount_max"),
            created_from: params.day("created_at_start").and_then(|day| day_start(zone, day)),
            created_to: params.day("created_at_end").and_then(|day| day_end(zone, day)),
        }
    }
}
