//! From what a caller asked to SQL.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use gencharge_actors::kernel::{Paise, PhoneNumber, UserId};
use sqlx::types::Uuid;
use sqlx::{Postgres, QueryBuilder};

use super::definition::{Filter, Report, Test};
use crate::http::params::Params;

/// Values in one list.
const MOST_VALUES: usize = 1_000;
/// Characters of one text.
const MOST_CHARACTERS: usize = 200;

/// How the rows are to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON list in the answer.
    Json,
    /// A download for any program.
    Csv,
    /// A download for spreadsheets.
    Xlsx,
    /// A download for people.
    Pdf,
}

/// A value to look for.
#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Numbers(Vec<i64>),
    Texts(Vec<String>),
    Uuids(Vec<Uuid>),
    Inside(String),
    Flag(bool),
    NotBefore(DateTime<Utc>),
    Before(DateTime<Utc>),
    NotAfter(DateTime<Utc>),
    AtLeast(i64),
    AtMost(i64),
    /// Decimals, checked to be such: the database reads them.
    DecimalAtLeast(String),
    DecimalAtMost(String),
}

/// A report as asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    conditions: Vec<(&'static str, Wanted)>,
    order: &'static str,
    descending: bool,
    /// Rows at most; 0: all.
    pub limit: u32,
    /// Rows left out first.
    pub offset: u32,
    /// As what.
    pub format: Format,
}

/// What placeholders in a report's SQL stand for.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The reading customer.
    pub me: Option<UserId>,
    /// The time.
    pub now: DateTime<Utc>,
}

impl Asked {
    /// Reads the parameters of `report`; faults are noted in `params`.
    pub fn read(report: &Report, params: &mut Params, zone: Tz) -> Self {
        let mut conditions = Vec::new();
        for filter in report.filters {
            if let Some(wanted) = wanted(filter, params, zone) {
                conditions.push((filter.sql, wanted));
            }
        }
        let (first, words) = (report.orders.first(), report.orders.iter().map(|(word, _)| *word));
        let order = params
            .one_of("order_by", words)
            .and_then(|word| report.orders.iter().find(|(known, _)| *known == word).map(|(_, sql)| *sql));
        let descending = params.one_of("order_dir", ["asc", "desc"].into_iter()).map(|word| word == "desc");
        let format = match params.one_of("export_type", ["none", "csv", "excel", "pdf"].into_iter()) {
            Some("csv") => Format::Csv,
            Some("excel") => Format::Xlsx,
            Some("pdf") => Format::Pdf,
            _ => Format::Json,
        };
        Self {
            conditions,
            order: order.or(first.map(|(_, sql)| *sql)).unwrap_or(report.tie),
            descending: descending.unwrap_or(report.descending),
            limit: params.number("limit", 0, 0, u32::MAX),
            offset: params.number("offset", 0, 0, u32::MAX),
            format,
        }
    }

    /// The statement for the rows: each an array of texts, in the order of the columns. `most`: that many at most.
    pub fn rows(&self, report: &Report, context: Context, most: Option<u32>) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("SELECT ARRAY[");
        for (index, column) in report.columns.iter().enumerate() {
            sql.push(if index == 0 { "" } else { ", " });
            push(&mut sql, &column.kind.text_of(column.sql), context);
        }
        sql.push("]::text[]");
        self.condition(&mut sql, report, context);
        let direction = if self.descending { " DESC NULLS LAST" } else { " ASC NULLS FIRST" };
        sql.push(" ORDER BY ").push(self.order).push(direction);
        if self.order != report.tie {
            sql.push(", ").push(report.tie).push(direction);
        }
        let limit =
            if self.limit == 0 { most } else { Some(most.map_or(self.limit, |most| most.min(self.limit))) };
        if let Some(limit) = limit {
            sql.push(" LIMIT ").push_bind(i64::from(limit));
        }
        if self.offset > 0 {
            sql.push(" OFFSET ").push_bind(i64::from(self.offset));
        }
        sql
    }

    /// The statement for the number of rows, whatever the page.
    pub fn count(&self, report: &Report, context: Context) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new("SELECT count(*)");
        self.condition(&mut sql, report, context);
        sql
    }

    fn condition(&self, sql: &mut QueryBuilder<Postgres>, report: &Report, context: Context) {
        sql.push(" FROM ").push(report.from).push(" WHERE ");
        push(sql, report.always, context);
        for (value, wanted) in &self.conditions {
            sql.push(" AND ");
            push(sql, value, context);
            match wanted.clone() {
                Wanted::Numbers(numbers) => sql.push(" = ANY(").push_bind(numbers).push(")"),
                Wanted::Texts(texts) => sql.push(" = ANY(").push_bind(texts).push(")"),
                Wanted::Uuids(uuids) => sql.push(" = ANY(").push_bind(uuids).push(")"),
                Wanted::Inside(text) => sql.push(" ILIKE ").push_bind(text),
                Wanted::Flag(flag) => sql.push(" = ").push_bind(flag),
                Wanted::NotBefore(time) => sql.push(" >= ").push_bind(time),
                Wanted::Before(time) => sql.push(" < ").push_bind(time),
                Wanted::NotAfter(time) => sql.push(" <= ").push_bind(time),
                Wanted::AtLeast(number) => sql.push(" >= ").push_bind(number),
                Wanted::AtMost(number) => sql.push(" <= ").push_bind(number),
                Wanted::DecimalAtLeast(text) => sql.push(" >= ").push_bind(text).push("::numeric"),
                Wanted::DecimalAtMost(text) => sql.push(" <= ").push_bind(text).push("::numeric"),
            };
        }
    }
}

/// Adds our text, with its placeholders bound.
fn push(sql: &mut QueryBuilder<Postgres>, text: &str, context: Context) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}').unwrap_or((after, ""));
        sql.push(before);
        match name {
            "me" => sql.push_bind(context.me.map(UserId::get)),
            "now" => sql.push_bind(context.now),
            // A day more than now covers servers whose clocks differ; empty partitions of coming months stay shut.
            _ => sql.push_bind(context.now.checked_add_signed(TimeDelta::days(1)).unwrap_or(context.now)),
        };
        rest = behind;
    }
    sql.push(rest);
}

fn wanted(filter: &Filter, params: &mut Params, zone: Tz) -> Option<Wanted> {
    let name = filter.name;
    let list = |params: &mut Params, must: &str, read: &dyn Fn(&str) -> Option<String>| {
        let texts = params.every(name, MOST_VALUES);
        let read: Option<Vec<String>> = texts.iter().map(|text| read(text)).collect();
        if read.is_none() {
            params.fault(name, must.to_owned());
        }
        read.filter(|values| !values.is_empty())
    };
    match filter.test {
        Test::Ids => {
            let values = list(params, "must be whole numbers", &|text| {
                text.parse::<i64>().ok().map(|id| id.to_string())
            })?;
            Some(Wanted::Numbers(values.iter().filter_map(|text| text.parse().ok()).collect()))
        }
        Test::Phones => {
            let values = list(params, "must be phone numbers of ten digits, or with +91", &|text| {
                PhoneNumber::parse(text).ok().map(|phone| phone.e164().to_string())
            })?;
            Some(Wanted::Numbers(values.iter().filter_map(|text| text.parse().ok()).collect()))
        }
        Test::Words(words) => {
            let must = format!("must be of: {}", words.join(" "));
            list(params, &must, &|text| words.contains(&text).then(|| text.to_owned())).map(Wanted::Texts)
        }
        Test::Texts => {
            let must = format!("must have at most {MOST_CHARACTERS} characters each");
            let short = |text: &str| (text.chars().count() <= MOST_CHARACTERS).then(|| text.to_owned());
            list(params, &must, &short).map(Wanted::Texts)
        }
        Test::Uuids => {
            let values =
                list(params, "must be UUIDs", &|text| Uuid::parse_str(text).ok().map(|id| id.to_string()))?;
            Some(Wanted::Uuids(values.iter().filter_map(|text| Uuid::parse_str(text).ok()).collect()))
        }
        Test::Contains => params.short_text(name, MOST_CHARACTERS).map(|text| Wanted::Inside(inside(&text))),
        Test::Flag => params.flag(name).map(Wanted::Flag),
        Test::From => params.local_moment(name, zone).map(|moment| Wanted::NotBefore(moment.first())),
        Test::To => params.local_moment(name, zone).map(|moment| match moment.after_last() {
            Some(after) => Wanted::Before(after),
            None => Wanted::NotAfter(moment.first()),
        }),
        Test::MinRupees => params.amount(name).map(|amount| Wanted::AtLeast(Paise::get(amount))),
        Test::MaxRupees => params.amount(name).map(|amount| Wanted::AtMost(Paise::get(amount))),
        Test::Min => params.decimal(name).map(Wanted::DecimalAtLeast),
        Test::Max => params.decimal(name).map(Wanted::DecimalAtMost),
    }
}

/// A pattern that finds `text` anywhere; nothing in it is a wildcard.
fn inside(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len().saturating_add(2));
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
