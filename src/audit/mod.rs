//! What administrators change and who signs in, as documents.
//!
//! [`record`] writes an event in the transaction of the change itself; a consumer of the bus makes the document of it. So
//! nothing that was done goes unrecorded, nothing is recorded that was not done, and nobody waits for the document.

mod entry;
mod log;
mod routes;

pub use entry::{Entry, record};
pub use log::{AUDIT_LOGS, AuditLog, AuditWriter};
pub use routes::{Docs, routes};
