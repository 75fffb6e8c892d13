//! Faults under load: whatever is killed, an acknowledged order is there afterwards, and none is there twice.

mod autopay;
pub mod client;
mod kills;
mod messages;
mod processes;
mod store_away;
