//! Reports: one table of definitions, one way of asking, four ways of writing.
//!
//! A report is a [`definition::Report`]: columns, filters and orders with their SQL. Rows come from the database as text, in
//! chunks, and leave as JSON, CSV, XLSX or PDF while they arrive, so that a million of them need no more memory than a
//! thousand (a PDF is built whole and therefore bounded).

mod definition;
mod definitions;
mod documentation;
mod export;
mod query;
mod routes;
mod service;

pub use routes::{Docs, routes};
pub use service::Reports;
