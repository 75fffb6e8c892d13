//! The lists of transactions: a customer's own and the administrators'.

mod listing;
mod routes;
mod service;
pub mod shape;
mod store;

pub use listing::Listing;
pub use routes::{Docs, TransactionListResponse, routes};
pub use service::TransactionLists;
pub use shape::{TransactionOut, TransactionRow};
