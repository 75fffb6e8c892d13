//! Customers: their profile, state and preferences, their deletion, and the administrators' lists.

mod archive;
mod demo;
mod lists;
mod names;
mod preferences;
mod routes;
mod seed;
mod shape;
mod store;

pub use archive::DeleteError;
pub use demo::{DemoWishes, archive_empty, insert_demo_members, set_demo_status, set_demo_wishes};
pub use names::{EmailAddress, InvalidEmail, InvalidName, PersonName};
pub use preferences::Preferences;
pub use routes::{Docs, routes};
pub use seed::{NewCustomer, brought_by, demo_customers, insert_customers, seed_customers};
pub use shape::{RegisteredUser, UserResponse};
pub use store::{Profile, ProfileError, StatusError, Users, change_status, find, lock};
