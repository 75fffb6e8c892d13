//! Documents in MongoDB, under `MONGODB_URL`.
//!
//! Collections, indexes and validators are made before the first operation, so that the application starts (and comes
//! back) whether or not the server is there. A document's end of life is kept a second time as a date, `_expires`, because
//! the server's own deletion knows only those; nobody sees it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document as Row, doc};
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::options::{Acknowledgment, ClientOptions, IndexOptions, WriteConcern};
use mongodb::{Client, Database, IndexModel};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::super::Server;
use super::{
    Collection, Document, DocumentError, DocumentStore, Filter, Search, as_id, check_fields, take_id,
};

/// The field of the end of life as a date.
const EXPIRES: &str = "_expires";
/// The database when the address names none.
const DATABASE: &str = "gencharge";
/// How long a connection may take, and the search for a server.
const CONNECT: Duration = Duration::from_secs(2);
/// How long one operation may take.
const OPERATION: Duration = Duration::from_secs(15);
/// Connections, unless the address says otherwise.
const CONNECTIONS: u32 = 16;
pub(crate) const DUPLICATE_KEY: i32 = 11_000;
const NAMESPACE_EXISTS: i32 = 48;
/// The server stops, steps down, or ran out of time: interrupted, not primary, shutting down, network, time limits.
const AWAY: [i32; 13] = [6, 7, 50, 89, 91, 189, 262, 9001, 10_107, 11_600, 11_602, 13_435, 13_436];

/// The store; it opens connections when they are needed.
#[derive(Debug)]
pub struct MongoDocumentStore {
    database: Database,
    collections: Vec<&'static Collection>,
    prepared: OnceCell<()>,
}

impl MongoDocumentStore {
    /// A store at `url`. Nothing is connected to yet. Writes wait for the journals of a majority, unless `url` asks for
    /// another write concern.
    ///
    /// # Errors
    /// [`DocumentError::Refused`] when the address cannot be read; its text is not shown, it may hold a password.
    pub async fn new(url: &str, collections: Vec<&'static Collection>) -> Result<Self, DocumentError> {
        let unreadable = |_| {
            let expected = "MONGODB_URL: expected an address such as mongodb://user:password@host:27017/name";
            DocumentError::Refused(expected.to_owned())
        };
        let mut options = ClientOptions::parse(url).await.map_err(unreadable)?;
        options.app_name = Some("gencharge".to_owned());
        options.connect_timeout.get_or_insert(CONNECT);
        options.server_selection_timeout.get_or_insert(CONNECT);
        options.max_pool_size.get_or_insert(CONNECTIONS);
        let durable = || WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build();
        options.write_concern.get_or_insert_with(durable);
        let name = options.default_database.clone().unwrap_or_else(|| DATABASE.to_owned());
        let database = Client::with_options(options).map_err(unreadable)?.database(&name);
        Ok(Self { database, collections, prepared: OnceCell::new() })
    }

    /// Makes what is missing, once.
    ///
    /// # Errors
    /// [`DocumentError`]; the next operation tries again.
    pub async fn prepare(&self) -> Result<(), DocumentError> {
        let make = || async {
            for collection in &self.collections {
                create(&self.database, collection).await?;
            }
            Ok(())
        };
        self.prepared.get_or_try_init(|| within(make())).await.copied()
    }

    /// A prepared collection, for a store whose port asks for more than documents.
    ///
    /// # Errors
    /// [`DocumentError`] when it cannot be prepared.
    pub async fn collection(
        &self,
        collection: &Collection,
    ) -> Result<mongodb::Collection<Row>, DocumentError> {
        self.prepare().await?;
        Ok(self.database.collection(collection.name))
    }
}

/// The operation's outcome, within its time.
pub(crate) async fn within<T>(operation: impl Future<Output = Result<T, Error>>) -> Result<T, DocumentError> {
    match tokio::time::timeout(OPERATION, operation).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(DocumentError::Unavailable(format!("MongoDB: no answer in {} s", OPERATION.as_secs()))),
    }
}

async fn create(database: &Database, collection: &Collection) -> Result<(), Error> {
    let required: Vec<_> =
        ["_id"].iter().chain(collection.required).map(|field| Bson::from(*field)).collect();
    let id = doc! { "_id": { "bsonType": "objectId" } };
    let validator = doc! { "$jsonSchema": { "bsonType": "object", "required": required, "properties": id } };
    let made = database.run_command(doc! { "create": collection.name, "validator": validator.clone() }).await;
    match made {
        Ok(_) => {}
        Err(error) if code_of(&error) == Some(NAMESPACE_EXISTS) => {
            database.run_command(doc! { "collMod": collection.name, "validator": validator }).await?;
        }
        Err(error) => return Err(error),
    }
    let mut indexes: Vec<IndexModel> = collection
        .indexes
        .iter()
        .map(|fields| IndexModel::builder().keys(order_by(fields)).build())
        .collect();
    if collection.expires.is_some() {
        let at_once = IndexOptions::builder().expire_after(Duration::ZERO).build();
        indexes.push(IndexModel::builder().keys(doc! { EXPIRES: 1 }).options(at_once).build());
    }
    if !indexes.is_empty() {
        database.collection::<Row>(collection.name).create_indexes(indexes).await?;
    }
    Ok(())
}

fn order_by(fields: &[&str]) -> Row {
    let mut order = Row::new();
    let mut direction = 1;
    for field in fields {
        direction = if field.starts_with('-') { -1 } else { 1 };
        order.insert(field.trim_start_matches('-'), direction);
    }
    if !order.contains_key("_id") {
        order.insert("_id", direction);
    }
    order
}

/// A condition that nothing meets.
fn nothing() -> Row {
    doc! { "_id": { "$in": [] } }
}

/// The filter as a condition. Values stand only where the server expects values, never operators.
fn condition(filter: Filter) -> Result<Row, DocumentError> {
    Ok(match filter {
        Filter::Everything => Row::new(),
        Filter::All(filters) if filters.is_empty() => Row::new(),
        Filter::Any(filters) if filters.is_empty() => nothing(),
        Filter::All(filters) => doc! { "$and": conditions(filters)? },
        Filter::Any(filters) => doc! { "$or": conditions(filters)? },
        Filter::Equal(field, value) => doc! { field: { "$eq": scalar(field, value)? } },
        Filter::OneOf(field, values) => {
            let values: Result<Vec<_>, _> = values.into_iter().map(|value| scalar(field, value)).collect();
            doc! { field: { "$in": values? } }
        }
        Filter::Within(field, None, None) => doc! { field: { "$type": ["string", "number"] } },
        Filter::Within(field, from, to) => {
            let mut ends = Row::new();
            for (operator, end) in [("$gte", from), ("$lt", to)] {
                if let Some(end) = end {
                    ends.insert(operator, scalar(field, end)?);
                }
            }
            doc! { field: ends }
        }
        Filter::Contains(_, text) if text.contains('\0') => nothing(),
        Filter::Contains(field, text) => doc! { field: { "$regex": quoted(&text), "$options": "i" } },
    })
}

fn conditions(filters: Vec<Filter>) -> Result<Vec<Row>, DocumentError> {
    filters.into_iter().map(condition).collect()
}

/// A value to compare with. What is no `_id` equals none.
fn scalar(field: &str, value: Value) -> Result<Bson, DocumentError> {
    match value {
        Value::Array(_) | Value::Object(_) => {
            Err(DocumentError::Refused(format!("{field} is compared with more than a value")))
        }
        Value::String(text) if field == "_id" => Ok(as_id(&text)
            .and_then(|id| ObjectId::parse_str(id).ok())
            .map_or(Bson::String(text), Bson::from)),
        value => to_bson(value),
    }
}

/// Text as a pattern that matches only that text.
fn quoted(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// JSON as it is: text that looks like MongoDB's extended JSON stays what it was.
pub(crate) fn to_bson(value: Value) -> Result<Bson, DocumentError> {
    Ok(match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => value.into(),
        Value::String(text) => text.into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(float)) if !number.is_u64() => float.into(),
            _ => return Err(DocumentError::Refused(format!("the number {number} is too large"))),
        },
        Value::Array(values) => {
            Bson::Array(values.into_iter().map(to_bson).collect::<Result<_, DocumentError>>()?)
        }
        Value::Object(fields) => Bson::Document(to_row(fields)?),
    })
}

fn to_row(fields: Document) -> Result<Row, DocumentError> {
    fields.into_iter().map(|(name, value)| Ok((name, to_bson(value)?))).collect()
}

fn from_bson(value: Bson) -> Result<Value, DocumentError> {
    Ok(match value {
        Bson::Null => Value::Null,
        Bson::Boolean(value) => value.into(),
        Bson::String(text) => text.into(),
        Bson::Int32(number) => number.into(),
        Bson::Int64(number) => number.into(),
        Bson::Double(number) => number.into(),
        Bson::ObjectId(id) => id.to_hex().into(),
        Bson::Array(values) => {
            Value::Array(values.into_iter().map(from_bson).collect::<Result<_, DocumentError>>()?)
        }
        Bson::Document(row) => Value::Object(from_row(row)?),
        other => {
            return Err(DocumentError::Refused(format!("a {:?} among the documents", other.element_type())));
        }
    })
}

pub(crate) fn from_row(row: Row) -> Result<Document, DocumentError> {
    row.into_iter()
        .filter(|(name, _)| name != EXPIRES)
        .map(|(name, value)| Ok((name, from_bson(value)?)))
        .collect()
}

/// The date that the server goes by, from the field that callers see.
fn expiry(collection: &Collection, fields: &Document) -> Option<Bson> {
    let until = fields.get(collection.expires?)?;
    let until = until.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let date =
        |until: DateTime<_>| Bson::DateTime(mongodb::bson::DateTime::from_millis(until.timestamp_millis()));
    Some(until.map_or(Bson::Null, date))
}

impl DocumentStore for MongoDocumentStore {
    fn insert<'a>(
        &'a self,
        collection: &'static Collection,
        documents: Vec<Document>,
    ) -> BoxFuture<'a, Result<u64, DocumentError>> {
        Box::pin(async move {
            let mut rows = Vec::with_capacity(documents.len());
            for mut document in documents {
                let id = take_id(&mut document)?;
                check_fields(&document)?;
                let expiry = expiry(collection, &document);
                let mut row = to_row(document)?;
                row.insert("_id", ObjectId::parse_str(id).map_err(Error::from)?);
                row.extend(expiry.map(|date| (EXPIRES.to_owned(), date)));
                rows.push(row);
            }
            if rows.is_empty() {
                return Ok(0);
            }
            let target = self.collection(collection).await?;
            let given = rows.len();
            let known = within(async {
                match target.insert_many(&rows).ordered(false).await {
                    Ok(_) => Ok(0),
                    Err(error) => known_already(&error).ok_or(error),
                }
            });
            let known = known.await?;
            Ok(u64::try_from(given.saturating_sub(known)).unwrap_or(0))
        })
    }

    fn find<'a>(
        &'a self,
        collection: &'static Collection,
        search: Search,
    ) -> BoxFuture<'a, Result<Vec<Document>, DocumentError>> {
        Box::pin(async move {
            let source = self.collection(collection).await?;
            let mut find =
                source.find(condition(search.filter)?).sort(order_by(search.sort)).skip(search.offset);
            if search.limit > 0 {
                find = find.limit(i64::try_from(search.limit).unwrap_or(i64::MAX));
            }
            let rows: Vec<Row> = within(async { find.await?.try_collect().await }).await?;
            rows.into_iter().map(from_row).collect()
        })
    }

    fn count<'a>(
        &'a self,
        collection: &'static Collection,
        filter: Filter,
    ) -> BoxFuture<'a, Result<u64, DocumentError>> {
        Box::pin(async move {
            let source = self.collection(collection).await?;
            within(source.count_documents(condition(filter)?).into_future()).await
        })
    }

    fn update<'a>(
        &'a self,
        collection: &'static Collection,
        filter: Filter,
        set: Document,
    ) -> BoxFuture<'a, Result<u64, DocumentError>> {
        Box::pin(async move {
            check_fields(&set)?;
            if set.is_empty() {
                return self.count(collection, filter).await;
            }
            let expiry = expiry(collection, &set);
            let mut set = to_row(set)?;
            set.extend(expiry.map(|date| (EXPIRES.to_owned(), date)));
            let target = self.collection(collection).await?;
            let update = target.update_many(condition(filter)?, doc! { "$set": set });
            Ok(within(update.into_future()).await?.matched_count)
        })
    }

    fn delete<'a>(
        &'a self,
        collection: &'static Collection,
        filter: Filter,
    ) -> BoxFuture<'a, Result<u64, DocumentError>> {
        Box::pin(async move {
            let target = self.collection(collection).await?;
            Ok(within(target.delete_many(condition(filter)?).into_future()).await?.deleted_count)
        })
    }

    /// The server does it, by the index on `_expires`.
    fn expire<'a>(
        &'a self,
        _: &'static Collection,
        _: DateTime<Utc>,
        _: u32,
    ) -> BoxFuture<'a, Result<u64, DocumentError>> {
        Box::pin(async { Ok(0) })
    }
}

impl Server for MongoDocumentStore {
    fn name(&self) -> &'static str {
        "mongodb"
    }

    fn answers(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move { self.database.run_command(doc! { "ping": 1 }).await.is_ok() })
    }
}

/// How many of the documents were there already, when nothing else was wrong.
pub(crate) fn known_already(error: &Error) -> Option<usize> {
    let ErrorKind::InsertMany(failure) = error.kind.as_ref() else { return None };
    let errors = failure.write_errors.as_ref()?;
    let known =
        errors.iter().all(|error| error.code == DUPLICATE_KEY) && failure.write_concern_error.is_none();
    known.then_some(errors.len())
}

pub(crate) fn code_of(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(failure) => Some(failure.code),
        ErrorKind::Write(WriteFailure::WriteError(failure)) => Some(failure.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(failure)) => Some(failure.code),
        _ => None,
    }
}

impl From<Error> for DocumentError {
    fn from(error: Error) -> Self {
        let away = match error.kind.as_ref() {
            ErrorKind::Io(_)
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::Authentication { .. }
            | ErrorKind::Shutdown => true,
            _ => code_of(&error).is_some_and(|code| AWAY.contains(&code)),
        };
        let text = format!("MongoDB: {}", error.kind);
        if away { Self::Unavailable(text) } else { Self::Refused(text) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_stays_what_it_was() {
        let value =
            json!({"a": [1, 2.5, null, true], "b": {"$oid": "65a1b2c3d4e5f60718293041"}, "c": i64::MAX});
        assert_eq!(from_bson(to_bson(value.clone()).unwrap()).unwrap(), value);
        assert!(to_bson(json!(u64::MAX)).is_err());
    }

    #[test]
    fn values_are_never_operators() {
        for value in [json!({"$ne": null}), json!([{"$gt": ""}])] {
            assert!(condition(Filter::Equal("kind", value.clone())).is_err());
            assert!(condition(Filter::OneOf("kind", vec![value.clone()])).is_err());
            assert!(condition(Filter::Within("kind", Some(value), None)).is_err());
        }
        let text = condition(Filter::Equal("kind", "{\"$ne\": 1}".into())).unwrap();
        assert_eq!(text, doc! { "kind": { "$eq": "{\"$ne\": 1}" } });
        assert_eq!(quoted("a.*(é)"), "a\\.\\*\\(é\\)");
    }
}
