//! Wallets in PostgreSQL: the store behind the wallet actors, and the upkeep of numbers' plans.

mod lifecycle;
mod store;

pub use lifecycle::PgLifecycle;
pub use store::PgWalletStore;
