//! The lists' parameters, and their filtering, order and paging in memory. The catalogue is small: the wallets hold all of
//! it too.

use std::cmp::Ordering;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{CatalogueStatus, UserType};

use super::shape::{OfferRow, PlanRow};
use super::store::Named;
use crate::http::page::Page;
use crate::http::params::Params;
use crate::http::{Code, Problem};

const PLAN_ORDERS: &[&str] =
    &["plan_id", "plan_name", "validity", "created_at", "price", "most_popular", "plan_type"];
const OFFER_ORDERS: &[&str] = &["offer_id", "offer_name", "offer_validity", "created_at", "is_special"];
const MAX_SEARCH: usize = 100;
/// The largest page.
const MAX_LIMIT: u32 = 100;

/// Whose list it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// Shoppers': what can be bought or used now, searched by name.
    Public,
    /// Administrators': everything, searched by name and description.
    All,
}

/// What all lists have: search text, state, page and order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Common {
    view: View,
    search: Option<String>,
    status: Option<CatalogueStatus>,
    page: u32,
    limit: u32,
    order: &'static str,
    descending: bool,
}

impl Common {
    fn read(
        params: &mut Params,
        view: View,
        orders: &'static [&'static str],
        directions: &'static [&'static str],
    ) -> Self {
        Self {
            view,
            search: params.short_text("search", MAX_SEARCH).map(|text| text.to_lowercase()),
            status: params.word("status"),
            page: params.number("page", 0, 0, u32::MAX).max(1),
            limit: params.number("limit", 0, 0, MAX_LIMIT),
            order: params.choice("order_by", orders),
            descending: params.choice("order_dir", directions) == "desc",
        }
    }

    fn finds(&self, name: &str, description: Option<&str>, status: &str) -> bool {
        let contains =
            |text: &str| self.search.as_ref().is_none_or(|wanted| text.to_lowercase().contains(wanted));
        self.status.is_none_or(|wanted| wanted.as_str() == status)
            && (contains(name) || (self.view == View::All && description.is_some_and(contains)))
    }

    /// The parameters in one spelling, without the page.
    fn canonical(&self) -> String {
        let mut text = String::new();
        if let Some(search) = &self.search {
            push(&mut text, "search", search);
        }
        if let Some(status) = self.status {
            push(&mut text, "status", status.as_str());
        }
        push(&mut text, "order_by", self.order);
        push(&mut text, "order_dir", if self.descending { "desc" } else { "asc" });
        text
    }

    fn paged<'a, T>(&self, rows: &[&'a T]) -> Vec<&'a T> {
        let page = Page::numbered(self.page, self.limit);
        let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
        let take = page.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        rows.iter().skip(skip).take(take).copied().collect()
    }

    fn direct(&self, ordering: Ordering) -> Ordering {
        if self.descending { ordering.reverse() } else { ordering }
    }
}

fn push(text: &mut String, name: &str, value: &str) {
    if !text.is_empty() {
        text.push('&');
    }
    text.push_str(name);
    text.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

/// Ends the reading. An order that a list does not have is told apart from other faults, as clients expect.
fn done(params: Params) -> Result<(), Problem> {
    params.done().map_err(|problem| {
        let order = problem.errors.iter().all(|error| error.field == "order_by");
        if order { Problem { code: Code::InvalidOrder, ..problem } } else { problem }
    })
}

/// Missing values come last in both directions.
fn last<T: Ord>(left: Option<T>, right: Option<T>, direct: impl Fn(Ordering) -> Ordering) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => direct(left.cmp(&right)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

/// The rows of one page, and how many there are on all.
pub(super) struct Found<'a, T> {
    pub rows: Vec<&'a T>,
    pub total: usize,
}

/// A request for a list in its one canonical form.
pub(super) trait ListQuery: Sized {
    /// What it lists.
    type Row: Clone;

    /// Reads it from the query string.
    fn read(params: Params, view: View) -> Result<Self, Problem>;

    /// The parameters in one spelling, without page and limit.
    fn filters(&self) -> String;

    /// The page (from 1) and its size (0: everything).
    fn place(&self) -> (u32, u32);

    /// The matching rows of `rows` at `now`.
    fn find<'a>(&self, rows: &'a [Self::Row], now: DateTime<Utc>) -> Found<'a, Self::Row>;

    /// When the answer given at `now` may change by the passing of time alone.
    fn changes_at(rows: &[Self::Row], now: DateTime<Utc>) -> Option<DateTime<Utc>>;

    /// The parameters in one spelling: equal requests have equal texts.
    fn canonical(&self) -> String {
        let (page, limit) = self.place();
        // Without a limit there is one page, whatever its number.
        let page = if limit == 0 { 1 } else { page };
        format!("{}&page={page}&limit={limit}", self.filters())
    }

    /// RFC 8288 links to the pages around, relative to the list's own path.
    fn links(&self, total: usize) -> Option<String> {
        let (page, limit) = self.place();
        let total = u32::try_from(total).unwrap_or(u32::MAX);
        if limit == 0 {
            return None;
        }
        let pages = total.div_ceil(limit).max(1);
        let filters = self.filters();
        let mut links = Vec::new();
        let mut link = |page: u32, relation: &str| {
            links.push(format!("<?{filters}&page={page}&limit={limit}>; rel=\"{relation}\""));
        };
        link(1, "first");
        if page > 1 {
            link(page.saturating_sub(1).min(pages), "prev");
        }
        if page < pages {
            link(page.saturating_add(1), "next");
        }
        link(pages, "last");
        Some(links.join(", "))
    }
}

/// A request for plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlanQuery {
    common: Common,
    plan_type: Option<UserType>,
}

impl ListQuery for PlanQuery {
    type Row = PlanRow;

    fn read(mut params: Params, view: View) -> Result<Self, Problem> {
        let common = Common::read(&mut params, view, PLAN_ORDERS, &["asc", "desc"]);
        let query = Self { common, plan_type: params.word("type") };
        done(params)?;
        Ok(query)
    }

    fn filters(&self) -> String {
        let mut text = self.common.canonical();
        if let Some(plan_type) = self.plan_type {
            push(&mut text, "type", plan_type.as_str());
        }
        text
    }

    fn place(&self) -> (u32, u32) {
        (self.common.page, self.common.limit)
    }

    fn find<'a>(&self, rows: &'a [PlanRow], _: DateTime<Utc>) -> Found<'a, PlanRow> {
        let common = &self.common;
        let mut rows: Vec<_> = rows
            .iter()
            .filter(|row| {
                self.plan_type.is_none_or(|kind| kind.as_str() == row.plan_type)
                    && common.finds(&row.plan_name, row.description.as_deref(), &row.status)
            })
            .collect();
        let direct = |ordering| common.direct(ordering);
        rows.sort_by(|left, right| {
            let ordering = match common.order {
                "plan_name" => direct(left.plan_name.cmp(&right.plan_name)),
                "validity" => last(left.validity, right.validity, direct),
                "created_at" => direct(left.created_at.cmp(&right.created_at)),
                "price" => direct(left.price.cmp(&right.price)),
                "most_popular" => direct(left.most_popular.cmp(&right.most_popular)),
                "plan_type" => direct(left.plan_type.cmp(&right.plan_type)),
                _ => Ordering::Equal,
            };
            ordering.then_with(|| direct(left.plan_id.cmp(&right.plan_id)))
        });
        Found { total: rows.len(), rows: common.paged(&rows) }
    }

    fn changes_at(_: &[PlanRow], _: DateTime<Utc>) -> Option<DateTime<Utc>> {
        None
    }
}

/// A request for offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OfferQuery {
    common: Common,
    offer_type_id: Option<i64>,
    is_special: Option<bool>,
}

impl ListQuery for OfferQuery {
    type Row = OfferRow;

    fn read(mut params: Params, view: View) -> Result<Self, Problem> {
        let common = Common::read(&mut params, view, OFFER_ORDERS, &["desc", "asc"]);
        let query =
            Self { common, offer_type_id: params.id("offer_type_id"), is_special: params.flag("is_special") };
        done(params)?;
        Ok(query)
    }

    fn filters(&self) -> String {
        let mut text = self.common.canonical();
        if let Some(offer_type_id) = self.offer_type_id {
            push(&mut text, "offer_type_id", &offer_type_id.to_string());
        }
        if let Some(is_special) = self.is_special {
            push(&mut text, "is_special", if is_special { "true" } else { "false" });
        }
        text
    }

    fn place(&self) -> (u32, u32) {
        (self.common.page, self.common.limit)
    }

    fn find<'a>(&self, rows: &'a [OfferRow], now: DateTime<Utc>) -> Found<'a, OfferRow> {
        let common = &self.common;
        let mut rows: Vec<_> = rows
            .iter()
            .filter(|row| {
                (common.view == View::All || row.expiry().is_none_or(|expiry| now < expiry))
                    && self.offer_type_id.is_none_or(|id| row.offer_type_id == Some(id))
                    && self.is_special.is_none_or(|special| row.is_special == special)
                    && common.finds(&row.offer_name, row.description.as_deref(), &row.status)
            })
            .collect();
        let direct = |ordering| common.direct(ordering);
        rows.sort_by(|left, right| {
            let ordering = match common.order {
                "offer_name" => direct(left.offer_name.cmp(&right.offer_name)),
                "offer_validity" => last(left.offer_validity, right.offer_validity, direct),
                "created_at" => direct(left.created_at.cmp(&right.created_at)),
                "is_special" => direct(left.is_special.cmp(&right.is_special)),
                _ => Ordering::Equal,
            };
            ordering.then_with(|| direct(left.offer_id.cmp(&right.offer_id)))
        });
        Found { total: rows.len(), rows: common.paged(&rows) }
    }

    fn changes_at(rows: &[OfferRow], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        rows.iter().filter_map(OfferRow::expiry).filter(|expiry| *expiry > now).min()
    }
}

/// A request for plan groups or offer types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NameQuery {
    search: Option<String>,
    by_name: bool,
    descending: bool,
    limit: u32,
    offset: u32,
}

impl NameQuery {
    /// Reads it; `orders` are the words for the order by id and by name.
    pub(super) fn read(mut params: Params, orders: &'static [&'static str; 2]) -> Result<Self, Problem> {
        let [_, by_name] = orders;
        let query = Self {
            search: params.short_text("search", MAX_SEARCH).map(|text| text.to_lowercase()),
            by_name: params.choice("order_by", orders) == *by_name,
            descending: params.choice("order_dir", &["asc", "desc"]) == "desc",
            limit: params.number("limit", 0, 0, MAX_LIMIT),
            offset: params.number("offset", 0, 0, u32::MAX),
        };
        done(params)?;
        Ok(query)
    }

    /// The names of the page, and how many there are on all.
    pub(super) fn find(&self, mut names: Vec<Named>) -> (Vec<Named>, usize) {
        names.retain(|it| self.search.as_ref().is_none_or(|text| it.name.to_lowercase().contains(text)));
        names.sort_by(|left, right| {
            let by_name = if self.by_name { left.name.cmp(&right.name) } else { Ordering::Equal };
            let ordering = by_name.then_with(|| left.id.cmp(&right.id));
            if self.descending { ordering.reverse() } else { ordering }
        });
        let total = names.len();
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let take = if self.limit == 0 { usize::MAX } else { count(self.limit) };
        (names.into_iter().skip(count(self.offset)).take(take).collect(), total)
    }
}
