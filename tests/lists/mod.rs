//! The lists of transactions and of plans on numbers, over HTTP.

mod history;
mod plans;
mod transactions;
mod world;
