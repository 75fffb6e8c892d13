//! Rewards for bringing customers: the lists of them.

mod lists;
mod routes;

pub use lists::Referrals;
pub use routes::{Docs, routes};
