//! The lists of plans on numbers: a customer's own and the administrators'. Reading never writes: what the lifecycle
//! actor has not come to yet is shown as it is by the clock.

mod listing;
mod routes;
mod shape;
mod store;

pub use routes::{Docs, routes};
pub use store::SubscriptionLists;
