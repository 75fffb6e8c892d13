//! Roles, and what each allows.

mod routes;
mod shape;
mod store;

pub use routes::{Docs, routes};
pub use store::{RoleError, Roles};
