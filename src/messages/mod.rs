//! What nobody could take, for administrators: messages of the broker and batches of the outbox that were set aside, to be
//! looked at, tried again or thrown away.

mod routes;
mod store;

pub use routes::{Docs, routes};
pub use store::{PgArchive, SetAside};
