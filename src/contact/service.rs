//! Forms as documents.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use gencharge_actors::kernel::{Clock, Random};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::audit::{self, Entry};
use crate::http::{Code, Problem};
use crate::platform::documents::{
    Collection, Document, DocumentError, DocumentStore, Filter, Search, moment, new_id,
};

/// The documents `{_id, name, email, description, created_at, resolved}`.
pub static CONTACT_FORMS: Collection = Collection {
    name: "contact_forms",
    required: &["name", "email", "description", "created_at", "resolved"],
    indexes: &[&["-created_at"], &["email", "-created_at"]],
    expires: None,
};

/// Forms that one e-mail address may send within an hour.
const PER_HOUR: u64 = 5;

/// Which forms. What is absent matches all.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub email: Option<String>,
    pub resolved: Option<bool>,
    /// At or after.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
}

impl Wanted {
    fn filter(self) -> Filter {
        let time = |at: Option<DateTime<Utc>>| at.map(|at| Value::String(moment(at)));
        let mut all = vec![Filter::Within("created_at", time(self.from), time(self.to))];
        all.extend(self.email.map(|email| Filter::Equal("email", Value::String(email))));
        all.extend(self.resolved.map(|resolved| Filter::Equal("resolved", Value::Bool(resolved))));
        Filter::All(all)
    }
}

/// The contact form; clones share the store.
#[derive(Clone)]
pub struct Contacts {
    documents: Arc<dyn DocumentStore>,
    log: PgPool,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Contacts {
    /// Forms in `documents`; what administrators do with them is audited through `log`.
    #[must_use]
    pub fn new(
        documents: Arc<dyn DocumentStore>,
        log: PgPool,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { documents, log, clock, random }
    }

    /// Keeps a form.
    pub(super) async fn submit(
        &self,
        name: String,
        email: String,
        description: String,
    ) -> Result<Document, Problem> {
        let now = self.clock.now();
        let hour =
            Wanted { email: Some(email.clone()), from: Some(now - TimeDelta::hours(1)), ..Wanted::default() };
        if self.documents.count(&CONTACT_FORMS, hour.filter()).await? >= PER_HOUR {
            let detail = "Too many messages from this e-mail address: try again in an hour";
            return Err(Problem::new(Code::RateLimited, detail).retry_after(3600));
        }
        let form: Document = [
            ("_id", json!(new_id(now, self.random.as_ref()))),
            ("name", json!(name)),
            ("email", json!(email)),
            ("description", json!(description)),
            ("created_at", json!(moment(now))),
            ("resolved", json!(false)),
        ]
        .into_iter()
        .map(|(field, value)| (field.to_owned(), value))
        .collect();
        self.documents.insert(&CONTACT_FORMS, vec![form.clone()]).await?;
        Ok(form)
    }

    /// Some forms by their time, and how many there are in all.
    pub(super) async fn forms(
        &self,
        wanted: Wanted,
        newest_first: bool,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<Document>, u64), DocumentError> {
        let filter = wanted.filter();
        let total = self.documents.count(&CONTACT_FORMS, filter.clone()).await?;
        let sort: &[&str] = if newest_first { &["-created_at"] } else { &["created_at"] };
        let forms = self.documents.find(&CONTACT_FORMS, Search { filter, sort, offset, limit }).await?;
        Ok((forms, total))
    }

    /// Says whether a form is settled.
    pub(super) async fn resolve(&self, id: &str, resolved: bool, by: Entry) -> Result<Document, Problem> {
        let filter = Filter::Equal("_id", Value::String(id.to_owned()));
        let set = Document::from_iter([("resolved".to_owned(), Value::Bool(resolved))]);
        if self.documents.update(&CONTACT_FORMS, filter.clone(), set).await? == 0 {
            return Err(Problem::not_found("Contact form"));
        }
        let mut db = self.log.acquire().await?;
        audit::record(&mut db, self.clock.now(), by).await?;
        let search = Search { filter, sort: &["created_at"], offset: 0, limit: 1 };
        let found = self.documents.find(&CONTACT_FORMS, search).await?;
        found.into_iter().next().ok_or_else(|| Problem::not_found("Contact form"))
    }
}
