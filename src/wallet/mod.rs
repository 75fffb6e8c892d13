//! Wallets in PostgreSQL: the store behind the wallet actors, and the upkeep of numbers' plans.

mod lifecycle;
mod opening;
mod store;

pub use lifecycle::PgLifecycle;
pub use opening::post_opening_balances;
pub use store::rows::transaction_by_id;
pub use store::{PgWalletStore, Recorder};
