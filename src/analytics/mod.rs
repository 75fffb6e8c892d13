//! Figures over time, for administrators and for customers.
//!
//! Every figure of a report comes from one reading of a few sums by day ([`series`]); the sums over all transactions are kept
//! by an actor (`rollup`), so that their report costs the same however long the history is. What still takes long is made in the
//! background and shown as it last was (`kept`).

mod documentation;
mod figures;
mod insight;
mod kept;
mod report;
mod reports;
mod rollup;
mod routes;
mod series;
mod shapes;
mod store;
mod transactions;

pub use documentation::Docs;
pub use kept::Keeper;
pub use report::Report;
pub use rollup::PgRollUp;
pub use routes::routes;
pub use store::Analytics;
