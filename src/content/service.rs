//! Content as documents, with pictures beside them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use gencharge_actors::kernel::{AdminId, Clock, Random};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::form::Form;
use super::picture::{Pictures, Unusable};
use crate::audit::{self, Entry};
use crate::http::{Code, Problem};
use crate::platform::documents::{
    Collection, Document, DocumentError, DocumentStore, Filter, Search, moment, new_id,
};

/// The documents `{_id, content_type, title, body, image_url, image_filename, created_by, created_at, updated_by, updated_at}`.
pub static CONTENT: Collection = Collection {
    name: "content",
    required: &["content_type", "title", "created_by", "created_at", "updated_by", "updated_at"],
    indexes: &[&["-created_at"], &["-updated_at"], &["content_type", "-created_at"]],
    expires: None,
};

/// Where pictures are served.
pub(super) const PICTURES: &str = "/static/uploads/";

/// Which content. What is absent matches all; times are at or after the first and before the second.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub content_type: Option<String>,
    pub title: Option<String>,
    pub created_by: Option<i64>,
    pub updated_by: Option<i64>,
    pub created: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    pub updated: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
}

impl Wanted {
    fn filter(self) -> Filter {
        let time = |at: Option<DateTime<Utc>>| at.map(|at| Value::String(moment(at)));
        let mut all = vec![
            Filter::Within("created_at", time(self.created.0), time(self.created.1)),
            Filter::Within("updated_at", time(self.updated.0), time(self.updated.1)),
        ];
        all.extend(self.content_type.map(|word| Filter::Equal("content_type", Value::String(word))));
        all.extend(self.title.map(|text| Filter::Contains("title", text)));
        all.extend(self.created_by.map(|id| Filter::Equal("created_by", json!(id))));
        all.extend(self.updated_by.map(|id| Filter::Equal("updated_by", json!(id))));
        Filter::All(all)
    }
}

/// Content; clones share the stores.
#[derive(Clone)]
pub struct Contents {
    documents: Arc<dyn DocumentStore>,
    pictures: Pictures,
    log: PgPool,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Contents {
    /// Content in `documents` and `pictures`; changes are audited through `log`.
    #[must_use]
    pub fn new(
        documents: Arc<dyn DocumentStore>,
        pictures: Pictures,
        log: PgPool,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { documents, pictures, log, clock, random }
    }

    pub(super) fn pictures(&self) -> &Pictures {
        &self.pictures
    }

    /// Makes content.
    pub(super) async fn make(&self, form: Form, by: AdminId, entry: Entry) -> Result<Document, Problem> {
        let now = self.clock.now();
        let id = new_id(now, self.random.as_ref());
        let mut document = self.fields(form).await?;
        for (field, value) in [
            ("_id", json!(id)),
            ("created_by", json!(by.get())),
            ("created_at", json!(moment(now))),
            ("updated_by", json!(by.get())),
            ("updated_at", json!(moment(now))),
        ] {
            document.insert(field.to_owned(), value);
        }
        for field in ["body", "image_url", "image_filename"] {
            document.entry(field).or_insert(Value::Null);
        }
        self.documents.insert(&CONTENT, vec![document.clone()]).await?;
        self.record(entry, &id, now).await?;
        Ok(document)
    }

    /// Changes the given fields. A new picture takes the place of the old one, which then goes.
    pub(super) async fn change(
        &self,
        id: &str,
        form: Form,
        by: AdminId,
        entry: Entry,
    ) -> Result<Document, Problem> {
        let before = self.one(id).await?;
        let now = self.clock.now();
        let mut set = self.fields(form).await?;
        let replaced = set.contains_key("image_filename");
        set.insert("updated_by".to_owned(), json!(by.get()));
        set.insert("updated_at".to_owned(), json!(moment(now)));
        self.documents.update(&CONTENT, this(id), set).await?;
        if replaced {
            self.forget_picture(&before).await;
        }
        self.record(entry, id, now).await?;
        self.one(id).await
    }

    /// Deletes content and its picture.
    pub(super) async fn delete(&self, id: &str, entry: Entry) -> Result<(), Problem> {
        let before = self.one(id).await?;
        if self.documents.delete(&CONTENT, this(id)).await? == 0 {
            return Err(Problem::not_found("Content"));
        }
        self.forget_picture(&before).await;
        self.record(entry, id, self.clock.now()).await
    }

    /// Some content, and how much there is in all.
    pub(super) async fn some(
        &self,
        wanted: Wanted,
        sort: &'static [&'static str],
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<Document>, u64), DocumentError> {
        let filter = wanted.filter();
        let total = self.documents.count(&CONTENT, filter.clone()).await?;
        let found = self.documents.find(&CONTENT, Search { filter, sort, offset, limit }).await?;
        Ok((found, total))
    }

    async fn one(&self, id: &str) -> Result<Document, Problem> {
        let search = Search { filter: this(id), sort: &["created_at"], offset: 0, limit: 1 };
        let found = self.documents.find(&CONTENT, search).await?;
        found.into_iter().next().ok_or_else(|| Problem::not_found("Content"))
    }

    /// What a form sets; its picture is kept first.
    async fn fields(&self, form: Form) -> Result<Document, Problem> {
        let mut set = Document::new();
        for (field, text) in [("content_type", form.content_type), ("title", form.title), ("body", form.body)]
        {
            set.extend(text.map(|text| (field.to_owned(), Value::String(text))));
        }
        if let Some(bytes) = form.image {
            let name = self.pictures.keep(bytes).await.map_err(unusable)?;
            set.insert("image_url".to_owned(), json!(format!("{PICTURES}{name}")));
            set.insert("image_filename".to_owned(), json!(name));
        }
        Ok(set)
    }

    async fn forget_picture(&self, document: &Document) {
        if let Some(name) = document.get("image_filename").and_then(Value::as_str) {
            self.pictures.forget(name).await;
        }
    }

    async fn record(&self, entry: Entry, id: &str, now: DateTime<Utc>) -> Result<(), Problem> {
        let mut db = self.log.acquire().await?;
        Ok(audit::record(&mut db, now, Entry { target: format!("content/{id}"), ..entry }).await?)
    }
}

fn this(id: &str) -> Filter {
    Filter::Equal("_id", Value::String(id.to_owned()))
}

fn unusable(error: Unusable) -> Problem {
    match error {
        Unusable::NoPicture | Unusable::Broken => {
            Problem { code: Code::UnusableImage, ..Problem::field("image", error.to_string()) }
        }
        Unusable::Folder(error) => {
            tracing::error!(%error, "content.folder");
            Problem::new(Code::Unavailable, "The picture cannot be kept at the moment: try again shortly")
        }
    }
}
