//! Partners: who they are, what they may ask by message, and the wallets that pay for it. Their messages are read by
//! `gencharge_actors::partner`.

mod book;
mod commands;
mod routes;
mod shape;
mod store;

pub use book::PartnerBook;
pub use commands::PartnerCommands;
pub use routes::{Docs, PartnerService, routes};
pub use store::PartnerStore;
