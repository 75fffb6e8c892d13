//! Roles and permissions: which administrator may do what.

mod book;
mod words;

pub use book::{AccessBook, Role};
pub use words::{Action, Flags, Permissions, Resource};
