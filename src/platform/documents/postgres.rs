//! Documents as JSONB: a table `doc_<collection>` of `_id` and the rest.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, QueryBuilder};

use super::{
    Collection, Document, DocumentError, DocumentStore, Filter, Search, as_id, check_fields, moment, take_id,
};
use crate::http::problem::is_store_away;

/// One process at a time makes tables.
const PREPARE_LOCK: i64 = 4220;

/// The store; clones share the pool.
#[derive(Clone, Debug)]
pub struct PgDocumentStore {
    pool: PgPool,
}

impl PgDocumentStore {
    /// Works through `pool`.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Makes the tables and indexes that are missing.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub async fn prepare(&self, collections: &[&Collection]) -> Result<(), DocumentError> {
        let mut tx = self.pool.begin().await?;
        // Without the notices of "IF NOT EXISTS".
        sqlx::query("SET LOCAL client_min_messages = warning").execute(&mut *tx).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(PREPARE_LOCK).execute(&mut *tx).await?;
        for collection in collections {
            create(&mut tx, collection).await?;
        }
        Ok(tx.commit().await?)
    }
}

async fn create(db: &mut PgConnection, collection: &Collection) -> Result<(), sqlx::Error> {
    let table = table(collection);
    let required: Vec<_> = collection.required.iter().map(|field| literal(field)).collect();
    let mut statements = vec![format!(
        "CREATE TABLE IF NOT EXISTS {table} (\
         id text COLLATE \"C\" PRIMARY KEY CHECK (id ~ '^[0-9a-f]{{24}}$'), \
         document jsonb NOT NULL CHECK (document ?& ARRAY[{}]::text[]))",
        required.join(", ")
    )];
    let expires: Vec<_> = collection.expires.into_iter().collect();
    let indexes = collection.indexes.iter().copied().chain([&*expires]).filter(|fields| !fields.is_empty());
    for fields in indexes {
        let name = fields.join("_").replace('-', "");
        let order = order_by(fields);
        statements.push(format!("CREATE INDEX IF NOT EXISTS {table}_{name}_idx ON {table} ({order})"));
    }
    for statement in statements {
        // Made of constants of this program.
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *db).await?;
    }
    Ok(())
}

fn table(collection: &Collection) -> String {
    format!("doc_{}", collection.name)
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What is compared, indexed and sorted by: one expression, so that the planner knows the index again.
fn value_of(field: &str) -> String {
    format!("coalesce(document -> {}, 'null'::jsonb)", literal(field))
}

fn order_by(fields: &[&str]) -> String {
    let mut last = "";
    let mut terms: Vec<String> = Vec::with_capacity(fields.len() + 1);
    for field in fields {
        last = if field.starts_with('-') { " DESC" } else { "" };
        match field.trim_start_matches('-') {
            // It decides everything; nothing can follow.
            "_id" => break,
            field => terms.push(format!("({}){last}", value_of(field))),
        }
    }
    terms.push(format!("id{last}"));
    terms.join(", ")
}

type Query = QueryBuilder<Postgres>;

fn list(query: &mut Query, filters: Vec<Filter>, between: &str, none: &str) -> Result<(), DocumentError> {
    if filters.is_empty() {
        query.push(none);
        return Ok(());
    }
    for (index, filter) in filters.into_iter().enumerate() {
        query.push(if index == 0 { "(" } else { between });
        condition(query, filter)?;
    }
    query.push(")");
    Ok(())
}

/// Appends the filter as a condition. Values are bound, never written into the text.
fn condition(query: &mut Query, filter: Filter) -> Result<(), DocumentError> {
    match filter {
        Filter::Everything => {
            query.push("TRUE");
        }
        Filter::All(filters) => list(query, filters, " AND ", "TRUE")?,
        Filter::Any(filters) => list(query, filters, " OR ", "FALSE")?,
        Filter::Equal(field, value) => condition(query, Filter::OneOf(field, vec![value]))?,
        Filter::OneOf("_id", values) => {
            let ids: Vec<_> = values.iter().filter_map(Value::as_str).filter_map(as_id).collect();
            query.push("id = ANY(").push_bind(ids).push(")");
        }
        Filter::OneOf(field, mut values) => {
            values.retain(can_be_stored);
            if values.iter().any(|value| value.is_object() || value.is_array()) {
                return Err(DocumentError::Refused(format!("{field} is compared with more than a value")));
            }
            let values: Vec<_> = values.into_iter().map(Json).collect();
            query.push(value_of(field)).push(" = ANY(").push_bind(values).push(")");
        }
        Filter::Within(field, from, to) => within(query, field, from, to)?,
        Filter::Contains(field, text) => {
            let pattern =
                text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_").replace('\0', "");
            let (field, found) = (literal(field), !text.contains('\0'));
            query.push(format!(
                "({found} AND jsonb_typeof(document -> {field}) = 'string' AND document ->> {field} ILIKE "
            ));
            query.push_bind(format!("%{pattern}%")).push(")");
        }
    }
    Ok(())
}

fn within(
    query: &mut Query,
    field: &'static str,
    from: Option<Value>,
    to: Option<Value>,
) -> Result<(), DocumentError> {
    let ends = [(" >= ", from), (" < ", to)];
    if field == "_id" {
        query.push("(TRUE");
        for (operator, end) in ends {
            let Some(end) = end else { continue };
            let end = end.as_str().map(str::to_ascii_lowercase).filter(|text| !text.contains('\0'));
            query.push(" AND id").push(operator).push_bind(end);
        }
        query.push(")");
        return Ok(());
    }
    let kinds: Vec<_> = ends.iter().filter_map(|(_, end)| end.as_ref()).map(kind_of).collect();
    let kinds = match kinds.as_slice() {
        [] => "'string', 'number'",
        [Some(kind)] => kind,
        [Some(from), Some(to)] if from == to => from,
        _ => return Err(DocumentError::Refused(format!("{field} is compared with no text or number"))),
    };
    let name = literal(field);
    query.push(format!("(jsonb_typeof(document -> {name}) IN ({kinds})"));
    for (operator, end) in ends {
        let Some(end) = end else { continue };
        if can_be_stored(&end) {
            query.push(" AND ").push(value_of(field)).push(operator).push_bind(Json(end));
        } else {
            query.push(" AND FALSE");
        }
    }
    query.push(")");
    Ok(())
}

fn kind_of(value: &Value) -> Option<&'static str> {
    match value {
        Value::String(_) => Some("'string'"),
        Value::Number(_) => Some("'number'"),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// PostgreSQL has no text with a zero character, so nothing equals one.
fn can_be_stored(value: &Value) -> bool {
    !matches!(value, Value::String(text) if text.contains('\0'))
}

fn starting(text: String, filter: Filter) -> Result<Query, DocumentError> {
    let mut query = QueryBuilder::new(text);
    query.push(" WHERE ");
    condition(&mut query, filter)?;
    Ok(query)
}

impl PgDocumentStore {
    async fn run(&self, mut query: Query) -> Result<u64, DocumentError> {
        Ok(query.build().persistent(false).execute(&self.pool).await?.rows_affected())
    }
}

impl DocumentStore for PgDocumentStore {
    fn insert<'a>(
        &'a self,
        collection: &'static Collection,
        documents: Vec<Document>,
    ) -> BoxFuture<'a, Result<u64, DocumentError>> {
        Box::pin(async move {
            let (mut ids, mut bodies) = (Vec::new(), Vec::new());
            for mut document in documents {
                ids.push(take_id(&mut document)?);
                check_fields(&document)?;
                bodies.push(Json(document));
            }
            let statement = format!(
                "INSERT INTO {} (id, document) SELECT * FROM unnest($1::text[], $2::jsonb[]) \
                 ON CONFLICT DO NOTHING",
                table(collection)
            );
            let insert = sqlx::query(AssertSqlSafe(statement)).bind(ids).bind(bodies);
            Ok(insert.execute(&self.pool).await?.rows_affected())
        })
    }

    fn find<'a>(
        &'a self,
        collection: &'static Collection,
        search: Search,
    ) -> BoxFuture<'a, Result<Vec<Document>, DocumentError>> {
        Box::pin(async move {
            let start = format!("SELECT id, document FROM {}", table(collection));
            let mut query = starting(start, search.filter)?;
            query.push(format!(" ORDER BY {} OFFSET {}", order_by(search.sort), search.offset));
            if search.limit > 0 {
                query.push(format!(" LIMIT {}", search.limit));
            }
            // Planned for its values: the same text serves filters that find one document or nearly all.
            let rows: Vec<(String, Json<Document>)> =
                query.build_query_as().persistent(false).fetch_all(&self.pool).await?;
            let whole = |(id, Json(mut document)): (String, Json<Document>)| {
                document.insert("_id".to_owned(), id.into());
                document
            };
            Ok(rows.into_iter().map(whole).collect())
        })
    }

    fn count<'a>(
        &'a self,
        collection: &'static Collection,
        filter: Filter,
    ) -> BoxFuture<'a, Result<u64, DocumentError>> {
        Box::pin(async move {
            let mut query = starting(format!("SELECT count(*) FROM {}", table(collection)), filter)?;
            let (count,): (i64,) = query.build_query_as().persistent(false).fetch_one(&self.pool).await?;
            Ok(u64::try_from(count).unwrap_or(0))
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
            let start = format!("UPDATE {} SET document = document || ", table(collection));
            let mut query = QueryBuilder::new(start);
            query.push_bind(Json(set)).push(" WHERE ");
            condition(&mut query, filter)?;
            self.run(query).await
        })
    }

    fn delete<'a>(
        &'a self,
        collection: &'static Collection,
        filter: Filter,
    ) -> BoxFuture<'a, Result<u64, DocumentError>> {
        Box::pin(
            async move { self.run(starting(format!("DELETE FROM {}", table(collection)), filter)?).await },
        )
    }

    fn expire<'a>(
        &'a self,
        collection: &'static Collection,
        now: DateTime<Utc>,
        at_most: u32,
    ) -> BoxFuture<'a, Result<u64, DocumentError>> {
        Box::pin(async move {
            let Some(field) = collection.expires else { return Ok(0) };
            let table = table(collection);
            let start = format!("DELETE FROM {table} WHERE id IN (SELECT id FROM {table}");
            let mut query = starting(start, Filter::Within(field, None, Some(Value::String(moment(now)))))?;
            query.push(format!(" LIMIT {at_most})"));
            self.run(query).await
        })
    }
}

impl From<sqlx::Error> for DocumentError {
    fn from(error: sqlx::Error) -> Self {
        if is_store_away(&error) {
            Self::Unavailable(error.to_string())
        } else {
            Self::Refused(error.to_string())
        }
    }
}
