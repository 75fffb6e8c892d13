//! The contact form: anyone writes, administrators read and settle. Forms are documents.

mod routes;
mod seed;
mod service;

pub use routes::{Docs, routes};
pub use seed::seed_forms;
pub use service::{CONTACT_FORMS, Contacts};
