//! Customers: the own profile, and blocking by an administrator.

mod names;
mod routes;
mod seed;
mod shape;
mod store;

pub use names::{EmailAddress, InvalidEmail, InvalidName, PersonName};
pub use routes::{Docs, routes};
pub use seed::{NewCustomer, demo_customers, insert_customers, seed_customers};
pub use shape::{RegisteredUser, UserResponse};
pub use store::{Profile, StatusError, Users, change_status, find};
