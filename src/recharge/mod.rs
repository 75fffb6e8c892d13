//! Recharges and top-ups: from a request to an order for the wallet actors, and from their answer to a response.

pub mod answer;
mod quote;
mod request;
mod routes;
mod store;

use std::sync::Arc;

use gencharge_actors::kernel::Random;
use gencharge_actors::wallet::Wallets;
use sqlx::PgPool;

use crate::wallet::PgWalletStore;

pub use quote::DryRun;
pub use routes::{Docs, routes};

/// What the handlers need.
#[derive(Clone)]
pub struct RechargeService {
    wallets: Wallets<PgWalletStore>,
    random: Arc<dyn Random>,
    dry_run: DryRun,
    history: PgPool,
}

impl RechargeService {
    /// Over the wallet actors; `random` makes keys for requests that bring none. `dry_run` answers quotes; `history` holds
    /// what can be repeated.
    #[must_use]
    pub fn new(
        wallets: Wallets<PgWalletStore>,
        random: Arc<dyn Random>,
        dry_run: DryRun,
        history: PgPool,
    ) -> Self {
        Self { wallets, random, dry_run, history }
    }
}
