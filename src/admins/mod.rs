//! Administrators: the own profile, and managing the others.

mod routes;
mod shape;
mod store;

pub use routes::{Docs, routes};
pub use store::{AdminError, Admins};
