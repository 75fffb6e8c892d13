//! Documents: JSON objects in named collections, behind one port, kept as JSONB in PostgreSQL or in MongoDB.
//!
//! A document's `_id` is 24 hex digits. Times are text in one form ([`moment`]), so that the order of the text is the
//! order of time in every store, to the microsecond.

pub mod mongo;
pub mod postgres;
pub mod upkeep;

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::future::BoxFuture;
use gencharge_actors::kernel::Random;
use serde_json::Value;

use crate::http::{Code, Problem};

/// A JSON object.
pub type Document = serde_json::Map<String, Value>;

/// A collection and what its store must know of it. Stores make collection, indexes and validator at the start; a feature
/// declares its collections as statics and `app/stores.rs` lists them.
#[derive(Debug)]
pub struct Collection {
    /// Its name in every store: lower case, underscores.
    pub name: &'static str,
    /// Fields that every document has.
    pub required: &'static [&'static str],
    /// Fields to be indexed together, in order; a `-` in front of a field: descending.
    pub indexes: &'static [&'static [&'static str]],
    /// The field whose time ends a document's life; the store deletes it soon after.
    pub expires: Option<&'static str>,
}

/// Which documents. Fields are names at the top level that hold no arrays; an absent field counts as null. Values come from
/// callers of the service: a store takes them as values, whatever stands in them.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Every document.
    Everything,
    /// The field has this value (text, number, boolean or null).
    Equal(&'static str, Value),
    /// The field has one of these values.
    OneOf(&'static str, Vec<Value>),
    /// The field is text or a number at or above the first and below the second value; an absent end is open.
    Within(&'static str, Option<Value>, Option<Value>),
    /// The field is text that contains this one, whatever the case.
    Contains(&'static str, String),
    /// All of these hold.
    All(Vec<Filter>),
    /// One of these holds.
    Any(Vec<Filter>),
}

/// One page of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Which documents.
    pub filter: Filter,
    /// Fields to sort by; a `-` in front: descending. `_id` in the last one's direction decides between equals. Null
    /// comes first, then numbers by value or text (times by time; other text in the store's own order).
    pub sort: &'static [&'static str],
    /// How many to leave out first.
    pub offset: u64,
    /// How many at most; 0: all of them, which only bounded collections may ask for.
    pub limit: u64,
}

/// The store did not do it, or its answer was lost.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is away: try again later.
    #[error("the document store is away: {0}")]
    Unavailable(String),
    /// It refused what was sent, or gave what cannot be read: a defect.
    #[error("the document store refused: {0}")]
    Refused(String),
}

/// A store of documents. Every method is one atomic step for each document; none spans several.
pub trait DocumentStore: Send + Sync {
    /// Writes documents (each with its `_id`); those whose `_id` exists stay as they are. Answers how many were new.
    fn insert<'a>(
        &'a self,
        collection: &'static Collection,
        documents: Vec<Document>,
    ) -> BoxFuture<'a, Result<u64, DocumentError>>;

    /// The documents of a page, in order.
    fn find<'a>(
        &'a self,
        collection: &'static Collection,
        search: Search,
    ) -> BoxFuture<'a, Result<Vec<Document>, DocumentError>>;

    /// How many documents there are.
    fn count<'a>(
        &'a self,
        collection: &'static Collection,
        filter: Filter,
    ) -> BoxFuture<'a, Result<u64, DocumentError>>;

    /// Sets these fields in every document of the filter. Answers how many there were.
    fn update<'a>(
        &'a self,
        collection: &'static Collection,
        filter: Filter,
        set: Document,
    ) -> BoxFuture<'a, Result<u64, DocumentError>>;

    /// Deletes every document of the filter. Answers how many there were.
    fn delete<'a>(
        &'a self,
        collection: &'static Collection,
        filter: Filter,
    ) -> BoxFuture<'a, Result<u64, DocumentError>>;

    /// Deletes documents whose life is over at `now`, `at_most` so many, and answers how many there were. A store that
    /// does it by itself has nothing to do.
    fn expire<'a>(
        &'a self,
        collection: &'static Collection,
        now: DateTime<Utc>,
        at_most: u32,
    ) -> BoxFuture<'a, Result<u64, DocumentError>>;
}

/// Defects are logged and told as such; everything else passes by itself.
impl From<DocumentError> for Problem {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Unavailable(_) => {
                tracing::warn!(%error, "documents.unavailable");
                Self::new(Code::Unavailable, "The document store is away for a moment: try again shortly")
            }
            DocumentError::Refused(_) => {
                tracing::error!(%error, "documents.error");
                Self::internal()
            }
        }
    }
}

/// A new document's `_id`: the second of `at`, then eight random bytes, so that ids grow with time.
#[must_use]
pub fn new_id(at: DateTime<Utc>, random: &dyn Random) -> String {
    let second = u32::try_from(at.timestamp()).unwrap_or(u32::MAX);
    let mut bytes = [0_u8; 8];
    random.fill(&mut bytes);
    format!("{second:08x}{:016x}", u64::from_be_bytes(bytes))
}

/// Text as the `_id` that it may be: 24 hex digits, in lower case.
#[must_use]
pub fn as_id(text: &str) -> Option<String> {
    let is_id = text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| text.to_ascii_lowercase())
}

/// A time as documents hold it: `2026-01-31T10:00:00.000000Z`.
#[must_use]
pub fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Takes the `_id` out of a document to be written.
fn take_id(document: &mut Document) -> Result<String, DocumentError> {
    let id = document.remove("_id");
    let id = id.as_ref().and_then(Value::as_str).and_then(as_id);
    id.ok_or_else(|| DocumentError::Refused("a document without an _id".to_owned()))
}

/// Names that every store takes as plain names of fields at the top level.
fn check_fields(document: &Document) -> Result<(), DocumentError> {
    let odd = |name: &&String| name.is_empty() || name.starts_with(['$', '_']) || name.contains(['.', '\0']);
    match document.keys().find(odd) {
        Some(name) => Err(DocumentError::Refused(format!("{name:?} is no name for a field"))),
        None => Ok(()),
    }
}
