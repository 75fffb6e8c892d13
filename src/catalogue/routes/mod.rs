//! Handlers of the catalogue.

pub mod names;
pub mod offers;
pub mod plans;
pub mod public;

use actix_web::HttpResponse;
use actix_web::http::header;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::query::ListQuery;
use super::store::ChangeError;
use crate::access::{Action, Resource};
use crate::auth::Principal;
use crate::http::{Code, Problem};

/// What the answer of a change says of the caches.
const INVALIDATED: &str = "Invalidated";

/// True when the caller may see what the public does not.
fn sees_all(caller: Option<&Principal>, resource: Resource) -> bool {
    match caller {
        Some(Principal::Administrator(administrator)) => {
            administrator.require(resource, Action::Read).is_ok()
        }
        Some(Principal::Customer(_)) | None => false,
    }
}

/// A page of `rows` as a bare array, with its total and its links.
fn page<Q, Shape>(query: &Q, rows: &[Q::Row], now: DateTime<Utc>) -> HttpResponse
where
    Q: ListQuery,
    Shape: From<Q::Row> + Serialize,
{
    let found = query.find(rows, now);
    let shown: Vec<Shape> = found.rows.into_iter().cloned().map(Shape::from).collect();
    let mut answer = HttpResponse::Ok();
    answer.insert_header(("x-total-count", found.total));
    if let Some(links) = query.links(found.total) {
        answer.insert_header((header::LINK, links));
    }
    answer.json(shown)
}

/// Why something was not changed. `what` it is, by which field it names `parent`, and how `name` is called.
fn refused(error: ChangeError, what: &str, field: &str) -> Problem {
    match error {
        ChangeError::Missing => Problem::not_found(what),
        ChangeError::UnknownParent => Problem {
            code: Code::UnknownReference,
            ..Problem::field(field, "names nothing that exists: make it first, or leave it out")
        },
        ChangeError::Duplicate => {
            Problem { code: Code::Duplicate, ..Problem::field(field, "is taken: choose another") }
        }
        ChangeError::InUse => Problem::new(
            Code::StateConflict,
            format!("{what} has been bought or is on order: set its status to inactive instead"),
        ),
        ChangeError::Sql(error) => error.into(),
    }
}
