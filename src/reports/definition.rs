//! What a report is made of. Every SQL text in here is ours; what callers give is always bound.

use crate::access::Resource;

/// A report.
#[derive(Debug)]
pub struct Report {
    /// The last part of its path: `/reports/<path>`.
    pub path: &'static str,
    /// The name of a downloaded file, without its ending.
    pub file: &'static str,
    /// Who may read it.
    pub reader: Reader,
    /// What follows FROM.
    pub from: &'static str,
    /// What always holds, after WHERE. `{me}` stands for the reading customer, `{horizon}` for a time that no row is after.
    pub always: &'static str,
    /// Its columns, in order.
    pub columns: &'static [Column],
    /// What can be asked for.
    pub filters: &'static [Filter],
    /// Words of `order_by` with their SQL; the first is the default.
    pub orders: &'static [(&'static str, &'static str)],
    /// True: newest (largest) first unless the caller says otherwise.
    pub descending: bool,
    /// What tells two rows apart that the order does not.
    pub tie: &'static str,
}

/// Who may read a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Administrators who may read this.
    Administrator(Resource),
    /// The customer whose rows they are.
    Customer,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name in every format.
    pub name: &'static str,
    /// Its value.
    pub sql: &'static str,
    /// What sort of value.
    pub kind: Kind,
}

/// What sort of value a column holds, in SQL and in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number as it is.
    Number,
    /// Text of ours: a word, an id.
    Word,
    /// Text that people wrote.
    Text,
    /// A boolean.
    Flag,
    /// `timestamptz`; RFC 3339 in UTC.
    Time,
    /// A phone as E.164 digits; ten digits.
    Phone,
    /// Paise; rupees as text with two decimals.
    AmountText,
    /// Paise; rupees as a number with two decimals.
    Amount,
    /// Paise that are whole rupees; a whole number.
    Rupees,
    /// `jsonb`.
    Json,
}

impl Kind {
    /// SQL that makes text of a value.
    #[must_use]
    pub fn text_of(self, sql: &str) -> String {
        match self {
            Self::Number | Self::Word | Self::Text | Self::Json => format!("({sql})::text"),
            Self::Flag => format!("CASE WHEN {sql} THEN 'true' WHEN NOT {sql} THEN 'false' END"),
            Self::Time => {
                format!("to_char(({sql}) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            }
            Self::Phone => format!("right(({sql})::text, 10)"),
            Self::AmountText | Self::Amount => format!("round(({sql})::numeric / 100, 2)::text"),
            Self::Rupees => format!("(({sql}) / 100)::text"),
        }
    }

    /// True when the text of a value is JSON as it stands.
    #[must_use]
    pub const fn is_json(self) -> bool {
        match self {
            Self::Number | Self::Flag | Self::Amount | Self::Rupees | Self::Json => true,
            Self::Word | Self::Text | Self::Time | Self::Phone | Self::AmountText => false,
        }
    }

    /// True when a spreadsheet should take it as a number.
    #[must_use]
    pub const fn is_number(self) -> bool {
        match self {
            Self::Number | Self::Amount | Self::AmountText | Self::Rupees => true,
            Self::Word | Self::Text | Self::Flag | Self::Time | Self::Phone | Self::Json => false,
        }
    }
}

/// What a caller may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// The parameter.
    pub name: &'static str,
    /// What it looks at.
    pub sql: &'static str,
    /// How.
    pub test: Test,
}

/// How a filter looks at a value. Lists mean "one of these"; ends of ranges are included and each works alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// Whole numbers.
    Ids,
    /// Words of a vocabulary.
    Words(&'static [&'static str]),
    /// Exact texts.
    Texts,
    /// UUIDs.
    Uuids,
    /// Phone numbers.
    Phones,
    /// A text inside, whatever the case.
    Contains,
    /// True or false.
    Flag,
    /// From this time.
    From,
    /// To this time; a day means all of it.
    To,
    /// From this many rupees (the value is in paise).
    MinRupees,
    /// To this many rupees.
    MaxRupees,
    /// From this number (decimals allowed).
    Min,
    /// To this number.
    Max,
}

/// A column.
pub const fn column(name: &'static str, sql: &'static str, kind: Kind) -> Column {
    Column { name, sql, kind }
}

/// A filter.
pub const fn filter(name: &'static str, sql: &'static str, test: Test) -> Filter {
    Filter { name, sql, test }
}
