//! Customers: the own profile, and blocking by an administrator.

mod names;
mod routes;
mod shape;
mod store;

pub use names::{EmailAddress, InvalidEmail, InvalidName, PersonName};
pub use routes::{Docs, routes};
pub use shape::{RegisteredUser, UserResponse};
pub use store::{Profile, StatusError, Users, change_status, find};
